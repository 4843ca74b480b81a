"""Networks that read z off an image: the Cryo-IEF ViT and a small convolutional one.

Source of the ViT: algorithm.md §2 (timm's, with batch norm and fixed positions).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

VIEW, PATCH, HEADS = 224, 14, 12
_BLOCK = re.compile(r"blocks\.(\d+)(?=\.)")
_NORM = re.compile(r"(blocks\.\d+\.)?norm\d?\.weight")
_DEEPEST = 64  # blocks; a larger number is no depth
_STRANGERS = 6  # named; a file of another kind holds hundreds


class TokenBatchNorm(nn.BatchNorm1d):
    """Batch norm over all tokens ``(b, tokens, dim)``: the second norm of a Cryo-IEF block."""

    def forward(self, tokens: Tensor) -> Tensor:
        """Normalise each channel over images and tokens."""
        return super().forward(tokens.flatten(0, 1)).view_as(tokens)


def sincos_positions(side: int, dim: int) -> Tensor:
    """Fixed position embedding ``(1, 1 + side², dim)``; the row of the class token is zero."""
    rates = 10_000 ** -(torch.arange(dim // 4).double() / (dim // 4))
    axis = torch.arange(side).double()[:, None] * rates
    waves = torch.cat([axis.sin(), axis.cos()], 1)  # (side, dim / 2)
    rows = waves[:, None].expand(side, side, -1)
    columns = waves[None].expand(side, side, -1)
    grid = torch.cat([rows, columns], 2).reshape(side * side, dim)
    return torch.cat([torch.zeros(1, dim), grid.float()])[None]


def _backbone(dim: int, depth: int, patch: int, batch_norm: bool) -> VisionTransformer:
    net = VisionTransformer(
        img_size=VIEW,
        patch_size=patch,
        in_chans=1,
        embed_dim=dim,
        depth=depth,
        num_heads=HEADS,
        num_classes=0,
        global_pool="token",
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        dynamic_img_size=True,
    )
    if batch_norm:
        for block in net.blocks:
            block.norm2 = TokenBatchNorm(dim)
    return net


def _initialise(net: VisionTransformer, dim: int) -> None:
    """MoCo v3's start: uniform weights by fan, no biases, a tiny class token."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear):
            fan_out = module.out_features / (3 if name.endswith("qkv") else 1)
            bound = (6 / (fan_out + module.in_features)) ** 0.5
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.zeros_(module.bias)
    nn.init.normal_(net.cls_token, std=1e-6)
    bound = (6 / (3 * PATCH**2 + dim)) ** 0.5
    nn.init.uniform_(net.patch_embed.proj.weight, -bound, bound)


