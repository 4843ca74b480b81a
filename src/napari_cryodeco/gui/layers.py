"""The layers that show maps, decoded and of particles: updated in place, never added again."""

from __future__ import annotations

import weakref
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Surface
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray
from psygnal import Signal

from napari_cryodeco.gui.camera import camera_of, shorter_side
from napari_cryodeco.gui.canvas_zoom import keep_whole
from napari_cryodeco.gui.steady_shader import keep_shader
from napari_cryodeco.gui.surface import COARSE_FACES, isosurface
from napari_cryodeco.gui.viewers import lasting

if TYPE_CHECKING:
    from napari import Viewer

    from napari_cryodeco.explore.volumes import Volume

NAME, FROM_PARTICLES = "decoded map", "from particles"
LEVELS = (0.5, 12.0)  # σ; vispy's iso shader is ten times slower below 0.2
# napari draws z, y, x as a right-handed system, so x, y, z as a left-handed one: a molecule is
# its own mirror image. With z pointing away the hand is the one that ChimeraX and RELION show.
RIGHT_HANDED = ("away", "down", "right")
# Seen so, the triangles turn the other way and napari lights them from behind. Vertices mirrored in
# z, and mirrored back by the layer's transform, are where they were and lit from the front.
MIRROR = np.array([-1.0, 1.0, 1.0], np.float32)
FILLED = 0.8  # share of the box that fits the canvas at first; molecules leave a margin
_SOFTWARE = ("llvmpipe", "softpipe", "swiftshader", "software")
_GREY_BLUE = Colormap([[0.30, 0.40, 0.52], [0.62, 0.74, 0.86], [0.93, 0.96, 0.99]], name="cryodeco")
_ORANGE = Colormap([[0.45, 0.22, 0.02], [0.90, 0.62, 0.0], [1.0, 0.88, 0.62]], name="particles")


@lru_cache(maxsize=1)
def software_gl() -> bool:
    """Whether OpenGL runs on the CPU: a volume of 64³ takes 1 s a frame there, a mesh 0.05 s."""
    from vispy.app import Canvas
    from vispy.gloo import gl

    canvas = Canvas(show=False)
    try:
        canvas.set_current()
        renderer = str(gl.glGetParameter(gl.GL_RENDERER)).lower()
    finally:
        canvas.close()
    return any(name in renderer for name in _SOFTWARE)


def suggest_level(data: NDArray[np.float32]) -> float:
    """A level in σ between solvent and molecule of a map in σ units ``(z, y, x)``.

    Half way from the solvent (the median) to what the brightest 1 % have on average; at least 1 σ
    above nothing.
    """
    bright = data[data >= np.quantile(data, 0.99)].mean()
    level = (float(np.median(data)) + float(bright)) / 2
    return float(np.clip(level, 1.0, LEVELS[1]))


