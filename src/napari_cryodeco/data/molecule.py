"""Residue-level bead models of macromolecules: the truth behind simulated particles."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

BEADS = Path(__file__).with_name("beads")
IDENTITY = np.eye(3, dtype=np.float32)[None]


@dataclass(frozen=True)
class Hinge:
    """A rigid part that swings about an axis.

    Parameters
    ----------
    moving
        ``(n,)`` bool, the beads that swing.
    pivot, axis
        ``(3,)`` a point of the axis in Å and its direction, xyz.
    angles
        First and last angle, degrees.
    """

    moving: np.ndarray
    pivot: np.ndarray
    axis: np.ndarray
    angles: tuple[float, float]


@dataclass(frozen=True)
class Molecule:
    """Beads that scatter.

    Parameters
    ----------
    name, title, source
        Short name (a file stem), one line of what it is, and where it came from.
    positions
        ``(n, 3)`` float32, Å, xyz; the centre of mass of the deposited structure is the origin.
    electrons
        ``(n,)`` float32, electrons of each bead.
    hinge
        How a part of it moves, if it does.
    symmetry
        ``(s, 3, 3)`` float32 rotations about the origin that leave it as it is, the identity among
        them: a pose is only defined up to these.
    """

    name: str
    title: str
    source: str
    positions: np.ndarray
    electrons: np.ndarray
    hinge: Hinge | None = None
    symmetry: np.ndarray = field(default_factory=lambda: IDENTITY)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def diameter(self) -> float:
        """Twice the distance of the farthest bead from the origin, Å."""
        return 2 * float(np.linalg.norm(self.positions, axis=1).max())


def bead_names() -> tuple[str, ...]:
    """Names of the structures that are shipped."""
    return tuple(sorted(path.stem for path in BEADS.glob("*.npz")))


def load_beads(name: str | Path) -> Molecule:
    """Read a shipped bead model by name, or one of your own by path.

    A file holds `xyz` (``(3, n)`` int16 in 0.1 Å, or ``(n, 3)`` float in Å) and `electrons`
    (uint16, halves of an electron) or `w` (float); optionally `title`, `source`,
    `symmetry` and a hinge (`moving`, `pivot`, `axis`, `angles`).

    Raises
    ------
    FileNotFoundError
        No such model; the sentence lists those that are shipped.
    """
    path = Path(name) if str(name).endswith(".npz") else BEADS / f"{name}.npz"
    if not path.is_file():
        shipped = ", ".join(bead_names())
        raise FileNotFoundError(
            f"No bead model '{name}': use one of {shipped}, or the path of an .npz file."
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    if "xyz" not in arrays or not {"electrons", "w"} & arrays.keys():
        raise ValueError(f"{path} is no bead model: it needs the arrays 'xyz' and 'electrons'.")
    positions = arrays["xyz"]
    if positions.dtype == np.int16:
        positions = positions.T * 0.1
    electrons = arrays["electrons"] * 0.5 if "electrons" in arrays else arrays["w"]
    return Molecule(
        name=path.stem,
        title=str(arrays.get("title", path.stem)),
        source=str(arrays.get("source", path)),
        positions=_centred(positions, electrons).astype(np.float32),
        electrons=np.asarray(electrons, np.float32),
        hinge=_hinge(arrays),
        symmetry=arrays.get("symmetry", IDENTITY),
    )


def _centred(positions: np.ndarray, electrons: np.ndarray) -> np.ndarray:
    weights = np.asarray(electrons, float)[:, None]
    return positions - (positions * weights).sum(0) / weights.sum()


def _hinge(arrays: dict[str, np.ndarray]) -> Hinge | None:
    if "moving" not in arrays:
        return None
    first, last = (float(angle) for angle in arrays["angles"])
    return Hinge(arrays["moving"], arrays["pivot"], arrays["axis"], (first, last))


def swing(molecule: Molecule, states: int) -> tuple[list[Molecule], np.ndarray]:
    """Snapshots of a molecule along its hinge.

    The fixed part stays where it is: snapshots are not centred again.

    Returns
    -------
    tuple
        The `states` snapshots and their angles, ``(states,)`` degrees.

    Raises
    ------
    ValueError
        The molecule has no hinge.
    """
    hinge = molecule.hinge
    if hinge is None:
        hinged = ", ".join(name for name in bead_names() if load_beads(name).hinge)
        raise ValueError(f"{molecule.name} has no moving part; these have one: {hinged}.")
    angles = np.linspace(*hinge.angles, states)
    snapshots = []
    for angle in angles:
        positions = molecule.positions.astype(float)
        turned = (positions[hinge.moving] - hinge.pivot) @ _turn(hinge.axis, angle).T + hinge.pivot
        positions[hinge.moving] = turned
        name = f"{molecule.name}@{angle:+.1f}"
        moved = positions.astype(np.float32)
        snapshots.append(replace(molecule, name=name, positions=moved, symmetry=IDENTITY))
    return snapshots, angles


def _turn(axis: np.ndarray, degrees: float) -> np.ndarray:
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
