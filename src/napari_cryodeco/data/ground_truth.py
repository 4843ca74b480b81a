"""What a simulated set is made from and what is true of it, and the files that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.imaging.ctf import Ctf
from napari_cryodeco.imaging.so3 import euler_to_matrix

_POSE_COLUMNS = ("AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst")
_OPTICS_COLUMNS = (
    *("OpticsGroup", "OpticsGroupName", "AmplitudeContrast", "SphericalAberration", "Voltage"),
    *("ImagePixelSize", "ImageSize", "ImageDimensionality"),
)
_PARTICLE_COLUMNS = (
    "ImageName",
    "OpticsGroup",
    "DefocusU",
    "DefocusV",
    "DefocusAngle",
    "PhaseShift",
)


@dataclass(frozen=True)
class Recipe:
    """How images are made.

    Parameters
    ----------
    box, pixel_size
        Side in pixels (even) and Å per pixel.
    count
        Images of each species.
    snr
        Variance of the signal over that of the noise.
    shift
        Largest displacement along x and y, as a share of the box.
    defocus, astigmatism
        Range of the mean defocus and spread of the astigmatism, Å.
    voltage, cs, amplitude
        kV, mm, and amplitude contrast.
    b_factor
        Envelope ``exp(-B s²/4)``, Å².
    resolution
        Resolution of the molecules in Å (ChimeraX's sense); None: twice the pixel size.
    pooled
        One noise level for all species, for states of one molecule.
    half
        Write float16 (MRC mode 12, RELION ≥ 4) and not float32.
    seed
        Of everything random.
    """

    box: int = 64
    pixel_size: float = 5.0
    count: int = 500
    snr: float = 0.1
    shift: float = 20 / 256
    defocus: tuple[float, float] = (5000.0, 25000.0)
    astigmatism: float = 200.0
    voltage: float = 300.0
    cs: float = 2.7
    amplitude: float = 0.1
    b_factor: float = 100.0
    resolution: float | None = None
    pooled: bool = False
    half: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.box < 8 or self.box % 2:
            raise ValueError(f"Box {self.box} px: it must be even and at least 8.")
        if self.count < 1 or self.pixel_size <= 0 or self.snr <= 0:
            raise ValueError(
                f"{self.count} images at {self.pixel_size} Å/px and SNR {self.snr}:"
                " all must be positive."
            )

    @property
    def blur(self) -> float:
        """Standard deviation of the Gaussian beads, Å."""
        return 0.225 * (self.resolution or 2 * self.pixel_size)


@dataclass(frozen=True)
class Truth:
    """What is true of each particle; row i is particle i.

    `labels` ``(n,)``, `eulers` ``(n, 3)`` in degrees, `displacements` ``(n, 2)`` in px, and `ctf`.
    A displacement is where the particle sits; RELION's origin is its negative.
    """

    labels: np.ndarray
    eulers: np.ndarray
    displacements: np.ndarray
    ctf: Ctf

    def rotations(self) -> torch.Tensor:
        """``(n, 3, 3)`` float32."""
        return euler_to_matrix(torch.deg2rad(torch.from_numpy(self.eulers))).float()


def write_truth(
    path: Path,
    truth: Truth,
    recipe: Recipe,
    names: list[str],
    sigma: np.ndarray,
    signal: np.ndarray,
    latent: np.ndarray | None,
) -> None:
    """Write the truth as arrays; see the module `simulate` for what a set holds."""
    known = np.array([]) if latent is None else np.asarray(latent)[truth.labels]
    np.savez_compressed(
        path,
        label=truth.labels.astype(np.int16),
        class_names=np.array(names),
        latent=known.astype(np.float32),
        rotation=truth.rotations().numpy(),
        euler_deg=truth.eulers.astype(np.float32),
        origin_px=-truth.displacements.astype(np.float32),
        origin_A=-truth.displacements.astype(np.float32) * recipe.pixel_size,
        noise_sigma_raw=sigma.astype(np.float32),
        signal_var=signal.astype(np.float32),
        snr=recipe.snr,
        apix=recipe.pixel_size,
        D=recipe.box,
    )


def write_star(path: Path, truth: Truth, recipe: Recipe, poses: bool) -> None:
    """Write a RELION 3.1 STAR file of the set, with or without the true poses."""
    optics = (
        f"1 opticsGroup1 {recipe.amplitude:.6f} {recipe.cs:.6f} {recipe.voltage:.6f}"
        f" {recipe.pixel_size:.6f} {recipe.box} 2"
    )
    columns = _PARTICLE_COLUMNS + (_POSE_COLUMNS if poses else ())
    origins = -truth.displacements * recipe.pixel_size
    rows = []
    for i in range(len(truth.labels)):
        u, v = float(truth.ctf.defocus_u[i]), float(truth.ctf.defocus_v[i])
        angle = float(torch.rad2deg(truth.ctf.angle[i]))
        row = f"{i + 1:06d}@particles.mrcs 1 {u:.4f} {v:.4f} {angle:.4f} 0.000000"
        if poses:
            row += "".join(f" {value:.6f}" for value in (*truth.eulers[i], *origins[i]))
        rows.append(row)
    text = _block("optics", _OPTICS_COLUMNS, [optics]) + _block("particles", columns, rows)
    path.write_text(text, encoding="utf-8")


def _block(name: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    labels = "".join(f"_rln{column} #{number}\n" for number, column in enumerate(columns, 1))
    return f"\n# version 30001\n\ndata_{name}\n\nloop_\n{labels}" + "\n".join(rows) + "\n\n"
