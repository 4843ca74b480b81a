"""The settings of a run: one model that is the YAML file, the command line and the form.

Every field carries a title, a description with its unit, and bounds. Nothing here imports torch.
"""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from napari_cryodeco.efforts import EFFORTS, Effort, filled
from napari_cryodeco.settings_file import plain_values, to_yaml
from napari_cryodeco.stage_config import (
    AbinitioConfig,
    DataConfig,
    EncoderConfig,
    FieldConfig,
    ParityConfig,
    Part,
    RefineConfig,
)

Preset = Literal["mixture", "simple-motion", "complex-motion"]

LATENT_DIMS: dict[Preset, tuple[int, int]] = {
    "mixture": (16, 128),
    "simple-motion": (4, 4),
    "complex-motion": (16, 64),
}
"""Most numbers in z by what varies: on a CPU, on a GPU."""


class TrainConfig(Part):
    """All settings of one run."""

    data: DataConfig = Field(title="Data", description="What is read.")
    poses: Literal["file", "abinitio"] = Field(
        default="abinitio",
        title="Poses",
        description="file: from the particle file; abinitio: orientations and shifts are found.",
    )
    refine_poses: bool = Field(
        default=False,
        title="Refine poses",
        description="Improve orientations and shifts together with the field (yes/no).",
    )
    preset: Preset = Field(
        default="mixture",
        title="What varies",
        description="mixture: different molecules; simple-motion: one hinge; complex-motion: "
        "many moving parts.",
    )
    effort: Effort = Field(
        default="normal",
        title="Effort",
        description="Sets what you leave alone. fast: half the epochs, fewer points per step, one "
        "restart; normal; parity: the published loop with its published numbers (days without a "
        "GPU).",
    )
    latent_dim: int | None = Field(
        default=None,
        ge=0,
        le=512,
        title="Latent dimensions",
        description="Numbers in z (count). Empty: as many as the images ask for, at most what "
        "varies allows (16, 4, 16; on a GPU 128, 4, 64); the parity loop takes that. "
        "0: no z, all particles show one rigid map.",
    )
    encoder: EncoderConfig = Field(
        default=EncoderConfig(), title="Encoder", description="How an image becomes z."
    )
    field: FieldConfig = Field(
        default=FieldConfig(), title="Field", description="The network that decodes z into a map."
    )
    abinitio: AbinitioConfig = Field(
        default=AbinitioConfig(), title="Ab initio", description="Poses and classes from nothing."
    )
    refine: RefineConfig = Field(
        default=RefineConfig(),
        title="Refinement",
        description="The fit of the field to the images.",
    )
    parity: ParityConfig = Field(
        default=ParityConfig(),
        title="Parity loop",
        description="Settings of the published loop only.",
    )
    loop: Literal["prior-first", "parity"] = Field(
        default="prior-first",
        title="Loop",
        description="prior-first: classes, explicit maps, then the field; parity: the published "
        "loop.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        title="Device",
        description="auto, cpu, cuda:0 … or mps.",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        default="auto",
        title="Precision",
        description="Number type of the matrix products; auto: whichever a short probe finds "
        "faster.",
    )
    threads: int = Field(
        default=0, ge=0, le=1024, title="Threads", description="CPU threads (count); 0: all cores."
    )
    deterministic: bool = Field(
        default=False,
        title="Reproducible to the bit",
        description="One thread and deterministic kernels: slower, and the same numbers every "
        "time (yes/no).",
    )
    seed: int = Field(
        default=1701,
        ge=0,
        le=2**31 - 1,
        title="Seed",
        description="Seed of all random numbers (integer).",
    )

    @model_validator(mode="before")
    @classmethod
    def _by_effort(cls, values: Any) -> Any:
        """Let the effort fill in what is not said."""
        effort = values.get("effort") if isinstance(values, dict) else None
        if not isinstance(effort, str) or effort not in EFFORTS:
            return values
        said = {
            name: part.model_dump(exclude_unset=True) if isinstance(part, BaseModel) else part
            for name, part in values.items()
        }
        return filled(effort, said)

    @field_validator("latent_dim", mode="before")
    @classmethod
    def _left_to_the_images(cls, value: Any) -> Any:
        """Take the word that other settings have for it."""
        return None if value == "auto" else value

    @model_validator(mode="after")
    def _one_map_one_species(self) -> TrainConfig:
        searched = self.poses == "abinitio" and self.loop == "prior-first"
        if self.latent_dim == 0 and searched and self.abinitio.classes not in ("auto", 1):
            raise ValueError(
                f"latent_dim 0 is one rigid map, which cannot show {self.abinitio.classes} "
                "species: set abinitio.classes to 1, or give z some numbers"
            )
        return self

    @property
    def rigid(self) -> bool:
        """Whether there is no z: one map for all particles."""
        return self.latent_dim == 0

    @property
    def species(self) -> Literal["auto"] | int:
        """Number of species to start from: one, if there is only one map."""
        return 1 if self.rigid else self.abinitio.classes

    def latent_size(self, gpu: bool) -> int:
        """Most numbers in z: `latent_dim`, or what varies and the machine say."""
        return LATENT_DIMS[self.preset][gpu] if self.latent_dim is None else self.latent_dim

    def to_yaml(self) -> str:
        """All settings as YAML text."""
        return to_yaml(self)

    @classmethod
    def from_yaml(cls, text: str, where: str | Path = "the settings") -> TrainConfig:
        """Read settings from YAML text.

        Raises
        ------
        ValueError
            Names `where`, the setting and what is wrong with it.
        """
        values = plain_values(text, where, "write it anew with `cryodeco new`")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "settings"
            raise ValueError(f"{where}: {name}: {first['msg']}.") from None


def effort_values(effort: Effort) -> dict[str, Any]:
    """What an effort means for each setting that some effort sets, by dotted name."""
    config = TrainConfig(data=DataConfig(source=Path("particles.star")), effort=effort)
    names = [
        f"{name}.{inner}" if inner else name
        for settings in EFFORTS.values()
        for name, value in settings.items()
        for inner in (value if isinstance(value, dict) else ("",))
    ]
    return {name: attrgetter(name)(config) for name in names}
