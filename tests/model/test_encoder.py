from __future__ import annotations

import math
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_cryodeco.model.encoder import (
    ConvEncoder,
    TokenBatchNorm,
    VitEncoder,
    sincos_positions,
)
from napari_cryodeco.model.weights import load_encoder, read_weights


@pytest.fixture(scope="module")
def small() -> VitEncoder:
    """Two blocks of the real width: the same key names, a sixth of the work."""
    torch.manual_seed(0)
    return VitEncoder(5, depth=2).eval()


def _weights(encoder: VitEncoder) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in encoder.backbone.state_dict().items()}


def test_state_dict_is_that_of_cryo_ief() -> None:
    """Algorithm.md §2.6 and §10: 186 tensors, 21 469 056 parameters."""
    backbone = VitEncoder(8).backbone
    shapes = {name: tuple(value.shape) for name, value in backbone.state_dict().items()}
    assert len(shapes) == 186
    assert sum(p.numel() for p in backbone.parameters()) == 21_469_056
    assert shapes["cls_token"] == (1, 1, 384)
    assert shapes["pos_embed"] == (1, 257, 384)
    assert shapes["patch_embed.proj.weight"] == (384, 1, 14, 14)
    assert shapes["blocks.11.attn.qkv.weight"] == (1152, 384)
    assert shapes["blocks.11.norm2.running_var"] == (384,)
    assert shapes["blocks.11.norm2.num_batches_tracked"] == ()
    assert shapes["blocks.11.mlp.fc2.weight"] == (384, 1536)


def test_positions_follow_the_formula() -> None:
    found, token = sincos_positions(16, 384)[0], 37
    row, column, j = token // 16, token % 16, 5
    rate = 10_000 ** (-j / 96)
    expected = [math.sin(row * rate), math.cos(row * rate)]
    expected += [math.sin(column * rate), math.cos(column * rate)]
    assert found[1 + token, [j, 96 + j, 192 + j, 288 + j]].tolist() == pytest.approx(
        expected, abs=1e-5
    )
    assert not found[0].any()


@pytest.mark.parametrize("prefix", ["base_encoder.", ""])
def test_prior_gives_the_same_features(small: VitEncoder, tmp_path: Path, prefix: str) -> None:
    weights = {prefix + name: value for name, value in _weights(small).items()}
    weights |= {
        f"{prefix}head.0.weight": torch.zeros(4, 384),
        "momentum_encoder.cls_token": torch.zeros(1),
        "predictor.0.weight": torch.zeros(2),
    }
    save_file(weights, tmp_path / "model.safetensors")
    loaded = load_encoder(read_weights(tmp_path), 7).eval()
    views = torch.randn(2, 1, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded.features(views), small.features(views))
        assert loaded(views).shape == (2, 7)


def test_wrong_weights_are_named_one_by_one(small: VitEncoder, tmp_path: Path) -> None:
    weights = _weights(small)
    del weights["blocks.1.norm1.bias"]
    weights["norm.weight"] = torch.zeros(3)
    weights["stranger"] = torch.zeros(1)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"blocks\.1\.norm1\.bias is missing") as caught:
        load_encoder(read_weights(tmp_path), 4)
    assert "norm.weight is (3,), not (384,)" in str(caught.value)
    assert "stranger is unknown" in str(caught.value)


