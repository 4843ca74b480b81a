"""``cryodeco pretrain``: an own prior, from own particles or simulated species."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from cyclopts import Parameter

from napari_cryodeco.commands.priors import prior_path
from napari_cryodeco.pretrain_config import ModelName, ObjectiveName, PretrainConfig
from napari_cryodeco.runs.pretraining import PretrainPaths, check_settings, read_settings
from napari_cryodeco.runs.progress import Status
from napari_cryodeco.stage_config import NO_PRIOR
from napari_cryodeco.terminal import Bar, complain, say

if TYPE_CHECKING:
    from napari_cryodeco.train.pretrain import Outcome

Several = Annotated[list[Path] | None, Parameter(consume_multiple=True, negative="")]


def pretrain(
    out: Path,
    /,
    *,
    objective: ObjectiveName | None = None,
    model: ModelName | None = None,
    begin_from: str | None = None,
    sets: Several = None,
    datadir: Path | None = None,
    structures: Path | None = None,
    synthetic: int | None = None,
    probe: Several = None,
    steps: int | None = None,
    minutes: float | None = None,
    anneal: bool | None = None,
    batch: int | None = None,
    rate: float | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    seed: int | None = None,
    setting: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
) -> int:
    """Pretrain a prior, or go on with one; the file OUT/stop saves and stops it.

    With OUT alone an earlier call goes on. Only limits may then be changed: --steps, --minutes,
    --anneal, --probe, --device, --precision, --threads.

    Parameters
    ----------
    out
        Folder to make, or of an earlier call.
    objective
        prototypes, supcon, identity: learn simulated species; moco: learn from particles without
        labels. moco where --sets are given, else prototypes.
    model
        small for CPUs; vit-s or vit-b for GPUs.
    begin_from
        Weights of an earlier prior to begin from: a file, a folder, bundled, or the name of
        downloaded ones; none: random ones.
    sets
        STAR, .cs or .mrcs files of particles to learn from.
    datadir
        Folder of their stacks, where they are not near the files.
    structures
        Folder of bead models (.npz) to simulate; those shipped where not given.
    synthetic
        Number of procedural structures to simulate.
    probe
        Simulated folders with their truth, scored along the way.
    steps
        Length of the whole training.
    minutes
        This call ends after so long; a later one goes on.
    anneal
        --minutes limit the whole training, and it ends well by then.
    batch
        Images per step, over all processes.
    rate
        Highest learning rate.
    device
        auto, cpu, cuda:0 … or mps; with torchrun every process takes its own GPU.
    precision
        auto, bf16 or fp32.
    threads
        CPU threads; 0: all cores.
    seed
        Of all random numbers.
    setting
        Any other setting, as save_minutes=2; pretrain.yaml lists them all.
    """
    given: dict[str, Any] = {
        "objective": objective or ("moco" if sets else None),
        "model": model,
        "begin_from": None if begin_from in (None, NO_PRIOR) else prior_path(begin_from),
        "sets": sets,
        "datadir": datadir,
        "structures": structures,
        "synthetic": synthetic,
        "probe": probe,
        "steps": steps,
        "minutes": minutes,
        "anneal": anneal,
        "batch": batch,
        "rate": rate,
        "device": device,
        "precision": precision,
        "threads": threads,
        "seed": seed,
    }
    config = _settings(out, given, setting or [])
    check_settings(out, config)
    with Bar("pretrain") as bar:
        from napari_cryodeco.train import distributed
        from napari_cryodeco.train.pretrain import pretrain as work

        first = distributed.rank() == 0
        outcome = work(out, config, _shown_by(bar) if first else None)
    return _tell(out, config, outcome) if first else 0


def _settings(out: Path, given: dict[str, Any], settings: list[str]) -> PretrainConfig:
    """Saved settings, or defaults, with those given in their place."""
    values = {name: _absolute(value) for name, value in given.items() if value is not None}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--set {text}: write it as NAME=VALUE, such as save_minutes=2.")
        values[name] = yaml.safe_load(value)
    saved = read_settings(out)
    before = {} if saved is None else saved.model_dump()
    return PretrainConfig.of({**before, **values}, "pretrain")


def _absolute(value: Any) -> Any:
    """Let a later call from another folder find the same files."""
    if isinstance(value, Path):
        return value.absolute()
    return [_absolute(one) for one in value] if isinstance(value, list) else value


def _shown_by(bar: Bar) -> Callable[[Status], None]:
    def show(status: Status) -> None:
        if not status.ended:
            place = f": step {status.step:,} of {status.steps:,}" if status.steps else ""
            bar.show(f"pretrain{place}", status.share, status.eta_s)

    return show


def _tell(out: Path, config: PretrainConfig, outcome: Outcome) -> int:
    scores = "".join(f", k-NN {score:.3f} on {name}" for name, score in outcome.scores.items())
    of = "" if outcome.finished else f" of {config.steps:,}"
    done = f"{outcome.step:,}{of} steps in {outcome.seconds / 60:.1f} min{scores}"
    if outcome.limit == "stop":
        complain(f"{out} was stopped after {done}; `cryodeco pretrain {out}` goes on from there.")
        return 3
    if outcome.finished:
        prior = PretrainPaths(out).prior
        say(f"{prior}: {done}. Use it: cryodeco new STAR RUN --prior {prior}")
    else:
        say(f"{out}: {done}. `cryodeco pretrain {out}` goes on for {config.minutes:g} min.")
    return 0
