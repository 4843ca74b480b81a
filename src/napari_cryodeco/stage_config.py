"""The settings of each stage of a run: the groups that :class:`config.TrainConfig` is made of.

Every field carries a title, a description with its unit, and bounds. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

BUNDLED_PRIOR, NO_PRIOR = "bundled", "none"


class Part(BaseModel):
    """What all groups of settings have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class DataConfig(Part):
    """What is read."""

    source: Path = Field(title="Particles", description="STAR, .cs or .mrcs file of the particles.")
    datadir: Path | None = Field(
        default=None,
        title="Data folder",
        description="Folder that image names are relative to; empty: beside the file and above.",
    )
    box: int | None = Field(
        default=None,
        ge=16,
        le=1024,
        title="Working box",
        description="Side of the working images in pixels (even); larger ones are Fourier-cropped. "
        "Empty: at most 64 px without a GPU, 128 px with one.",
    )
    contrast: Literal["auto", "light", "dark"] = Field(
        default="auto",
        title="Protein contrast",
        description="Protein in the images; auto: as the file says, else as the images show.",
    )

    @field_validator("box")
    @classmethod
    def _even(cls, box: int | None) -> int | None:
        if box is not None and box % 2:
            raise ValueError(f"the working box must be an even number of pixels, not {box}")
        return box


class EncoderConfig(Part):
    """How an image becomes a latent point z."""

    kind: Literal["auto", "table", "cnn", "vit"] = Field(
        default="auto",
        title="Encoder",
        description="table: one free z per particle, from a linear start; cnn: a small network for "
        "CPUs; vit: ViT-S/14; auto: vit when the prior is one and there is a GPU, else table.",
    )
    prior: str = Field(
        default="bundled",
        min_length=1,
        title="Prior",
        description="Pretrained encoder that sorts the images at first. bundled: the one of this "
        "package; none: classical image features; or a folder or .safetensors file of weights "
        "(Cryo-IEF, CryoRanker, your own).",
    )
    strategy: Literal["full", "blocks", "head", "fixed"] = Field(
        default="full",
        title="Fine-tuning",
        description="What of a pretrained encoder is trained with the field: all, the last blocks, "
        "the head only, or nothing but a linear map of its fixed features.",
    )
    blocks: int = Field(
        default=3,
        ge=1,
        le=12,
        title="Trained blocks",
        description="Number of last blocks trained with the strategy 'blocks' (count).",
    )
    table_after: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        title="Table after",
        description="Epochs of the refinement after which z of each particle is read off once more "
        "and then moves freely, and the encoder is no longer run (count). Empty: never.",
    )

    @field_validator("prior", mode="before")
    @classmethod
    def _named(cls, prior: Any) -> Any:
        return NO_PRIOR if prior is None else prior  # as runs made before there was a bundled one

    @model_validator(mode="after")
    def _prior_for_frozen(self) -> EncoderConfig:
        bare = {"cnn": (NO_PRIOR,), "vit": (NO_PRIOR, BUNDLED_PRIOR)}  # the bundled one is a cnn
        if self.strategy != "full" and self.prior in bare.get(self.kind, ()):
            raise ValueError(
                f"strategy '{self.strategy}' freezes a {self.kind} without a prior of its kind: "
                "random features carry nothing; give such a prior or use the strategy 'full'"
            )
        return self


class FieldConfig(Part):
    """The neural field that decodes z into a map."""

    width: int = Field(
        default=256, ge=8, le=2048, title="Width", description="Units per hidden layer (count)."
    )
    layers: int = Field(
        default=3,
        ge=1,
        le=16,
        title="Residual layers",
        description="Hidden residual layers (count).",
    )
    frequencies: int = Field(
        default=192,
        ge=8,
        le=2048,
        title="Fourier features",
        description="Random Gaussian vectors of the positional features (count).",
    )
    sigma: float | None = Field(
        default=None,
        gt=0,
        le=8,
        title="Feature spread",
        description="Standard deviation of those vectors; the features reach sigma·D/4π pixels "
        "from the centre in real space (dimensionless). Empty: as wide as the mean map; "
        "published: 0.5.",
    )
    layer_norm: bool = Field(
        default=True,
        title="Layer norm",
        description="LayerNorm on every branch, as published (yes/no).",
    )


