"""One reconstruction in several processes: the same gradients, the same end, one writer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from napari_cryodeco import jobs
from napari_cryodeco.config import TrainConfig
from napari_cryodeco.data.read import read_particles
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import RunFollower, read_status
from napari_cryodeco.runs.run import Run
from napari_cryodeco.runs.store import read_header, read_tensors
from napari_cryodeco.train import distributed, shards

HALF, JOINT = (Path(__file__).with_name(name) for name in ("half.py", "joint_half.py"))
TRAIN = ["-m", "napari_cryodeco", "train"]


def start(count: int, *words: str) -> list[subprocess.Popen[str]]:
    """Start a program in so many processes, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    path = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    world = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **path, **world, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[int]:
    for process in processes:
        process.communicate(timeout=240)
    return [process.returncode for process in processes]


@pytest.mark.slow
def test_one_step_of_two_processes_is_that_of_one(tmp_path: Path) -> None:
    processes = [
        *start(1, str(HALF), str(tmp_path / "1")),
        *start(2, str(HALF), str(tmp_path / "2")),
    ]
    assert ended(processes) == [0, 0, 0]
    (one, _), (two, _) = read_tensors(tmp_path / "1"), read_tensors(tmp_path / "2")
    assert one.keys() == two.keys()
    kinds = ("optimiser.", "latents.", "poses.", "encoder_optimiser.", "grad.")
    assert all(any(name.startswith(kind) for name in one) for kind in kinds)
    for name, value in one.items():
        if name != "weights":
            scale = max(1.0, float(value.abs().max()))
            torch.testing.assert_close(two[name] / scale, value / scale, atol=1e-5, rtol=0)
    assert two["visits"].tolist() == [1.0] * len(two["visits"])
    torch.testing.assert_close(two["weights"], torch.ones(len(one["weights"])))


@pytest.mark.slow
def test_species_are_sorted_by_several_processes_as_by_one(tmp_path: Path) -> None:
    """Passes are shared, species are joined by the first: all know what came of it."""
    folders = {count: tmp_path / str(count) for count in (1, 2)}
    for folder in folders.values():
        (folder / "stages").mkdir(parents=True)
    processes = [p for count, path in folders.items() for p in start(count, str(JOINT), str(path))]
    assert ended(processes) == [0, 0, 0]
    assert [read_status(folder).state for folder in folders.values()] == ["done", "done"]
    one, two = (read_tensors(RunPaths(folder).stage("joint"))[0] for folder in folders.values())
    assert one["volumes"].shape == two["volumes"].shape and len(one["volumes"]) == 2
    for name in ("volumes", "left_out", "resolution"):
        scale = float(one[name].abs().max())
        torch.testing.assert_close(two[name] / scale, one[name] / scale, atol=1e-3, rtol=0)
    assert torch.equal(one["scores"].argmax(1), two["scores"].argmax(1))
    torch.testing.assert_close(one["shifts"], two["shifts"], atol=1e-3, rtol=0)


def test_shares_cover_all_rows_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    rows = [row for number in range(3) for row in range(100)[distributed.share(100, number)]]
    assert rows == list(range(100))
    sizes, steps = [], set()
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        parts = shards.portions(100, 11)
        steps.add(len(parts))
        sizes += [len(part) for part in parts]
    assert len(steps) == 1 and sum(sizes) == 100 and max(sizes) <= 11
    with pytest.raises(ValueError, match=r"2 particles cannot be shared by 3 processes"):
        distributed.share(2)
    with pytest.raises(
        ValueError, match=r"batch of 2 cannot be shared by 3 .* raise refine\.batch"
    ):
        shards.batches(100, 2, torch.Generator())


# ---- whole runs


CONFIG = """
data: {source: STAR}
poses: file
refine_poses: true
latent_dim: 4
field: {width: 32, layers: 2, frequencies: 32}
refine: {epochs: EPOCHS, batch: 16, warmup: 100, early_stop: false}
precision: fp32
device: cpu
threads: 1
seed: 3
"""


