"""``cryodeco backproject``: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import torch

from napari_cryodeco.cli import main
from napari_cryodeco.explore.evidence import NOTE, Chosen, Verdict
from napari_cryodeco.explore.volumes import Volume
from napari_cryodeco.imaging import fsc
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_mrc

FILES = ["decoded.mrc", "fsc.json", "half_map_1.mrc", "half_map_2.mrc", "map.mrc", "rows.txt"]
Capture = pytest.CaptureFixture[str]


def call(*words: object) -> int:
    return main([str(word) for word in words])


def fails(capsys: Capture, *words: object) -> str:
    """Call, expect status 1 with one sentence on standard error, and return the sentence."""
    capsys.readouterr()
    assert call(*words) == 1
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert captured.out == "" and lines[0].startswith("cryodeco: ")
    return lines[0]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---- what it writes


def test_a_cluster_is_reconstructed_from_its_particles(
    planted_run: Run, particle_set: Any, tmp_path: Path, capsys: Capture
) -> None:
    run, out = planted_run.path, tmp_path / "out"
    assert call("cluster", run, "-k", 2, "--method", "kmeans") == 0
    capsys.readouterr()
    assert call("backproject", run, "--labels", 2, "-o", out) == 0
    said = capsys.readouterr()
    assert names(out) == FILES
    rows = np.loadtxt(out / "rows.txt", int)
    label = particle_set.labels[rows[0]]
    assert rows.tolist() == np.flatnonzero(particle_set.labels == label).tolist()

    truth, _ = read_mrc(particle_set.maps[label])
    maps = {}
    for name in FILES:
        if name.endswith(".mrc"):
            with mrcfile.open(out / name) as mrc:
                assert float(mrc.voxel_size.x) == pytest.approx(particle_set.pixel_size)
                maps[name] = np.array(mrc.data)
    assert np.corrcoef(maps["map.mrc"].ravel(), truth.ravel())[0, 1] > 0.85

    record = json.loads((out / "fsc.json").read_text())
    length = planted_run.geometry.length
    assert record["shells"] == list(range(1, planted_run.geometry.radius + 1))
    expected = [length / shell for shell in record["shells"]]
    np.testing.assert_allclose(record["resolution_A"], expected, rtol=1e-4)
    for key, first, second in (
        ("half_maps", "half_map_1.mrc", "half_map_2.mrc"),
        ("decoded", "decoded.mrc", "map.mrc"),
    ):
        curve = fsc.shells(torch.from_numpy(maps[first]), torch.from_numpy(maps[second]))
        np.testing.assert_allclose(record[key], curve.numpy(), atol=2e-3)
    assert record["count"] == len(rows) == 30
    assert record["rows"] == "clusters 2" and record["epoch"] == 1
    assert "share the poses" in record["note"] and record["note"] == NOTE

    halves, decoded = said.out.strip().splitlines()
    assert halves.startswith("30 particles: their half-maps agree to ")
    assert f"{record['half_maps_agree_to_A']:.1f} Å (FSC 0.143)" in halves
    assert decoded.startswith("The decoded map agrees with these particles")
    # the field of this run was never trained
    assert "the decoded map shows what these particles do not" in said.err.lower()


def test_the_written_rows_can_be_selected_and_put_back_again(
    planted_run: Run, tmp_path: Path
) -> None:
    run, first, second = planted_run.path, tmp_path / "first", tmp_path / "second"
    np.save(tmp_path / "rows.npy", np.arange(40)[::-1])
    assert call("backproject", run, "--rows", tmp_path / "rows.npy", "-o", first) == 0
    assert call("backproject", run, "--rows", first / "rows.txt", "-o", second) == 0
    assert np.loadtxt(second / "rows.txt", int).tolist() == list(range(40))
    np.testing.assert_array_equal(read_mrc(first / "map.mrc")[0], read_mrc(second / "map.mrc")[0])


def test_neighbours_are_of_the_row_and_the_decoded_map_is_at_their_mean(
    planted_run: Run, particle_set: Any, tmp_path: Path
) -> None:
    run, out = planted_run.path, tmp_path / "near"
    assert call("backproject", run, "--near", 7, "--count", 25, "-o", out) == 0
    rows = np.loadtxt(out / "rows.txt", int)
    assert len(rows) == 25 and 7 in rows
    assert (particle_set.labels[rows] == particle_set.labels[7]).all()
    record = json.loads((out / "fsc.json").read_text())
    assert record["count"] == 25 and "nearest to row 7" in record["rows"]

    latents = planted_run.epoch().latents()
    squared = ((latents - latents[7]) ** 2).sum(1)
    edge = np.sort(squared)[25]
    weights = (1 - squared[rows] / edge).clip(1e-3)
    np.save(tmp_path / "z.npy", (latents[rows] * weights[:, None]).sum(0) / weights.sum())
    assert call("decode", run, "--z", tmp_path / "z.npy", "-o", tmp_path / "z.mrc") == 0
    same, _ = read_mrc(tmp_path / "z.mrc")
    decoded, _ = read_mrc(out / "decoded.mrc")
    np.testing.assert_allclose(decoded, same, atol=1e-3 * np.abs(same).max())


def test_nothing_is_overwritten_unasked(planted_run: Run, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    words = ("backproject", planted_run.path, "--near", 0, "-o", out)
    assert "exists already" in fails(capsys, *words)
    assert names(out) == ["mine"]
    assert call(*words, "--overwrite") == 0
    assert names(out) == FILES


# ---- what it refuses


def test_wrong_choices_name_what_there_is(
    planted_run: Run, tmp_path: Path, capsys: Capture
) -> None:
    run, out = planted_run.path, ("-o", tmp_path / "out")
    few = tmp_path / "few.txt"
    few.write_text("1\n2\n3\n")
    beyond = tmp_path / "beyond.txt"
    beyond.write_text("59\n60\n")
    for words, sentence in (
        ((), "needs one of --labels"),
        (("--near", 1, "--labels", 1), "needs one of --labels"),
        (("--labels", 1), "cryodeco cluster"),
        (("--near", 60), "rows 0 to 59"),
        (("--near", 3, "--count", 0), "at least 20"),
        (("--near", 3, "--count", 19), "19 particles are too few"),
        (("--rows", few), "3 particles are too few"),
        (("--rows", beyond), "names row 60"),
        (("--rows", tmp_path / "none.txt"), "is missing"),
        (("--near", 3, "--epoch", 9), "has no epoch 9"),
        (("--near", 3, "--device", "gpu"), "gpu"),
    ):
        assert sentence in fails(capsys, "backproject", run, *words, *out)
    call("cluster", run, "-k", 2)
    assert "numbered from 1 to 2" in fails(capsys, "backproject", run, "--labels", "1,3", *out)
    assert not (tmp_path / "out").exists()


# ---- the verdict


class Halves:
    """Stands for a back-projection of 900 particles in a box of 100 Å."""

    length, count = 100.0, 900

    def __init__(self, agree_to_shell: int, coverage: float) -> None:
        self.coverage = coverage
        self.fsc = falling(agree_to_shell)
        self.resolution = 100.0 / max(agree_to_shell, 1)


def falling(shell: int) -> np.ndarray:
    """One up to a shell, nothing beyond."""
    return (np.arange(1, 21) <= shell).astype(np.float32)


def verdict(halves: int, decoded: int, coverage: float = 1.0) -> Verdict:
    nothing: Any = Halves(halves, coverage)
    volume = Volume(np.zeros((4, 4, 4), np.float32), 1.0)
    return Verdict(Chosen(np.arange(900), None, "all"), 1, nothing, volume, falling(decoded))


def test_the_warning_comes_when_the_decoded_map_agrees_to_much_less() -> None:
    assert verdict(10, 10).warning == ""
    assert verdict(10, 7).warning == ""  # 14 Å and 10 Å: within half as much again
    assert verdict(10, 20).warning == ""
    coarse = verdict(10, 5).warning
    assert coarse == "Finer than 20.0 Å the decoded map shows what these particles do not."
    assert verdict(10, 0).warning == "The decoded map shows what these particles do not."
    assert "too few" in verdict(0, 10).warning


def test_few_sides_are_warned_of_however_well_the_halves_agree() -> None:
    assert verdict(20, 20, 0.9).warning == ""
    assert "few sides (35 % of Fourier space)" in verdict(20, 20, 0.35).warning
    both = verdict(10, 5, 0.35).warning
    assert "few sides" in both and "Finer than 20.0 Å" in both


def test_the_sentences_give_count_resolution_and_agreement() -> None:
    halves, decoded = verdict(10, 5).sentences
    assert halves == "900 particles: their half-maps agree to 10.0 Å (FSC 0.143)."
    assert decoded == "The decoded map agrees with these particles to 20.0 Å (FSC 0.5)."
    halves, decoded = verdict(0, 0).sentences
    assert "agree nowhere" in halves and "nowhere" in decoded
