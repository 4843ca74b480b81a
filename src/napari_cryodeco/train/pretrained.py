"""The encoder that a pretraining makes: built by the settings, probed, and written as a prior."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_cryodeco.model import precision
from napari_cryodeco.model.encoder import VitEncoder
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.vit_weights import write_vit
from napari_cryodeco.model.weights import Weights, located, read_weights, write_small
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.train.probe import ProbeSet

_WIDTHS = {"vit-s": 384, "vit-b": 768}
_BATCH = 128


class PretrainedEncoder:
    """An untrained encoder of the asked kind and shape, whose head is left out of training.

    Parameters
    ----------
    config
        Settings.
    device
        Where it computes.
    """

    def __init__(self, config: PretrainConfig, device: torch.device) -> None:
        self._device = device
        self._dtype = precision.choose(config.precision, device)
        given = None if config.begin_from is None else read_weights(located(config.begin_from))
        known = given.header.get("shape", {}) if given and given.kind == config.model else {}
        shape: dict[str, Any] = dict(config.shape or known)
        self.begun_from = "" if given is None else given.sha256
        self.net: PriorEncoder | VitEncoder
        if config.model == "small":
            self.net = PriorEncoder(1, **shape)
        else:
            self.net = VitEncoder(1, **{"dim": _WIDTHS[config.model], **shape})
        if given is not None:
            _begin_from(self.net, given)
        self.net.head.requires_grad_(False)
        self.net.to(device)

    @property
    def dim(self) -> int:
        """Length of the features."""
        return int(self.net.head.in_features)

    def autocast(self) -> torch.autocast:
        """Compute in the number type of the settings inside the block."""
        return precision.autocast(self._dtype, self._device)

    @torch.no_grad()
    def embed(self, probe: ProbeSet) -> Tensor:
        """Features ``(n, f)`` float32 of a labelled set, in the mode that the net is in."""
        parts = torch.arange(len(probe)).split(_BATCH)
        with self.autocast():
            return torch.cat([self.net.features(self._seen(probe, one)).float() for one in parts])

    def export(self, path: Path, header: Mapping[str, Any]) -> None:
        """Write it: a ViT under Cryo-IEF's names, the small one as the bundled prior is."""
        if isinstance(self.net, VitEncoder):
            write_vit(path, self.net, header)
        else:
            write_small(path, self.net, header)

    def _seen(self, probe: ProbeSet, rows: Tensor) -> Tensor:
        small = isinstance(self.net, PriorEncoder)
        views = probe.small_views()[rows] if small else probe.vit_views(rows)
        return views.to(self._device)


def _begin_from(net: PriorEncoder | VitEncoder, given: Weights) -> None:
    """Copy all tensors of the same name and shape."""
    fresh = net.backbone.state_dict() if isinstance(net, VitEncoder) else net.state_dict()
    stored = given.state
    fitting = {
        name: value
        for name, value in stored.items()
        if name in fresh and fresh[name].shape == value.shape
    }
    if not fitting:
        raise ValueError(
            f"{given.path} holds no weights of the encoder asked for: give those of an earlier "
            "prior of the same model."
        )
    for name, value in fitting.items():
        fresh[name].copy_(value)
