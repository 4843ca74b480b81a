"""Structures that do not exist: so that an encoder cannot learn the few real ones by heart.

Every generator takes a random generator of numpy and gives points in Å with their weights. They are
filled at the density of protein, so that size and mass go together as they do in nature.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_cryodeco.data.bank import Cloud, make_cloud
from napari_cryodeco.data.molecule import Molecule
from napari_cryodeco.data.swarm import (
    compact,
    contact,
    random_rotation,
    replicate,
    smooth_field,
)

PROTEIN_DENSITY = 0.81  # Da per Å³
SPACING = 5.0  # Å between the points of a filled shape
_MOST_POINTS = 24_000
_SMALLEST, _LARGEST = 35.0, 210.0  # Å from the centre to the farthest point

KINDS = {"blob": 0.35, "assembly": 0.35, "warped": 0.2, "fragment": 0.1}
"""Kinds of structures and their shares: bodies of domains, real pieces put together anew, real
structures bent and stretched, and such that were cut before."""

Parts = Sequence[np.ndarray]


def blob_protein(rng: np.random.Generator) -> np.ndarray:
    """Points of a protein-like body: domains in contact, often in several symmetric copies."""
    domains = [_ellipsoid(rng) for _ in range(rng.integers(1, 9))]
    return _symmetrised(contact(domains, rng), rng)


def assembly(rng: np.random.Generator, parts: Parts) -> np.ndarray:
    """Points of real parts (chains or slabs of real structures) put together anew."""
    chosen = [parts[index] for index in rng.integers(0, len(parts), rng.integers(1, 7))]
    return _symmetrised(contact([_turned(part, rng) for part in chosen], rng), rng)


def warped(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """Points of a structure, bent and stretched smoothly until it is another one."""
    stretch = np.exp(rng.normal(0, 0.25, 3))
    frame = random_rotation(rng)
    bent = points @ frame * stretch
    reach = np.abs(bent).max()
    bent = bent + rng.uniform(0.1, 0.3) * reach * smooth_field(bent / reach, rng)
    return bent * np.exp(rng.normal(0, 0.15))


def fragment(rng: np.random.Generator, points: np.ndarray) -> np.ndarray:
    """Points of a structure that has lost what lies beyond one or two random planes."""
    kept = np.ones(len(points), bool)
    for _ in range(rng.integers(1, 3)):
        side = points @ random_rotation(rng)[0]
        kept &= side < np.quantile(side, rng.uniform(0.45, 0.85))
    return points[kept] if kept.sum() > 100 else points


def parts_of(molecule: Molecule, rng: np.random.Generator) -> list[np.ndarray]:
    """Compact pieces of a structure, a few hundred beads each: building blocks of assemblies."""
    points = molecule.positions.astype(float)
    count = int(np.clip(len(points) / rng.uniform(300, 900), 2, 40))
    seeds = points[rng.choice(len(points), count, replace=False)]
    nearest = ((points[:, None] - seeds) ** 2).sum(2).argmin(1)
    pieces = [points[nearest == index] for index in range(count)]
    return [piece - piece.mean(0) for piece in pieces if len(piece) >= 80]


def invent(
    count: int,
    molecules: Sequence[Molecule],
    seed: int,
    size: int,
    kinds: Sequence[str] = tuple(KINDS),
) -> list[Cloud]:
    """Make `count` structures of some kinds, in their shares.

    Parameters
    ----------
    count
        How many.
    molecules
        Real structures whose pieces are used; none: blobs only.
    seed
        The same seed gives the same structures, whatever the count.
    size
        Most points per structure.
    kinds
        Of :data:`KINDS`.
    """
    rng = np.random.default_rng([seed, 0])
    real = [molecule.positions.astype(float) for molecule in molecules]
    parts = [part for molecule in molecules for part in parts_of(molecule, rng)]
    made = []
    for number in range(count):
        rng = np.random.default_rng([seed, 1 + number])
        kind, points = _one(rng, real, parts, kinds)
        while not _SMALLEST < np.linalg.norm(points, axis=1).max() < _LARGEST:
            kind, points = _one(rng, real, parts, kinds)
        made.append(make_cloud(f"{kind}-{number}", kind, points, np.ones(len(points)), size))
    return made


def _one(
    rng: np.random.Generator, real: Parts, parts: Parts, kinds: Sequence[str]
) -> tuple[str, np.ndarray]:
    """One structure of one of `kinds`, centred."""
    shares = np.array([KINDS[kind] for kind in kinds])
    kind = str(rng.choice(list(kinds), p=shares / shares.sum()))
    if kind == "blob" or not parts:
        kind, points = "blob", blob_protein(rng)
    elif kind == "assembly":
        points = assembly(rng, parts)
    else:
        whole = real[int(rng.integers(len(real)))]
        points = warped(rng, fragment(rng, whole) if kind == "fragment" else whole)
    if len(points) > _MOST_POINTS:
        points = points[rng.choice(len(points), _MOST_POINTS, replace=False)]
    return kind, points - points.mean(0)


def real_clouds(molecules: Sequence[Molecule], size: int) -> list[Cloud]:
    """Clouds of real structures."""
    return [
        make_cloud(molecule.name, "real", molecule.positions, molecule.electrons, size)
        for molecule in molecules
    ]


def _ellipsoid(rng: np.random.Generator) -> np.ndarray:
    """Points in an ellipsoid of 15 to 120 kDa, sometimes hollow or bent."""
    volume = np.exp(rng.uniform(np.log(15e3), np.log(120e3))) / PROTEIN_DENSITY
    axes = np.exp(rng.normal(0, 0.45, 3))
    axes *= (volume / (4 / 3 * np.pi * axes.prod())) ** (1 / 3)
    inside = compact(axes, SPACING, rng)
    if rng.random() < 0.25:
        inside = inside[((inside / axes) ** 2).sum(1) > rng.uniform(0.1, 0.4)]
    if rng.random() < 0.4:
        inside = inside + 0.25 * axes.max() * smooth_field(inside / axes.max(), rng)
    return inside


def _turned(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return points @ random_rotation(rng)


def _symmetrised(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Nothing, Cn or Dn, as often as complexes in the PDB have them, roughly."""
    points = points - points.mean(0)
    draw = rng.random()
    if draw < 0.45:
        return points
    fold = int(rng.choice([2, 3, 4, 5, 6, 7, 8], p=[0.3, 0.22, 0.16, 0.08, 0.14, 0.06, 0.04]))
    return replicate(points, fold, draw > 0.75, rng)
