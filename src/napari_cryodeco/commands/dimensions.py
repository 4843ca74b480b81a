"""``cryodeco dimensions``."""

from __future__ import annotations

from pathlib import Path

from napari_cryodeco.commands.common import require_run
from napari_cryodeco.runs.latent_size import read_latent_size, size_sentence, species_sentence
from napari_cryodeco.runs.paths import RunPaths
from napari_cryodeco.runs.species import read_species
from napari_cryodeco.terminal import say


def dimensions(run: Path, /) -> None:
    """Tell in how many directions the particles of a run vary, with the evidence.

    One line for each component of the linear start. Gain is the log-likelihood per image by which
    it improves the prediction of one half of the pixels of unseen images from the other half, with
    its standard error: a component is confirmed where that is more than twice the error.
    Reliability is the share of its coordinate that is signal, share that of the variance between
    maps. The same numbers lie in RUN/latent_size.json.

    Parameters
    ----------
    run
        Run directory.
    """
    require_run(run)
    record = read_latent_size(run)
    if record is None:
        raise ValueError(
            f"{run} does not know its dimensions yet: they are known when `cryodeco train {run}` "
            "is past its stage subspace; the parity loop and adopted latents have none. "
            f"{RunPaths(run).latent_size} is not there."
        )
    say("component     gain          reliability  share  ")
    for number, one in enumerate(record.components, 1):
        say(
            f"{number:9d}  {one.gain:7.2f} ± {one.error:4.2f}  {one.reliability:11.2f}  "
            f"{one.share:5.1%}  {'confirmed' if one.confirmed else ''}".rstrip()
        )
    say(size_sentence(record))
    if told := species_sentence(record, len(read_species(run))):
        say(told)