class MapView:
    """Shows maps in one lasting layer: an isosurface in σ units, in Å, centred on the origin.

    A volume rendered by the graphics card, or a mesh where OpenGL is software. Camera and level
    are the user's: they are set at the first map and kept from then on.

    Parameters
    ----------
    viewer
        The viewer.
    mesh
        Show a mesh; None: as the OpenGL of this machine asks.
    name, colours
        Of the layer.
    """

    level_changed = Signal(float)  # σ
    framed = Signal()  # the camera was set for the first map
    map_shown = Signal()  # another map

    def __init__(
        self,
        viewer: Viewer,
        mesh: bool | None = None,
        name: str = NAME,
        colours: Colormap = _GREY_BLUE,
    ) -> None:
        self._viewer = weakref.ref(viewer)
        self._mesh, self._name, self._colours = mesh, name, colours
        self._layer: Image | Surface | None = None
        self._shown: tuple[NDArray[np.float32], float] | None = None
        self._full = True
        self._level: float | None = None

    @property
    def layer(self) -> Image | Surface | None:
        """The layer, while it is in the viewer."""
        viewer = self._viewer()
        if viewer is None or self._layer not in viewer.layers:
            return None
        return self._layer

    @property
    def shown(self) -> tuple[NDArray[np.float32], float] | None:
        """The map shown, in σ units ``(z, y, x)``, and its voxel size in Å; None before any."""
        return self._shown

    @property
    def level(self) -> float:
        """Height of the isosurface, σ."""
        return self._level if self._level is not None else 3.0

    @property
    def colours(self) -> Colormap:
        """Of the layer, or of the one to come."""
        return self._colours if (layer := self.layer) is None else layer.colormap

    @property
    def colour(self) -> str:
        """The middle of the layer's colours, ``#RRGGBB``."""
        red, green, blue = (round(255 * float(v)) for v in self.colours.map(0.5).ravel()[:3])
        return f"#{red:02X}{green:02X}{blue:02X}"

    def set_level(self, level: float) -> None:
        """Move the isosurface to `level` σ."""
        self._level = float(np.clip(level, *LEVELS))
        layer = self.layer
        if isinstance(layer, Image):
            layer.iso_threshold = self._level
        elif isinstance(layer, Surface):
            self._show_mesh(layer)
        self.level_changed.emit(self._level)

    def follow(self, other: MapView) -> None:
        """Keep to the level of another view from now on."""
        if other._level is not None:
            self.set_level(other._level)
        other.level_changed.connect(self.set_level)

    def auto_level(self) -> float:
        """Set a level that fits the map shown."""
        if self._shown is not None:
            self.set_level(suggest_level(self._shown[0]))
        return self.level

    def show(self, volume: Volume, full: bool = True) -> None:
        """Show a map; a coarse one is drawn with fewer triangles where it is a mesh."""
        self.show_data(volume.in_sigma(), volume.voxel_size, full)

    def show_data(self, data: NDArray[np.float32], voxel_size: float, full: bool = True) -> None:
        """Show a map in σ units ``(z, y, x)`` with its voxel size in Å."""
        viewer = self._viewer()
        if viewer is None:
            return
        self._shown, self._full = (np.asarray(data, np.float32), float(voxel_size)), full
        if self._level is None:
            self._level = suggest_level(self._shown[0])
            self.level_changed.emit(self._level)
        if self._mesh is None:  # before the layer is looked for: asking OpenGL handles events
            self._mesh = software_gl()
        layer = self.layer
        if layer is None:
            self._layer = layer = self._add(viewer)
        if isinstance(layer, Image):
            self._show_volume(layer)
        else:
            self._show_mesh(layer)
        self.map_shown.emit()

    def _add(self, viewer: Viewer) -> Image | Surface:
        first = not any(layer.ndim == 3 and layer.visible for layer in viewer.layers)
        viewer.dims.ndisplay = 3
        layer = self._new_mesh() if self._mesh else self._new_volume()
        viewer.add_layer(layer)
        if isinstance(layer, Surface):
            keep_shader(viewer, layer)
        camera = camera_of(viewer)
        camera.orientation = RIGHT_HANDED
        if first:
            # Not napari's fit, which is of what this first, coarse map has above the level: the box
            # is what stays, whichever molecule comes next and however it is turned.
            side, (data, voxel) = shorter_side(viewer), self._map()
            if side is not None:
                camera.zoom = side / (FILLED * data.shape[0] * voxel)
            keep_whole(viewer)
            camera.center = (0.0, 0.0, 0.0)
            camera.angles = (10.0, -25.0, 65.0)
            self.framed.emit()
        return layer

    def _new_volume(self) -> Image:
        data, voxel = self._map()
        layer = Image(
            data,
            name=self._name,
            rendering="iso",
            iso_threshold=self.level,
            contrast_limits=(0.0, 2 * LEVELS[1]),
            colormap=self._colours,
            scale=(voxel,) * 3,
            units=("angstrom",) * 3,
        )
        layer.contrast_limits_range = (-10.0, 60.0)
        return layer

    def _new_mesh(self) -> Surface:
        data, voxel = self._map()
        return Surface(
            _triangles(data, self.level, None),
            name=self._name,
            colormap=self._colours,
            contrast_limits=(0.0, 0.8),
            shading="smooth",  # flat would be dark: vispy takes the wrong side of a turned view
            scale=(voxel,) * 3,
            translate=corner_of(data, voxel) * MIRROR,
            affine=np.diag([*MIRROR, 1.0]),
            units=("angstrom",) * 3,
        )

    def _show_volume(self, layer: Image) -> None:
        data, voxel = self._map()
        layer.data = data
        place(layer, voxel, corner_of(data, voxel))

    def _show_mesh(self, layer: Surface) -> None:
        data, voxel = self._map()
        corner = corner_of(data, voxel) * MIRROR
        if self._full:
            layer.data = _triangles(data, self.level, None)
            place(layer, voxel, corner)
            return
        # Coarse maps are sampled now so, now so: in the voxels of the full one the layer stays
        # where it is, which spares napari half of its work.
        vertices, faces, values = _triangles(data, self.level, COARSE_FACES)
        vertices = (vertices * voxel + corner - layer.translate) / layer.scale
        layer.data = vertices.astype(np.float32), faces, values

    def _map(self) -> tuple[NDArray[np.float32], float]:
        if self._shown is None:
            raise ValueError("There is no map to show yet.")
        return self._shown


def place(layer: Image | Surface, voxel: float, corner: NDArray[np.floating[Any]]) -> None:
    """Set voxel size (Å) and corner (Å) where they change: napari draws all anew for each."""
    if not np.array_equal(layer.scale, (voxel,) * 3):
        layer.scale = (voxel,) * 3
    if not np.array_equal(layer.translate, corner):
        layer.translate = corner


def corner_of(data: NDArray[Any], voxel: float) -> NDArray[np.floating[Any]]:
    """World position of voxel 0: the centre of a map is voxel ``b // 2``, at any box size."""
    return np.array([-(side // 2) * voxel for side in data.shape])


def _triangles(
    data: NDArray[np.float32], level: float, most_faces: int | None
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """What a Surface layer wants: vertices, faces, values; z mirrored (see `MIRROR`)."""
    vertices, faces = isosurface(data, level, most_faces)
    half = np.array(data.shape) // 2
    # Brighter outside: hollows and clefts show without shadows.
    radius = np.linalg.norm((vertices - half) / half, axis=1).astype(np.float32)
    return vertices * MIRROR, faces, radius


_views: dict[tuple[int, str], MapView] = {}


def map_view_of(viewer: Any) -> MapView:
    """The one view of decoded maps of a viewer, shared by its panels."""
    return _view_of(viewer, NAME, _GREY_BLUE)


def particles_view_of(viewer: Any) -> MapView:
    """The one view of maps made of the particles themselves, at the level of the decoded one."""
    return _view_of(viewer, FROM_PARTICLES, _ORANGE)


def _view_of(viewer: Any, name: str, colours: Colormap) -> MapView:
    viewer = lasting(viewer)
    key = (id(viewer), name)
    if key not in _views:
        _views[key] = view = MapView(viewer, None, name, colours)
        weakref.finalize(viewer, _views.pop, key, None)
        if name != NAME:
            view.follow(map_view_of(viewer))
    return _views[key]
