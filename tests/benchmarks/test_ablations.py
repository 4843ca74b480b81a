"""Ablations: what each row changes, errors in the frame of the truth, and the page."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from napari_cryodeco.config import TrainConfig

BOX = 32


def config(values: dict[str, object]) -> dict[str, object]:
    made = TrainConfig.model_validate({"data": {"source": "some.star"}, "poses": "file"} | values)
    return made.model_dump()


def changed(first: dict, second: dict, within: str = "") -> set[str]:
    names: set[str] = set()
    for name in first:
        if isinstance(first[name], dict):
            names |= changed(first[name], second[name], f"{within}{name}.")
        elif first[name] != second[name]:
            names.add(within + name)
    return names


def test_rows_of_a_part_differ_in_what_the_part_is_about_only(load) -> None:
    parts = load("ablations").PARTS
    about = {
        "norm": {"field.layer_norm"},
        "norm-published": {"field.layer_norm"},
        "latent": {"latent_dim"},
        "encoder": {"encoder.kind", "encoder.strategy", "encoder.blocks", "encoder.prior"},
    }
    for part, names in about.items():
        first, *others = map(config, parts[part].values())
        for other in others:
            assert changed(first, other) <= names
        # but for the published loop the first is what a run does by itself, or names it
        if part != "norm-published":
            assert changed(config({}), first) <= names


def a_set(folder: Path, symmetric: bool) -> torch.Tensor:
    """Truth of forty particles of one map, which may have a twofold axis along z."""
    (folder / "gt").mkdir(parents=True)
    (folder / "info.json").write_text(json.dumps({"models": ["a"]}))
    random = np.random.default_rng(0)
    dots = np.zeros((BOX, BOX, BOX), np.float32)
    for z, y, x in random.integers(-8, 9, (12, 3)):
        dots[BOX // 2 + z, BOX // 2 + y, BOX // 2 + x] += 1
        if symmetric:
            dots[BOX // 2 + z, BOX // 2 - y, BOX // 2 - x] += 1
    mrcfile.write(folder / "gt" / "vol_000.mrc", gaussian_filter(dots, 1.3))
    turns = Rotation.random(40, random_state=1).as_matrix()
    names = {"label": np.zeros(40, int), "class_names": ["a"], "rotation": turns}
    np.savez(folder / "gt" / "ground_truth.npz", **names)
    return torch.from_numpy(turns).float()


def test_errors_are_angles_in_the_frame_of_the_truth(load, tmp_path: Path) -> None:
    true = a_set(tmp_path, symmetric=False)
    axes = Rotation.random(40, random_state=2).apply([1.0, 0, 0])
    angles = (np.arange(40) + 0.5) / 5  # 0.1 … 7.9 degrees
    turned = Rotation.from_rotvec(np.deg2rad(angles)[:, None] * axes).as_matrix()
    found = load("ablation_search").errors(tmp_path, torch.from_numpy(turned).float() @ true)
    assert abs(found["median_degrees"] - 3.9) < 0.05  # torch takes the lower of the middle two
    assert found["within_5"] == 25 / 40


def test_errors_are_modulo_the_symmetry_of_the_map(load, tmp_path: Path) -> None:
    half_turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
    for name, symmetric in (("two", True), ("none", False)):
        true = a_set(tmp_path / name, symmetric)
        found = load("ablation_search").errors(tmp_path / name, true @ half_turn)
        assert (found["median_degrees"] < 3) == symmetric


def test_the_page_keeps_its_prose_and_shows_every_row(load, tmp_path: Path) -> None:
    report = load("ablations_report")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    field = {"part": "latent", "variant": "4", "seed": 1, "z": 4, "epochs": 8, "loss": [1.5, 1.25]}
    field |= {"ari_latents": 0.875, "top1": 0.5, "fsc": {"5fj8": 0.25}, "cpu_seconds": 61.2}
    late = {"part": "encoder", "variant": "full", "seed": 1, "stopped": "after 6 CPU-minutes"}
    report.write_page([field, late], page)
    said = page.read_text()
    assert said.startswith("before\n") and said.endswith("\nafter\n") and "old" not in said
    assert "| 4 | 1 | 4 | 8 | 0.875 | 0.5 | 5fj8 0.250 | 1.2500 | 61 |" in said
    assert "| full | 1 | – | – | – | – | – | – | after 6 CPU-minutes |" in said
    report.write_page([field, late], page)
    assert page.read_text() == said
