"""Networks that read z off an image: the Cryo-IEF ViT and a small convolutional one.

Source of the ViT: algorithm.md §2 (timm's, with batch norm and fixed positions).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

VIEW, PATCH, HEADS = 224, 14, 12
_NAMED = 6  # tensors named in an error


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
        patch = state.get("patch_embed.proj.weight", torch.empty(384, 1, PATCH, PATCH))
        depth = len({key.split(".")[1] for key in state if key.startswith("blocks.")})
        batch_norm = "blocks.0.norm2.running_mean" in state
        encoder = cls(latent_dim, patch.shape[0], depth, patch.shape[-1], batch_norm)
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


def differences(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Name the tensors that `state` lacks, has in another shape, or has beyond those wanted.

    The first few by name, for a file of another kind differs in hundreds; empty: there are none.
    """
    problems = [f"{key} is missing" for key in wanted if key not in state]
    problems += [
        f"{key} is {tuple(state[key].shape)}, not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in state and state[key].shape != value.shape
    ]
    problems += [f"{key} is unknown" for key in state if key not in wanted]
    more = len(problems) - _NAMED
    return "; ".join(problems[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


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