class VitEncoder(nn.Module):
    """ViT whose class token, normed, is mapped linearly to z.

    Parameters
    ----------
    latent_dim
        Length of z.
    dim, depth, patch
        384, 12, 14 for ViT-S/14; 768 for ViT-B.
    batch_norm
        Whether the second norm of a block is batch norm, as in Cryo-IEF.

    Notes
    -----
    The patch projection and the positions are never trained. Parts that :meth:`train_parts` leaves
    out stay in evaluation mode, so that their batch norms do not drift.
    """

    view = VIEW

    def __init__(
        self,
        latent_dim: int,
        dim: int = 384,
        depth: int = 12,
        patch: int = PATCH,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = _backbone(dim, depth, patch, batch_norm)
        _initialise(self.backbone, dim)
        self.backbone.pos_embed.data = sincos_positions(VIEW // patch, dim)
        self.head = nn.Linear(dim, latent_dim)
        self._live: list[nn.Module] = []
        self.train_parts("full", 0)

    @classmethod
    def from_state(
        cls, state: Mapping[str, Tensor], latent_dim: int, path: Path | str
    ) -> VitEncoder:
        """Build the encoder that fits backbone weights in timm's names, and load them.

        Parameters
        ----------
        state
            Weights as :func:`napari_cryodeco.model.weights.read_weights` gives them.
        latent_dim
            Length of z.
        path
            Where they come from, for the error.

        Raises
        ------
        ValueError
            If a weight is missing, unknown or misshapen; each is named.
        """
        batch_norm = any(key.endswith("norm2.running_mean") for key in state)
        encoder = cls(latent_dim, *_shape(state), batch_norm)
        problems = differences(encoder.backbone.state_dict(), state)
        if problems:
            raise ValueError(
                f"{path} does not hold a Cryo-IEF encoder: {problems}; give the folder "
                "of cryo_ief_v1.5_vit_s or cryo_ranker."
            )
        encoder.backbone.load_state_dict(dict(state))
        return encoder

    def features(self, views: Tensor) -> Tensor:
        """Normed class token ``(b, dim)`` of views ``(b, 1, 224, 224)``."""
        return self.backbone(views)

    def forward(self, views: Tensor) -> Tensor:
        """Latents ``(b, d)`` of views ``(b, 1, 224, 224)``."""
        return self.head(self.features(views))

    def train_parts(
        self, strategy: Literal["full", "blocks", "head", "fixed"], blocks: int
    ) -> list[nn.Parameter]:
        """Choose what is trained and return its parameters."""
        self.requires_grad_(False)
        body = list(self.backbone.blocks)
        self._live = {
            "full": [*body, self.backbone.norm, self.head],
            "blocks": [*body[len(body) - blocks :], self.backbone.norm, self.head],
            "head": [self.backbone.norm, self.head],
            "fixed": [self.head],
        }[strategy]
        for module in self._live:
            module.requires_grad_(True)
        if strategy == "full":
            self.backbone.cls_token.requires_grad_(True)
        self.train(self.training)
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def train(self, mode: bool = True) -> VitEncoder:
        """Set the mode of the trained parts; the others always evaluate."""
        super().train(False)
        self.training = mode
        for module in self._live:
            module.train(mode)
        return self


def _shape(state: Mapping[str, Tensor]) -> tuple[int, int, int]:
    """Width, depth and patch side that weights are for; where they say nothing, those of ViT-S/14.

    The norms vote on the width, so that one misshapen tensor is named rather than all others.
    """
    norms = [len(value) for key, value in state.items() if _NORM.fullmatch(key) and value.ndim == 1]
    dim = Counter(norms).most_common(1)[0][0] if norms else 384
    blocks = [int(key.split(".")[1]) for key in state if _BLOCK.match(key)]
    patch = state.get("patch_embed.proj.weight", torch.empty(0))
    side = patch.shape[-1] if patch.ndim == 4 and 0 < patch.shape[-1] <= VIEW else PATCH
    return dim if dim % HEADS == 0 else 384, min(max(blocks, default=-1) + 1, _DEEPEST), side


def differences(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Name each tensor that `state` lacks or has in another shape, and some that it has too many.

    Blocks with the same problem share an entry (``blocks.2-11.norm1.bias``); empty: there is none.
    """
    problems = [(key, "is missing") for key in wanted if key not in state]
    problems += [
        (key, f"is {tuple(state[key].shape)}, not {tuple(value.shape)}")
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    unknown = [key for key in state if key not in wanted]
    problems += [(key, "is unknown") for key in unknown[:_STRANGERS]]
    numbers: dict[tuple[str, str, str], list[int]] = {}
    for key, what in problems:
        block = _BLOCK.match(key)
        name = ("blocks.", key[block.end() :], what) if block else (key, "", what)
        numbers.setdefault(name, []).extend([int(block[1])] if block else [])
    named = [f"{start}{_ranges(n)}{end} {what}" for (start, end, what), n in numbers.items()]
    more = len(unknown) - _STRANGERS
    return "; ".join([*named, *([f"{more} more are unknown"] if more > 0 else [])])


def _ranges(numbers: list[int]) -> str:
    """``0-3,7`` for 0, 1, 2, 3, 7; nothing for none."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


class ConvEncoder(nn.Module):
    """Small convolutional encoder that two cores can train; views ``(b, 1, s, s)``, s up to 64.

    Parameters
    ----------
    latent_dim
        Length of z.
    width
        Channels of the first layer; each of the three others has twice as many as the one before.
    """

    view = 64

    def __init__(self, latent_dim: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for level in range(4):
            grown = width * 2**level
            layers += [
                nn.Conv2d(
                    channels, grown, 5 if level == 0 else 3, stride=2, padding=2 - (level > 0)
                ),
                nn.GroupNorm(8, grown),
                nn.GELU(),
            ]
            channels = grown
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, latent_dim))

    def forward(self, views: Tensor) -> Tensor:
        """Latents ``(b, d)``."""
        return self.head(self.body(views).mean((2, 3)))
