"""The command line. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cyclopts import App, CycloptsError

from napari_cryodeco.commands.adopting import adopt
from napari_cryodeco.commands.bundling import bundle
from napari_cryodeco.commands.checking import check
from napari_cryodeco.commands.columns import columns
from napari_cryodeco.commands.dimensions import dimensions
from napari_cryodeco.commands.evidence import backproject
from napari_cryodeco.commands.exploring import cluster, decode, project, stability
from napari_cryodeco.commands.filming import movie
from napari_cryodeco.commands.judging import align, judge, score
from napari_cryodeco.commands.landscaping import landscape
from napari_cryodeco.commands.mapping import codebook
from napari_cryodeco.commands.moving import motion
from napari_cryodeco.commands.new import new
from napari_cryodeco.commands.pathing import path
from napari_cryodeco.commands.pretraining import pretrain
from napari_cryodeco.commands.priors import prior
from napari_cryodeco.commands.regrouping import regroup
from napari_cryodeco.commands.retrying import retry
from napari_cryodeco.commands.samples import demo, simulate
from napari_cryodeco.commands.serving import mirror, serve
from napari_cryodeco.commands.species import species
from napari_cryodeco.commands.submitting import submit
from napari_cryodeco.commands.training import train, watch
from napari_cryodeco.commands.writing import export, select
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import fail, one_line
from napari_cryodeco.terminal import complain


def _version() -> str:
    try:
        return version("napari-cryodeco")
    except PackageNotFoundError:
        return "unknown (not installed)"


app = App(
    name="cryodeco",
    help="Sort mixed cryo-EM particles into structures and motions.",
    version=_version,
)
_COMMANDS = (
    *(new, train, submit, watch, project, cluster, decode, movie, select, export, simulate, demo),
    *(adopt, backproject, codebook, check, align, score, species, dimensions, pretrain, prior),
    *(retry, columns, stability, judge, bundle, path, serve, mirror, motion, regroup, landscape),
)
for _command in _COMMANDS:
    app.command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 0, or 1 and 2 with one sentence on standard error.

    The traceback goes to ``RUN/log.txt`` of the run concerned.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # an Å must not end a run on an ASCII terminal
    try:
        command, bound, _ = app.parse_args(arguments, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        complain(f"cryodeco: {one_line(error)} See `cryodeco --help`.")
        return 2
    try:
        return int(command(*bound.args, **bound.kwargs) or 0)
    except KeyboardInterrupt:
        complain("cryodeco: interrupted.")
        return 130
    except Exception as error:  # noqa: BLE001  (the one place where everything ends as a sentence)
        _record(bound.arguments.get("run"), error)
        complain(f"cryodeco: {one_line(error)}")
        return 1


def _record(run: object, error: Exception) -> None:
    """Keep the traceback in the run's log, and the sentence in its status."""
    if not isinstance(run, Path) or not RunPaths(run).config.is_file():
        return
    fail(run, one_line(error))
    with suppress(OSError), RunPaths(run).log.open("a", encoding="utf-8") as log:
        log.write("".join(traceback.format_exception(error)))
