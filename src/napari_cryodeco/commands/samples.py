"""``cryodeco simulate`` and ``demo``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from napari_cryodeco.commands.common import Output
from napari_cryodeco.terminal import Bar, say


def simulate(
    *,
    output: Output,
    structures: str,
    n: Annotated[int, Parameter(name=["-n", "--count"])] = 500,
    box: Annotated[int, Parameter(name=["-D", "--box"])] = 64,
    apix: float = 5.0,
    snr: float = 0.1,
    hinge: int = 0,
    half: bool = False,
    seed: int = 0,
) -> None:
    """Simulate particles of known structures, with their truth.

    Parameters
    ----------
    output
        Folder to make.
    structures
        Bead models, as 1wcm,2buk: shipped ones or NPZ files.
    n
        Images of each.
    box
        Side of the images in px.
    apix
        Å per px.
    snr
        Variance of the signal over that of the noise.
    hinge
        States of the motion of the one structure given; 0: rigid.
    half
        Write float16 (MRC mode 12), which RELION 3.1 cannot read.
    seed
        Of all random numbers.
    """
    from napari_cryodeco.data import simulate as simulator
    from napari_cryodeco.data.molecule import load_beads, swing

    molecules = [load_beads(name.strip()) for name in structures.split(",")]
    angles = None
    if hinge:
        if len(molecules) > 1:
            raise ValueError(f"--hinge {hinge} is for one structure, not for {len(molecules)}.")
        molecules, angles = swing(molecules[0], hinge)
    recipe = simulator.Recipe(
        box=box, pixel_size=apix, count=n, snr=snr, pooled=bool(hinge), half=half, seed=seed
    )
    with Bar("simulate") as bar:
        star = simulator.simulate(molecules, recipe, output, angles, bar.count)
    say(f"{star}: {n * len(molecules):,} particles; with the true poses: {output}/gt")


def demo(
    *,
    output: Output | None = None,
    sample: Literal["mixture", "motion"] = "mixture",
    window: bool = True,
) -> int:
    """Do the whole job on a sample made on the spot; ends in the explorer where there is a display.

    Parameters
    ----------
    output
        Folder to make; demo-run where not given.
    sample
        A mixture of three molecules, from nothing; or one molecule in motion, with given poses.
    window
        Open the explorer in the end.
    """
    from napari_cryodeco import demo as work

    with Bar("demo") as bar:
        chosen = work.MOTION if sample == "motion" else work.SAMPLE
        outcome = work.demo(output, lambda now: bar.show(now.step, now.share, now.eta_s), chosen)
    say(work.describe(outcome))
    return work.show(outcome) if window and work.has_display() else 0
