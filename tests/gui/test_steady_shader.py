"""A mesh that is updated is not compiled anew, and looks as one that was never shown before."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Surface
from vispy.visuals.shaders.program import ModularProgram

from napari_cryodeco.gui.steady_shader import keep_shader

pytestmark = pytest.mark.gl


def bump(height):
    """A hill of some height over a square ``(z, y, x)``, coloured by its height."""
    y, x = np.mgrid[:20, :20]
    z = height * np.exp(-((y - 10) ** 2 + (x - 9) ** 2) / 20)
    corner = (20 * y[:-1, :-1] + x[:-1, :-1]).ravel()
    faces = [corner[:, None] + np.array(three) for three in ((0, 20, 1), (1, 20, 21))]
    vertices = np.column_stack([z.ravel(), y.ravel(), x.ravel()]).astype(np.float32)
    return vertices, np.concatenate(faces), z.ravel().astype(np.float32) / 10


def add(viewer, height):
    return viewer.add_surface(bump(height), contrast_limits=(0, 1), shading="smooth")


@pytest.fixture
def three_d(viewer, qtbot):
    viewer.dims.ndisplay = 3
    layer = add(viewer, 2.0)
    viewer.scene.camera.angles = (20.0, 30.0, 40.0)
    qtbot.wait(100)
    return viewer, layer


def seen(viewer):
    return viewer.screenshot(canvas_only=True, flash=False).astype(int)


def changes(layer):
    yield lambda one: setattr(one, "data", bump(9.0))
    yield lambda one: setattr(one, "colormap", "viridis")
    yield lambda one: setattr(one, "contrast_limits", (0.2, 0.5))
    yield lambda one: setattr(one, "data", bump(4.0))
    yield lambda one: setattr(one, "vertex_colors", np.tile([1.0, 0, 0, 1], (400, 1)))
    yield lambda one: setattr(one, "vertex_colors", None)


def test_it_looks_as_a_new_layer_does(three_d):
    viewer, layer = three_d
    assert keep_shader(viewer, layer)  # else napari or vispy has changed: see the module
    plain = add(viewer, 2.0)
    before = seen(viewer)
    for change in changes(layer):
        pictures = []
        for one, other in ((layer, plain), (plain, layer)):
            change(one)
            one.visible, other.visible = True, False
            pictures.append(seen(viewer))
        assert np.abs(pictures[0] - pictures[1]).max() <= 1
        assert np.abs(pictures[0] - before).max() > 20  # there was something to see
        before = pictures[0]


def test_another_mesh_compiles_nothing(three_d, monkeypatch):
    viewer, layer = three_d
    build, built = ModularProgram._build, []
    monkeypatch.setattr(ModularProgram, "_build", lambda self: (built.append(self), build(self))[1])

    def compiled(height):
        layer.data = bump(height)
        seen(viewer)
        count = len(built)
        built.clear()
        return count

    assert compiled(3.0) > 0  # what it is good for: without this vispy has learnt it itself
    assert keep_shader(viewer, layer)
    compiled(5.0)
    assert [compiled(height) for height in (6.0, 7.0)] == [0, 0]


def test_without_a_window_nothing_is_changed():
    layer = Surface(bump(2.0))
    assert not keep_shader(ViewerModel(), layer)
    strange = SimpleNamespace(window=SimpleNamespace(_qt_viewer=SimpleNamespace(canvas=None)))
    assert not keep_shader(strange, layer)
