"""A run handed to a batch system by a script made from a template.

The run directory alone tells how the job stands: it may run on any machine that sees the folder.
"""

from __future__ import annotations

import getpass
import re
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from napari_cryodeco.atomic import write_text
from napari_cryodeco.runs.json_file import write_json
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import enqueue, read_status
from napari_cryodeco.submit_config import SubmitConfig

EXAMPLE = Path(__file__).parent / "templates" / "slurm.sh"
_RELION = re.compile(r"XXX([A-Za-z]\w*?)XXX")
_JOB = re.compile(r"\d[\w.\[\]-]*")
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Submitted:
    """What was handed over: the `command`, its `answer`, the `job` as the batch system calls it.

    Kept as ``RUN/job.json``, with the `host` and `time` (seconds since 1970) of the submission.
    """

    command: tuple[str, ...]
    answer: str
    job: str
    host: str
    time: float


def script(run: Path, config: SubmitConfig) -> str:
    """Write the submission script of a run as text.

    Raises
    ------
    FileNotFoundError
        If there is no such template.
    ValueError
        If the template is wrong, asks for values that are not given, or has no place for one.
    """
    template = config.template or EXAMPLE
    if not template.is_file():
        raise FileNotFoundError(f"{template}: there is no such template.")
    text = template.read_text(encoding="utf-8")
    given = config.values
    values = _known(run.absolute(), config) | given
    asked = _asked(text, template)
    if unused := sorted(set(given) - asked):
        raise ValueError(
            f"{template} has no place for {', '.join(unused)}: it asks for "
            f"{', '.join(sorted(asked))}."
        )
    if not asked & {"run_cmd", "command", "run_dir", "job_dir_abs"}:
        raise ValueError(
            f"{template} does not run anything of this run: put {{{{ run_cmd }}}} or XXXcommandXXX "
            "where the command belongs."
        )
    missing: set[str] = set()
    made = _fill(text, template, values, missing)
    if missing:
        first = sorted(missing)[0]
        raise ValueError(
            f"{template} asks for {', '.join(sorted(missing))}: give {first}=VALUE "
            "(--set, or Other values in the window)."
        )
    return made


def command(run: Path, config: SubmitConfig) -> tuple[str, ...]:
    """Words of the command that hands the script over; a last ``<`` stands for standard input."""
    words = shlex.split(config.command)
    return (*words, str(RunPaths(run.absolute()).script))


def submit(run: Path, config: SubmitConfig) -> Submitted:
    """Write ``RUN/submit.sh``, hand it to the batch system and keep its answer.

    Raises
    ------
    FileNotFoundError
        If there is no such run, template or command.
    ValueError
        If the run is being trained, the template is wrong, or the batch system refuses.
    """
    paths = RunPaths(run.absolute())
    if not paths.config.is_file():
        raise FileNotFoundError(f"{run} is no run: make one with `cryodeco new`.")
    if read_status(paths.root).state == "running":
        raise ValueError(f"{run} is being trained already: stop it first.")
    write_text(paths.script, script(run, config))
    paths.script.chmod(0o755)
    paths.stop.unlink(missing_ok=True)  # an old request to stop
    before = paths.status.read_text(encoding="utf-8") if paths.status.is_file() else None
    words = command(run, config)
    enqueue(paths.root, f"handed to {Path(words[0]).name}, waiting for the cluster")
    try:
        answer = _hand_over(words)
    except (OSError, ValueError):
        if before is not None:
            write_text(paths.status, before)
        raise
    found = _JOB.search(answer)
    told = Submitted(words, answer, found[0] if found else "", socket.gethostname(), time.time())
    write_json(paths.job, told)
    return told


