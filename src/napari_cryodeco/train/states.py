"""Species that are states of one molecule are told apart by what varies in the molecule.

Features of images tell bodies apart, not what a body lacks: states of one molecule begin mixed, and
each map then is a mean that keeps its particles. But such maps are alike, so their particles have
good poses in one frame. There a linear model of what varies puts every particle in its place, and
clusters of these places are the states to begin from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.imaging.superpose import superpose
from napari_cryodeco.train.common_frame import RADIUS, moved_poses
from napari_cryodeco.train.explained import FEWEST as NO_MAP
from napari_cryodeco.train.features import mix
from napari_cryodeco.train.looks import Looks
from napari_cryodeco.train.matching import Rebuilt
from napari_cryodeco.train.merging import OF_PARTICLES, OF_SPECIES
from napari_cryodeco.train.retry import FEWEST
from napari_cryodeco.train.stages import Reporter, generator
from napari_cryodeco.train.state_chain import observed
from napari_cryodeco.train.state_maps import settled
from napari_cryodeco.train.subspace import fit
from napari_cryodeco.train.unseen import is_sure

# Mean FSC of shells 5-9 from which maps may be of one molecule: states of 6GMH, with 47 to 100 % of
# its electrons, have .70 - .83, sixteen other species .61 at most (from shell 1 on .76 and .77).
ALIKE, FROM = 0.65, 5
MOST_COMPONENTS = 8
BEGINNINGS = 8
AS_LIKELY = 0.01  # log-likelihood an image by which two beginnings that end alike may differ
BEFORE = "before."


@dataclass(frozen=True)
class Family:
    """Species of one molecule, places of no species among them; particles in one frame.

    `rows` ``(m,)`` and their `poses` (box sides).
    """

    species: list[int]
    rows: Tensor
    poses: Poses


def with_states(
    looks: Looks, rows: Tensor, state: dict[str, Tensor], seed: int, report: Reporter
) -> dict[str, Tensor]:
    """Let the species of each molecule begin anew from what varies in it.

    Where they have done so, the same species do it once more, at poses that better maps gave them.

    Parameters
    ----------
    looks
        All images.
    rows
        Particles ``(m,)`` that were compared with all species.
    state
        Of the joint stage.
    seed, report
        Of random numbers; where to tell.

    Returns
    -------
    dict
        The state with other maps of these species, and what they were under names that begin with
        :data:`BEFORE`; `family` ``(K,)`` of it tells which belong together, 0: to none.
    """
    report.step(0, 1, "species that are states of one molecule")
    known = bool(state["family"].any())
    found = known_families(rows, state) if known else families(looks, rows, state)
    made = {name: value.clone() for name, value in state.items()}
    if not known:  # there were other species when it was made
        made["family"] = torch.zeros(len(state["volumes"]), dtype=torch.long)
    for done, family in enumerate(found):
        report.step(done, len(found), f"what varies in {len(family.species)} species")
        maps = _states(looks, family, seed, report)
        if maps is not None:
            _begin(made, family, maps)
    report.metric("states", int((made["family"] > 0).sum()))
    kept = OF_PARTICLES + OF_SPECIES if made["family"].any() and not known else ()
    return made | {BEFORE + name: state[name] for name in kept}


def better(rows: Tensor, state: dict[str, Tensor], report: Reporter) -> dict[str, Tensor]:
    """Take the species of a molecule back to before where its states do not explain more.

    Particles ``(m,)`` in `rows` were searched in either, and in maps that they are not in. The
    states must be better by two standard errors.
    """
    before, after = (state[begin + "scores"][rows] for begin in (BEFORE, ""))
    family, made = state["family"], dict(state)
    own = family[before.argmax(1)]
    for number in range(1, int(family.max()) + 1):
        mine, columns = own == number, family == number
        gain = after[mine][:, columns].logsumexp(1) - before[mine][:, columns].logsumexp(1)
        report.metric("gain_of_states", float(gain.mean()))
        if is_sure(gain):
            continue
        for name in OF_PARTICLES:
            made[name] = made[name].clone()
            made[name][:, columns] = state[BEFORE + name][:, columns]
        for name in OF_SPECIES:
            made[name] = made[name].clone()
            made[name][columns] = state[BEFORE + name][columns]
        made["running"][:, columns] = True
    return made | forgotten(made)


def forgotten(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a state says of families where there are none."""
    nothing = {BEFORE + name: state[name][:0] for name in OF_PARTICLES + OF_SPECIES}
    return nothing | {"family": torch.zeros(len(state["volumes"]), dtype=torch.long)}


