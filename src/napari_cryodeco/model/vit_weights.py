"""Weights of a ViT under Cryo-IEF's key names, so that they load wherever official ones do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from napari_cryodeco.atomic import replacing
from napari_cryodeco.model.encoder import VitEncoder
from napari_cryodeco.model.weights import KEY

PREFIX = "base_encoder."


def write_vit(path: Path | str, encoder: VitEncoder, header: Mapping[str, Any]) -> None:
    """Write the backbone of `encoder` without its head.

    Parameters
    ----------
    path
        New ``.safetensors`` file; one of this name is replaced.
    encoder
        Any size.
    header
        Plain values that tell what the encoder is.
    """
    state = {
        PREFIX + name: value.detach().cpu().contiguous()
        for name, value in encoder.backbone.state_dict().items()
    }
    told = {**header, "kind": "vit"}
    with replacing(path) as part:
        save_file(state, part, metadata={KEY: json.dumps(told)})
