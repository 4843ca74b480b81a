"""Two maps in the viewer: laid over each other, or beside each other under one camera."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari.utils.colormaps import Colormap
from PIL import ImageColor
from psygnal import Signal

from napari_cryodeco.explore.palette import PAIR
from napari_cryodeco.gui.aside import Aside
from napari_cryodeco.gui.camera import camera_of, canvas_size
from napari_cryodeco.gui.layers import MapView, software_gl, suggest_level
from napari_cryodeco.gui.viewers import lasting

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.gui.sources import Laid, Pair

SEEN_THROUGH = 0.5


class PairLayers:
    """A mesh each in its colour, at one level in σ; the second is seen through.

    Beside each other they stand in napari's grid, whose cells share one camera: what turns, moves
    or zooms one does so with the other. No other window or OpenGL context is needed. All other
    layers are hidden meanwhile and come back as they were.
    """

    beside_changed = Signal(bool)

    def __init__(self, viewer: Viewer) -> None:
        viewer = lasting(viewer)
        self._viewer = weakref.ref(viewer)
        self.views = tuple(
            MapView(viewer, True, f"map {letter}", _tones(colour))
            for letter, colour in zip("AB", PAIR, strict=True)
        )
        self.opacity = SEEN_THROUGH
        self.beside = False
        self._covered, self._behind = Aside(viewer), Aside(viewer)  # over others; side by side
        self._grid_before: tuple[int, tuple[int, int]] = (1, (-1, -1))
        self._zoomed = 1.0
        self._shown = [True, True]
        viewer.layers.events.removed.connect(self._removed)
        viewer.layers.events.inserted.connect(self._inserted)

    @property
    def layers(self) -> tuple[Any, Any]:
        """Both layers, None while one is not in the viewer."""
        return self.views[0].layer, self.views[1].layer

    @property
    def complete(self) -> bool:
        """Whether both are in the viewer."""
        return all(layer is not None for layer in self.layers)

    # ---- what is shown

    def show(self, pair: Pair) -> None:
        """Show two maps; the level stays, the first time it fits the first one."""
        laid = (pair.first, pair.second)
        if self.views[0].shown is None:
            self.set_level(suggest_level(pair.first.data))
        for letter, view, one in zip("AB", self.views, laid, strict=True):
            self._show(view, one, letter)
        self.set_opacity(self.opacity)
        for place in (0, 1):
            self.set_visible(place, self._shown[place])

    def _show(self, view: MapView, laid: Laid, letter: str) -> None:
        # software OpenGL turns ten thousand triangles smoothly, not a hundred thousand
        view.show_data(laid.data, laid.voxel_size, full=not software_gl())
        if view.layer is not None:
            view.layer.name = f"{letter}: {laid.name}"

    @property
    def level(self) -> float:
        """Height of both surfaces, σ."""
        return self.views[0].level

    def set_level(self, level: float) -> None:
        """Move both surfaces to `level` σ."""
        for view in self.views:
            view.set_level(level)

    def set_opacity(self, opacity: float) -> None:
        """How solid the second one is, 0 to 1; beside each other both are solid."""
        self.opacity = opacity
        if self.layers[1] is not None:
            self.layers[1].opacity = 1.0 if self.beside else opacity

    def set_visible(self, place: int, visible: bool) -> None:
        """Show or hide the first (0) or the second (1)."""
        self._shown[place] = visible
        layer = self.layers[place]
        if layer is not None:
            layer.visible = visible
        if visible and self.complete:
            self._covered.put(self.layers)
        elif not any(self._shown):
            self._covered.back()

    def remove(self) -> None:
        """Take both out of the viewer."""
        self.set_beside(False)
        viewer = self._viewer()
        for layer in self.layers:
            if viewer is not None and layer is not None:
                viewer.layers.remove(layer)

    # ---- beside each other

    def set_beside(self, beside: bool) -> None:
        """Put the second beside the first, or over it again."""
        viewer = self._viewer()
        if viewer is None or beside == self.beside or (beside and not self.complete):
            return
        grid = grid_of(viewer)
        if beside:
            self._grid_before = (grid.stride, grid.shape)
            self._behind.put(self.layers)
            grid.stride, grid.shape = 1, (1, 2)
            grid.enabled = True
            grid.events.enabled.connect(self._grid_switched)
            width, height = canvas_size(viewer) or (1, 1)
            self._zoomed = min(width / 2, height) / min(width, height)  # what a cell has room for
            camera_of(viewer).zoom *= self._zoomed
        else:
            self._leave(viewer)
        self.beside = beside
        self._name_cells(beside)
        self.set_opacity(self.opacity)
        self.beside_changed.emit(self.beside)

    def _leave(self, viewer: Viewer) -> None:
        grid = grid_of(viewer)
        grid.events.enabled.disconnect(self._grid_switched)
        grid.enabled = False
        grid.stride, grid.shape = self._grid_before
        camera_of(viewer).zoom /= self._zoomed
        self._behind.back()

    def _name_cells(self, shown: bool) -> None:
        for layer in self.layers:
            overlay = getattr(layer, "name_overlay", None)  # napari ≥ 0.7
            if overlay is not None:
                overlay.visible = shown

    def _grid_switched(self, *_: object) -> None:
        """The user left the grid by napari's own button."""
        viewer = self._viewer()
        if viewer is not None and not grid_of(viewer).enabled:
            self.set_beside(False)

    def _inserted(self, event: Any) -> None:
        """What comes while they stand beside each other waits behind them."""
        if self.beside and event.value not in self.layers:
            self._behind.put(self.layers)

    def _removed(self, _: object) -> None:
        if not self.complete:
            self.set_beside(False)
        if self.layers == (None, None):
            self._covered.back()


def grid_of(viewer: Any) -> Any:
    """The grid of a viewer; napari ≥ 0.9 has it on the canvas."""
    return getattr(viewer, "canvas", viewer).grid


def _tones(colour: str) -> Colormap:
    """Dark to light about a colour: hollows are darker."""
    middle = [value / 255 for value in ImageColor.getrgb(colour)[:3]]
    dark = [0.45 * value for value in middle]
    light = [1 - 0.45 * (1 - value) for value in middle]
    return Colormap([dark, middle, light], name=colour)
