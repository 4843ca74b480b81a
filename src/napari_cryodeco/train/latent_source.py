"""Where z comes from while the field is fitted: a table, or an encoder that sees the image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_cryodeco.model.encoder import ConvEncoder
from napari_cryodeco.model.latents import LatentTable
from napari_cryodeco.stage_config import EncoderConfig
from napari_cryodeco.train import distributed, optimiser, shards
from napari_cryodeco.train.shared_norm import share_norms
from napari_cryodeco.train.views import CachedFeatures, Sight, Views

_READING = 64  # images encoded at once
_REGRESSED = 20_000  # images seen while an encoder learns the first latents


class LatentSource(Protocol):
    """Gives latents that collect a gradient, and moves what they came from."""

    @property
    def values(self) -> Tensor:
        """``(n, d)`` latents of all particles."""

    def begin(self, generator: torch.Generator, step: Callable[[int, int], None]) -> None:
        """Get ready before the first epoch."""

    def visit(self, rows: Tensor) -> Tensor:
        """Latents ``(b, d)`` of `rows`."""

    def update(self, rows: Tensor, visited: Tensor, share: float) -> None:
        """Move by the collected gradient, at this share of the full rate."""

    def settle(self) -> None:
        """Bring `values` ``(n, d)`` up to date at the end of an epoch."""

    def tensors(self) -> dict[str, Tensor]:
        """Whole state."""

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the state back."""

    def write(self, folder: Path) -> None:
        """Write what an epoch keeps beside the latents."""


class TableSource:
    """One free z per particle.

    Parameters
    ----------
    start
        ``(n, d)`` first values.
    rate
        Step per visit, z units.
    """

    def __init__(self, start: Tensor, rate: float) -> None:
        self._table, self._rate = LatentTable(start), rate

    @property
    def values(self) -> Tensor:
        """``(n, d)`` latents."""
        return self._table.values

    def begin(self, generator: torch.Generator, step: Callable[[int, int], None]) -> None:
        """Do nothing: the table is the start."""

    def visit(self, rows: Tensor) -> Tensor:
        """Rows of the table as a leaf."""
        return self._table.visit(rows)

    def update(self, rows: Tensor, visited: Tensor, share: float) -> None:
        """One row-wise Adam step."""
        self._table.update(rows, visited, share * self._rate)

    def settle(self) -> None:
        """Do nothing: the table is always up to date."""

    def tensors(self) -> dict[str, Tensor]:
        """Values and moments."""
        return self._table.tensors("latents")

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take values and moments back."""
        self._table.load(tensors, "latents")

    def write(self, folder: Path) -> None:
        """Do nothing: the latents say it all."""


class EncoderSource:
    """An encoder that learns the linear start by regression and is then trained with the field.

    Parameters
    ----------
    encoder
        Any encoder, or the head of one, on the device.
    parameters
        Those that are trained.
    views
        Rows to encoder views ``(b, 1, s, s)``.
    start
        ``(n, d)`` latents to begin from.
    rate
        Learning rate.
    """

    def __init__(
        self,
        encoder: nn.Module,
        parameters: list[nn.Parameter],
        views: Views,
        start: Tensor,
        rate: float,
    ) -> None:
        self.values = start.detach().float().clone()
        self._encoder, self._views, self._rate = encoder, views, rate
        self._parameters = parameters
        share_norms(encoder)
        self._optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.0)

    def begin(self, generator: torch.Generator, step: Callable[[int, int], None]) -> None:
        """Regress the first latents on the images for some passes, then read all latents off."""
        n = distributed.total(len(self.values))
        passes = max(3, min(16, _REGRESSED // n))
        scale = self.values.std().clamp_min(1e-6)
        for index in range(passes):
            self._encoder.train()
            for rows, weight in shards.batches(n, _READING, generator):
                rows = rows.to(self.values.device)
                found = self._encoder(self._views(rows))
                loss = ((found - self.values[rows]) / scale).square().mean()
                self._optimiser.zero_grad(set_to_none=True)
                (weight * loss).backward()
                distributed.sum_gradients(self._parameters)
                optimiser.set_rate(self._optimiser, self._rate)
                self._optimiser.step()
            step(index + 1, passes)
        self.settle()

    def visit(self, rows: Tensor) -> Tensor:
        """What the encoder reads off the images of `rows`."""
        self._encoder.train()
        self._optimiser.zero_grad(set_to_none=True)
        return self._encoder(self._views(rows))

    def update(self, rows: Tensor, visited: Tensor, share: float) -> None:
        """One AdamW step of the encoder."""
        distributed.sum_gradients(self._parameters)
        optimiser.set_rate(self._optimiser, share * self._rate)
        self._optimiser.step()

    def settle(self) -> None:
        """One clean pass over all images in evaluation mode."""
        self._encoder.eval()
        with torch.no_grad():
            for rows in torch.arange(len(self.values), device=self.values.device).split(_READING):
                self.values[rows] = self._encoder(self._views(rows)).float()

    def tensors(self) -> dict[str, Tensor]:
        """Latents, weights and moments."""
        weights = {f"encoder.{name}": value for name, value in self._encoder.state_dict().items()}
        moments = optimiser.tensors(self._optimiser, "encoder_optimiser")
        return {"latents.values": self.values} | weights | moments

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take latents, weights and moments back."""
        self.values.copy_(tensors["latents.values"])
        weights = {
            name.removeprefix("encoder."): value
            for name, value in tensors.items()
            if name.startswith("encoder.")
        }
        self._encoder.load_state_dict(weights)
        optimiser.load(self._optimiser, tensors, "encoder_optimiser")

    def write(self, folder: Path) -> None:
        """Write ``encoder.safetensors``."""
        weights = self._encoder.state_dict().items()
        save_file(
            {name: value.cpu().contiguous() for name, value in weights},
            folder / "encoder.safetensors",
        )


