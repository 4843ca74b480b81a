"""``cryodeco judge``, ``score`` and ``align``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_cryodeco.atomic import refuse_existing
from napari_cryodeco.commands.common import Output, chosen_rows, open_run
from napari_cryodeco.terminal import Bar, say


def judge(
    run: Path,
    /,
    *,
    labels: str | None = None,
    rows: Path | None = None,
    selection: str | None = None,
    epoch: int | None = None,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    overwrite: bool = False,
) -> None:
    """Tell what a selection is worth: go, careful or no-go, with reasons, and how it differs.

    Compares it with the rest in viewing direction, defocus, micrograph and all other conditions of
    imaging: see docs/judging.md. `cryodeco stability` before adds whether the clusters come back.

    Parameters
    ----------
    run
        Run directory.
    labels
        Numbers of clusters, from 1, as 1,3.
    rows
        File of row numbers from 0: .txt (one a line) or .npy.
    selection
        Name of a selection kept with the run.
    epoch
        Number of an epoch; the newest where not given.
    output
        JSON file to write, with every number.
    overwrite
        Replace a file of this name.
    """
    if output is not None:
        refuse_existing(output, overwrite)
    opened = open_run(run)
    chosen, source = chosen_rows(opened, "judge", labels, rows, selection, epoch)
    from napari_cryodeco.explore.columns import Columns
    from napari_cryodeco.explore.health import judge_selection
    from napari_cryodeco.runs.json_file import write_json

    with Bar("columns") as bar:
        card = judge_selection(Columns(opened, epoch), chosen, source, bar.count)
    for sentence in card.sentences:
        say(sentence)
    if card.alarm is not None:
        say(card.alarm.summary)
        for finding in card.alarm.warnings:
            if finding.difference.grade == "weak":  # the others are reasons
                say(f"weak: {finding.sentence}")
    if output is not None:
        write_json(output, card.record())
        say(str(output))


def score(
    run: Path,
    /,
    *,
    truth: Path,
    output: Annotated[Path | None, Parameter(name=["-o", "--output"])] = None,
    images: int = 100,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Compare the newest epoch of a run with the truth: labels, latents, poses, maps.

    Prints a table and writes it as JSON. The scores are CryoBench's and the paper's: see
    docs/scores.md.

    Parameters
    ----------
    run
        Run directory.
    truth
        Simulated folder (with gt/ground_truth.npz), or an .npz file with `label`; row i is row i of
        the particle file.
    output
        JSON file to write; RUN/scores.json where not given, replaced each time.
    images
        Particles whose own map is compared with the true one; 0: no maps.
    device
        auto, cpu, cuda:0 … or mps.
    overwrite
        Replace a file of the name given.
    """
    if images < 0:
        raise ValueError(f"--images {images}: give 0 or more.")
    if output is not None:
        refuse_existing(output, overwrite)
    opened = open_run(run)
    from napari_cryodeco.data.ground_truth import read_truth
    from napari_cryodeco.explore.scoring import score_run, table
    from napari_cryodeco.runs.json_file import write_json

    with Bar("scores") as bar:
        record = score_run(opened, read_truth(truth), images, device, bar.count)
    path = opened.path / "scores.json" if output is None else output
    write_json(path, record)
    for line in table(record):
        say(line)
    say(str(path))


def align(
    map_: Annotated[Path, Parameter(name="MAP")],
    /,
    *,
    to: Path,
    output: Output,
    overwrite: bool = False,
) -> None:
    """Lay a map over a reference: turned, moved, of either hand, on the reference's grid.

    Parameters
    ----------
    map_
        MRC map to move; its box and voxel size may differ from the reference's.
    to
        MRC map of reference.
    output
        MRC file to write.
    overwrite
        Replace a file of this name.
    """
    if output.suffix.lower() not in (".mrc", ".map"):
        raise ValueError(f"{output}: maps are written as .mrc; choose such a name.")
    refuse_existing(output, overwrite)
    from napari_cryodeco.explore.alignment import align_maps
    from napari_cryodeco.explore.volumes import Volume
    from napari_cryodeco.runs.store import read_mrc, write_mrc

    maps = [Volume(*read_mrc(path)) for path in (map_, to)]
    with Bar("align") as bar:
        found = align_maps(maps[0], maps[1], bar.count)
    write_mrc(output, found.volume.data, found.volume.voxel_size)
    for sentence in found.sentences:
        say(sentence)
    say(str(output))
