"""Which objective a setting names."""

from __future__ import annotations

import torch

from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.train.objective import Objective


def make_objective(config: PretrainConfig, device: torch.device) -> Objective:
    """Make the objective of `config`, its module on `device`."""
    if config.objective == "moco":
        from napari_cryodeco.train import moco

        return moco.make(config, device)
    if config.objective == "identity":
        from napari_cryodeco.train import identity

        return identity.make(config, device)
    from napari_cryodeco.train import supcon

    return supcon.make(config, device)
