"""``cryodeco train`` and ``watch``."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

from napari_cryodeco.commands.common import require_run
from napari_cryodeco.runs.latent_size import read_latent_size, size_sentence, species_sentence
from napari_cryodeco.runs.mirrored import refuse_mirror
from napari_cryodeco.runs.origin import refuse_adopted
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.prior_record import read_record
from napari_cryodeco.runs.process import world_rank
from napari_cryodeco.runs.progress import RunFollower, announce, read_status
from napari_cryodeco.runs.species import read_species, summary
from napari_cryodeco.terminal import Bar, complain, describe, duration, say


def train(run: Path, /) -> int:
    """Train a run, or go on where it was stopped; the file RUN/stop stops it.

    On several GPUs: torchrun --nproc-per-node 4 -m napari_cryodeco train RUN.

    Parameters
    ----------
    run
        Run directory.
    """
    require_run(run)
    refuse_adopted(run)
    refuse_mirror(run)
    if world_rank():
        return _follow(run)
    if read_status(run).state != "running":
        RunPaths(run).stop.unlink(missing_ok=True)  # an old request
        announce(run, os.getpid())
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's way to stop
    with Bar("train") as bar:
        from napari_cryodeco.runs.integrity import source_warning
        from napari_cryodeco.runs.run import Run
        from napari_cryodeco.train.reconstruct import reconstruct

        opened = Run.open(run)
        if opened.paths.images.is_file() and (warning := source_warning(opened)):
            complain(warning)
        status = reconstruct(opened, bar.status)
    if status.state == "stopped":
        complain(f"{run} was stopped; `cryodeco train {run}` goes on from there.")
        return 3
    if (record := read_record(run)) is not None:
        say(record.sentence)
    _say_contrast(run)
    _say_sizes(run)
    if records := read_species(run):
        say(f"{summary(records)} Each by itself: cryodeco species {run}")
    epochs = RunPaths(run).epoch_numbers()
    _say_early(run)
    after = f"decode {run} -o map.mrc" if Run.open(run).config.rigid else f"project {run}"
    say(f"{run} is done: {len(epochs)} epochs. Next: cryodeco {after}")
    return 0


def _follow(run: Path) -> int:
    """Be one of several processes that torchrun started, but the first: it alone speaks."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # torchrun ends this process if it must
    from napari_cryodeco.runs.run import Run
    from napari_cryodeco.train.reconstruct import reconstruct

    reconstruct(Run.open(run))
    return 0


def _say_early(run: Path) -> None:
    """Tell that the refinement ended before all epochs, and why."""
    from napari_cryodeco.runs.run import Run
    from napari_cryodeco.runs.store import read_header

    refine = RunPaths(run).stage("refine")
    asked = Run.open(run).config.refine.epochs
    done = int(read_header(refine)["finished"]) if refine.is_file() else asked
    if done < asked:
        say(
            f"Refined for {done} of {asked} epochs: clusters and orientations no longer changed"
            " (refine.early_stop)."
        )


def _say_contrast(run: Path) -> None:
    """Tell whether protein is light, where the images were asked."""
    from napari_cryodeco.runs.run import Run
    from napari_cryodeco.train.prepare import contrast_sentence

    geometry = Run.open(run).geometry
    if geometry.contrast_score is not None:
        say(f"Images: {contrast_sentence(geometry)}.")


def _say_sizes(run: Path) -> None:
    """Tell how many numbers z has and how many species were estimated, and how."""
    if (record := read_latent_size(run)) is None:
        return
    species = species_sentence(record, len(read_species(run)))
    for sentence in filter(None, (species, size_sentence(record))):
        say(sentence)


def watch(run: Path, /, *, once: bool = False) -> int:
    """Follow the training of a run until it ends, from any machine that sees the folder.

    Parameters
    ----------
    run
        Run directory.
    once
        Say how it stands and return.
    """
    require_run(run)
    follower, last = RunFollower(run), {}
    with Bar("watch") as bar:
        while True:
            update = follower.poll()
            last.update({metric.name: metric.value for metric in update.metrics})
            status = update.status
            if once or status.ended:
                break
            bar.status(status)
            time.sleep(1.0)
    numbers = "".join(f", {name} {value:.4g}" for name, value in sorted(last.items()))
    left = "" if status.ended else f", {status.share:.0%}, {duration(status.eta_s)}"
    say(f"{run}: {status.state}, {describe(status)}{left}{numbers}")
    if status.state == "failed":
        complain(status.error)
    if status.state == "lost":
        complain(f"The process is gone; `cryodeco train {run}` goes on from the last checkpoint.")
    return int(status.state in ("failed", "lost"))
