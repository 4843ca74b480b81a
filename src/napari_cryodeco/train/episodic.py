"""Objectives that learn from simulated species: prototypes, supervised contrast and identity."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_cryodeco.data.bank import Bank, training_molecules
from napari_cryodeco.data.episodes import (
    Episode,
    EpisodeSettings,
    EpisodeSimulator,
    pixel_frequencies,
)
from napari_cryodeco.data.procedural import invent, real_clouds
from napari_cryodeco.imaging.preprocess import encoder_view, windowed
from napari_cryodeco.model.encoder import VIEW
from napari_cryodeco.model.prior import SIDE, PriorEncoder, view_of_pixels
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.train import distributed, stages
from napari_cryodeco.train.calibrate import Discriminants, Scatter
from napari_cryodeco.train.contrast import Identity, Prototypes, SupervisedContrast
from napari_cryodeco.train.features import free_of_defocus
from napari_cryodeco.train.pretrained import PretrainedEncoder
from napari_cryodeco.train.probe import ProbeSet

VIEWS = 8  # images of each species in an episode
POINTS = {"small": 1024, "vit-s": 4096, "vit-b": 4096}
CALIBRATION, EXPOSURES = 320, 2  # episodes for the last linear map, images of each orientation
EASY, CURRICULUM = 1.0, 0.3
"""The lowest SNR falls from here to its least over this share of the training."""


def small_views(episode: Episode) -> Tensor:
    """Views ``(b, 1, 32, 32)`` of the small encoder."""
    side = episode.images.shape[-1]
    frequencies = pixel_frequencies(side, episode.images.device) / episode.pixel_size
    ctf = episode.ctf.at(frequencies.reshape(-1, 2)).reshape(-1, side, side // 2 + 1)
    return view_of_pixels(windowed(episode.images), ctf)


def make_bank(config: PretrainConfig) -> Bank:
    """Real and procedural structures that the settings ask for."""
    molecules = training_molecules(config.structures)
    size, count = POINTS[config.model], config.synthetic
    invented = invent(count, molecules, config.seed, size, config.kinds)
    return Bank.of(real_clouds(molecules, size) + invented)


class EpisodicObjective:
    """An encoder that learns to tell simulated species apart.

    Parameters
    ----------
    config
        Settings; `objective` names the loss.
    device
        Where everything lies.

    Raises
    ------
    ValueError
        If the batch is too small for two species in each process.
    """

    def __init__(self, config: PretrainConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        species = distributed.local(config.batch) // VIEWS
        if species < 2:
            raise ValueError(
                f"A batch of {config.batch} holds fewer than two species of {VIEWS} images in each "
                f"process: raise --batch to at least {2 * VIEWS * distributed.size()}."
            )
        bank = make_bank(config)
        kinds = zip(bank.names, bank.kinds, strict=True)
        self._real = sorted(name for name, kind in kinds if kind == "real")
        self._encoder = PretrainedEncoder(config, device)
        self._small = isinstance(self._encoder.net, PriorEncoder)
        self._settings = EpisodeSettings(
            species=min(species, len(bank)),
            views=VIEWS,
            side=SIDE if self._small else VIEW,
            snr=config.snr,
        )
        self._simulator = EpisodeSimulator(bank, self._settings, device)
        self._loss = _loss(config, len(bank), self._encoder.dim)
        self.module = nn.ModuleDict({"encoder": self._encoder.net, "loss": self._loss}).to(device)

    def loss(self, step: int, steps: int, generator: torch.Generator) -> Tensor:
        """Loss of one episode, easier ones at the beginning."""
        share = 1.0 if self._config.begin_from else min(1.0, step / (CURRICULUM * steps))
        low = self._settings.snr[0]
        hardest = math.exp((1 - share) * math.log(EASY) + share * math.log(low))
        episode = self._simulator.draw(generator, hardest)
        with torch.no_grad():
            views = self._views(episode, generator)
        with self._encoder.autocast():
            features = self._encoder.net.features(views)
        by_name = self._config.objective == "identity"
        return self._loss(features.float(), episode.labels if by_name else VIEWS)

    def _views(self, episode: Episode, generator: torch.Generator) -> Tensor:
        if self._small:
            return small_views(episode)
        sign = 1.0 if float(torch.rand((), generator=generator)) < 0.5 else -1.0
        return encoder_view(episode.images * sign)

    def after_step(self, step: int, steps: int) -> None:
        """Nothing follows."""

    def embed(self, probe: ProbeSet) -> Tensor:
        """Features ``(n, f)`` of a labelled set."""
        self._encoder.net.eval()
        features = self._encoder.embed(probe)
        self._encoder.net.train()
        return features

    def export(self, path: Path, header: dict[str, Any], draft: bool) -> None:
        """Write the encoder, calibrated, and the names of the real structures that it has seen."""
        told = header | {
            "structures_seen": self._real,
            "procedural": self._config.synthetic,
            "begun_from": self._encoder.begun_from,
        }
        net = self._encoder.net
        if not isinstance(net, PriorEncoder):
            self._encoder.export(path, told)
            return
        kept = {name: value.clone() for name, value in net.project.state_dict().items()}
        found = self._discriminants(net, CALIBRATION // 16 if draft else CALIBRATION)
        with torch.no_grad():
            net.project.weight.copy_(found.weight)
            net.project.bias.copy_(found.bias)
        strength = [round(float(value), 3) for value in found.strength]
        self._encoder.export(path, told | {"strength": strength})
        net.project.load_state_dict(kept)

    @torch.no_grad()
    def _discriminants(self, net: PriorEncoder, episodes: int) -> Discriminants:
        """What tells species apart, from fresh episodes of medium noise."""
        low, high = self._config.snr
        settings = replace(
            self._settings, snr=(min(max(low, 0.05), high), min(0.5, high)), exposures=EXPOSURES
        )
        simulator = EpisodeSimulator(self._simulator.bank, settings, self._device)
        scatter = Scatter(net.project.in_features)
        net.eval()
        for number in range(episodes):
            random = stages.generator(self._config.seed, "pretrain/calibrate", number)
            episode = simulator.draw(random)
            pooled = free_of_defocus(net.pooled(small_views(episode)).cpu(), episode.ctf.to("cpu"))
            scatter.add(pooled, VIEWS, EXPOSURES)
        net.train()
        return scatter.solve(net.project.out_features)


def _loss(config: PretrainConfig, structures: int, dim: int) -> nn.Module:
    temperature = config.contrast_temperature
    if config.objective == "identity":
        return Identity(structures, dim, temperature)
    kind = SupervisedContrast if config.objective == "supcon" else Prototypes
    return kind(temperature)


def make(config: PretrainConfig, device: torch.device) -> EpisodicObjective:
    """Make the objective of `config` on `device`."""
    return EpisodicObjective(config, device)
