from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.model import field as module
from napari_cryodeco.model import precision
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.stage_config import FieldConfig

RADIUS = 6
CONFIG = FieldConfig(width=32, layers=2, frequencies=24)
PLACES = torch.tensor([[0.5, 0.2, -0.3], [-0.4, 0.6, 0.1]])
GEOMETRY = Geometry(16, 3.0, RADIUS, 2.0, 16, 3.0)


@pytest.fixture
def field() -> FieldDecoder:
    torch.manual_seed(0)
    return FieldDecoder(CONFIG, 3, RADIUS, torch.linspace(3, 1, RADIUS + 1))


def test_pairs_are_the_point_and_its_opposite(field: FieldDecoder) -> None:
    points, z = 4 * torch.randn(2, 11, 3), torch.randn(2, 3)
    pairs = field.forward_pairs(points, z)
    torch.testing.assert_close(pairs[:, 0], field(points, z), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(pairs[:, 1], field(-points, z), atol=1e-5, rtol=1e-5)


def test_decoding_a_ball_is_evaluating_its_points(field: FieldDecoder) -> None:
    ball, z = Ball(RADIUS, 3), torch.randn(3, 3)
    decoded = field.decode_ball(z, ball)
    points = ball.points.float()[None].expand(3, -1, -1)
    torch.testing.assert_close(decoded, field(points, z), atol=1e-5, rtol=1e-5)
    low = field.decode_ball(z, ball, 4)
    assert low.shape == (3, ball.count(4))
    torch.testing.assert_close(low, decoded[:, : ball.count(4)], atol=1e-5, rtol=1e-5)


def test_the_published_network(field: FieldDecoder) -> None:
    """Algorithm.md §3.2 spelt out: LN on the branch before the skip, z beside the features."""
    field = FieldDecoder(CONFIG, 3, RADIUS, torch.ones(RADIUS + 1))
    points, z = torch.randn(1, 5, 3), torch.randn(1, 3)
    phase = 0.5 * points @ field.frequencies.T
    state = torch.cat([phase.sin(), phase.cos(), z[:, None].expand(1, 5, 3)], 2)
    state = field.norms[0](field.entry(state)).relu()
    for layer, norm in zip(field.hidden, field.norms[1:], strict=True):
        state = (norm(layer(state)) + state).relu()
    torch.testing.assert_close(field(points, z), field.exit(state)[..., 0], atol=1e-5, rtol=1e-5)


def test_published_parameter_count() -> None:
    field = FieldDecoder(FieldConfig(), 128, 63, torch.ones(64))
    assert sum(p.numel() for p in field.parameters()) == pytest.approx(0.33e6, rel=0.02)


def test_envelope_scales_each_shell(field: FieldDecoder) -> None:
    ball, z = Ball(RADIUS, 3), torch.randn(1, 3)
    scaled = field.decode_ball(z, ball)
    field.envelope.fill_(1.0)
    plain = field.decode_ball(z, ball)
    wanted = torch.linspace(3, 1, RADIUS + 1)
    on_axis = (ball.points != 0).sum(1) == 1  # whole lengths: no interpolation
    expected = plain[0] * wanted[ball.shells]
    torch.testing.assert_close(scaled[0, on_axis], expected[on_axis], atol=1e-5, rtol=1e-4)


def test_bf16_is_near_fp32_with_phases_of_sixty_radians() -> None:
    torch.manual_seed(0)
    field = FieldDecoder(FieldConfig(), 8, 31, torch.ones(32))
    ball, z = Ball(31, 3), torch.randn(1, 8)
    points = ball.points[torch.randperm(len(ball))[:4000]].float()[None]
    exact = field(points, z)
    field.compute = torch.bfloat16
    rounded = field(points, z)
    # the spread between points is what makes the map: 1 % of the norm, as algorithm.md §8.8 asks
    assert (rounded - exact).norm() / exact.norm() < 0.01


def test_bf16_gradient_points_the_same_way() -> None:
    torch.manual_seed(0)
    field = FieldDecoder(FieldConfig(width=64), 4, 8, torch.ones(9))
    points, z, target = 3 * torch.randn(4, 50, 3), torch.randn(4, 4), torch.randn(4, 50)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        field.compute = dtype
        field.zero_grad()
        (field(points, z) - target).square().mean().backward()
        found.append(torch.cat([p.grad.flatten() for p in field.parameters()]))
    assert torch.cosine_similarity(found[0], found[1], dim=0) > 0.99


def test_save_and_load_decode_the_same(field: FieldDecoder, tmp_path: Path) -> None:
    field.save(tmp_path / "field.safetensors", GEOMETRY)
    loaded, geometry = FieldDecoder.load(tmp_path / "field.safetensors")
    assert geometry == GEOMETRY and loaded.config == CONFIG
    z = torch.randn(2, 3)
    assert torch.equal(
        loaded.decode_ball(z, Ball(RADIUS, 3)), field.decode_ball(z, Ball(RADIUS, 3))
    )


def test_wrong_files_are_named(field: FieldDecoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors is missing"):
        FieldDecoder.load(tmp_path / "gone.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors at all")
    with pytest.raises(ValueError, match=r"text\.safetensors is no readable"):
        FieldDecoder.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors is not a field of this program"):
        FieldDecoder.load(tmp_path / "other.safetensors")
    del field.hidden[1]
    field.save(tmp_path / "part.safetensors", GEOMETRY)
    with pytest.raises(ValueError, match=r"part\.safetensors does not fit .*hidden\.1\.weight"):
        FieldDecoder.load(tmp_path / "part.safetensors")


def test_envelope_of_another_radius() -> None:
    with pytest.raises(ValueError, match=r"7 shells \(radius 6\), not \(3,\)"):
        FieldDecoder(CONFIG, 3, RADIUS, torch.ones(3))


def test_precision_is_obeyed_and_probed() -> None:
    cpu = torch.device("cpu")
    assert precision.choose("bf16", cpu) is torch.bfloat16
    assert precision.choose("fp32", cpu) is torch.float32
    assert precision.choose("auto", cpu) in (torch.bfloat16, torch.float32)


@pytest.mark.parametrize("rows", [7, 100, 10**6])
def test_blocks_of_pairs_are_the_points_one_by_one(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """To 1e-4 of the norm, at phases of sixty radians, whatever the size of the blocks."""
    torch.manual_seed(0)
    field = FieldDecoder(FieldConfig(width=16, layers=1, sigma=2.0), 2, 14, torch.ones(15))
    ball, z = Ball(14, 3), torch.randn(2, 2)
    assert (0.5 * ball.points.float() @ field.frequencies.T).abs().max() > 50
    exact = field(ball.points.float()[None].expand(2, -1, -1), z)
    monkeypatch.setitem(module._ROWS, "cpu", rows)
    for radius in (14, 5):
        found = field.decode_ball(z, ball, radius)
        wanted = exact[:, : ball.count(radius)]
        assert (found - wanted).norm() / wanted.norm() < 1e-4


def test_without_layer_norm_it_learns_and_comes_back(tmp_path: Path) -> None:
    """The ablation: the published network less LN, spelt out, trained, saved and read."""
    torch.manual_seed(0)
    config = CONFIG.model_copy(update={"layer_norm": False})
    field = FieldDecoder(config, 1, RADIUS, torch.ones(RADIUS + 1))
    assert not [name for name, _ in field.named_parameters() if "norm" in name]
    ball, z = Ball(RADIUS, 3), torch.tensor([[-1.0], [1.0]])
    points = ball.points.float()
    # two places of one blob: what z must tell apart
    target = torch.stack([(points @ place).cos() + (points @ place).sin() for place in PLACES])
    optimiser = torch.optim.Adam(field.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = (field(points.expand(2, -1, -1), z) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.1 * losses[0]
    field.save(tmp_path / "field.safetensors", GEOMETRY)
    loaded, _ = FieldDecoder.load(tmp_path / "field.safetensors")
    assert loaded.config.layer_norm is False
    assert torch.equal(loaded.decode_ball(z, ball), field.decode_ball(z, ball))
    phase = 0.5 * points @ field.frequencies.T
    state = torch.cat([phase.sin(), phase.cos(), z[:1].expand(len(points), 1)], 1)
    state = field.entry(state).relu()
    for layer in field.hidden:
        state = (layer(state) + state).relu()
    plain = field.exit(state)[:, 0]
    torch.testing.assert_close(field.decode_ball(z[:1], ball)[0], plain, atol=1e-4, rtol=1e-4)
