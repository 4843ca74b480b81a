"""What the rows of `rows.py` say, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from species_scores import is_right, precision_and_recall

Row = dict[str, Any]
GOAL_PRECISION, GOAL_RECALL = 0.9, 0.8


def line(row: Row) -> str:
    """One row as one line."""
    said = [f"{row['set']} n={row['count']} set-seed {row['set_seed']} SNR {row['snr']:g}"]
    said.append(f"poses {row['poses']}, prior {row['prior']}, K {row['classes']}")
    if row["latent_dim"] is not None:
        said.append(f"z {row['latent_dim']}")
    said.append(f"seed {row['seed']}, engine {row['engine']}")
    if "stopped" in row:
        return f"{'; '.join(said)}: stopped {row['stopped']}"
    figures = []
    for name, title in (
        ("species_found", "found"),
        ("ari_clusters", "ARI of clusters"),
        ("ari_classes", "ARI of classes"),
        ("ari_latents", "ARI of z"),
        ("top1", "top-1"),
        ("knn_r2", "kNN R²"),
        ("spearman", "Spearman"),
        ("fsc_mean", "FSC area"),
    ):
        if name in row:
            figures.append(f"{title} {row[name]}")
    if "pose_errors" in row:
        figures.append("poses " + ", ".join(map(_pose, row["pose_errors"])))
    figures.append(f"{row['cpu_seconds']:.0f} CPU-s")
    return f"{'; '.join(said)}: {'; '.join(figures)}"


def _pose(row: Row) -> str:
    error = row["median_degrees"]
    degrees = "–" if error is None else f"{error:.1f}°"
    return f"{row['species']} {degrees}" if "species" in row else degrees


def species_lines(row: Row) -> list[str]:
    """What a run said of each species, beside the truth."""
    lines = []
    for one in row.get("species", []):
        if not one["images"]:
            lines.append(f"    {one['class']}: empty")
            continue
        said = "sound" if one["sound"] else "doubtful"
        true = "right" if is_right(one) else "wrong"
        lines.append(
            f"    {one['class']}: {one['images']} images, {said} ({true}): again {one['again']}, "
            f"agreement {one['agreement']:.2f}, sides {one['sides']:.2f}; mostly {one['species']}, "
            f"purity {one['purity']:.2f}, {one['share_of_species']:.2f} of it, {_pose(one)}"
        )
    return lines


def report(rows: Iterable[Row]) -> None:
    """Print every row, its species, and how far "sound" can be trusted over all rows."""
    rows = list(rows)
    for row in rows:
        print(line(row))
        for text in species_lines(row):
            print(text)
    runs = [row for row in rows if row.get("species") and row["latent_dim"] is None]
    told = precision_and_recall(one for row in runs for one in row["species"])
    enough = len(runs) >= 10
    met = [
        told[name] is not None and told[name] >= goal
        for name, goal in (("precision", GOAL_PRECISION), ("recall", GOAL_RECALL))
    ]
    print(
        f"{'PASS' if enough and all(met) else 'FAIL'}  'sound' against 'pose error < 10°': "
        f"precision {told['precision']} (goal {GOAL_PRECISION}), recall {told['recall']} (goal "
        f"{GOAL_RECALL}); {told['species']} species of {len(runs)} runs: {told['sound']} sound, "
        f"{told['right']} right, {told['both']} both"
    )
