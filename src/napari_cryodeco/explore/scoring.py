"""A run against the truth: every score in one record, as a table and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from napari_cryodeco.data.ground_truth import KnownTruth
from napari_cryodeco.explore import scores
from napari_cryodeco.explore.alignment import Progress
from napari_cryodeco.explore.exporting import clusters_of
from napari_cryodeco.explore.map_scores import (
    MapScores,
    conformation_rows,
    image_rows,
    score_maps,
)
from napari_cryodeco.explore.volumes import VolumeDecoder
from napari_cryodeco.imaging.poses import Poses
from napari_cryodeco.runs.checkpoint import Epoch
from napari_cryodeco.runs.run import Run

Record = dict[str, Any]


def score_run(
    run: Run,
    truth: KnownTruth,
    images: int = 100,
    device: str = "auto",
    progress: Progress | None = None,
) -> Record:
    """Compare the newest epoch of a run with the truth; what the truth does not hold is left out.

    Parameters
    ----------
    run, truth
        Row i of both is the same particle.
    images
        Particles whose own map is compared with the true one; 0 leaves maps out.
    device
        Where maps are decoded.
    progress
        Called with (maps done, maps in all); raising in it cancels.

    Returns
    -------
    dict
        Plain values under `clusters`, `classes`, `nearest`, `neighbourhood`, `poses`, `fsc_image`
        and `fsc_conformation`.

    Raises
    ------
    ValueError
        When the truth is of another number of particles.
    """
    epoch = run.epoch()
    latents, labels = epoch.latents(), truth.labels
    if len(latents) != len(labels):
        raise ValueError(
            f"{truth.source} is of {len(labels)} particles, {run.path} has {len(latents)}: give"
            " the truth of the same particle file."
        )
    found = clusters_of(run, epoch)
    record: Record = {
        "run": str(run.path),
        "epoch": epoch.number,
        "particles": len(labels),
        "true_classes": len(np.unique(labels)),
        "clustering": {"method": found.method, "clusters": len(found.centres), "seed": found.seed},
        "clusters": asdict(scores.label_scores(labels, found.labels)),
    }
    if (posteriors := epoch.class_posteriors()) is not None:
        record["classes"] = asdict(scores.label_scores(labels, posteriors.argmax(1)))
    record["nearest"] = asdict(scores.nearest_scores(latents, labels))
    if truth.latent is not None:
        shared = scores.neighbourhood_similarity(truth.latent, latents)
        record["neighbourhood"] = {str(k): list(pair) for k, pair in shared.items()}
    if truth.rotations is not None:
        record["poses"] = _poses(epoch.poses(), truth)
    if truth.maps and images:
        record |= _maps(run, epoch, latents, truth, images, device, progress)
    return record


def _poses(found: Poses, truth: KnownTruth) -> Record:
    """Each class in its own frame, modulo its symmetry; and all in one frame, if none has any."""
    assert truth.rotations is not None
    rows: Record = {}
    for number in np.unique(truth.labels).tolist():
        members = torch.from_numpy(np.flatnonzero(truth.labels == number))
        shifts = None if truth.shifts is None else truth.shifts[members]
        rows[truth.names[number]] = asdict(
            scores.pose_scores(
                found[members], truth.rotations[members], shifts, truth.symmetries[number]
            )
        )
    record: Record = {"by_class": rows}
    if all(len(group) == 1 for group in truth.symmetries):
        record["together"] = asdict(scores.pose_scores(found, truth.rotations, truth.shifts))
    return record


def _maps(
    run: Run,
    epoch: Epoch,
    latents: np.ndarray,
    truth: KnownTruth,
    images: int,
    device: str,
    progress: Progress | None,
) -> Record:
    decoder = VolumeDecoder(epoch.field_path, device, "auto")
    align = run.config.poses == "abinitio"
    labels = truth.labels
    rows = image_rows(len(labels), images)
    classes = np.unique(labels)
    centres = conformation_rows(latents, labels)
    total = len(rows) + len(centres)
    tell = progress or (lambda done, of: None)
    by_image = score_maps(
        decoder, latents[rows], rows, labels[rows], truth.maps, align, lambda i, _: tell(i, total)
    )
    by_state = score_maps(
        decoder,
        latents[centres],
        centres,
        classes,
        truth.maps,
        align,
        lambda i, _: tell(len(rows) + i, total),
    )
    return {
        "fsc_image": _areas(by_image, truth, align),
        "fsc_conformation": _areas(by_state, truth, align),
    }


def _areas(found: MapScores, truth: KnownTruth, align: bool) -> Record:
    return {
        "mean": found.mean,
        "median": float(np.median(found.areas)),
        "best": found.best,
        "aligned": align,
        "by_class": {truth.names[c]: area for c, area in found.by_class().items()},
        "rows": found.rows.tolist(),
        "areas": [round(float(area), 5) for area in found.areas],
    }


def table(record: Record) -> list[str]:
    """Lines of a table for a terminal."""
    lines = [
        f"{record['particles']:,} particles of {record['true_classes']} classes,"
        f" epoch {record['epoch']}"
    ]
    for key, title in (("clusters", _clusters(record)), ("classes", "classes of the run")):
        if key in record:
            s = record[key]
            lines.append(
                f"{title:<34} ARI {s['ari']:.4f}  AMI (max) {s['ami_max']:.4f}"
                f"  AMI {s['ami_arithmetic']:.4f}  accuracy {s['accuracy']:.4f}"
            )
    near = record["nearest"]
    lines.append(
        f"{'10 nearest neighbours':<34} top-1 {near['top1']:.4f}  top-10 {near['top10']:.4f}"
    )
    for k, (mean, spread) in record.get("neighbourhood", {}).items():
        title = f"shared among {k} neighbours"
        lines.append(f"{title:<34} {mean:.4f} ± {spread:.4f}")
    poses = record.get("poses", {})
    groups = {"all in one frame": poses["together"]} if "together" in poses else {}
    for name, p in (groups | poses.get("by_class", {})).items():
        shift = "" if p["median_shift"] is None else f"  shift {p['median_shift']:.2f} Å"
        lines.append(
            f"{'poses, ' + name:<34} median {p['median_degrees']:.2f}°"
            f"  within 15° {p['within_15']:.3f}{shift}{'  (mirrored)' if p['mirrored'] else ''}"
        )
    for key, title in (("fsc_image", "per image"), ("fsc_conformation", "per conformation")):
        if key in record:
            lines.append(
                f"{'FSC area ' + title:<34} mean {record[key]['mean']:.4f}  median"
                f" {record[key]['median']:.4f}  (equal maps: {record[key]['best']:.4f})"
            )
    return lines


def _clusters(record: Record) -> str:
    made = record["clustering"]
    return f"clusters ({made['method']}, {made['clusters']})"
