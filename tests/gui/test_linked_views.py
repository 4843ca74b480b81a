"""The Views panel: directions, micrographs and images share selection and mouse with the plot."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_cryodeco.explore import montage, sphere
from napari_cryodeco.explore.columns import Column
from napari_cryodeco.explore.lasso import inside
from napari_cryodeco.explore.read_columns import ReadColumns
from napari_cryodeco.explore.replay import replay
from napari_cryodeco.gui.montage_bar import NEAREST, TREATMENTS
from napari_cryodeco.gui.snapshot import columns_of
from napari_cryodeco.gui.views_panel import ViewsPanel

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier


@pytest.fixture
def views(opened, qtbot):
    panel = ViewsPanel(opened.viewer_for_test)
    qtbot.addWidget(panel)
    panel.resize(420, 560)
    panel.show()
    qtbot.waitExposed(panel)
    qtbot.waitUntil(lambda: bool(opened.session.columns), timeout=20_000)
    return panel


def n_of(views) -> int:
    return len(views.directions.session.loaded().latents)


@pytest.fixture
def directions(views, qtbot):
    view = views.directions
    qtbot.waitUntil(lambda: len(view.map.points[0]) == n_of(views), timeout=20_000)
    return view


@pytest.fixture
def micrographs(views, qtbot):
    """The set has no micrographs: 60 particles on seven made-up ones."""
    session = views.micrographs.session
    names = np.array([f"mic{i * i % 7}.mrc" for i in range(n_of(views))], object)
    column = Column("micrograph", "micrograph", "", "optics")
    session.set_columns(ReadColumns((column,), lambda _: {"micrograph": names}))
    views.tabs.setCurrentWidget(views.micrographs)
    qtbot.waitUntil(lambda: views.micrographs.model.rowCount() > 1, timeout=20_000)
    return views.micrographs, names


@pytest.fixture
def images(views, qtbot):
    views.tabs.setCurrentWidget(views.montage)
    qtbot.waitUntil(lambda: len(views.montage.grid.rows) == 16, timeout=30_000)
    return views.montage


def done_again(session) -> np.ndarray:
    columns = columns_of(session.loaded(), session.columns)
    return np.flatnonzero(replay(session.history.recipe.steps, columns))


def draw(qtbot, widget, corners, modifier=NONE) -> None:
    places = [widget.frame().to_screen(*corner).toPoint() for corner in corners]
    qtbot.mousePress(widget, LEFT, modifier, places[0])
    for place in places[1:]:
        qtbot.mouseMove(widget, place)
    qtbot.mouseRelease(widget, LEFT, modifier, places[-1])


def test_a_lasso_over_directions_selects_and_is_done_again(directions, qtbot):
    session, plot = directions.session, directions.map
    upper = [(-2.9, 0.0), (2.9, 0.0), (2.9, 1.45), (-2.9, 1.45)]
    draw(qtbot, plot, upper)
    tilt = session.columns["tilt"]
    first = np.zeros(len(tilt), bool)
    first[session.selected] = True
    clear = np.abs(tilt - 90) > 3  # no pixel decides
    assert np.array_equal(first[clear], (tilt < 90)[clear])
    assert np.array_equal(done_again(session), session.selected)
    assert session.history.recipe.steps[-1].kind == "directions"
    right = [(0.0, -1.45), (2.9, -1.45), (2.9, 1.45), (0.0, 1.45)]
    draw(qtbot, plot, right, ALT)
    polygon = np.array(session.history.recipe.steps[-1].polygon)
    x, y = sphere.project(session.columns["azimuth"], tilt)
    assert np.array_equal(session.selected, np.flatnonzero(first & ~inside(x, y, polygon)))
    assert np.array_equal(done_again(session), session.selected)
    assert f"{len(session.selected)} of {len(tilt)}" in directions.count.text()


def test_selection_colour_and_mouse_go_both_ways(directions, opened, qtbot):
    session = directions.session
    session.select_rows(np.array([3, 5]))
    assert np.array_equal(np.flatnonzero(directions.map._picture.selected), [3, 5])
    opened.view_bar.colour_chosen.emit("PC1")
    assert directions.map._picture.colouring is session.colouring
    directions.map.hovered.emit(7)
    assert opened.scatter._hovered == 7
    opened.scatter.hovered.emit(9)
    assert directions.map._hovered == 9
    opened.selection_bar.operation_chosen.emit("add")
    assert directions.map.operation == "add"
    directions.map.grab()


def test_the_map_keeps_its_shape_and_shows_every_direction(directions, qtbot):
    plot = directions.map
    for size in ((500, 300), (240, 600)):
        plot.resize(*size)
        rect = plot.frame().rect
        assert rect.width() / rect.height() == pytest.approx(2, rel=0.02)
    x, y = plot.points
    extent = plot.frame().extent
    assert extent.left < x.min() and x.max() < extent.right
    assert extent.bottom < y.min() and y.max() < extent.top


def test_another_run_clears_the_map_until_its_columns_are_there(views, directions, qtbot):
    directions.session.set_columns(ReadColumns())
    assert not len(directions.map.points[0]) and "Looking through" in directions.message.text()


def test_a_run_without_poses_says_what_to_do(directions, qtbot):
    directions.session.set_columns(ReadColumns((Column("z1", "z1"),)))
    assert "no orientations" in directions.message.text()
    assert directions.message.isVisibleTo(directions)


def test_a_click_on_a_micrograph_selects_its_particles(micrographs, qtbot):
    (view, names), session = micrographs, micrographs[0].session

    def click(row: int, modifier=NONE):
        index = view.model.index(row, 0)
        place = view.table.visualRect(index).center()
        qtbot.mouseClick(view.table.viewport(), LEFT, modifier, place)
        return view.model.name(row)

    first = click(0)
    assert np.array_equal(session.selected, np.flatnonzero(names == first))
    assert np.array_equal(done_again(session), session.selected)
    second = click(1, SHIFT)
    both = np.isin(names, [first, second])
    assert np.array_equal(session.selected, np.flatnonzero(both))
    click(0, ALT)
    assert np.array_equal(session.selected, np.flatnonzero(names == second))
    assert np.array_equal(done_again(session), session.selected)


def test_enter_selects_the_current_micrograph_once(micrographs, qtbot):
    (view, names), session = micrographs, micrographs[0].session
    view.table.setCurrentIndex(view.model.index(2, 0))
    view.table.setFocus()
    before = len(session.history.moments)
    qtbot.keyClick(view.table, Qt.Key.Key_Return)
    assert np.array_equal(session.selected, np.flatnonzero(names == view.model.name(2)))
    assert len(session.history.moments) == before + 1


def test_the_table_counts_and_sorts(micrographs, qtbot):
    (view, names), session = micrographs, micrographs[0].session
    mask = np.arange(len(names)) % 3 == 0
    session.select(mask)
    for column in range(4):
        view.table.sortByColumn(column, Qt.SortOrder.DescendingOrder)
        cells = [
            [view.model.data(view.model.index(row, c)) for c in range(4)]
            for row in range(view.model.rowCount())
        ]
        for name, count, chosen, share in cells:
            here = names == name
            assert int(count) == here.sum() and int(chosen) == (here & mask).sum()
            assert share == f"{100 * (here & mask).sum() / here.sum():.1f} %"
        values = [row[column] for row in cells]
        keys = values if column == 0 else [float(v.split()[0]) for v in values]
        assert keys == sorted(keys, reverse=True)
    assert f"of {len(names)} particles" in view.message.text()
    session.set_hovered(11)
    row = view.table.selectionModel().selectedRows()[0].row()
    assert view.model.name(row) == names[11]


def test_images_are_a_sample_that_says_so(images, qtbot):
    session, grid = images.session, images.grid
    n = len(session.loaded().latents)
    assert f"16 of {n} particles" in images.message.text()
    assert "Sample 1" in images.message.text()
    first = grid.rows.copy()
    images.bar.other.click()
    qtbot.waitUntil(lambda: "Sample 2" in images.message.text(), timeout=20_000)
    assert not np.array_equal(first, grid.rows)
    chosen = np.array([1, 4, 9, 16, 25])
    session.select_rows(chosen)
    qtbot.waitUntil(lambda: "All 5 selected" in images.message.text(), timeout=20_000)
    assert np.array_equal(grid.rows, chosen)
    qtbot.waitUntil(lambda: "of 5 particles" in images.words.text(), timeout=20_000)
    assert len(images.average._images) == 1


@pytest.mark.parametrize("key", list(TREATMENTS))
def test_every_treatment_is_shown(images, qtbot, key):
    assert tuple(TREATMENTS) == montage.TREATMENTS
    images.bar.treatment.setCurrentIndex(images.bar.treatment.findData("raw"))
    images.bar.treatment.setCurrentIndex(images.bar.treatment.findData(key))
    qtbot.waitUntil(
        lambda: not images.reading.busy and not images._timer.isActive(), timeout=20_000
    )
    qtbot.waitUntil(lambda: "Sample" in images.message.text(), timeout=20_000)
    low = images.bar.low_pass.value()
    run = images.session.run
    expected = montage.pictures(run, images.grid.rows[:1], key, low).images[0]
    image, grey = images.grid._images[0]
    assert (image.height(), image.width()) == expected.shape
    assert np.corrcoef(grey.ravel(), expected.ravel())[0, 1] > 0.9  # the ends of the grey scale cut
    assert images.bar.low_pass.isEnabled() == (key != "raw")


def test_the_mouse_elsewhere_chooses_the_images(images, opened, qtbot):
    images.bar.source.setCurrentText(NEAREST)
    qtbot.waitUntil(lambda: "Move the mouse" in images.message.text(), timeout=20_000)
    opened.scatter.hovered.emit(12)
    qtbot.waitUntil(lambda: "particle 13" in images.message.text(), timeout=20_000)
    z = images.session.loaded().latents
    nearest = np.argsort(((z - z[12]) ** 2).sum(1), kind="stable")[:16]
    assert set(images.grid.rows) == set(nearest) and images.grid.rows[0] == 12


def test_a_click_on_an_image_picks_its_particle(images, opened, qtbot):
    session, grid = images.session, images.grid
    session.select_rows(np.arange(20))
    qtbot.waitUntil(lambda: "16 of 20" in images.message.text(), timeout=20_000)
    row = int(grid.rows[5])
    place = grid.cell(5).center().toPoint()
    qtbot.mouseMove(grid, place)
    qtbot.waitUntil(lambda: session.hovered == row, timeout=20_000)
    assert opened.scatter._hovered == row
    qtbot.mouseClick(grid, LEFT, ALT, place)
    assert np.array_equal(session.selected, np.delete(np.arange(20), row))
    assert np.array_equal(done_again(session), session.selected)
    assert grid.row_at(QPointF(-5, 3)) is None
    assert grid.row_at(QPointF(QPoint(grid.width() // 2, 1))) is None or grid.side > 1


def test_nothing_is_read_while_hidden_or_without_a_run(panel, qtbot):
    views = ViewsPanel(panel.viewer_for_test)
    qtbot.addWidget(views)
    views.show()
    qtbot.waitExposed(views)
    for view in (views.directions, views.micrographs, views.montage):
        views.tabs.setCurrentWidget(view)
        assert "Open a run" in view.message.text() and not view.reading.busy


def test_hidden_views_wait(views, directions):
    assert views.micrographs.model.rowCount() == 0 and not len(views.montage.grid.rows)


def test_missing_stacks_are_one_sentence(images, qtbot):
    run = images.session.run
    run.particles.stacks[0].rename(run.particles.stacks[0].with_suffix(".gone"))
    try:
        images.bar.treatment.setCurrentIndex(0)
        qtbot.waitUntil(
            lambda: run.particles.stacks[0].name in images.message.text(), timeout=20_000
        )
    finally:
        run.particles.stacks[0].with_suffix(".gone").rename(run.particles.stacks[0])