def test_a_file_of_another_kind_is_one_short_sentence(tmp_path: Path) -> None:
    save_file({"latents": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"cls_token is missing; .*latents is unknown") as caught:
        load_encoder(read_weights(tmp_path), 4)
    assert len(str(caught.value)) < 500


def test_every_missing_and_misshapen_tensor_is_named(tmp_path: Path) -> None:
    """Nothing is left at random: what the file lacks is told whole, blocks of a kind together."""
    weights = _weights(VitEncoder(4, depth=12))
    gone = [f"blocks.{i}.mlp.fc1.bias" for i in (0, 1, 2, 3, 7)] + ["cls_token", "norm.bias"]
    gone += [name for name in weights if name.startswith("blocks.10.")]
    bent = {
        "patch_embed.proj.weight": torch.zeros(384, 3, 14, 14),
        "blocks.5.norm2.running_var": torch.zeros(2),
        "blocks.6.norm2.running_var": torch.zeros(2),
    }
    kept = {name: value for name, value in weights.items() if name not in gone} | bent
    save_file(kept | {f"stranger{i}": torch.zeros(1) for i in range(9)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="does not hold a Cryo-IEF encoder") as caught:
        load_encoder(read_weights(tmp_path), 4)
    told = str(caught.value).split("encoder: ")[1].split("; ")
    for words in (
        "cls_token is missing",
        "norm.bias is missing",
        "blocks.0-3,7,10.mlp.fc1.bias is missing",
        "patch_embed.proj.weight is (384, 3, 14, 14), not (384, 1, 14, 14)",
        "blocks.5-6.norm2.running_var is (2,), not (384,)",
        "3 more are unknown",
    ):
        assert words in told
    names = {name.removeprefix("blocks.10.") for name in gone if name.startswith("blocks.10.")}
    missing = [entry.split(" is ")[0] for entry in told if entry.endswith("is missing")]
    named = {entry.split(".", 2)[2] for entry in missing if entry.startswith("blocks.")}
    assert named == names


def test_vit_b_is_inferred_and_loads_to_the_bit_of_a_float(tmp_path: Path) -> None:
    """Cryo-IEF v1 (768 wide), from a MoCo file with its twin, head and predictor."""
    torch.manual_seed(1)
    wide = VitEncoder(3, dim=768, depth=2).eval()
    for norm in (m for m in wide.modules() if isinstance(m, TokenBatchNorm)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    save_file(_moco_file(wide), tmp_path / "model.safetensors")
    loaded = load_encoder(read_weights(tmp_path), 5).eval()
    assert isinstance(loaded, VitEncoder)
    assert loaded.backbone.embed_dim == 768 and len(loaded.backbone.blocks) == 2
    views = torch.randn(2, 1, 224, 224)
    with torch.no_grad():
        expected = wide.features(views)
        torch.testing.assert_close(loaded.features(views), expected, atol=1e-6, rtol=1e-6)


def _moco_file(encoder: VitEncoder) -> dict[str, Tensor]:
    body = {f"base_encoder.{name}": value for name, value in _weights(encoder).items()}
    return body | {
        "base_encoder.head.0.weight": torch.zeros(8, 768),
        "momentum_encoder.cls_token": torch.zeros(1, 1, 768),
        "predictor.0.weight": torch.zeros(4, 4),
    }


@pytest.mark.parametrize("batch_norm", [True, False])
def test_features_are_those_of_plain_timm(batch_norm: bool, tmp_path: Path) -> None:
    """The oracle: timm's own ViT with our weights; batch norm is then one scale per channel."""
    torch.manual_seed(2)
    encoder = VitEncoder(3, depth=2, batch_norm=batch_norm).eval()
    plain = timm.create_model(
        "vit_small_patch16_224",
        img_size=224,
        patch_size=14,
        in_chans=1,
        depth=2,
        num_heads=12,
        num_classes=0,
    ).eval()
    if batch_norm:
        for block, ours in zip(plain.blocks, encoder.backbone.blocks, strict=True):
            ours.norm2.running_mean.normal_()
            ours.norm2.running_var.uniform_(0.5, 2.0)
            block.norm2 = Channelwise(ours.norm2)
    state = {k: v for k, v in _weights(encoder).items() if k in plain.state_dict()}
    plain.load_state_dict(state)
    save_file(_weights(encoder), tmp_path / "model.safetensors")
    loaded = load_encoder(read_weights(tmp_path), 5).eval()
    views = torch.randn(2, 1, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(loaded.features(views), plain(views), atol=1e-5, rtol=1e-5)


class Channelwise(torch.nn.Module):
    """What a batch norm does when it only evaluates."""

    def __init__(self, norm: TokenBatchNorm) -> None:
        super().__init__()
        self.scale = (norm.weight / (norm.running_var + 1e-5).sqrt()).detach()
        self.shift = (norm.bias - norm.running_mean * self.scale).detach()

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.scale + self.shift


@pytest.mark.parametrize("broken", [(10, 1, 14, 14), (384,), (384, 1, 0, 0), (384, 1, 14, 300)])
def test_a_misshapen_patch_is_a_sentence(
    small: VitEncoder, tmp_path: Path, broken: tuple[int, ...]
) -> None:
    weights = _weights(small) | {"patch_embed.proj.weight": torch.zeros(broken)}
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"patch_embed\.proj\.weight is "):
        load_encoder(read_weights(tmp_path), 4)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors file of encoder weights"):
        read_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match=r"model\.safetensors is no readable"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    ("strategy", "trained"),
    [
        ("full", {"blocks.0", "blocks.1", "norm", "head", "cls_token"}),
        ("blocks", {"blocks.1", "norm", "head"}),
        ("head", {"norm", "head"}),
        ("fixed", {"head"}),
    ],
)
def test_strategies_train_their_parts_only(
    small: VitEncoder, strategy: str, trained: set[str]
) -> None:
    small.train_parts(strategy, 1)  # type: ignore[arg-type]
    names = {
        name.removeprefix("backbone.") for name, p in small.named_parameters() if p.requires_grad
    }
    found = {".".join(name.split(".")[: 2 if name.startswith("blocks") else 1]) for name in names}
    assert found == trained


def test_frozen_batch_norms_do_not_drift(small: VitEncoder) -> None:
    small.train_parts("blocks", 1)
    small.train()
    norms = [m for m in small.modules() if isinstance(m, TokenBatchNorm)]
    before = [norm.running_mean.clone() for norm in norms]
    small(torch.randn(2, 1, 224, 224))
    small.train_parts("full", 0)
    small.eval()
    assert torch.equal(norms[0].running_mean, before[0])
    assert not torch.equal(norms[1].running_mean, before[1])


@pytest.mark.parametrize("side", [20, 64])
def test_small_encoder_learns_a_label(side: int) -> None:
    torch.manual_seed(0)
    label = torch.arange(16) % 2
    axis = torch.linspace(-1, 1, side)
    blob = torch.exp(-8 * (axis[:, None] ** 2 + axis**2))
    bar = torch.exp(-30 * axis[:, None] ** 2).expand(side, side)
    views = torch.where(label[:, None, None] == 0, blob, bar)[:, None]
    views = views + 0.1 * torch.randn(16, 1, side, side)
    encoder = ConvEncoder(1)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=3e-3)
    for _ in range(60):
        loss = (encoder(views)[:, 0] - label.float()).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert ((encoder(views)[:, 0] > 0.5).long() == label).all()