def families(looks: Looks, rows: Tensor, state: dict[str, Tensor]) -> list[Family]:
    """Species that are alike; places of hardly any particles go to the family with the most."""
    own, count = state["scores"][rows].argmax(1), len(state["volumes"])
    members, confirmed = torch.bincount(own, minlength=count), state["confirmed"]
    shown = (members >= FEWEST) | (confirmed & (members >= NO_MAP))
    left = [int(index) for index in members.argsort(descending=True) if shown[index]]
    empty = [index for index in range(count) if not shown[index]]
    found = []
    while left:
        made = _family(looks, rows, state, own, left)
        left = [one for one in left if one not in made.species]
        if len(made.species) + len(empty) > 1 and len(made.rows) >= FEWEST:
            made.species.extend(empty)
            empty = []
            found.append(made)
    return found


def known_families(rows: Tensor, state: dict[str, Tensor]) -> list[Family]:
    """Families that have begun: the maps of each are in one frame."""
    own, found = state["scores"][rows].argmax(1), []
    for number in range(1, int(state["family"].max()) + 1):
        species = state["family"] == number
        mine = species[own]
        at = rows[mine], own[mine]
        poses = Poses(state["rotations"][at], state["shifts"][at])
        found.append(Family(torch.nonzero(species)[:, 0].tolist(), rows[mine], poses))
    return found


def _family(
    looks: Looks, rows: Tensor, state: dict[str, Tensor], own: Tensor, among: list[int]
) -> Family:
    """The first species and those among the others whose maps are like its own."""
    ball, volumes = Ball(min(RADIUS, looks.radius), 3), state["volumes"]
    species: list[int] = []
    parts, poses = [], []
    for one in among:
        mine = rows[own == one]
        now = Poses(state["rotations"][mine, one], state["shifts"][mine, one])
        if species:
            over = superpose(volumes[species[0]], volumes[one], ball)
            if float(over.fsc[FROM - 1 :].mean()) <= ALIKE:
                continue
            now = moved_poses(now, over)
        species.append(one)
        parts.append(mine)
        poses.append(now)
    together = Poses(
        torch.cat([one.rotations for one in poses]), torch.cat([one.shifts for one in poses])
    )
    return Family(species, torch.cat(parts), together)


def _states(looks: Looks, family: Family, seed: int, report: Reporter) -> list[Rebuilt] | None:
    """Maps of as many states.

    Clusters of where the particles lie cut through large states, and leave small ones in others,
    each time elsewhere; so several beginnings settle, until the likeliest is found again.
    """
    count, draw = len(family.species), generator(seed, "states", 0)
    seen = observed(looks, family.rows, family.poses)
    model = fit(seen, min(max(2, count - 1), MOST_COMPONENTS), draw)
    proven = (model.reliability > 0).cpu()
    if not proven.any():
        return None
    places = model.coordinates.cpu()[:, proven]
    best, again = None, False
    for number in range(BEGINNINGS):
        guess = mix(places, count, seed + number, components=places.shape[1], shared=True)
        begun = guess.posteriors.float()
        found = settled(looks, family.rows, family.poses, begun, report.check_stop)
        report.metric("states_told", found.told)
        again = best is not None and abs(found.told - best.told) < AS_LIKELY
        best = found if best is None or found.told > best.told else best
        if again:
            break
    return best.maps if best else None


def _begin(state: dict[str, Tensor], family: Family, maps: list[Rebuilt]) -> None:
    """Put these maps into the state, at the poses of the family."""
    species, rows = torch.tensor(family.species), family.rows[:, None]
    own = state["scores"].argmax(1)
    # all of the molecule, and who has not been compared with anything yet, choose among them
    of_it = torch.isin(own, species) | ~state["scores"].any(1)
    state["running"][:, species] |= of_it[:, None]
    state["rotations"][rows, species] = family.poses.rotations[:, None]
    state["shifts"][rows, species] = family.poses.shifts[:, None]
    for index, one in zip(family.species, maps, strict=True):
        state["volumes"][index] = one.volume.cpu()
        state["left_out"][index] = torch.cat([one.left_out, one.volume[None]]).cpu()
    # a molecule that was found again from nothing is what its states are of
    state["confirmed"][species] = state["confirmed"][species].any()
    state["agreement"][species] = state["agreement"][species].max()
    if not state["family"][species].any():
        state["family"][species] = state["family"].max() + 1
