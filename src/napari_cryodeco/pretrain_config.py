"""The settings of `cryodeco pretrain`: one model that is the command line and ``pretrain.yaml``.

Every field carries a title, a description with its unit, and bounds. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_cryodeco.settings_file import plain_values, to_yaml

ObjectiveName = Literal["prototypes", "supcon", "identity", "moco"]
ModelName = Literal["small", "vit-s", "vit-b"]
KindName = Literal["blob", "assembly", "warped", "fragment"]

LIMITS = frozenset(
    {"steps", "minutes", "anneal", "save_minutes", "probe", "probe_every"}
    | {"device", "precision", "threads"}
)
"""Settings that may differ when a training goes on: how long, how often, and on what machine."""

_RATES = {"small": 1e-3, "vit-s": 1.5e-4, "vit-b": 1.5e-4}


class PretrainConfig(BaseModel):
    """All settings of the pretraining of one prior."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    objective: ObjectiveName = Field(
        default="prototypes",
        title="Objective",
        description="prototypes: images gather round the mean of their simulated species; supcon: "
        "images of one simulated species attract each other; identity: each simulated species is a "
        "class; moco: two views of one image attract each other (MoCo v3), the one that needs no "
        "truth.",
    )
    model: ModelName = Field(
        default="small",
        title="Encoder",
        description="small: a convolutional net on 32-px views, for CPUs; vit-s, vit-b: Cryo-IEF's "
        "ViT on 224-px views, for GPUs.",
    )
    shape: dict[str, int | tuple[int, ...]] = Field(
        default={},
        title="Encoder's shape",
        description="Sizes of the encoder by the names of its constructor (counts). Empty: its "
        "own defaults.",
    )
    begin_from: Path | None = Field(
        default=None,
        title="Begin from",
        description="Weights of an earlier prior to begin from, or 'bundled'; tensors of another "
        "shape begin anew. Empty: random ones.",
    )
    sets: tuple[Path, ...] = Field(
        default=(),
        title="Particle sets",
        description="STAR, .cs or .mrcs files of particles to learn from, for moco.",
    )
    datadir: Path | None = Field(
        default=None,
        title="Data folder",
        description="Folder that the image names of the sets are relative to; empty: beside the "
        "files and their parents.",
    )
    per_set: int = Field(
        default=100_000,
        ge=1,
        title="Particles per set",
        description="At most so many particles of each set are drawn in one pass over the data, "
        "so that no large set drowns the others (count).",
    )
    structures: Path | None = Field(
        default=None,
        title="Structures",
        description="Folder of bead models (.npz) to simulate; empty: those shipped.",
    )
    synthetic: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        title="Synthetic structures",
        description="Procedural structures simulated beside the real ones (count).",
    )
    kinds: tuple[KindName, ...] = Field(
        default=("blob", "assembly", "warped", "fragment"),
        min_length=1,
        title="Kinds of synthetic structures",
        description="blob: bodies of domains; assembly: pieces of real structures put together "
        "anew; warped: real ones bent and stretched; fragment: cut as well (names).",
    )
    snr: tuple[float, float] = Field(
        default=(0.015, 1.0),
        title="Signal to noise",
        description="Lowest and highest SNR of simulated images (variance of the signal over that "
        "of the noise, all pixels of a 64-px box).",
    )
    probe: tuple[Path, ...] = Field(
        default=(),
        title="Probe sets",
        description="Simulated folders with gt/ground_truth.npz, whose species are told apart by "
        "k nearest neighbours along the way.",
    )
    probe_every: int = Field(
        default=500, ge=1, title="Probe every", description="Steps between two probes (count)."
    )
    steps: int = Field(
        default=20_000,
        ge=1,
        le=10_000_000,
        title="Steps",
        description="Steps of the whole training; the learning rate falls towards it (count).",
    )
    minutes: float | None = Field(
        default=None,
        gt=0,
        title="Minutes",
        description="This call ends after so long; a later one goes on (minutes). Empty: no limit.",
    )
    anneal: bool = Field(
        default=False,
        title="Anneal in time",
        description="The minutes limit the whole training, over all calls, and the rate reaches "
        "its floor by then (yes/no).",
    )
    batch: int = Field(
        default=256,
        ge=2,
        le=65_536,
        title="Batch",
        description="Images per step, over all processes (count).",
    )
    rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        title="Peak rate",
        description="Highest learning rate (per step). Empty: 1e-3 for the small encoder, 1.5e-4 "
        "per 256 images of the batch for a ViT.",
    )
    floor: float = Field(
        default=0.01,
        ge=0,
        le=1,
        title="Last rate",
        description="Learning rate at the end, as a share of the peak (fraction).",
    )
    warmup: float = Field(
        default=0.03,
        ge=0,
        lt=1,
        title="Warm-up",
        description="Share of the training over which the rate rises (fraction).",
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0,
        le=1,
        title="Weight decay",
        description="AdamW weight decay of matrices and kernels; norms and biases have none (per "
        "step, times the rate). Empty: 0.1 for moco, else 0.05.",
    )
    clip: float = Field(
        default=1.0,
        gt=0,
        title="Gradient norm",
        description="Longer gradients are shortened to this norm (loss units per weight).",
    )
    average: float = Field(
        default=0.999,
        ge=0,
        lt=1,
        title="Averaging",
        description="Share of the averaged weights that a step keeps; the average is what is "
        "probed and exported (fraction). 0: no averaging.",
    )
    temperature: float | None = Field(
        default=None,
        gt=0,
        le=10,
        title="Temperature",
        description="Divides the cosines of a contrastive loss (dimensionless). Empty: 0.1 for "
        "supcon, 0.5 for moco.",
    )
    momentum: float = Field(
        default=0.99,
        ge=0,
        le=1,
        title="Momentum",
        description="Share that moco's key encoder keeps of itself in a step, at the start; it "
        "rises to 1 (fraction).",
    )
    save_minutes: float = Field(
        default=5.0,
        gt=0,
        title="Save every",
        description="Minutes between two saves of the whole state (minutes).",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        title="Device",
        description="auto, cpu, cuda:0 … or mps; under torchrun each process takes its own GPU.",
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        default="auto",
        title="Precision",
        description="Number type of the encoder's matrix products; auto: whichever a short probe "
        "finds faster.",
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

    @model_validator(mode="after")
    def _sets_for_moco(self) -> PretrainConfig:
        if self.sets and self.objective != "moco":
            raise ValueError(
                f"the objective {self.objective} learns simulated species and sees no particle "
                "sets: leave them out, or choose moco"
            )
        return self

    @property
    def peak_rate(self) -> float:
        """Highest learning rate: as set, or the encoder's own."""
        if self.rate is not None:
            return self.rate
        return _RATES[self.model] * (1.0 if self.model == "small" else self.batch / 256)

    @property
    def decay(self) -> float:
        """Weight decay: as set, or the objective's own."""
        if self.weight_decay is not None:
            return self.weight_decay
        return 0.1 if self.objective == "moco" else 0.05

    @property
    def contrast_temperature(self) -> float:
        """Temperature: as set, or the objective's own."""
        if self.temperature is not None:
            return self.temperature
        return 0.5 if self.objective == "moco" else 0.1

    def to_yaml(self) -> str:
        """All settings as YAML text."""
        return to_yaml(self)

    @classmethod
    def from_yaml(cls, text: str, where: str | Path) -> PretrainConfig:
        """Read settings from YAML text.

        Raises
        ------
        ValueError
            Names `where`, the setting and what is wrong with it.
        """
        return cls.of(plain_values(text, where, "choose another folder"), where)

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str | Path) -> PretrainConfig:
        """Check plain values.

        Raises
        ------
        ValueError
            Names `where`, the setting and what is wrong with it.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            name = "".join(f"{part}: " for part in first["loc"][:1])
            message = first["msg"].removeprefix("Value error, ")
            raise ValueError(f"{where}: {name}{message}.") from None

    def continued(self, asked: PretrainConfig, where: str | Path) -> PretrainConfig:
        """Settings to go on with: `asked`, if only limits differ from these.

        Raises
        ------
        ValueError
            If another setting differs: the sentence names it and both values.
        """
        for name in type(self).model_fields:
            mine, other = getattr(self, name), getattr(asked, name)
            if name not in LIMITS and mine != other:
                raise ValueError(
                    f"{where} was begun with {name} {mine}, not {other}: go on without changing "
                    "it, or begin in another folder."
                )
        return asked
