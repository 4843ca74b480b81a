"""Weights files: what is written comes back, what was changed is refused, cards read as text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from napari_cryodeco.model import weights as module
from napari_cryodeco.model.card import BUNDLED, card_of, markdown, read_card
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import bundled, load_encoder, read_weights, write_small


@pytest.fixture
def encoder() -> PriorEncoder:
    torch.manual_seed(0)
    return PriorEncoder(3, widths=(8, 16, 16), depths=(1, 1, 1), dim=12).eval()


@pytest.fixture
def file(encoder: PriorEncoder, tmp_path: Path) -> Path:
    path = tmp_path / "mine.safetensors"
    write_small(path, encoder, {"seed": 5})
    return path


def write_card(file: Path) -> Path:
    card = {"title": "Mine", "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    card_of(file).write_text(json.dumps(card))
    return card_of(file)


def test_a_small_encoder_comes_back_with_a_head_of_any_length(
    encoder: PriorEncoder, file: Path
) -> None:
    found = read_weights(file)
    assert found.kind == "small"
    assert found.header["seed"] == 5
    assert found.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    again = load_encoder(found, 7).eval()
    views = torch.randn(4, 1, 32, 32)
    with torch.no_grad():
        expected = encoder.features(views)
        error = (again.features(views) - expected).norm() / expected.norm()
        assert error < 2e-3  # half precision
        assert again(views).shape == (4, 7)


def test_half_of_the_bytes(encoder: PriorEncoder, file: Path) -> None:
    body = sum(p.numel() for n, p in encoder.named_parameters() if not n.startswith("head."))
    assert 2 * body < file.stat().st_size < 2 * body + 8000


def test_what_does_not_fit_half_precision_is_refused(encoder: PriorEncoder, tmp_path: Path) -> None:
    with torch.no_grad():
        encoder.project.bias[0] = 1e6
    with pytest.raises(ValueError, match=r"project\.bias has no value in half precision"):
        write_small(tmp_path / "mine.safetensors", encoder, {})
    assert not list(tmp_path.iterdir())


def test_a_card_vouches_for_its_file(file: Path) -> None:
    write_card(file)
    assert read_weights(file).kind == "small"
    for broken in (file.read_bytes()[:-7], file.read_bytes()[:-1] + b"\x7f"):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match=r"was changed or cut short; copy or export it again"):
            read_weights(file)


def test_the_bundled_file_is_checked_and_missed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUNDLED", file)
    write_card(file)
    assert read_weights(bundled()).path == file
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="install napari-cryodeco again"):
        read_weights(bundled())
    file.unlink()
    with pytest.raises(FileNotFoundError, match="install napari-cryodeco again"):
        bundled()


def test_what_is_shipped_is_what_its_card_says() -> None:
    if not BUNDLED.is_file():
        pytest.skip("no prior is shipped yet")
    found = read_weights(bundled())
    assert found.kind == "small"
    assert BUNDLED.stat().st_size < 10e6
    assert load_encoder(found, 4).features(torch.randn(1, 1, 32, 32)).isfinite().all()
    docs = Path(__file__).parents[2] / "docs" / "model-card.md"
    assert docs.read_text(encoding="utf-8").strip() == markdown(read_card(card_of(BUNDLED))).strip()


def test_tensors_that_do_not_fit_are_named(file: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as content:
        state = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        header = content.metadata()
    state["stranger"] = state.pop("project.bias")
    save_file(state, tmp_path / "other.safetensors", metadata=header)
    with pytest.raises(ValueError, match=r"project\.bias is missing; stranger is unknown"):
        load_encoder(read_weights(tmp_path / "other.safetensors"), 2)


def test_a_kind_from_the_future_is_told(tmp_path: Path) -> None:
    told = {"cryodeco": json.dumps({"kind": "giant"})}
    save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata=told)
    with pytest.raises(ValueError, match="'giant', which this version does not know"):
        read_weights(tmp_path)


def test_a_card_reads_as_text() -> None:
    card = {
        "title": "The small prior",
        "summary": "Puts images of one species together.",
        "licence": "BSD-3-Clause",
        "parameters": 1200,
        "limits": ["simulated | noise"],
        "recipe": {"steps": 10, "seeds": [1, 2]},
        "scores": [{"set": "a", "knn": 0.9, "seen": False}, {"set": "b", "ari": 0.5}],
    }
    text = markdown(card)
    assert text.startswith("# The small prior\n\nPuts images of one species together.\n")
    assert "| licence | BSD-3-Clause |\n| parameters | 1200 |" in text
    assert "## Limits\n\n- simulated | noise" in text
    assert "| seeds | 1, 2 |" in text
    assert "| set | knn | seen | ari |\n| --- | --- | --- | --- |\n| a | 0.9 | no |  |" in text
