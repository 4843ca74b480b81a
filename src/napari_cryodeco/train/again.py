"""One species of an ab initio run that is done gets another chance, in a run of its own.

The stage `joint` of the new run is that of the old one with one map exchanged, taken back to before
its last passes: they search the poses of all particles anew in all maps.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from napari_cryodeco.atomic import replacing_folder
from napari_cryodeco.data.copy_record import record_path
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.mirrored import refuse_mirror
from napari_cryodeco.runs.origin import refuse_adopted
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.runs.run import Run, check_place, fill
from napari_cryodeco.runs.store import read_tensors, write_tensors
from napari_cryodeco.train.device import choose_device, numerics
from napari_cryodeco.train.passes import last_units, plans_of
from napari_cryodeco.train.pipeline import looks_of
from napari_cryodeco.train.relation import offset
from napari_cryodeco.train.retry import FEWEST, Verdict, likeness, second_look

_SAME = ("prepare", "features", "abinit")  # stages that the new run takes as they are


@dataclass(frozen=True)
class Again:
    """Which species (from 0) of a run is tried again: from so many `starts`, with this seed."""

    species: int
    starts: int
    seed: int


def another_seed(seed: int) -> int:
    """A seed of starts that a run with `seed` has not used."""
    return seed + 100_000


def default_place(run: Path, species: int) -> Path:
    """Folder of the run that comes of trying a species (from 1) again."""
    return run.with_name(f"{run.name}_species{species}")


@dataclass(frozen=True)
class Retried:
    """What came of it, in words; and the new run where a better map was found."""

    sentence: str
    made: Path | None


def retry_species(
    path: Path, asked: Again, out: Path, tick: Callable[[], None] = lambda: None
) -> Retried:
    """Look for a better map of one species of the run at `path`; if there is one, make a run.

    Parameters
    ----------
    path, asked
        The run, which stays as it is, and what is tried.
    out
        Folder of the new run.
    tick
        Called between the steps: may raise in order to stop.

    Raises
    ------
    FileExistsError, ValueError
        With one sentence that names the file.
    """
    refuse_adopted(path)
    refuse_mirror(path)
    check_place(out, overwrite=False)
    run, name = Run.open(path), f"Species {asked.species + 1}"
    verdict = look_again(run, asked, tick)
    found = f"mean FSC {verdict.agreement:.2f}"
    if verdict.volume is None:
        again = "one found it again" if verdict.confirmed else "none found it again"
        said = f"{name} keeps its map: none of up to {asked.starts} starts is better, {again}"
        return Retried(f"{said} ({found}). No run was made.", None)
    begin_again(run, asked, verdict, out)
    again = "two of them agree on it" if verdict.confirmed else "only one of them found it"
    said = f"{name} has a better map from other starts: {again} ({found}). {out} goes on with it"
    return Retried(f"{said}: all particles are matched again, and the field is fitted anew.", out)


def look_again(run: Run, asked: Again, tick: Callable[[], None] = lambda: None) -> Verdict:
    """Try other maps for the particles of one species, judged on particles left out.

    Raises
    ------
    ValueError
        If the run has no such species, or the species too few particles.
    """
    state = _finished(run)[0]
    index, count = asked.species, len(state["volumes"])
    if not 0 <= index < count:
        raise ValueError(f"{run.path} has species 1 to {count}, no species {index + 1}.")
    own = state["scores"].argmax(1)
    features = read_tensors(run.paths.stage("features"))[0]["features"]
    rows = torch.nonzero((own == index) | (likeness(features, own) == index))[:, 0]
    if len(rows) < FEWEST:
        raise ValueError(
            f"Species {index + 1} of {run.path} has {len(rows)} particles: {FEWEST} are needed for "
            "a start from nothing."
        )
    config, device = run.config, choose_device(run.config.device)
    with numerics(config.threads, config.deterministic, device):
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        looks, members = looks_of(run, device), torch.nonzero(own == index)[:, 0]
        volume = _centred(state, index, members, looks.radius)
        return second_look(looks, rows, volume, asked.seed, threads, tick, asked.starts + 1)


def _centred(state: dict[str, Tensor], index: int, members: Tensor, radius: int) -> Tensor:
    """The map of a species with the centre of its particles in the middle of the box.

    The maps of a run that is done were laid over the largest one: from there shifts can be farther
    than a second look searches.
    """
    volume = state["volumes"][index]
    if not len(members):
        return volume
    poses = Poses(state["rotations"][members, index], state["shifts"][members, index])
    return Ball(radius, 3).shift(volume[None], -offset(poses)[None])[0]


def begin_again(run: Run, asked: Again, found: Verdict, out: Path) -> Run:
    """Make the run at `out` that goes on with the map of a species that was found.

    Raises
    ------
    FileExistsError
        If `out` is there.
    """
    check_place(out, overwrite=False)
    assert found.volume is not None  # else there is nothing to go on with
    state, header = _finished(run)
    index = asked.species
    state["volumes"][index] = found.volume.cpu()
    state["confirmed"][index], state["agreement"][index] = found.confirmed, found.agreement
    state["running"][:, index] = True  # nobody has been compared with it
    state["changed"] = torch.tensor(1.0)
    header["finished"] = int(header["units"]) - last_units(plans_of(state, merging=False))
    with replacing_folder(out) as part:
        fill(part, run.particles, run.config, Status())
        made = RunPaths(part)
        _share(run.paths.images, made.images)
        for old, new in (
            (record_path(run.paths.images), record_path(made.images)),
            (run.paths.geometry, made.geometry),
            (run.paths.prior, made.prior),
        ):
            if old.is_file():
                shutil.copy2(old, new)
        made.stages.mkdir(exist_ok=True)
        for name in _SAME:
            shutil.copy2(run.paths.stage(name), made.stage(name))
        write_tensors(made.stage("joint"), state, header)
        write_json(made.again, {"run": str(run.path.absolute())} | asdict(asked))
    return Run.open(out)


def _finished(run: Run) -> tuple[dict[str, Tensor], dict[str, float]]:
    """State of the stage `joint` at its end."""
    file = run.paths.stage("joint")
    state, header = read_tensors(file) if file.is_file() else ({}, {})
    if not header or header["finished"] < header["units"]:
        raise ValueError(
            f"{run.path} has no species that could be tried again: they are known when `cryodeco "
            f"train {run.path}` is past its stage joint; a run with --poses file has none."
        )
    return state, header


def _share(old: Path, new: Path) -> None:
    """Give a large file that nobody changes a second name, or copy it to another disk."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)
