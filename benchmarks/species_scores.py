"""What a run says of each species beside the truth: which it is, how pure, and how wrong its poses.

A species is *right* when the median error of the poses of its true members is under
:data:`RIGHT_DEGREES`; "sound" is what the run says of it (``cryodeco species``). Precision: share
of the sound species that are right. Recall: share of the right ones that are called sound.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import torch
from symmetry import rotation_group
from torch import Tensor

from napari_cryodeco.imaging.poses import align
from napari_cryodeco.runs.species import SpeciesRecord

RIGHT_DEGREES = 10.0
FEWEST = 20  # members under which a common frame could be fitted to anything


@lru_cache(maxsize=64)
def symmetry_of(folder: Path, number: int) -> tuple[str, Tensor]:
    """Name and rotations ``(s, 3, 3)`` of the symmetry of a true map."""
    volume = mrcfile.read(folder / "gt" / f"vol_{number:03d}.mrc").astype("f4")
    return rotation_group(torch.from_numpy(volume))


def states_of_one(folder: Path) -> bool:
    """Whether the classes of a set are states of one molecule, which share one frame."""
    info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    return bool(info.get("pooled", False)) or info.get("snr_scope") == "dataset"


def species_scores(
    folder: Path, rotations: Tensor, found: np.ndarray, records: list[SpeciesRecord]
) -> list[dict[str, Any]]:
    """One row for each species of a run.

    Parameters
    ----------
    folder
        The set, for its truth.
    rotations
        ``(n, 3, 3)`` of each particle in its species.
    found
        ``(n,)`` species of each particle, from 0.
    records
        What the run says, species by species.
    """
    truth = np.load(folder / "gt" / "ground_truth.npz", allow_pickle=False)
    labels, names = truth["label"].astype(int), truth["class_names"]
    true, one = torch.from_numpy(truth["rotation"]).float(), states_of_one(folder)
    rows = []
    for number, record in enumerate(records):
        row = asdict(record) | {"class": number + 1, "sound": record.sound}
        members = np.flatnonzero(found == number)
        if len(members):
            counts = np.bincount(labels[members], minlength=len(names))
            mostly = int(counts.argmax())
            judged = members if one else members[labels[members] == mostly]
            row |= {
                "species": str(names[mostly]),
                "purity": round(counts[mostly] / len(members), 3),
                "share_of_species": round(counts[mostly] / (labels == mostly).sum(), 3),
            } | _errors(rotations[judged], true[judged], symmetry_of(folder, mostly))
        rows.append(row)
    return rows


def pose_errors(
    folder: Path, rotations: Tensor, labels: np.ndarray, found: np.ndarray
) -> list[dict[str, Any]]:
    """One row for each true species: errors of its members that are in its majority class."""
    truth = np.load(folder / "gt" / "ground_truth.npz", allow_pickle=False)
    true, rows = torch.from_numpy(truth["rotation"]).float(), []
    for number, name in enumerate(truth["class_names"]):
        members = np.flatnonzero(labels == number)
        majority = int(np.bincount(found[members]).argmax())
        mine = members[found[members] == majority]
        row = {"species": str(name), "class": majority + 1, "images": len(mine)}
        rows.append(row | _errors(rotations[mine], true[mine], symmetry_of(folder, number)))
    return rows


def _errors(found: Tensor, true: Tensor, symmetry: tuple[str, Tensor]) -> dict[str, Any]:
    name, group = symmetry
    if len(found) < FEWEST:
        return {"symmetry": name, "median_degrees": None, "within_15": None}
    aligned = align(found, true, group)
    return {
        "symmetry": name,
        "median_degrees": round(aligned.median_degrees, 2),
        "within_15": round(aligned.share_within(15), 3),
    }


def is_right(species: dict[str, Any]) -> bool:
    """Whether the poses of a found species are right."""
    error = species.get("median_degrees")
    return error is not None and error < RIGHT_DEGREES


def precision_and_recall(species: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """How well "sound" tells the species with right poses; None where nothing was there to tell."""
    judged = [(one["sound"], is_right(one)) for one in species if one["images"]]
    both = sum(sound and right for sound, right in judged)
    sound, right = sum(s for s, _ in judged), sum(r for _, r in judged)
    return {
        "species": len(judged),
        "sound": sound,
        "right": right,
        "both": both,
        "precision": round(both / sound, 3) if sound else None,
        "recall": round(both / right, 3) if right else None,
    }