def as_table(source: LatentSource, rate: float) -> TableSource:
    """Let each z move by itself from where the last clean pass of the encoder put it."""
    return source if isinstance(source, TableSource) else TableSource(source.values, rate)


def make_source(
    config: EncoderConfig,
    start: Tensor,
    sight: Sight,
    rates: tuple[float, float],
    saved: dict[str, Tensor] | None = None,
) -> LatentSource:
    """Choose the source that the settings ask for; "auto" takes a ViT prior where there is a GPU.

    Parameters
    ----------
    config
        Settings of the encoder.
    start
        ``(n, d)`` first latents, on the device.
    sight
        What encoders see, and the weights that they start from.
    rates
        Of the table and of the encoder.
    saved
        State that will be loaded: where an encoder has handed over to a table, that is made.

    Raises
    ------
    ValueError
        If a ViT is asked for without the stored images, or an encoder without a prior of its kind
        is to be frozen.
    """
    kind = config.kind
    if kind == "auto":
        kind = "vit" if sight.prior_is("vit") and start.device.type == "cuda" else "table"
    handed_over = saved is not None and "latents.adam.visits" in saved
    if kind == "table" or handed_over or start.shape[1] == 0:
        return TableSource(start, rates[0])
    if config.strategy != "full" and sight.prior_is(kind) is None:
        raise ValueError(
            f"encoder.strategy '{config.strategy}' freezes a {kind}, but the prior "
            f"'{config.prior}' holds none: choose another prior, or the strategy 'full'."
        )
    encoder, views = sight.encoder(kind, start.shape[1])
    encoder = encoder.to(start.device)
    if isinstance(encoder, ConvEncoder):
        return EncoderSource(encoder, list(encoder.parameters()), views, start, rates[1])
    parameters = encoder.train_parts(config.strategy, config.blocks)
    if config.strategy == "fixed":
        cached = CachedFeatures(encoder, views, len(start), start.device)
        return EncoderSource(encoder.head, parameters, cached, start, rates[1])
    return EncoderSource(encoder, parameters, views, start, rates[1])
