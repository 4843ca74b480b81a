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
    from napari_cryodeco.train import episodic

    return episodic.make(config, device)