def _hand_over(words: tuple[str, ...]) -> str:
    """Run the command and return what it says."""
    *start, last = words
    piped = bool(start) and start[-1] == "<"
    line = start[:-1] if piped else [*words]
    text = Path(last).read_text(encoding="utf-8") if piped else None
    try:
        done = subprocess.run(
            line, input=text, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{line[0]}: there is no such command on {socket.gethostname()}: submit where it is, "
            "or choose another submit command."
        ) from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"{line[0]} did not answer within {_PATIENCE_S:.0f} s.") from None
    said = " ".join((done.stdout.strip() or done.stderr.strip()).split())
    if done.returncode:
        said = " ".join((done.stderr.strip() or said).split())
        raise ValueError(f"{line[0]} refused the script {last}: {said or done.returncode}")
    return said


def _known(run: Path, config: SubmitConfig) -> dict[str, object]:
    """All values that need not be given, under our names, cryoSPARC's and RELION's."""
    paths, user = RunPaths(run), getpass.getuser()
    line = train_command(run, config)
    resources = {name: getattr(config, name) for name in ("nodes", "num_gpu", "num_cpu", "ram_gb")}
    own = {"run_cmd": line, "run_dir": str(run), "name": run.name, "log": str(paths.log)}
    cryosparc = {
        "job_dir_abs": str(run),
        "project_dir_abs": str(run.parent),
        "job_log_path_abs": str(paths.log),
        "script_path_abs": str(paths.script),
        "project_uid": "cryodeco",
        "job_uid": run.name,
        "job_type": "train",
        "job_creator": user,
        "cryosparc_username": user,
    }
    relion = {
        "command": line,
        "outfile": str(paths.log),
        "errfile": str(paths.log),
        "mpinodes": 1,  # the command itself starts a process for each GPU
        "threads": config.num_cpu,
        "dedicated": config.num_cpu,
        "cores": config.nodes * config.num_cpu,
    }
    return resources | own | cryosparc | relion


def train_command(run: Path, config: SubmitConfig) -> str:
    """Shell command that trains a run in one process a GPU."""
    processes = max(1, config.num_gpu)
    threads = max(1, config.num_cpu // processes)
    start = ["env", f"OMP_NUM_THREADS={threads}", sys.executable]
    work = shlex.join(["-m", "napari_cryodeco", "train", str(run)])
    if config.nodes * processes == 1:
        return f"{shlex.join(start)} {work}"
    spread = [*start, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    if config.nodes == 1:
        return f"{shlex.join([*spread, '--standalone'])} {work}"
    meeting = (
        f"--nnodes={config.nodes} --rdzv-backend=c10d --rdzv-id=$SLURM_JOB_ID "
        '--rdzv-endpoint=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):'
        "$((20000 + SLURM_JOB_ID % 40000))"
    )
    return f"srun --ntasks-per-node=1 {shlex.join(spread)} {meeting} {work}"


def _asked(text: str, template: Path) -> set[str]:
    """Names that a template has a place for."""
    if not _is_jinja(text):
        return set(_RELION.findall(text))
    import jinja2
    from jinja2 import meta

    try:
        return meta.find_undeclared_variables(jinja2.Environment().parse(text))
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"{template} line {error.lineno}: {error.message}.") from None


def _fill(text: str, template: Path, values: dict[str, object], missing: set[str]) -> str:
    """Put the values in; names without one are added to `missing`."""
    if not _is_jinja(text):
        missing |= set(_RELION.findall(text)) - set(values)
        return _RELION.sub(lambda found: str(values.get(found[1], "")), text)
    import jinja2  # 0.1 s that no other command needs

    class Noted(jinja2.Undefined):
        def __str__(self) -> str:
            missing.add(str(self._undefined_name))
            return ""

    environment = jinja2.Environment(undefined=Noted, keep_trailing_newline=True, autoescape=False)
    try:
        return environment.from_string(text).render(values)
    except jinja2.UndefinedError as error:
        raise ValueError(f"{template}: {error}: give it a value (NAME=VALUE).") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{template}: {error}.") from None


def _is_jinja(text: str) -> bool:
    """Whether it is written as cryoSPARC's; in shell scripts ``${#a}`` would begin a comment."""
    return "{{" in text
