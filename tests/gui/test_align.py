"""The Align panel: two maps of the viewer, one laid over the other as a new layer."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from napari_cryodeco.gui.align_panel import AlignPanel

VOXEL = 4.0


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def panel(viewer):
    widget = AlignPanel(viewer)
    viewer.window.add_dock_widget(widget, name="Align")
    return widget


def cloud() -> np.ndarray:
    points = np.random.default_rng(0).uniform(-1, 1, (25, 3)) * (24, 20, 16)
    axis = (np.arange(24) - 12) * VOXEL
    lines = np.exp(-((axis - points[..., None]) ** 2) / (2 * 8.0**2))
    return np.einsum("ax,ay,az->zyx", lines[:, 0], lines[:, 1], lines[:, 2]).astype(np.float32)


def add(viewer, data, name, corner=0.0):
    return viewer.add_image(data, name=name, scale=(VOXEL,) * 3, translate=(corner,) * 3)


def test_it_lists_maps_and_needs_two(viewer, panel):
    assert not panel.start.isEnabled()
    add(viewer, cloud(), "one")
    viewer.add_image(np.zeros((8, 8)), name="flat")
    assert panel.moving.count() == 1 and not panel.start.isEnabled()
    add(viewer, cloud(), "two")
    assert panel.start.isEnabled()
    assert panel.moving.currentText() != panel.reference.currentText()
    viewer.layers.remove("one")
    assert panel.moving.count() == 1 and not panel.start.isEnabled()


def test_two_selected_layers_are_the_two_maps(viewer, panel):
    layers = [add(viewer, cloud(), name) for name in ("one", "two", "three")]
    viewer.layers.selection = {layers[0], layers[2]}
    assert (panel.moving.currentText(), panel.reference.currentText()) == ("three", "one")


def test_a_copy_is_laid_over_the_reference_and_stands_in_its_place(viewer, panel, qtbot):
    data = cloud()
    back = Rotation.from_rotvec([0.6, -0.4, 0.9]).as_matrix().T[::-1, ::-1]
    reference = affine_transform(data, back, 12 - back @ np.full(3, 12.0), order=5)
    moving = add(viewer, data, "mine")
    fixed = add(viewer, reference, "theirs", corner=-12 * VOXEL)
    panel.moving.setCurrentText("mine")
    panel.reference.setCurrentText("theirs")
    with qtbot.waitSignal(panel._task.ended, timeout=120_000):
        qtbot.mouseClick(panel.start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "mine on theirs" in viewer.layers, timeout=10_000)
    laid = viewer.layers["mine on theirs"]
    np.testing.assert_allclose(laid.data, reference, atol=0.05 * reference.max())
    np.testing.assert_allclose(laid.translate, fixed.translate)
    np.testing.assert_allclose(laid.scale, fixed.scale)
    np.testing.assert_array_equal(moving.data, data)
    assert "the same hand" in panel.work.message.text()
