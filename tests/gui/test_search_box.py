"""The list of colours opens wherever it is clicked, and is searched by typing."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_cryodeco.gui.search_box import SearchBox


@pytest.fixture
def box(qtbot):
    made = SearchBox()
    for name in ("cluster", "defocus", "density"):
        made.addItem(name)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def shown(box) -> list[str]:
    model = box.completer().completionModel()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_a_click_on_the_words_opens_the_whole_list(box, qtbot):
    chosen = []
    box.activated.connect(chosen.append)
    qtbot.mouseClick(box.lineEdit(), Qt.MouseButton.LeftButton)
    popup = box.completer().popup()
    qtbot.waitUntil(popup.isVisible)
    assert shown(box) == ["cluster", "defocus", "density"]
    where = popup.visualRect(popup.model().index(1, 0)).center()
    qtbot.mouseClick(popup.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: chosen == [1])
    assert box.currentText() == "defocus"


def test_typing_after_the_click_narrows_it_down(box, qtbot):
    qtbot.mouseClick(box.lineEdit(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(box.completer().popup().isVisible)
    qtbot.keyClicks(box.completer().popup(), "den")
    qtbot.waitUntil(lambda: shown(box) == ["density"])


def test_the_list_looks_as_the_window_does_in_every_theme(qtbot):
    window = QWidget()
    box = SearchBox(window)
    box.addItem("cluster")
    qtbot.addWidget(window)
    window.setStyleSheet("QListView { background-color: rgb(1, 2, 3); }")
    window.show()
    qtbot.waitExposed(window)
    popup = box.completer().popup()
    for colour in ((1, 2, 3), (200, 190, 180)):
        window.setStyleSheet(f"QListView {{ background-color: rgb{colour}; }}")
        qtbot.mouseClick(box.lineEdit(), Qt.MouseButton.LeftButton)
        qtbot.waitUntil(popup.isVisible)
        qtbot.wait(50)
        seen = popup.grab().toImage().pixelColor(popup.width() // 2, popup.height() - 4)
        assert (seen.red(), seen.green(), seen.blue()) == colour
        popup.hide()
