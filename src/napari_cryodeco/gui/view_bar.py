"""What the scatter plot shows: projection, axes, colour, clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QWidget,
)

from napari_cryodeco.explore.free_energy import CAVEAT
from napari_cryodeco.gui.editors import narrow
from napari_cryodeco.gui.search_box import SearchBox

VIEWS = {"pca": "PCA", "umap": "UMAP"}
OF_SELECTION: dict[str, Literal["umap", "pca"]] = {"part umap": "umap", "part pca": "pca"}
REMOVE = "part remove"
METHODS = {"gmm": "Gaussians", "kmeans": "k-means", "hdbscan": "HDBSCAN"}

ADD = "Add a column…"


class ViewBar(QWidget):
    """Two rows of choices; it says what the user wants and knows nothing of runs."""

    view_chosen = Signal(str)  # pca or umap
    axes_chosen = Signal(int, int)  # from 0
    colour_chosen = Signal(str)  # key, as `show_colours` was given it
    column_asked = Signal()  # a column of the user's own
    cluster_asked = Signal(int, str)  # k (of HDBSCAN: smallest cluster, 0: its default), method
    suggestion_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.view = self._box(
            "<qt>How z is laid out in the plane. UMAP is computed when first chosen. <i>Of the "
            "selection</i>: of the selected particles alone, the others are not drawn; it is kept "
            "with the run, and a lasso in it selects only what it shows.</qt>"
        )
        self.view.setMinimumContentsLength(3)  # shares of variance beside it are to be read
        self._list_views({})
        self.x = self._box("Horizontal axis; the share is that of the variance of z")
        self.y = self._box("Vertical axis; the share is that of the variance of z")
        self.energy = _energy_button()
        self.colour = SearchBox()
        self._squeeze(self.colour)
        self.colour.setToolTip(
            "<qt>Colour of a particle: density, cluster, latent dimensions, viewing direction, "
            "defocus, or any column of your particle file. Units stand in brackets; type to "
            "search. <i>Add a column…</i> takes a .npy or .csv file of your own.</qt>"
        )
        self.k = QSpinBox()
        self.k.setRange(1, 50)
        self.k.setValue(4)
        self.k.setPrefix("k = ")
        self.k.setToolTip("Number of clusters")
        self.k.setMaximumWidth(92)  # room for the name of the method in a small window
        self.smallest = QSpinBox()
        self.smallest.setRange(0, 1_000_000)
        self.smallest.setSpecialValueText("≥ 2 %")
        self.smallest.setPrefix("≥ ")
        self.smallest.setToolTip("Fewest particles of a cluster; 0: 2 % of all")
        self.smallest.hide()
        self.method = self._box(
            "<qt>Gaussians: a Gaussian mixture, clusters of any size and direction. k-means: round "
            "ones. HDBSCAN: dense regions, as many as there are; particles between them are "
            "<i>unassigned</i>.</qt>"
        )
        for method, text in METHODS.items():
            self.method.addItem(text, method)
        self.cluster = QPushButton("Cluster")
        self.cluster.setToolTip("Sort the particles' z into k clusters, in the background")
        self.by_hand = _by_hand_button()
        self.suggest = QPushButton("k?")
        self.suggest.setToolTip(
            "Try 1 to 10 clusters; plot BIC and silhouette, propose k (lowest BIC of the mixture)"
        )
        self.suggest.setMaximumWidth(34)
        self._lay_out()
        self._connect()

    def _connect(self) -> None:
        self.view.activated.connect(lambda _: self.view_chosen.emit(self.view.currentData()))
        for box in (self.x, self.y):
            box.activated.connect(
                lambda _: self.axes_chosen.emit(self.x.currentIndex(), self.y.currentIndex())
            )
        self.colour.activated.connect(lambda _: self._choose_colour())
        self.cluster.clicked.connect(
            lambda: self.cluster_asked.emit(self._number(), self.method.currentData())
        )
        self.method.currentIndexChanged.connect(self._show_numbers)
        self.suggest.clicked.connect(lambda: self.suggestion_asked.emit())

    def _box(self, tip: str) -> QComboBox:
        box = QComboBox()
        box.setToolTip(tip)
        self._squeeze(box)
        return box

    def _squeeze(self, box: QComboBox) -> None:
        narrow(box, 5)
        box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _lay_out(self) -> None:
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        rows: list[tuple[str, Sequence[tuple[QWidget, int]]]] = [
            ("View", ((self.view, 2), (self.x, 3), (self.y, 3), (self.energy, 0))),
            ("Colour", ((self.colour, 1),)),
            ("Clusters", self._cluster_row()),
        ]
        for place, (text, widgets) in enumerate(rows):
            label = QLabel(text)
            label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            line = QHBoxLayout()
            line.setSpacing(4)
            for widget, stretch in widgets:
                line.addWidget(widget, stretch)
            grid.addWidget(label, place, 0)
            grid.addLayout(line, place, 1)
        grid.setColumnStretch(1, 1)

    def _cluster_row(self) -> Sequence[tuple[QWidget, int]]:
        numbers = ((self.k, 0), (self.smallest, 0), (self.suggest, 0))
        return (*numbers, (self.method, 1), (self.cluster, 0), (self.by_hand, 0))

    def _number(self) -> int:
        dense = self.method.currentData() == "hdbscan"
        return self.smallest.value() if dense else self.k.value()

    def _show_numbers(self, _: int) -> None:
        dense = self.method.currentData() == "hdbscan"
        self.smallest.setVisible(dense)
        for widget in (self.k, self.suggest):
            widget.setVisible(not dense)

    def _list_views(self, parts: Mapping[str, str], shown: str = "pca") -> None:
        self.view.clear()
        for key, text in (VIEWS | dict(parts)).items():
            self.view.addItem(text, key)
        self.view.insertSeparator(self.view.count())
        for key, method in OF_SELECTION.items():
            self.view.addItem(f"{method.upper()} of the selection", key)
        if shown in parts:
            self.view.addItem("Remove this view", REMOVE)

    def show_clusters(self, method: str, k: int) -> None:
        """Offer to cluster as was done: by this method, into so many."""
        self.method.setCurrentIndex(max(self.method.findData(method), 0))
        if method != "hdbscan":
            self.k.setValue(k)

    def show_view(
        self,
        method: str,
        names: Sequence[str],
        axes: tuple[int, int],
        parts: Mapping[str, str] | None = None,
    ) -> None:
        """Show which projection and axes are on; `parts` are titles of those of selections."""
        self._list_views(parts or {}, method)
        self.view.setCurrentIndex(self.view.findData(method))
        for box, axis in zip((self.x, self.y), axes, strict=True):
            box.clear()
            box.addItems(list(names))
            box.setCurrentIndex(min(axis, len(names) - 1))
            box.setEnabled(len(names) > 1)

    def _choose_colour(self) -> None:
        if self.colour.currentData() is None:
            self.column_asked.emit()
        else:
            self.colour_chosen.emit(self.colour.currentData())

    def show_colours(self, colours: Mapping[str, str], chosen: str) -> None:
        """Show the colours there are, words by key, and which is on."""
        self.colour.clear()
        for key, words in colours.items():
            self.colour.addItem(words, key)
        self.colour.addItem(ADD, None)
        self.colour.setCurrentIndex(max(self.colour.findData(chosen), 0))


def _energy_button() -> QToolButton:
    """Shows the free-energy landscape; its arrow has what goes with it."""
    button = QToolButton()
    button.setText("kT")
    button.setCheckable(True)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
    button.setFixedWidth(52)  # napari's style leaves no room for words
    button.setStyleSheet("QToolButton:checked { background-color: palette(highlight); }")
    button.setMenu(QMenu(button))
    button.setToolTip(
        "<qt>Free-energy landscape of this view: −ln p in kT, lines 1 kT apart, minima deeper "
        "than 1 kT marked with their energy and share of the particles. Click a mark to decode "
        f"its map. {CAVEAT}</qt>"
    )
    return button


def _by_hand_button() -> QPushButton:
    """Has the menu of what is done to clusters by hand."""
    button = QPushButton("By hand")
    button.setMenu(QMenu(button))
    button.setToolTip(
        "<qt>Merge, split and name clusters, or make the selection one. The clusters meant are "
        "those selected: click them in the legend (Shift adds). A right click in the legend "
        "opens this, too; the computed clusters are kept.</qt>"
    )
    return button
