"""What the rows of `ablations.py` say: lines of text, docs/ablations.md and its figure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measuring import IMAGES, RESULTS

from napari_cryodeco.atomic import write_text
from napari_cryodeco.runs.json_file import read_json

Row = dict[str, Any]
PAGE = Path(__file__).parents[1] / "docs" / "ablations.md"
BEGIN, END = "<!-- ablations.py writes from here -->", "<!-- to here -->"
TITLES = {
    "norm": "LayerNorm in the field",
    "norm-published": "LayerNorm, published loop",
    "latent": "Numbers in z",
    "encoder": "Encoder",
    "search": "Search of poses",
}
Columns = Sequence[tuple[str, Callable[[Row], str]]]


def line(row: Row) -> str:
    """One row as one line."""
    columns = _SEARCH if row["part"] == "search" else _FIELD
    if "stopped" in row:
        return f"{row['part']}, {row['variant']}, seed {row['seed']}: stopped {row['stopped']}"
    return ", ".join([row["part"], *(f"{title} {show(row)}" for title, show in columns)])


def _plain(name: str) -> Callable[[Row], str]:
    return lambda row: str(row.get(name, "–"))


def _areas(row: Row) -> str:
    return ", ".join(f"{name} {area:.3f}" for name, area in row.get("fsc", {}).items()) or "–"


_FIELD: Columns = (
    ("variant", _plain("variant")),
    ("seed", _plain("seed")),
    ("z", _plain("z")),
    ("epochs", _plain("epochs")),
    ("ARI of z", _plain("ari_latents")),
    ("top-1", _plain("top1")),
    ("FSC area", _areas),
    ("last loss", lambda row: f"{row['loss'][-1]:.4f}" if row.get("loss") else "–"),
    ("CPU-s", lambda row: row.get("stopped") or f"{row['cpu_seconds']:.0f}"),
)
_SEARCH: Columns = (
    ("variant", _plain("variant")),
    ("set", _plain("set")),
    ("images", _plain("images")),
    ("median", lambda row: f"{row['median_degrees']:.1f}°"),
    ("90 %", lambda row: f"{row['p90_degrees']:.1f}°"),
    ("under 5°", lambda row: f"{row['within_5']:.0%}"),
    ("CPU-s an image", _plain("per_image")),
    ("CPU-s for all at first", _plain("set_up")),
)


_STRATEGY: Columns = (
    ("trained", _plain("trained")),
    ("seeds", _plain("seeds")),
    ("ARI of z", lambda row: "{:.3f} ± {:.3f}".format(*row["ari"])),
    ("15-NN", lambda row: "{:.3f} ± {:.3f}".format(*row["knn"])),
    ("CPU-s", lambda row: f"{row['cpu_seconds'][0]:.0f}"),
)


def strategies() -> list[Row]:
    """What of an encoder is trained, from nothing: the ends of the curves of `prior_curve.py`."""
    curves = [row for row in read_json(RESULTS / "prior_curve.json") if row["mode"] == "abinitio"]
    rows = []
    for arm in ("full", "blocks", "head", "fixed", "random"):
        ends = [row["curve"][-1] for row in curves if row["arm"] == arm]
        measured = ("ari", "knn", "cpu_seconds")
        rows.append(
            {"trained": arm, "seeds": len(ends)}
            | {name: _mean([end[name] for end in ends]) for name in measured}
        )
    return rows


def _table(rows: Iterable[Row], columns: Columns) -> list[str]:
    lines = [" | ".join(title for title, _ in columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(show(row) for _, show in columns) for row in rows]
    return [f"| {text} |" for text in lines]


def report(rows: Sequence[Row]) -> None:
    """Print every row; write the tables of the page, and the figure."""
    print("\n".join(line(row) for row in rows))
    write_page(rows, PAGE)
    draw([row for row in rows if "stopped" not in row], IMAGES / "ablations.png")


def write_page(rows: Sequence[Row], page: Path) -> None:
    """Put the tables into a page, between its two marks."""
    said: list[str] = []
    for part, title in TITLES.items():
        mine = [row for row in rows if row["part"] == part]
        if mine:
            said += [f"### {title}", "", *_table(mine, _SEARCH if part == "search" else _FIELD), ""]
    said += ["### What of the encoder is trained, from nothing", ""]
    said += [*_table(strategies(), _STRATEGY), ""]
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_text(page, "\n".join([f"{before}{BEGIN}", "", *said, END]) + after)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Length of z, loss with and without LayerNorm, encoders, and searches."""
    import prior_figures as figures

    page = figures.figure(13, 3.3)
    axes = page.subplots(1, 4)
    parts = {part: [row for row in rows if row["part"] == part] for part in TITLES}
    figures.curves(axes[0], _by_size(parts["latent"]), "numbers in z", "", "")
    axes[0].set_xscale("log", base=2)
    sizes = sorted({row["z"] for row in parts["latent"]})
    axes[0].set_xticks(sizes, [str(size) for size in sizes])
    axes[0].set_ylim(0.8, 1.01)
    _losses(axes[1], parts)
    bars = [
        figures.Bar(row["trained"], *row["ari"], row["trained"] != "random") for row in strategies()
    ]
    figures.bars(axes[2], bars, "encoder, published loop from nothing: ARI of z", "", None)
    for row in parts["search"]:
        place = row["per_image"], row["median_degrees"]
        axes[3].scatter(*place, s=14, color=figures.BLUE)
        axes[3].annotate(row["variant"], place, (4, -2), textcoords="offset points", fontsize=6)
    axes[3].set_xscale("log")
    axes[3].set_xlim(4e-4, 2e3)  # room for the words beside the dearest
    axes[3].set_ylim(0)
    figures.tidy(axes[3], "search: median error, degrees", "CPU-seconds an image")
    figures.save(page, path)


def _losses(axes: Any, parts: dict[str, list[Row]]) -> None:
    """Loss by epoch, LayerNorm on and off, in both loops; the first seed of each."""
    import prior_figures as figures

    loops = (("norm", "-", ""), ("norm-published", ":", ", published loop"))
    for part, style, said in loops:
        for row in (row for row in parts[part] if row["seed"] == 1):
            colour = figures.ORANGE if row["variant"] == "on" else figures.BLUE
            epochs, name = range(1, len(row["loss"]) + 1), f"{row['variant']}{said}"
            axes.plot(epochs, row["loss"], style, color=colour, lw=1.2, label=name)
    axes.legend(fontsize=7, frameon=False)
    figures.tidy(axes, "LayerNorm: loss", "epoch")


def _mean(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values))


def _by_size(rows: Sequence[Row]) -> list[Any]:
    """ARI, top-1 and FSC area (share of the best) against the length of z, seed by seed."""
    import prior_figures as figures

    sizes = sorted({row["z"] for row in rows})
    seeds = [
        seed
        for seed in sorted({row["seed"] for row in rows})
        if sum(row["seed"] == seed for row in rows) == len(sizes)
    ]
    shown: dict[str, Callable[[Row], float]] = {
        "ARI": lambda row: row["ari_latents"],
        "top-1": lambda row: row["top1"],
        "FSC area / best": lambda row: row["fsc_mean"] / row["fsc_best"],
    }
    ordered = [sorted((r for r in rows if r["seed"] == s), key=lambda r: r["z"]) for s in seeds]
    return [
        figures.Line(name, sizes, np.array([[show(row) for row in group] for group in ordered]))
        for name, show in shown.items()
    ]
