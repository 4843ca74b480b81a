"""A run handed to a batch system: templates of both families, and a fake sbatch that runs it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from napari_cryodeco import submission
from napari_cryodeco.cli import main
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.progress import Progress, read_status
from napari_cryodeco.submit_config import SubmitConfig

posix = pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for sbatch")

CRYOSPARC = """#!/usr/bin/env bash
#SBATCH --job-name cryosparc_{{ project_uid }}_{{ job_uid }}
#SBATCH -n {{ num_cpu }}
#SBATCH --gres=gpu:{{ num_gpu }}
#SBATCH --partition={{ queue }}
#SBATCH --mem={{ (ram_gb*1000)|int }}MB
#SBATCH -o {{ job_dir_abs }}/out.txt
{%- if num_gpu == 0 %}
#SBATCH --constraint=cpu
{%- endif %}
{{ run_cmd }}
"""
RELION = """#!/bin/tcsh
#$ -pe XXXqueueXXX XXXcoresXXX
#$ -e XXXerrfileXXX
echo ${#argv} XXXextra1XXX
mpiexec -n XXXmpinodesXXX XXXcommandXXX
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that looks like a run."""
    (tmp_path / "my run").mkdir()
    RunPaths(tmp_path / "my run").config.touch()
    return tmp_path / "my run"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_cryosparc_template_is_filled(run: Path, tmp_path: Path) -> None:
    template = written(tmp_path / "cs.sh", CRYOSPARC)
    config = SubmitConfig(template=template, num_gpu=2, ram_gb=24, variables="queue=gpu")
    *head, command = submission.script(run, config).splitlines()
    assert head == [
        "#!/usr/bin/env bash",
        "#SBATCH --job-name cryosparc_cryodeco_my run",
        "#SBATCH -n 8",
        "#SBATCH --gres=gpu:2",
        "#SBATCH --partition=gpu",
        "#SBATCH --mem=24000MB",
        f"#SBATCH -o {run}/out.txt",
    ]
    words = shlex.split(command)
    assert words[:3] == ["env", "OMP_NUM_THREADS=4", sys.executable]
    assert "--nproc-per-node=2" in words and words[-2:] == ["train", str(run)]


def test_a_relion_template_is_filled(run: Path, tmp_path: Path) -> None:
    template = written(tmp_path / "qsub.csh", RELION)
    config = SubmitConfig(
        template=template, num_gpu=0, num_cpu=6, variables="queue=all.q extra1='a b'"
    )
    lines = submission.script(run, config).splitlines()
    assert lines[1:4] == ["#$ -pe all.q 6", f"#$ -e {run}/log.txt", "echo ${#argv} a b"]
    words = shlex.split(lines[4])
    assert words[:3] == ["mpiexec", "-n", "1"]
    assert words[3:6] == ["env", "OMP_NUM_THREADS=6", sys.executable]
    assert words[6:] == ["-m", "napari_cryodeco", "train", str(run)]


def test_the_example_asks_for_what_is_set(run: Path) -> None:
    config = SubmitConfig(nodes=3, num_gpu=4, variables="partition=gpu time=2:00:00")
    text = submission.script(run, config)
    for line in ("--nodes=3", "--gpus-per-node=4", "--partition=gpu", "--time=2:00:00"):
        assert f"#SBATCH {line}\n" in text
    assert "--account" not in text
    command = text.splitlines()[-1]
    assert command.startswith("srun ") and "--nnodes=3 " in command
    done = subprocess.run(["bash", "-n"], input=text, text=True, check=False)
    assert done.returncode == 0
    assert "gpus" not in submission.script(run, SubmitConfig(num_gpu=0))


@pytest.mark.parametrize(
    ("text", "variables", "words"),
    [
        ("{{ run_cmd }} {{ queue }} {{ account }}", "", "asks for account, queue: give account="),
        ("XXXcommandXXX XXXqueueXXX", "", "asks for queue: give queue=VALUE"),
        ("{{ run_cmd }}", "queue=gpu", "has no place for queue: it asks for run_cmd"),
        ("XXXcommandXXX", "extra1=3", "has no place for extra1: it asks for command"),
        ("{{ run_cmd ", "", "line 1: "),
        ("{{ run_cmd }} {{ (hours * 60) | int }}", "", "'hours' is undefined"),
        ("sleep {{ num_gpu }}", "", "does not run anything of this run"),
    ],
)
def test_a_wrong_template_is_one_sentence(
    run: Path, tmp_path: Path, text: str, variables: str, words: str
) -> None:
    template = written(tmp_path / "t.sh", text)
    with pytest.raises(ValueError, match=r"t\.sh") as caught:
        submission.script(run, SubmitConfig(template=template, variables=variables))
    assert words in str(caught.value) and "\n" not in str(caught.value)


@posix
def test_what_the_batch_system_says_is_kept_or_told(run: Path, tmp_path: Path) -> None:
    program = written(tmp_path / "qsub", "#!/bin/sh\ncat >/dev/null; echo 12.server\n")
    program.chmod(0o755)
    told = submission.submit(run, SubmitConfig(command=f"{program} <"))
    assert (told.job, told.answer) == ("12.server", "12.server")
    record = json.loads(RunPaths(run).job.read_text())
    assert record["job"] == "12.server" and record["command"][-1] == str(RunPaths(run).script)
    status = read_status(run)
    assert (status.state, status.message) == (
        "queued",
        "handed to qsub, waiting for the cluster",
    )
    before = RunPaths(run).status.read_text()
    program.write_text("#!/bin/sh\necho invalid account >&2; exit 1\n")
    with pytest.raises(ValueError, match=r"qsub refused the script .*: invalid account"):
        submission.submit(run, SubmitConfig(command=str(program)))
    with pytest.raises(FileNotFoundError, match="no-such-sbatch: there is no such command"):
        submission.submit(run, SubmitConfig(command="no-such-sbatch"))
    assert RunPaths(run).status.read_text() == before
    with Progress(run), pytest.raises(ValueError, match="is being trained already"):
        submission.submit(run, SubmitConfig(command=str(program)))


def test_the_command_line_says_what_is_wrong(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, said in (
        (["--set", "queue"], "'queue': write it as NAME=VALUE"),
        (["--set", "num_gpu=many"], "num_gpu: "),
        (["--template", "gone.sh"], "gone.sh: there is no such template"),
    ):
        assert main(["submit", str(run), *words]) == 1
        text = capsys.readouterr().err
        assert said in text and text.count("\n") == 1
    monkeypatch.setenv("CRYODECO_SUBMIT_COMMAND", "qsub -V")
    assert main(["submit", str(run), "--show", "--set", "num_gpu=2"]) == 0
    shown = capsys.readouterr()
    assert "--gpus-per-node=2" in shown.out and "qsub -V" in shown.err
    assert not RunPaths(run).script.exists()


@posix
@pytest.mark.slow
def test_a_fake_sbatch_really_runs_it(
    tmp_path: Path, particle_set: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run, sbatch = tmp_path / "run", tmp_path / "sbatch"
    small = ["field.width=16", "refine.warmup=5", "refine.epochs=1", "threads=1", "refine.batch=16"]
    words = ["new", str(particle_set.star_with_poses), str(run), "--poses", "file"]
    words += ["--device", "cpu", *(part for text in small for part in ("--set", text))]
    assert main(words) == 0
    log = RunPaths(run).log
    source = Path(submission.__file__).parents[1]
    sbatch.write_text(
        f"#!/bin/sh\nexport PYTHONPATH={shlex.quote(str(source))}\n"
        f'bash "$1" >> {log} 2>&1 &\necho Submitted batch job 4242\n'
    )
    sbatch.chmod(0o755)
    # two processes on one machine, as with two GPUs
    asked = ["--command", str(sbatch), "--set", "num_gpu=2", "--set", "num_cpu=2"]
    assert main(["submit", str(run), *asked]) == 0
    assert "Submitted batch job 4242" in capsys.readouterr().out
    assert json.loads(RunPaths(run).job.read_text())["job"] == "4242"
    deadline = time.monotonic() + 240
    while (status := read_status(run)).state in ("queued", "running"):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    assert status.state == "done", log.read_text()
    assert RunPaths(run).epoch_numbers() == [1]
    assert main(["watch", str(run)]) == 0
