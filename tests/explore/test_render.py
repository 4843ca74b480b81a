"""Pictures of maps: the rays against formulas, the picture against what the eye expects."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore import raycast
from napari_cryodeco.explore.labels import annotate, scale_bar_length
from napari_cryodeco.explore.raycast import Field
from napari_cryodeco.explore.render import (
    Style,
    View,
    framing,
    maximum,
    suggest_level,
    surface,
)
from napari_cryodeco.explore.volumes import Volume

BOX, VOXEL = 40, 3.0


def axes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Å coordinates z, y, x of the voxels."""
    axis = (np.arange(BOX) - BOX // 2) * VOXEL
    return tuple(np.meshgrid(axis, axis, axis, indexing="ij"))


def blob(x: float, y: float, z: float, width: float = 8.0) -> np.ndarray:
    zs, ys, xs = axes()
    return np.exp(-((xs - x) ** 2 + (ys - y) ** 2 + (zs - z) ** 2) / (2 * width**2))


def volume(data: np.ndarray) -> Volume:
    return Volume(data.astype(np.float32), VOXEL)


def paint(picture: np.ndarray) -> np.ndarray:
    """Bool ``(h, w)``: where it is not white."""
    return (picture < 250).any(-1)


@pytest.mark.parametrize("turn", [0.0, 33.0])
def test_rays_meet_a_sphere_where_it_is(turn: float) -> None:
    side, radius = 48, 15.0
    grid = torch.stack(torch.meshgrid(*[torch.arange(side).float()] * 3, indexing="ij"))
    middle = torch.tensor([20.0, 25.0, 22.0])  # z, y, x
    distance = ((grid - middle[:, None, None, None]) ** 2).sum(0).sqrt()
    rotation = torch.from_numpy(Rotation.from_euler("xz", [turn, turn], True).as_matrix()).float()
    field = Field(radius + 1 - distance, rotation, middle.flip(0))
    right = torch.linspace(-20, 20, 161)
    depth = raycast.first_hits(field, 1.0, right, right.flip(0))
    beyond = radius**2 - right[None] ** 2 - right.flip(0)[:, None] ** 2
    true = torch.where(beyond > 0, beyond.clamp(min=0).sqrt(), -math.inf)
    inner = beyond > 12
    off = (depth - true)[inner].abs() * true[inner] / radius  # across the surface
    assert off.max() < 0.05
    assert (depth[beyond < -3] == -math.inf).all()


def test_the_fast_way_sees_what_walking_every_ray_sees() -> None:
    generator = np.random.default_rng(0)
    data = sum(blob(*generator.uniform(-35, 35, 3), width=6) for _ in range(25))
    field = Field(torch.from_numpy(data).float(), torch.eye(3), torch.full((3,), float(BOX // 2)))
    axis = torch.linspace(-18, 18, 240)
    fast = raycast.first_hits(field, 0.5, axis, axis.flip(0))
    slow = raycast._walk(field, 0.5, axis, axis.flip(0))
    same = (fast == slow) | ((fast - slow).abs() < 0.1)
    assert same.float().mean() > 0.985
    assert ((fast > -math.inf) == (slow > -math.inf)).float().mean() > 0.995


def test_axes_are_right_handed_and_upright() -> None:
    """A big blob at +x, a middle one at +y, small at +z: right, up, and in front of the others."""
    picture = surface(volume(blob(36, 0, 0)), 4.0)
    rows, columns = np.nonzero(paint(picture))
    assert rows.mean() == pytest.approx(240, abs=3)
    assert columns.mean() == pytest.approx(240 + 36 / (BOX * VOXEL) * 480, abs=3)
    rows, columns = np.nonzero(paint(surface(volume(blob(0, 30, 0)), 4.0)))
    assert rows.mean() == pytest.approx(240 - 30 / (BOX * VOXEL) * 480, abs=3)
    two = volume(blob(0, 0, 30, 6) + blob(0, 0, -30, 14))
    narrow, wide = surface(two, 2.0), surface(two, 2.0, View(rotation=np.diag([1.0, -1, -1])))
    centre = (slice(200, 280), slice(200, 280))
    assert (narrow[centre] != wide[centre]).any()  # the small one hides the middle of the big one


def test_turning_the_camera_turns_the_picture() -> None:
    data = blob(30, 0, 0) + blob(0, 18, 0)
    quarter = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    plain = paint(surface(volume(data), 4.0))
    turned = paint(surface(volume(data), 4.0, View(rotation=quarter)))
    assert (np.rot90(plain) == turned).mean() > 0.995


def test_the_level_is_a_level_and_the_sigma_of_the_series_counts() -> None:
    data = volume(blob(0, 0, 0, 14))
    sizes = [paint(surface(data, level)).sum() for level in (1.0, 3.0, 5.0)]
    assert all(more > less for more, less in pairwise(sizes))
    double = paint(surface(data, 1.5, sigma=2 * data.sigma))
    assert (double == paint(surface(data, 3.0))).mean() > 0.999
    with pytest.raises(ValueError, match="must be positive"):
        surface(data, 0.0)


def test_the_outline_of_a_gaussian_lies_at_its_level() -> None:
    width = 14.0
    data = volume(blob(0, 0, 0, width))
    level = 4.0
    height = level * data.sigma + data.data.mean()
    radius = width * math.sqrt(-2 * math.log(height))
    area = paint(surface(data, level, style=Style(outline=0.0))).sum()
    assert math.sqrt(area / math.pi) == pytest.approx(radius * 480 / (BOX * VOXEL), abs=1.0)


def test_nothing_above_the_level_is_plain_paper() -> None:
    style = Style(background=(10, 20, 30))
    picture = surface(volume(blob(0, 0, 0)), 500.0, style=style)
    assert (picture == [10, 20, 30]).all()


def test_clefts_are_darker_than_bulges() -> None:
    walls = blob(-22, 0, 0, 11) + blob(22, 0, 0, 11)
    flat = Style(fading=0.0, outline=0.0)
    bright = surface(volume(walls), 2.0, style=Style(occlusion=0.0, fading=0.0, outline=0.0))
    dark = surface(volume(walls), 2.0, style=flat)
    loss = bright.astype(int).sum(-1) - dark.astype(int).sum(-1)
    saddle, crown = loss[236:244, 236:244].mean(), loss[236:244, 145:153].mean()
    assert saddle > crown + 20


def test_framing_holds_every_map_and_little_more() -> None:
    series = [volume(blob(x, 10, 0, 6)) for x in (-30, 0, 30)]
    view = framing(series, 4.0, View(size=(200, 200)))
    pictures = [paint(surface(v, 4.0, view)) for v in series]
    union = np.any(pictures, axis=0)
    border = np.concatenate([union[0], union[-1], union[:, 0], union[:, -1]])
    assert not border.any()
    columns = np.flatnonzero(union.any(0))
    assert columns[-1] - columns[0] > 0.75 * 200
    assert framing([volume(np.zeros((BOX,) * 3))], 1.0).extent is None


@pytest.mark.parametrize("size", [(90, 160), (121, 97)])
def test_any_size_of_picture(size: tuple[int, int]) -> None:
    data = volume(blob(0, 0, 0, 14))
    for picture in (surface(data, 3.0, View(size=size)), maximum(data, 5.0, View(size=size))):
        assert picture.shape == (*size, 3) and picture.dtype == np.uint8
        painted = paint(picture)
        rows, columns = (np.flatnonzero(painted.any(axis)) for axis in (1, 0))
        height, width = rows[-1] - rows[0], columns[-1] - columns[0]
        assert abs(height - width) <= 2  # a ball stays round


def test_the_brightest_value_along_the_line_of_sight() -> None:
    data = volume(blob(0, 0, 0) + 0.5 * blob(30, 0, 20))
    top = float(data.in_sigma().max())
    ink = 255 - maximum(data, top, style=Style(colour=(0, 0, 0))).astype(float)[..., 0]
    assert ink.max() == pytest.approx(255, abs=6)
    at = (240, 240 + round(30 / (BOX * VOXEL) * 480))
    assert ink[at] == pytest.approx(127, abs=8)


def test_the_suggested_level_lies_between_solvent_and_molecule() -> None:
    noise = np.random.default_rng(1).standard_normal((BOX,) * 3) * 0.02
    data = volume(blob(0, 0, 0, 12) + noise)
    level = suggest_level([data])
    values = data.in_sigma()
    zs, ys, xs = axes()
    outside = zs**2 + ys**2 + xs**2 > 40**2
    assert values[outside].max() < level < values.max()


def test_the_scale_bar_is_as_long_as_it_says() -> None:
    picture = annotate(np.full((400, 600, 3), 255, np.uint8), "PC1 −1.23", 0.5, "few particles")
    dark = (picture == [40, 44, 52]).all(-1)
    row = dark[-30:].sum(1).max()
    assert row - 1 == pytest.approx(scale_bar_length(600 * 0.5) / 0.5, abs=1)
    assert dark[:60, :200].any()  # the caption
    orange = picture[350:, 400:].astype(int)
    assert ((orange[..., 0] - orange[..., 2]) > 60).any()
    assert [scale_bar_length(w) for w in (40, 79, 100, 399)] == [10, 10, 20, 50]


def test_captions_use_letters_that_the_shipped_font_has() -> None:
    paper = np.full((60, 200, 3), 255, np.uint8)
    minus, box = (annotate(paper, text) for text in ("PC1 −1.2", "PC1 \uffff1.2"))
    np.testing.assert_array_equal(minus, annotate(paper, "PC1 -1.2"))
    assert (minus != box).any()


def test_labels_do_not_touch_the_picture_they_are_written_on() -> None:
    plain = np.zeros((100, 100, 3), np.uint8)
    annotate(plain, "caption")
    assert not plain.any()
    assert Image.fromarray(annotate(plain)).size == (100, 100)
