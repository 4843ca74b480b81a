"""The contrast transfer function with RELION's sign (algorithm.md §1.5)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ctf:
    """Columns of length n.

    `defocus_u`, `defocus_v` in Å (underfocus positive), `angle` of astigmatism and `phase` shift in
    radians, `voltage` in kV, `cs` in mm, `amplitude` contrast between 0 and 1.
    """

    defocus_u: Tensor
    defocus_v: Tensor
    angle: Tensor
    voltage: Tensor
    cs: Tensor
    amplitude: Tensor
    phase: Tensor

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"CTF columns differ in length: {lengths}.")

    def __len__(self) -> int:
        return len(self.defocus_u)

    def __getitem__(self, rows: Tensor | slice) -> Ctf:
        return replace(
            self, **{field.name: getattr(self, field.name)[rows] for field in fields(self)}
        )

    def to(self, device: torch.device | str) -> Ctf:
        """Return the same columns on another device."""
        return replace(
            self, **{field.name: getattr(self, field.name).to(device) for field in fields(self)}
        )

    def at(self, frequencies: Tensor) -> Tensor:
        """CTF of each particle at `frequencies` ``(p, 2)`` in cycles/Å: ``(n, p)`` float32.

        ``w·cos γ − sqrt(1 − w²)·sin γ`` with ``γ = 2π(−½·df·λ·s² + ¼·Cs·λ³·s⁴) − phase``: +w at
        zero frequency. Source: RELION's convention.
        """
        column = {field.name: getattr(self, field.name).double()[:, None] for field in fields(self)}
        volts = column["voltage"] * 1e3
        wavelength = 12.2639 / (volts + 0.97845e-6 * volts**2).sqrt()
        sx, sy = frequencies.double().unbind(-1)
        squared = sx**2 + sy**2
        # df·s² without an arctangent: cos 2(α − α₀)·s² = (sx² − sy²) cos 2α₀ + 2 sx sy sin 2α₀
        twice = 2 * column["angle"]
        astigmatic = (sx**2 - sy**2) * twice.cos() + 2 * sx * sy * twice.sin()
        mean = 0.5 * (column["defocus_u"] + column["defocus_v"])
        half = 0.5 * (column["defocus_u"] - column["defocus_v"])
        aberration = 0.25 * column["cs"] * 1e7 * wavelength**3 * squared**2
        gamma = (
            2 * torch.pi * (-0.5 * wavelength * (mean * squared + half * astigmatic) + aberration)
        )
        gamma = gamma - column["phase"]
        w = column["amplitude"]
        return (w * gamma.cos() - (1 - w**2).sqrt() * gamma.sin()).float()
