"""Objectives that learn from simulated species: prototypes, supervised contrast and identity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_cryodeco.data.bank import Bank, training_molecules
from napari_cryodeco.data.episodes import (
    Episode,
    EpisodeSettings,
    EpisodeSimulator,
    observed,
    pixel_frequencies,
)
from napari_cryodeco.data.procedural import invent, real_clouds
from napari_cryodeco.imaging.preprocess import encoder_view
from napari_cryodeco.model.encoder import VIEW, VitEncoder
from napari_cryodeco.model.prior import SIDE, PriorEncoder, view_of_pixels
from napari_cryodeco.model.vit_weights import write_vit
from napari_cryodeco.model.weights import write_small
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.train import distributed
from napari_cryodeco.train.contrast import Identity, Prototypes, SupervisedContrast
from napari_cryodeco.train.probe import ProbeSet

VIEWS = 8  # images of each species in an episode
POINTS = {"small": 1024, "vit-s": 4096, "vit-b": 4096}
EASY, CURRICULUM = 1.0, 0.3
"""The lowest SNR falls from here to its least over this share of the training."""


def small_views(episode: Episode) -> Tensor:
    """Views ``(b, 1, 32, 32)`` of the small encoder."""
    side = episode.images.shape[-1]
    frequencies = pixel_frequencies(side, episode.images.device) / episode.pixel_size
    ctf = episode.ctf.at(frequencies.reshape(-1, 2)).reshape(-1, side, side // 2 + 1)
    return view_of_pixels(observed(episode.images), ctf)


def make_bank(config: PretrainConfig) -> Bank:
    """Real and procedural structures that the settings ask for."""
    molecules = training_molecules(config.structures)
    size = POINTS[config.model]
    return Bank.of(
        real_clouds(molecules, size) + invent(config.synthetic, molecules, config.seed, size)
    )


class EpisodicObjective:
    """An encoder that learns to tell simulated species apart.

    Parameters
    ----------
    config
        Settings; `objective` names the loss.
    device
        Where everything lies.
    """

    def __init__(self, config: PretrainConfig, device: torch.device) -> None:
        self._config, self._small = config, config.model == "small"
        bank = make_bank(config)
        self._seen = sorted(
            name for name, kind in zip(bank.names, bank.kinds, strict=True) if kind == "real"
        )
        species = distributed.local(config.batch) // VIEWS
        if species < 2:
            raise ValueError(
                f"A batch of {config.batch} holds fewer than two species of {VIEWS} images in each "
                f"process: raise --batch to at least {2 * VIEWS * distributed.size()}."
            )
        self._settings = EpisodeSettings(
            species=min(species, len(bank)),
            views=VIEWS,
            side=SIDE if self._small else VIEW,
            snr=config.snr,
        )
        self._simulator = EpisodeSimulator(bank, self._settings, device)
        encoder = self._encoder = _encoder(config)
        temperature = config.temperature or 0.1
        loss: nn.Module
        if config.objective == "identity":
            loss = Identity(len(bank), encoder.head.in_features, temperature)
        elif config.objective == "supcon":
            loss = SupervisedContrast(temperature)
        else:
            loss = Prototypes(temperature)
        self._loss = loss
        self.module = nn.ModuleDict({"encoder": encoder, "loss": loss}).to(device)

    def loss(self, step: int, steps: int, generator: torch.Generator) -> Tensor:
        """Loss of one episode, easier ones at the beginning."""
        share = min(1.0, step / (CURRICULUM * steps))
        low = self._settings.snr[0]
        hardest = math.exp((1 - share) * math.log(EASY) + share * math.log(low))
        episode = self._simulator.draw(generator, hardest)
        with torch.no_grad():
            views = self._views(episode, generator)
        features = self._encoder.features(views)
        by_name = self._config.objective == "identity"
        return self._loss(features, episode.labels if by_name else VIEWS)

    def _views(self, episode: Episode, generator: torch.Generator) -> Tensor:
        if self._small:
            return small_views(episode)
        sign = 1.0 if float(torch.rand((), generator=generator)) < 0.5 else -1.0
        return encoder_view(episode.images * sign)

    def after_step(self, step: int, steps: int) -> None:
        """Nothing follows."""

    def embed(self, probe: ProbeSet) -> Tensor:
        """Features ``(n, f)`` of a labelled set."""
        encoder = self._encoder
        device = next(encoder.parameters()).device
        encoder.eval()
        with torch.no_grad():
            parts = [
                encoder.features(self._views_of(probe, rows).to(device)).float().cpu()
                for rows in torch.arange(len(probe)).split(256)
            ]
        encoder.train()
        return torch.cat(parts)

    def _views_of(self, probe: ProbeSet, rows: Tensor) -> Tensor:
        return probe.small_views()[rows] if self._small else probe.vit_views(rows)

    def export(self, path: Path, header: dict[str, Any]) -> None:
        """Write the encoder and the names of the real structures that it has seen."""
        told = {
            **header,
            "structures_seen": self._seen,
            "procedural": self._config.synthetic,
        }
        if isinstance(self._encoder, PriorEncoder):
            write_small(path, self._encoder, told)
        else:
            write_vit(path, self._encoder, told)


def _encoder(config: PretrainConfig) -> PriorEncoder | VitEncoder:
    """Encoder of the asked shape; its head is not trained."""
    shape: dict[str, Any] = dict(config.shape)
    encoder: PriorEncoder | VitEncoder
    if config.model == "small":
        encoder = PriorEncoder(1, **shape)
    else:
        shape.setdefault("dim", 384 if config.model == "vit-s" else 768)
        encoder = VitEncoder(1, **shape)
    encoder.head.requires_grad_(False)
    return encoder


def make(config: PretrainConfig, device: torch.device) -> EpisodicObjective:
    """Make the objective of `config` on `device`."""
    return EpisodicObjective(config, device)