class AbinitioConfig(Part):
    """Poses and classes from nothing."""

    classes: Literal["auto"] | int = Field(
        default="auto",
        title="Species",
        description="Number of discrete species to start from; 1: one species that may move; "
        "auto: clusters of image features, those that one map explains as well made one (count).",
    )
    restarts: int = Field(
        default=2,
        ge=1,
        le=64,
        title="Restarts",
        description="Random starts of all species, ranked on held-out images; of two to four "
        "species one more keeps to the clusters of the features (count).",
    )

    @field_validator("classes")
    @classmethod
    def _positive(cls, classes: str | int) -> str | int:
        if isinstance(classes, int) and not 1 <= classes <= 64:
            raise ValueError(f"the number of species must lie between 1 and 64, not {classes}")
        return classes


class RefineConfig(Part):
    """The fit of the field to the images."""

    epochs: int = Field(
        default=8,
        ge=1,
        le=1000,
        title="Epochs",
        description="Passes over all particles (count); the parity loop has its own.",
    )
    warmup: int = Field(
        default=400,
        ge=0,
        le=100_000,
        title="Warm-up",
        description="Steps in which the field learns the linear model before it sees images "
        "(count).",
    )
    batch: int = Field(
        default=32, ge=1, le=4096, title="Batch", description="Particles per gradient step (count)."
    )
    point_fraction: float = Field(
        default=0.5,
        gt=0,
        le=1,
        title="Points per step",
        description="Share of the Fourier points of each image used in a step, drawn anew each "
        "time (fraction).",
    )
    start_radius: int = Field(
        default=10,
        ge=2,
        le=512,
        title="First radius",
        description="Fourier radius that the fit begins with (cycles per box).",
    )
    march: float = Field(
        default=0.4,
        ge=0,
        le=1,
        title="Marching",
        description="Share of the epochs over which the radius grows to its full value (fraction).",
    )
    field_rate: float = Field(
        default=1e-3,
        gt=0,
        le=1,
        title="Field rate",
        description="Learning rate of the field (per step).",
    )
    latent_rate: float = Field(
        default=1e-2,
        ge=0,
        le=1,
        title="Latent rate",
        description="Learning rate of the z table (z units).",
    )
    encoder_rate: float = Field(
        default=3e-4,
        gt=0,
        le=1,
        title="Encoder rate",
        description="Learning rate of the encoder (per step).",
    )
    rotation_rate: float = Field(
        default=1e-2,
        ge=0,
        le=0.1,
        title="Rotation rate",
        description="Step of a rotation when poses are refined (radians per visit).",
    )
    shift_rate: float = Field(
        default=5e-2,
        ge=0,
        le=1,
        title="Shift rate",
        description="Step of a shift when poses are refined (working pixels per visit).",
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=1,
        title="Weight decay",
        description="AdamW weight decay of the field (per step, times the rate).",
    )
    early_stop: bool = Field(
        default=True,
        title="Stop early",
        description="End with one more epoch once, within 5 epochs, under 0.5 % of the particles "
        "changed their cluster in z and orientations turned by under 0.2° (yes/no).",
    )


class ParityConfig(Part):
    """The published three-stage loop (algorithm.md §4)."""

    warmup_images: int = Field(
        default=10_000,
        ge=0,
        title="Warm-up",
        description="Images with random poses before the search (count).",
    )
    warmup_batch: int = Field(
        default=64,
        ge=1,
        le=4096,
        title="Warm-up batch",
        description="Particles per gradient step of the warm-up, and of all epochs where poses are "
        "given (count).",
    )
    search_images: int = Field(
        default=500_000,
        ge=1,
        title="Search budget",
        description="Image passes of pose search; its epochs are this divided by the particles, "
        "2 to 6 (count).",
    )
    search_batch: int = Field(
        default=22,
        ge=1,
        le=4096,
        title="Search batch",
        description="Particles searched before each gradient step (count).",
    )
    search_level: int = Field(
        default=2,
        ge=0,
        le=4,
        title="Base grid",
        description="HEALPix level of the exhaustive search; 0: 72, 1: 576, 2: 4608 rotations "
        "(level).",
    )
    kept: int = Field(
        default=8,
        ge=1,
        le=64,
        title="Poses kept",
        description="Best poses refined per image (count).",
    )
    levels: int = Field(
        default=4, ge=0, le=8, title="Refinements", description="Halvings of the pose grid (count)."
    )
    epochs: int = Field(
        default=100,
        ge=1,
        le=1000,
        title="SGD epochs",
        description="Passes after the pose search (count).",
    )
