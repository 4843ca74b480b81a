"""The settings of a run: one model that is the YAML file, the command line and the form.

Every field carries a title, a description with its unit, and bounds. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

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

LATENT_DIMS: dict[Preset, int] = {"mixture": 16, "simple-motion": 4, "complex-motion": 16}


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
    latent_dim: int | None = Field(
        default=None,
        ge=1,
        le=512,
        title="Latent dimensions",
        description="Numbers in z (count). Empty: by what varies (16, 4, 16).",
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

    @property
    def latent_size(self) -> int:
        """Numbers in z: `latent_dim`, or what the preset says."""
        return self.latent_dim if self.latent_dim is not None else LATENT_DIMS[self.preset]

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
