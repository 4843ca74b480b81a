"""What the rows of `rows.py` say: lines of text, and the tables of docs/results.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from species_scores import is_right, precision_and_recall

from napari_cryodeco.atomic import write_text
from napari_cryodeco.runs.species import share

Row = dict[str, Any]
GOAL_PRECISION, GOAL_RECALL, GOAL_RUNS = 0.9, 0.8, 10
PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- rows.py writes from here -->", "<!-- to here -->"
FIGURES = (
    ("species_found", "found"),
    ("ari_clusters", "ARI of clusters"),
    ("ari_classes", "ARI of classes"),
    ("ari_latents", "ARI of z"),
    ("top1", "top-1"),
    ("knn_r2", "k-NN R²"),
    ("spearman", "Spearman"),
    ("fsc_mean", "FSC area"),
    ("log_likelihood", "log-likelihood"),
    ("kept", "two passes later"),
)


def line(row: Row) -> str:
    """One row as one line."""
    said = [f"{row['set']} n={row['count']} set-seed {row['set_seed']} SNR {row['snr']:g}"]
    said.append(f"poses {row['poses']}")
    if row["poses"] == "abinitio":
        said.append(f"prior {row['prior']}, K {row['classes']}")
    if row["latent_dim"] is not None:
        said.append(f"z {row['latent_dim']}")
    said.append(f"seed {row['seed']}, engine {row['engine']}")
    if "stopped" in row:
        return f"{'; '.join(said)}: stopped {row['stopped']}"
    figures = [f"{title} {row[name]}" for name, title in FIGURES if name in row]
    if "pose_errors" in row:
        figures.append(f"poses {_poses(row)}")
    figures.append(f"{row['cpu_seconds']:.0f} CPU-s")
    return f"{'; '.join(said)}: {'; '.join(figures)}"


def _poses(row: Row) -> str:
    return ", ".join(map(_pose, row.get("pose_errors", [])))


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
            f"agreement {one['agreement']:.2f}, sides {one['sides']:.2f}, explained "
            f"{share(one.get('explained'))}; purity "
            f"{one['purity']:.2f}, {one['share_of_species']:.2f} of {_pose(one)}"
        )
    return lines


def trust(rows: Sequence[Row]) -> str:
    """How far "sound" can be trusted, over all runs from nothing."""
    runs = [row for row in rows if row.get("species") and row["latent_dim"] is None]
    told = precision_and_recall(one for row in runs for one in row["species"])
    goals = (("precision", GOAL_PRECISION), ("recall", GOAL_RECALL))
    met = [told[name] is not None and told[name] >= goal for name, goal in goals]
    named = [
        f"{r['set']}/{r['set_seed']} SNR {r['snr']:g} K {r['classes']} seed {r['seed']}"
        for r in runs
    ]
    return (
        f"{'PASS' if len(runs) >= GOAL_RUNS and all(met) else 'FAIL'}: “sound” against “pose error "
        f"under 10°”: precision {told['precision']} (goal {GOAL_PRECISION}), recall "
        f"{told['recall']} (goal {GOAL_RECALL}) over {told['species']} species of {len(runs)} runs "
        f"(goal {GOAL_RUNS}): {told['sound']} sound, {told['right']} right, {told['both']} both. "
        f"Runs: {'; '.join(named)}."
    )


def report(rows: Sequence[Row]) -> None:
    """Print every row, its species, and how far "sound" can be trusted."""
    for row in rows:
        print(line(row))
        for text in species_lines(row):
            print(text)
    print(trust(rows))


Columns = Sequence[tuple[str, Callable[[Row], str]]]


def _plain(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name, "–"))


def _sound(row: Row) -> str:
    there = [one for one in row.get("species", []) if one["images"]]
    told = precision_and_recall(there)
    return f"{told['sound']}, {told['right']}, {told['both']}" if there else "–"


_LIKELIHOOD = ("log-likelihood", _plain("log_likelihood"))
_COST: Columns = (
    ("CPU-s", lambda row: row.get("stopped") or f"{row['cpu_seconds']:.0f}"),
    ("engine", _plain("engine")),
)
_SET: Columns = (
    ("set", _plain("set")),
    ("images each", _plain("count")),
    ("set's seed", _plain("set_seed")),
    ("SNR", lambda row: f"{row['snr']:g}"),
)
_CLASSES: Columns = (("ARI", _plain("ari_classes")), ("median pose error", _poses))
_NOTHING: Columns = (
    *_SET,
    ("prior", _plain("prior")),
    ("K", _plain("classes")),
    ("seed", _plain("seed")),
    ("found", _plain("species_found")),
    ("ARI of features", _plain("ari_clusters")),
    *_CLASSES,
    _LIKELIHOOD,
    ("sound, right, both", _sound),
    *_COST,
)
_ORACLE: Columns = (
    *_SET,
    *_CLASSES,
    _LIKELIHOOD,
    ("two passes later: ARI", lambda row: str(row["kept"]["ari_classes"])),
    ("log-likelihood", lambda row: str(row["kept"]["log_likelihood"])),
    *_COST,
)
_FIELD: Columns = (
    *_SET,
    ("poses", _plain("poses")),
    ("prior, K", lambda r: f"{r['prior']}, {r['classes']}" if r["poses"] == "abinitio" else "–"),
    ("z", _plain("latent_dim")),
    ("ARI of z", _plain("ari_latents")),
    ("top-1", _plain("top1")),
    ("k-NN R²", _plain("knn_r2")),
    ("Spearman", lambda row: ", ".join(map(str, row.get("spearman", ["–"])))),
    ("FSC area", _plain("fsc_mean")),
    ("median pose error", _poses),
    *_COST,
)


def _table(rows: Iterable[Row], columns: Columns) -> list[str]:
    lines = [" | ".join(title for title, _ in columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(show(row) or "–" for _, show in columns) for row in rows]
    return [f"| {text} |" for text in lines]


def write_page(rows: Sequence[Row]) -> None:
    """Put the tables into docs/results.md, between its two marks."""
    oracles = [row for row in rows if row["poses"] == "true-maps"]
    fields = [row for row in rows if row["latent_dim"] is not None]
    nothing = [row for row in rows if row["poses"] == "abinitio" and row["latent_dim"] is None]
    said = ["### From nothing", "", *_table(nothing, _NOTHING), "", trust(rows), ""]
    said += ["### The same search in the true maps", "", *_table(oracles, _ORACLE)]
    said += ["", "### With the field", "", *_table(fields, _FIELD)]
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    write_text(PAGE, "\n\n".join([before + BEGIN, "\n".join(said), END + after]))
