"""MoCo v3: an encoder learns that two random views of one image are the same particle.

Needs no labels, so it is the objective for real particles. Source: algorithm.md §5 (BUILD).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_cryodeco.data.episodes import EpisodeSettings, EpisodeSimulator
from napari_cryodeco.data.read import STACK_SUFFIXES, CtfOptions, read_particles
from napari_cryodeco.imaging.preprocess import as_encoder_view, window
from napari_cryodeco.model.encoder import VIEW
from napari_cryodeco.model.prior import SIDE
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.train import distributed, schedule
from napari_cryodeco.train.augment import change, draw
from napari_cryodeco.train.episodic import make_bank
from napari_cryodeco.train.moco_network import MocoNetwork, contrast
from napari_cryodeco.train.pretrained import PretrainedEncoder
from napari_cryodeco.train.probe import ProbeSet
from napari_cryodeco.train.stored_views import SmallViews, UnitViews
from napari_cryodeco.train.view_source import (
    ParticleSet,
    SetSource,
    SimulatedSource,
    Source,
    as_small,
    as_unit,
)

_HIDDEN = {"small": 512, "vit-s": 4096, "vit-b": 4096}
_SIMULATED_SIDE = 96  # pixels, before they become 224
_SPECIES = 64  # in a simulated episode
_UNUSED_CTF = CtfOptions(defocus_u=0.0, pixel_size=1.0)  # a ViT sees images as they are stored


class Moco:
    """MoCo v3 over images of one or several sources, which share the batch evenly.

    Parameters
    ----------
    config
        Settings.
    sources
        Where images come from.
    device
        Where it computes.
    """

    def __init__(
        self, config: PretrainConfig, sources: tuple[Source, ...], device: torch.device
    ) -> None:
        self._config, self._sources, self._device = config, sources, device
        self._encoder = PretrainedEncoder(config, device)
        network = MocoNetwork(self._encoder.net, self._encoder.dim, _HIDDEN[config.model])
        self._network = network.to(device)
        self.module: nn.Module = self._network

    def loss(self, step: int, steps: int, generator: torch.Generator) -> Tensor:
        """Symmetric loss of this process's images; at chance 4τ ln(batch)."""
        images = self._images(step, generator)
        first, second = self._view(images, generator), self._view(images, generator)
        with self._encoder.autocast():
            network = self._network
            queries = network.queries(first), network.queries(second)
            keys = network.keys(second), network.keys(first)
        temperature = self._config.contrast_temperature
        return contrast(queries[0], keys[0], temperature) + contrast(
            queries[1], keys[1], temperature
        )

    def after_step(self, step: int, steps: int) -> None:
        """Let the key encoder follow, the slower the nearer the end."""
        share = (step + 1) / steps
        self._network.follow(schedule.momentum(share, self._config.momentum))

    def embed(self, probe: ProbeSet) -> Tensor:
        """Features ``(n, f)`` of the encoder, without projector."""
        return self._encoder.embed(probe)

    def export(self, path: Path, header: dict[str, Any], draft: bool) -> None:
        """Write the encoder."""
        self._encoder.export(path, header)

    def _images(self, step: int, generator: torch.Generator) -> Tensor:
        count = distributed.local(self._config.batch) // len(self._sources)
        return torch.cat([one.draw(step, count, generator) for one in self._sources])

    def _view(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """One random view of each image, as the encoder is to see it."""
        side = images.shape[-1]
        changes = draw(len(images), side, generator, self._device)
        view = change(images, changes)
        if self._config.model == "small":
            return view * window(side).to(self._device)
        return as_encoder_view(view)


def make(config: PretrainConfig, device: torch.device) -> Moco:
    """Make the objective with the sources that `config` names.

    Raises
    ------
    FileNotFoundError, ValueError
        If a particle set is wrong or there is nothing to learn from.
    """
    sources: list[Source] = []
    simulated = bool(config.synthetic or config.structures)
    share = config.batch // (2 if config.sets and simulated else 1)
    if config.sets:
        sets = [_particle_set(path, config, device) for path in config.sets]
        sources.append(SetSource(sets, config.per_set, share, config.seed))
    if simulated:
        sources.append(_simulated(config, device))
    if not sources:
        raise ValueError(
            "There is nothing to learn from: name particle files with --sets, or simulate with "
            "--synthetic N or --structures FOLDER."
        )
    if config.batch % (len(sources) * distributed.size()):
        raise ValueError(
            f"A batch of {config.batch} cannot be shared by sets and simulation in "
            f"{distributed.size()} processes: choose an even multiple."
        )
    return Moco(config, tuple(sources), device)


def _particle_set(path: Path, config: PretrainConfig, device: torch.device) -> ParticleSet:
    if config.model == "small":
        particles = read_particles(path, config.datadir)
        return ParticleSet(len(particles), SmallViews(particles, device))
    bare = path.suffix.lower() in STACK_SUFFIXES
    particles = read_particles(path, config.datadir, _UNUSED_CTF if bare else None)
    return ParticleSet(len(particles), UnitViews(particles, VIEW, device))


def _simulated(config: PretrainConfig, device: torch.device) -> SimulatedSource:
    bank = make_bank(config)
    small = config.model == "small"
    settings = EpisodeSettings(
        species=min(_SPECIES, len(bank)), views=1, side=SIDE if small else _SIMULATED_SIDE
    )
    simulator = EpisodeSimulator(bank, settings, device)
    return SimulatedSource(simulator, as_small if small else as_unit)
