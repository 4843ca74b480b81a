"""The neural field: a frequency and a latent point z to one Hartley coefficient (algorithm.md §3).

Gaussian Fourier features with float32 phases, then a residual perceptron with LayerNorm on the
branches. What the network gives is multiplied by a stored amplitude per shell, so that it has
numbers near 1 to learn at every frequency; an envelope of ones is the published network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from napari_cryodeco.atomic import replacing
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.stage_config import FieldConfig

_FORMAT = "napari-cryodeco field 1"
_PUBLISHED_SIGMA = 0.5
_ROWS = {"cpu": 1024, "cuda": 262_144}
"""Points times latents decoded at once: on a CPU 1 MB per hidden layer, which its cache holds."""


class FieldDecoder(nn.Module):
    """Hartley coefficients of the map at z.

    Parameters
    ----------
    config
        Widths and features.
    latent_dim
        Length of z; 0 for one rigid map.
    radius
        Largest Fourier radius it was made for.
    envelope
        ``(radius + 1,)`` amplitude per shell; entry 0 is unused but for interpolation.

    Notes
    -----
    `compute` is the number type of the matrix products. Phases are always float32: they reach 60
    rad.
    """

    frequencies: Tensor
    envelope: Tensor

    def __init__(self, config: FieldConfig, latent_dim: int, radius: int, envelope: Tensor) -> None:
        super().__init__()
        if envelope.shape != (radius + 1,):
            raise ValueError(
                f"The envelope needs {radius + 1} shells (radius {radius}), not "
                f"{tuple(envelope.shape)}."
            )
        self.config, self.latent_dim, self.radius = config, latent_dim, radius
        self.compute = torch.float32
        self.register_buffer("envelope", envelope.float().clone())
        sigma = _PUBLISHED_SIGMA if config.sigma is None else config.sigma
        self.register_buffer("frequencies", sigma * torch.randn(config.frequencies, 3))
        self.entry = nn.Linear(2 * config.frequencies + latent_dim, config.width)
        self.hidden = nn.ModuleList(
            nn.Linear(config.width, config.width) for _ in range(config.layers)
        )
        norms = config.layers + 1 if config.layer_norm else 0
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(norms))
        self.exit = nn.Linear(config.width, 1)

    def forward(self, points: Tensor, z: Tensor) -> Tensor:
        """Coefficients ``(b, p)`` at `points` ``(b, p, 3)`` in units of k, for `z` ``(b, d)``."""
        even, odd = self._features(points)
        value = self._tail(even + odd, self._latent_part(z)[:, None])
        return value * self.amplitude(points)

    def forward_pairs(self, points: Tensor, z: Tensor) -> Tensor:
        """Coefficients at the points and at their opposites: ``(b, 2, p)``.

        Sines and cosines serve both: four fifths of the work of two calls.
        """
        even, odd = self._features(points)
        first = torch.stack([even + odd, even - odd], 1)
        value = self._tail(first, self._latent_part(z)[:, None, None])
        return value * self.amplitude(points)[:, None]

    @torch.no_grad()
    def decode_ball(
        self,
        z: Tensor,
        ball: Ball,
        radius: int | None = None,
        check: Callable[[], None] | None = None,
    ) -> Tensor:
        """Coefficients ``(m, count)`` of the maps at `z` ``(m, d)`` on the `ball` up to `radius`.

        What does not depend on z is computed once for all maps, sines and cosines once for k and
        -k; there is no gradient. `check` is called between blocks: raising in it cancels.
        """
        limit = min(self.radius, ball.radius) if radius is None else radius
        z = z.to(self.envelope)
        mirror = ball.mirror[: ball.count(limit)]
        half = torch.nonzero(torch.arange(len(mirror), device=mirror.device) < mirror)[:, 0]
        found = self.envelope.new_empty(len(z), len(mirror))
        rows = _ROWS.get(found.device.type, _ROWS["cuda"]) // (2 * max(len(z), 1))
        for block in half.split(max(rows, 64)):
            if check is not None:
                check()
            pairs = self.forward_pairs(ball.points[block].to(found)[None], z)
            found[:, block], found[:, mirror[block]] = pairs.unbind(1)
        return found

    def _features(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """First layer of cosines and of sines, ``(b, p, width)`` each; the second is odd."""
        phase = 0.5 * (points.float() @ self.frequencies.T)
        count = len(self.frequencies)
        weight = self.entry.weight.to(self.compute)
        odd = functional.linear(phase.sin().to(self.compute), weight[:, :count])
        even = functional.linear(phase.cos().to(self.compute), weight[:, count : 2 * count])
        return even, odd

    def _latent_part(self, z: Tensor) -> Tensor:
        weight = self.entry.weight[:, 2 * len(self.frequencies) :]
        return functional.linear(z, weight, self.entry.bias).to(self.compute)

    def _tail(self, features: Tensor, latent: Tensor) -> Tensor:
        # in place where autograd keeps no input: these steps are bound by memory
        state = functional.relu(self._norm(0, features + latent), inplace=True)
        for index, layer in enumerate(self.hidden):
            branch = self._norm(index + 1, self._linear(layer, state))
            state = functional.relu(branch.add_(state), inplace=True)
        return self._linear(self.exit, state)[..., 0].float()

    def _linear(self, layer: nn.Module, state: Tensor) -> Tensor:
        assert isinstance(layer, nn.Linear)
        return functional.linear(state, layer.weight.to(self.compute), layer.bias.to(self.compute))

    def _norm(self, index: int, state: Tensor) -> Tensor:
        if not self.config.layer_norm:
            return state
        norm = self.norms[index]
        assert isinstance(norm, nn.LayerNorm)
        shape = (self.config.width,)
        weight, bias = norm.weight.to(self.compute), norm.bias.to(self.compute)
        return functional.layer_norm(state, shape, weight, bias, norm.eps)

    def amplitude(self, points: Tensor) -> Tensor:
        """Envelope at the length of each point, linear between shells."""
        length = points.detach().norm(dim=-1).clamp(max=self.radius)
        below = length.floor().long().clamp(max=self.radius - 1)
        return torch.lerp(self.envelope[below], self.envelope[below + 1], length - below)

    def save(self, path: Path | str, geometry: Geometry) -> None:
        """Write weights, sizes and geometry to one safetensors file that decodes anywhere."""
        header = {
            "format": _FORMAT,
            "field": self.config.model_dump(),
            "latent_dim": self.latent_dim,
            "radius": self.radius,
            "geometry": asdict(geometry),
        }
        weights = {
            name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()
        }
        with replacing(path) as part:
            save_file(weights, part, metadata={"json": json.dumps(header)})

    @classmethod
    def load(cls, path: Path | str) -> tuple[FieldDecoder, Geometry]:
        """Read what :meth:`save` wrote.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, is no field, or its tensors do not fit its header.
        """
        header, weights = _read(Path(path))
        field = cls(
            FieldConfig.model_validate(header["field"]),
            header["latent_dim"],
            header["radius"],
            torch.ones(header["radius"] + 1),
        )
        try:
            field.load_state_dict(weights, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f"{path} does not fit its own header ({' '.join(str(error).split())}): train again."
            ) from None
        return field.eval(), Geometry(**header["geometry"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: there is no field to decode.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("json", "{}"))
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no iterator)
    except SafetensorError as error:
        raise ValueError(f"{path} is no readable safetensors file ({error}).") from error
    if header.get("format") != _FORMAT:
        raise ValueError(
            f"{path} is not a field of this program: choose epochs/NNNN/field.safetensors."
        )
    return header, weights