def make_run(path: Path, star: Path, epochs: int) -> None:
    config = TrainConfig.from_yaml(CONFIG.replace("STAR", str(star)).replace("EPOCHS", str(epochs)))
    Run.create(path, read_particles(star), config)


def agreement(path: Path, labels: np.ndarray) -> float:
    latents = Run.open(path).epoch().latents()
    assert len(latents) == len(labels)
    found = KMeans(2, n_init=5, random_state=0).fit_predict(latents)
    return float(adjusted_rand_score(labels, found))


@pytest.mark.slow
def test_a_run_goes_on_in_any_number_of_processes(tmp_path: Path, training_set: Any) -> None:
    one, many, star = tmp_path / "one", tmp_path / "many", training_set.star_with_poses
    make_run(one, star, 4)
    make_run(many, star, 400)
    alone = start(1, *TRAIN, str(one))

    pair = start(2, *TRAIN, str(many))
    assert ended(alone) == [0]
    follower = RunFollower(many)
    deadline = time.monotonic() + 240
    while not RunPaths(many).epoch(2).is_dir():
        assert follower.poll().status.state in ("queued", "running")
        assert time.monotonic() < deadline
        time.sleep(0.05)
    jobs.stop(many)
    assert ended(pair) == [3, 0]  # the first says that it was stopped
    status = read_status(many)
    assert (status.state, status.pid) == ("stopped", pair[0].pid)
    assert not RunPaths(many).lock.exists()
    reached = Run.open(many).epochs()[-1]

    text = RunPaths(many).config.read_text()
    RunPaths(many).config.write_text(text.replace("epochs: 400", f"epochs: {reached + 2}"))
    for count, reaches in ((1, reached + 1), (2, reached + 2)):
        finish = start(count, *TRAIN, str(many))
        if count == 1:
            stop_at(many, reaches)
        assert ended(finish)[0] in (0, 3)
    assert read_status(many).state == "done"
    assert Run.open(many).epochs() == list(range(1, reached + 3))
    header = read_header(RunPaths(many).stage("refine"))
    assert header["finished"] == header["units"] == reached + 2
    alone_agrees, pair_agrees = (agreement(path, training_set.labels) for path in (one, many))
    assert abs(alone_agrees - pair_agrees) <= 0.02


@pytest.mark.slow
def test_two_processes_end_early_together(tmp_path: Path, particle_set: Any) -> None:
    """The first sees that no z moves and tells the other: both end after the seventh epoch."""
    text = CONFIG.replace("STAR", str(particle_set.star_with_poses)).replace("EPOCHS", "9")
    text = text.replace("early_stop: false", "early_stop: true, latent_rate: 0.0")
    config = TrainConfig.from_yaml(text.replace("refine_poses: true", "refine_poses: false"))
    Run.create(tmp_path / "run", read_particles(particle_set.star_with_poses), config)
    assert ended(start(2, *TRAIN, str(tmp_path / "run"))) == [0, 0]
    assert Run.open(tmp_path / "run").epochs() == list(range(1, 8))
    assert read_status(tmp_path / "run").state == "done"


def stop_at(path: Path, epoch: int) -> None:
    while not RunPaths(path).epoch(epoch).is_dir():
        time.sleep(0.02)
    jobs.stop(path)


@pytest.mark.slow
def test_an_error_of_one_process_is_one_sentence_for_all(tmp_path: Path, particle_set: Any) -> None:
    run = tmp_path / "run"
    make_run(run, particle_set.star_with_poses, 400)
    pair = start(2, *TRAIN, str(run))
    while not RunPaths(run).epoch(1).is_dir():
        time.sleep(0.05)
    pair[1].kill()
    said = pair[0].communicate(timeout=120)[1].strip().splitlines()[-1]
    assert pair[0].returncode == 1
    assert said == "cryodeco: Another process of this training ended; its own message says why."
    assert read_status(run).state == "failed"
    pair[1].communicate()
