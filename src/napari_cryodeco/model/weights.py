"""Files of pretrained encoders: our small one and ViTs of Cryo-IEF's shape, loaded strictly.

A file beside which a model card of the same name lies (``small.safetensors`` and ``small.json``) is
checked against the SHA-256 on the card each time it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_cryodeco.atomic import replacing
from napari_cryodeco.model.card import BUNDLED, card_of, read_card
from napari_cryodeco.model.encoder import VitEncoder, differences
from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.stage_config import BUNDLED_PRIOR

Kind = Literal["small", "vit"]
KEY = "cryodeco"
"""Under this name the header of a file of ours is kept, as JSON."""
_HEAD = "head."  # the map to z: new for every run
_PREFIX = "base_encoder."
_NO_BACKBONE = (_PREFIX + _HEAD, "momentum_encoder.", "predictor.", _HEAD)


@dataclass(frozen=True)
class Weights:
    """What a file holds.

    `kind` says which encoder it is for, `state` are its float32 tensors without the head,
    `header` what our own files tell of themselves (empty for others), `sha256` that of the file.
    """

    kind: Kind
    path: Path
    sha256: str
    header: dict[str, Any]
    state: dict[str, Tensor]


def bundled() -> Path:
    """Where the prior that comes with the package lies.

    Raises
    ------
    FileNotFoundError
        If it is gone.
    """
    if not BUNDLED.is_file():
        raise FileNotFoundError(
            f"{BUNDLED}, the bundled prior, is missing: install napari-cryodeco again, or choose "
            "the prior 'none'."
        )
    return BUNDLED


def located(spec: Path | str) -> Path:
    """File or folder of weights that the settings mean: a path, or the name of the bundled prior.

    Raises
    ------
    FileNotFoundError
        If the bundled prior is meant and gone.
    """
    return bundled() if str(spec) == BUNDLED_PRIOR else Path(spec)


def read_weights(path: Path | str) -> Weights:
    """Read a file, or the one in a folder.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it cannot be read, or is not the file that its card describes.
    """
    file = _file_in(Path(path))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    _check(file, digest)
    try:
        with safe_open(file, framework="pt") as content:
            header = json.loads((content.metadata() or {}).get(KEY, "{}"))
            stored = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118  (no iterator)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{file} is no readable safetensors file ({error}): copy or export it again."
        ) from error
    kind = header.get("kind", "vit")
    if kind not in ("small", "vit"):
        raise ValueError(
            f"{file} holds an encoder of the kind '{kind}', which this version does not know: "
            "update napari-cryodeco."
        )
    state = {
        name: value.float() if value.is_floating_point() else value
        for name, value in stored.items()
    }
    state = _backbone(state) if kind == "vit" else state
    return Weights(cast(Kind, kind), file, digest, header, state)


def write_small(path: Path | str, encoder: PriorEncoder, header: Mapping[str, Any]) -> None:
    """Write a small encoder without its head, in half precision.

    Parameters
    ----------
    path
        New ``.safetensors`` file; one of this name is replaced.
    encoder
        Its `shape` is kept in the header, so that :func:`load_encoder` can build it again.
    header
        Plain values that tell what the encoder is.

    Raises
    ------
    ValueError
        If a weight is too large for half precision.
    """
    state = {}
    for name, value in encoder.state_dict().items():
        if name.startswith(_HEAD):
            continue
        half = value.half() if value.is_floating_point() else value
        if not half.isfinite().all():
            raise ValueError(f"{path}: the weight {name} has no value in half precision.")
        state[name] = half.detach().cpu().contiguous()
    told = {**header, "kind": "small", "shape": dict(encoder.shape)}
    with replacing(path) as part:
        save_file(state, part, metadata={KEY: json.dumps(told)})


def load_encoder(weights: Weights, latent_dim: int) -> PriorEncoder | VitEncoder:
    """Build the encoder that the weights fit, load them strictly, and give it a new head.

    Raises
    ------
    ValueError
        If a tensor is missing, unknown or misshapen; each is named.
    """
    if weights.kind == "vit":
        return VitEncoder.from_state(weights.state, latent_dim, weights.path)
    encoder = PriorEncoder(latent_dim, **weights.header.get("shape", {}))
    fresh = encoder.state_dict()
    head = {name: value for name, value in fresh.items() if name.startswith(_HEAD)}
    problems = differences(fresh, {**weights.state, **head})
    if problems:
        raise ValueError(
            f"{weights.path} does not fit this version's small encoder: {problems}; "
            "update napari-cryodeco or train the prior again."
        )
    encoder.load_state_dict({**weights.state, **head})
    return encoder


def _file_in(path: Path) -> Path:
    if path.is_file():
        return path
    named = path / "model.safetensors"
    found = [named] if named.is_file() else sorted(path.glob("*.safetensors"))
    if not found:
        raise FileNotFoundError(
            f"{path}: no .safetensors file of encoder weights; give the folder that holds "
            "model.safetensors."
        )
    return found[0]


def _backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in timm's names: MoCo's base encoder without its projector and its twin."""
    return {
        name.removeprefix(_PREFIX): value
        for name, value in state.items()
        if not name.startswith(_NO_BACKBONE)
    }


def _check(file: Path, digest: str) -> None:
    card = card_of(file)
    if not card.is_file():
        return
    expected = read_card(card).get("sha256", "")
    if digest != expected:
        cure = "install napari-cryodeco" if file == BUNDLED else "copy or export it"
        raise ValueError(
            f"{file} is not the file that {card.name} beside it describes (SHA-256 {digest[:12]}…, "
            f"not {expected[:12]}…): it was changed or cut short; {cure} again."
        )
