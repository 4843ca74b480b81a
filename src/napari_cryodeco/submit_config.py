"""How a run is handed to a batch system: the settings of ``cryodeco submit`` and of the window."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from pydantic import Field, field_validator

from napari_cryodeco.stage_config import Part

TEMPLATE_VARIABLE, COMMAND_VARIABLE = "CRYODECO_SUBMIT_TEMPLATE", "CRYODECO_SUBMIT_COMMAND"


def _template() -> Path | None:
    named = os.environ.get(TEMPLATE_VARIABLE)
    return Path(named) if named else None


class SubmitConfig(Part):
    """Template, command and what the template asks for."""

    template: Path | None = Field(
        default_factory=_template,
        title="Template",
        description="Submission script with {{ name }} (as in cryoSPARC) or XXXnameXXX (as in "
        "RELION) in place of values. Empty: the Slurm example of this package, or the file that "
        f"{TEMPLATE_VARIABLE} names.",
    )
    command: str = Field(
        default_factory=lambda: os.environ.get(COMMAND_VARIABLE, "sbatch"),
        min_length=1,
        title="Submit command",
        description="Program that takes the script: sbatch, qsub, or 'bsub <' to read it from "
        "standard input.",
    )
    nodes: int = Field(
        default=1, ge=1, le=1024, title="Machines", description="Machines of the job (count)."
    )
    num_gpu: int = Field(
        default=1,
        ge=0,
        le=64,
        title="GPUs",
        description="GPUs on each machine (count): one process for each; 0: one on CPUs.",
    )
    num_cpu: int = Field(
        default=8, ge=1, le=1024, title="CPU cores", description="Cores on each machine (count)."
    )
    ram_gb: int = Field(
        default=64, ge=1, le=65536, title="Memory", description="Memory on each machine (GB)."
    )
    variables: str | None = Field(
        default=None,
        title="Other values",
        description="Other names in the template, such as: partition=gpu time=48:00:00",
    )

    @field_validator("variables")
    @classmethod
    def _pairs(cls, text: str | None) -> str | None:
        for word in shlex.split(text or ""):
            name, equals, _ = word.partition("=")
            if not (equals and name.isidentifier()):
                raise ValueError(f"'{word}': write it as NAME=VALUE, such as partition=gpu")
        return text

    @property
    def values(self) -> dict[str, str]:
        """The other values by name."""
        words = (word.partition("=") for word in shlex.split(self.variables or ""))
        return {name: value for name, _, value in words}
