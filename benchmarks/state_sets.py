"""Two sets whose classes are states of one molecule, after CryoBench's Ribosembly and IgG-RL.

``shared_core``: 6GMH with its outer chains taken away in seven steps, 47 to 100 % of its electrons;
the state that is whole has eight times the particles of the smallest, a ramp between.
``linker``: 3SN6 (a receptor on its G protein, 145 kDa), the receptor turned about the middle of
their contact in 32 directions drawn evenly from a cone of 45°; as many particles each.

One noise level for all states. The prior has seen neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from peer_sets import picked
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from napari_cryodeco.data.ground_truth import Recipe
from napari_cryodeco.data.molecule import Molecule, load_beads
from napari_cryodeco.data.simulate import simulate

PEELED: tuple[tuple[int, ...], ...] = (
    (17, 18),
    (13, 19),
    (9,),
    (5, 16),
    (2, 14, 15),
    (3, 4),
    (6, 7, 8),
)
"""Chains of 6GMH, from the outside in: what is left stays in one piece at every step."""

RECEPTOR, CONFORMERS, CONE = 3, 32, 45.0  # chain of 3SN6, count, degrees
CONTACT = 9.0  # Å between beads


def shared_core(structures: Path) -> list[Molecule]:
    """The eight states, the smallest first; each stays where it is in the whole."""
    whole, chains = _with_chains(structures / "6gmh.npz")
    states, left = [replace(whole, name="all")], np.ones(len(whole), bool)
    for step, gone in enumerate(PEELED, 1):
        left = left & ~np.isin(chains, gone)
        states.append(
            replace(
                whole,
                name=f"less_{step}",
                positions=whole.positions[left],
                electrons=whole.electrons[left],
            )
        )
    return states[::-1]


def linker(structures: Path, seed: int = 0) -> tuple[list[Molecule], np.ndarray]:
    """The conformers, and how far each is turned about x and y of the cone's frame, degrees."""
    whole, chains = _with_chains(structures / "3sn6.npz")
    moving = chains == RECEPTOR
    domain, rest = whole.positions[moving].astype(float), whole.positions[~moving].astype(float)
    touching = cKDTree(rest).query(domain)[0] < CONTACT
    pivot = domain[touching].mean(0)
    axis = domain.mean(0) - pivot
    axis /= np.linalg.norm(axis)
    across = np.linalg.svd(axis[None])[2][1:]  # two directions at right angles to it
    draw = np.random.default_rng(seed)
    tilt = np.arccos(draw.uniform(np.cos(np.deg2rad(CONE)), 1, CONFORMERS))
    around = draw.uniform(0, 2 * np.pi, CONFORMERS)
    turns = tilt[:, None] * np.stack([np.cos(around), np.sin(around)], 1)
    states = []
    for number, turn in enumerate(turns):
        positions = whole.positions.copy()
        positions[moving] = Rotation.from_rotvec(turn @ across).apply(domain - pivot) + pivot
        states.append(replace(whole, name=f"linker_{number:02d}", positions=positions))
    return states, np.rad2deg(turns)


def make_shared_core(structures: Path, recipe: Recipe, out: Path) -> None:
    """Simulate ``shared_core``; `recipe.count` is the mean of a ramp of 2/9 to 16/9 of it."""
    states = shared_core(structures)
    counts = [round(recipe.count * step / 4.5) for step in range(1, len(states) + 1)]
    full = out.with_name(f"{out.name}_even")
    if not full.is_dir():
        simulate(states, replace(recipe, count=max(counts), pooled=True), full)
    labels = np.load(full / "gt" / "ground_truth.npz", allow_pickle=False)["label"]
    rows = [np.flatnonzero(labels == state)[:count] for state, count in enumerate(counts)]
    picked(full, np.sort(np.concatenate(rows)), out)


def make_linker(structures: Path, recipe: Recipe, out: Path) -> None:
    """Simulate ``linker``; its truth keeps the two angles of each particle as `latent`."""
    states, angles = linker(structures)
    simulate(states, replace(recipe, pooled=True), out, latent=angles)


MAKERS: dict[str, Callable[[Path, Recipe, Path], None]] = {
    "shared_core": make_shared_core,
    "linker": make_linker,
}


def _with_chains(path: Path) -> tuple[Molecule, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return load_beads(path), file["chain"]
