"""What a simulated set is made from and what is true of it, and the files that say so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_cryodeco.data.molecule import IDENTITY, bead_names, load_beads
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
    symmetries: Sequence[np.ndarray],
) -> None:
    """Write the truth as arrays; see the module `simulate` for what a set holds.

    `symmetries` are the rotations ``(s, 3, 3)`` that leave each species as it is.
    """
    known = np.array([]) if latent is None else np.asarray(latent)[truth.labels]
    groups: dict[str, Any] = {
        f"symmetry_{number:03d}": group.astype(np.float32)
        for number, group in enumerate(symmetries)
    }
    np.savez_compressed(
        path,
        **groups,
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


@dataclass(frozen=True, eq=False)
class KnownTruth:
    """The truth of a set as it stands in its files; row i is particle i.

    Parameters
    ----------
    source
        The ``.npz`` file.
    labels
        ``(n,)`` int64, the class of each particle.
    names
        ``(K,)`` of the classes.
    rotations
        ``(n, 3, 3)``, or None.
    shifts
        ``(n, 2)`` RELION's origins in Å, or None.
    latent
        ``(n, c)`` true coordinates of a motion, or None.
    symmetries
        ``(s, 3, 3)`` a class: a pose is only defined up to these.
    maps
        True map of each class; empty where there are none.
    """

    source: Path
    labels: np.ndarray
    names: tuple[str, ...]
    rotations: torch.Tensor | None
    shifts: torch.Tensor | None
    latent: np.ndarray | None
    symmetries: tuple[torch.Tensor, ...]
    maps: tuple[Path, ...]


def read_truth(place: Path | str) -> KnownTruth:
    """Read the truth of a simulated set.

    Parameters
    ----------
    place
        The set's folder, its ``gt`` folder, or an ``.npz`` file. It needs `label` ``(n,)`` from 0;
        `class_names`, `rotation`, `origin_A`, `latent` and `symmetry_NNN` are used where they are
        there, and the maps ``vol_*.mrc`` beside it, in the order of their names.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no truth, or its columns do not fit each other.
    """
    place = Path(place)
    tried = (place, place / "ground_truth.npz", place / "gt" / "ground_truth.npz")
    source = next((path for path in tried if path.is_file()), None)
    if source is None or source.suffix != ".npz":
        raise FileNotFoundError(
            f"{place} holds no truth: give a simulated folder with gt/ground_truth.npz, or an .npz"
            " file with `label`."
        )
    with np.load(source, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    if "label" not in arrays:
        raise ValueError(f"{source} has no array 'label': the class of each particle, from 0.")
    labels = arrays["label"].astype(np.int64)
    if labels.ndim != 1 or not len(labels) or labels.min() < 0:
        raise ValueError(f"{source}: 'label' must be one number a particle, from 0.")
    for name in ("rotation", "origin_A", "latent"):
        if arrays.get(name, labels).size and len(arrays.get(name, labels)) != len(labels):
            raise ValueError(
                f"{source}: {len(arrays[name])} rows of '{name}', {len(labels)} labels."
            )
    count = int(labels.max()) + 1
    names = tuple(str(name) for name in arrays.get("class_names", np.arange(1, count + 1)))
    maps = tuple(sorted(source.parent.glob("vol_*.mrc")))
    if len(names) < count or (maps and len(maps) < count):
        raise ValueError(f"{source}: {count} classes, {len(names)} names and {len(maps)} maps.")
    latent = arrays.get("latent", np.array([]))
    return KnownTruth(
        source,
        labels,
        names,
        torch.from_numpy(arrays["rotation"]).float() if "rotation" in arrays else None,
        torch.from_numpy(arrays["origin_A"]).float() if "origin_A" in arrays else None,
        latent.reshape(len(labels), -1) if latent.size else None,
        tuple(_symmetry(arrays, number, names[number]) for number in range(count)),
        maps,
    )


def _symmetry(arrays: dict[str, np.ndarray], number: int, name: str) -> torch.Tensor:
    """Rotations of a class: from the file, else those of the shipped model of this name."""
    found = arrays.get(f"symmetry_{number:03d}")
    if found is None:
        found = load_beads(name).symmetry if name in bead_names() else IDENTITY
    return torch.from_numpy(np.asarray(found, np.float32))


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
