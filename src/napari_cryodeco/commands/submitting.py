"""``cryodeco submit``: hand a run to a batch system."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import ValidationError

from napari_cryodeco.commands.common import require_run
from napari_cryodeco.runs.mirrored import refuse_mirror
from napari_cryodeco.runs.origin import refuse_adopted
from napari_cryodeco.submit_config import SubmitConfig
from napari_cryodeco.terminal import complain, say

_OWN = ("nodes", "num_gpu", "num_cpu", "ram_gb")


def submit(
    run: Path,
    /,
    *,
    template: Path | None = None,
    command: str | None = None,
    setting: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    show: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Hand the training of a run to Slurm or another batch system.

    Parameters
    ----------
    run
        Run directory; all machines of the job must see it under this name.
    template
        Submission script with {{ name }} or XXXnameXXX in place of values; a Slurm example comes
        with the package. The variable CRYODECO_SUBMIT_TEMPLATE may name another.
    command
        Program that takes the script: sbatch, or what CRYODECO_SUBMIT_COMMAND says.
    setting
        A value of the template, as partition=gpu; nodes=1, num_gpu=1 (on each machine), num_cpu=8
        and ram_gb=64 are known.
    show
        Print the script and the command, and submit nothing.
    """
    require_run(run)
    refuse_adopted(run)
    refuse_mirror(run)
    config = _config(template, command, setting or [])
    from napari_cryodeco import submission

    if show:
        complain(f"# from {config.template or submission.EXAMPLE}")
        say(submission.script(run, config).rstrip())
        complain(f"# {shlex.join(submission.command(run, config))}")
        return
    told = submission.submit(run, config)
    say(f"{shlex.join(told.command)}: {told.answer}")
    say(f"Follow it with: cryodeco watch {run}")


def _config(template: Path | None, command: str | None, settings: list[str]) -> SubmitConfig:
    words = {name: value for name, _, value in (text.partition("=") for text in settings)}
    values: dict[str, object] = {name: words[name] for name in _OWN if name in words}
    others = [text for text in settings if text.partition("=")[0] not in _OWN]
    values |= {"template": template} if template else {}
    values |= {"command": command} if command is not None else {}
    values |= {"variables": shlex.join(others)} if others else {}
    try:
        return SubmitConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        what = str(first["msg"]).removeprefix("Value error, ")
        name = "--set" if first["loc"] == ("variables",) else str(first["loc"][0])
        raise ValueError(f"{name}: {what}.") from None
