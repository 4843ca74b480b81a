"""One species of a run that is done is tried again, in a run of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_cryodeco.cli import main
from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.runs.json_file import read_json
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_tensors, write_tensors
from napari_cryodeco.train import again
from napari_cryodeco.train.again import Again, begin_again, look_again
from napari_cryodeco.train.passes import PLANS, Pass, last_units
from napari_cryodeco.train.reconstruct import reconstruct
from napari_cryodeco.train.retry import Verdict, agree
from napari_cryodeco.train.starts import StartPlan

UNMOVED = torch.zeros(3)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, particle_set: Any) -> Run:
    """A run with two species, few steps."""
    values = {
        "data": {"source": particle_set.star},
        "latent_dim": 2,
        "abinitio": {"classes": 2, "restarts": 1},
        "field": {"width": 16, "layers": 1, "frequencies": 16},
        "refine": {"epochs": 1, "batch": 20, "warmup": 5},
        "deterministic": True,
        "device": "cpu",
    }
    config = TrainConfig.model_validate(values)
    path = tmp_path_factory.mktemp("again") / "run"
    run = Run.create(path, read_particles(particle_set.star), config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StartPlan, "of", lambda species, looks: StartPlan(12, last=looks.radius))
        reconstruct(run)
    return run


def files(run: Run) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_the_new_run_matches_all_particles_with_the_new_map(done: Run, tmp_path: Path) -> None:
    before = files(done)
    state, _ = read_tensors(done.paths.stage("joint"))
    volume = torch.randn(state["volumes"].shape[1], generator=torch.Generator().manual_seed(0))
    out = begin_again(done, Again(1, 3, 7), Verdict(volume, True, 0.9), tmp_path / "new")
    begun, header = read_tensors(out.paths.stage("joint"))
    assert torch.equal(begun["volumes"][1], volume)
    assert torch.equal(begun["volumes"][0], state["volumes"][0])
    assert begun["confirmed"][1] and bool(begun["running"][:, 1].all())
    left = PLANS[int(header["finished"]) :]
    assert len(left) == last_units(PLANS) and "look" not in left
    assert isinstance(left[0], Pass) and left[0].all
    assert reconstruct(Run.open(out.path)).state == "done"
    ended, header = read_tensors(out.paths.stage("joint"))
    assert header["finished"] == header["units"]
    assert not torch.equal(ended["rotations"][:, 1], state["rotations"][:, 1])  # searched anew
    assert out.epochs() == [1]
    assert read_json(out.paths.again)["run"] == str(done.path)
    assert files(done) == before


def test_what_cannot_be_tried_again_is_a_sentence(done: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="species 1 to 2, no species 3"):
        look_again(done, Again(2, 3, 7))
    with pytest.raises(ValueError, match=r"100 are needed"):
        look_again(done, Again(0, 3, 7))
    young = Run.create(tmp_path / "young", done.particles, done.config)
    with pytest.raises(ValueError, match="past its stage joint"):
        look_again(young, Again(0, 3, 7))


def test_only_a_better_map_makes_a_run(
    done: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    volumes = read_tensors(done.paths.stage("joint"))[0]["volumes"]
    found = [Verdict(None, True, 0.9), Verdict(volumes[0] + 1, False, 0.5)]
    monkeypatch.setattr(again, "look_again", lambda run, asked, tick: found.pop(0))
    out = tmp_path / "new"
    words = ["retry", str(done.path), "--class", "1", "-o", str(out)]
    assert main(words) == 0 and not out.exists()
    assert "keeps its map" in capsys.readouterr().out
    assert main(words) == 0 and Run.open(out).config == done.config
    assert f"cryodeco train {out}" in capsys.readouterr().out
    assert main(words) == 1  # nothing is overwritten
    assert "holds a run already" in capsys.readouterr().err


def planted(done: Run, path: Path, bodies: Any, volumes: Tensor, moved: Tensor = UNMOVED) -> Run:
    """A run whose stage joint has these maps, true classes and poses, in a `moved` frame."""
    run, labels = Run.create(path, done.particles, done.config), bodies.labels
    run.paths.stages.mkdir(exist_ok=True)
    scores = 10.0 * torch.nn.functional.one_hot(labels, 2)
    rotations = bodies.poses.rotations
    shifts = bodies.poses.shifts / bodies.looks.geometry.length + rotations[:, :2] @ moved
    state = {
        "volumes": Ball(bodies.looks.radius, 3).shift(volumes, moved.expand(2, 3)),
        "scores": scores,
        "rotations": rotations[:, None].expand(-1, 2, 3, 3).contiguous(),
        "shifts": shifts[:, None].expand(-1, 2, 2).contiguous(),
    }
    write_tensors(run.paths.stage("joint"), state, {"finished": 10, "units": 10})
    noisy = scores + torch.randn(scores.shape, generator=torch.Generator().manual_seed(1))
    write_tensors(run.paths.stage("features"), {"features": noisy}, {})
    return run


def test_a_map_that_was_laid_over_another_is_looked_at_around_its_own_centre(
    done: Run, tripod_and_arc: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else its particles lie farther off than a second look searches, and it seems worse."""
    maps, looks = tripod_and_arc.maps, tripod_and_arc.looks
    moved = torch.tensor([0.11, -0.04, 0.02])
    run = planted(done, tmp_path / "planted", tripod_and_arc, maps, moved)
    seen: list[Tensor] = []

    def look(looks: Any, rows: Any, volume: Tensor, *rest: Any) -> Verdict:
        seen.append(volume)
        return Verdict(None, True, 1.0)

    monkeypatch.setattr(again, "looks_of", lambda run, device: looks)
    monkeypatch.setattr(again, "second_look", look)
    look_again(run, Again(0, 4, 3))
    assert (seen[0] - maps[0]).norm() < 0.02 * maps[0].norm()
    assert (read_tensors(run.paths.stage("joint"))[0]["volumes"][0] - maps[0]).norm() > maps[
        0
    ].norm()


def test_a_wrong_map_of_a_run_is_replaced_from_its_particles(
    done: Run, tripod_and_arc: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The state of a run is planted: species 1 has the particles of one body, the other's map."""
    maps = tripod_and_arc.maps
    run = planted(done, tmp_path / "planted", tripod_and_arc, maps[[1, 1]])
    monkeypatch.setattr(again, "looks_of", lambda run, device: tripod_and_arc.looks)
    verdict = look_again(run, Again(0, 4, 3))
    assert verdict.volume is not None
    assert agree(verdict.volume, maps[0], 9) and not agree(verdict.volume, maps[1], 9)
