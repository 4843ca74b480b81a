"""``cryodeco retry``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cryodeco.commands.common import open_run
from napari_cryodeco.terminal import say


def retry(
    run: Path,
    /,
    *,
    species: Annotated[int, Parameter(name="--class")],
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    starts: int = 12,
    seed: int | None = None,
) -> None:
    """Look for a better map of one species of an ab initio run, by itself.

    Other maps are started from its particles and from those that look alike, and judged beside the
    present one on particles left out. Only a better one makes a new run, which goes on from there:
    all particles are matched with all maps again, and the field is fitted anew. RUN stays as it is.

    Parameters
    ----------
    run
        Run directory, past its stage joint.
    species
        Number of the species, as `cryodeco species` counts them, from 1.
    output
        Folder of the new run; RUN_species2 beside RUN for species 2, where not given.
    starts
        Random starts at most; none follow once two maps agree.
    seed
        Of the starts; another one than the run's own where not given.
    """
    config = open_run(run).config
    if not 1 <= starts <= 100:
        raise ValueError(f"--starts {starts}: give a number from 1 to 100.")
    from napari_cryodeco.train.again import Again, another_seed, default_place, retry_species

    asked = Again(species - 1, starts, another_seed(config.seed) if seed is None else seed)
    say(f"Species {species}: up to {starts} starts from nothing …")
    found = retry_species(run, asked, output or default_place(run, species))
    say(found.sentence)
    if found.made is not None:
        say(f"Next: cryodeco train {found.made}")
