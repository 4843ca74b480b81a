"""``cryodeco species``."""

from __future__ import annotations

from pathlib import Path

from napari_cryodeco.commands.common import require_run
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.species import read_species, share, summary
from napari_cryodeco.terminal import say


def species(run: Path, /) -> None:
    """Tell how far the species of an ab initio run can be trusted, one line for each.

    Agreement is the mean FSC, to shell 9, of the map with another that was started from nothing;
    sides the share of Fourier space that the images measure; explained the share of the images'
    signal that the map explains. The same numbers lie in RUN/species.json.

    Parameters
    ----------
    run
        Run directory.
    """
    require_run(run)
    records = read_species(run)
    if not records:
        raise ValueError(
            f"{run} has no species yet: they are known when `cryodeco train {run}` is past its "
            f"stage joint; a run with --poses file has none. {RunPaths(run).species} is not there."
        )
    say("species  particles  agreement  sides  explained  half-maps  verdict")
    for number, record in enumerate(records, 1):
        say(
            f"{number:7d}  {record.images:9,d}  {record.agreement:9.2f}  {record.sides:5.0%}  "
            f"{share(record.explained):>9}  {record.resolution:7.1f} Å  {record.verdict}"
        )
    say(summary(records))
