"""Frozen features on species that were never seen: is the prior better than what needs no prior?

    python benchmarks/prior_features.py --data DIR --cache DIR                     # baselines only
    python benchmarks/prior_features.py --data DIR --cache DIR --prior FILE
    python benchmarks/prior_features.py --data DIR --cache DIR --feature mine=FILE.py:FUNCTION

Baselines are raw-pixel PCA, a random encoder of the same shape, and invariants that need no
training (``image_features.py``); each is given the processing that suits it best, judged by the
labels: the prior is not. ``--control`` shows what the closed-form last map does by itself, on
channels that learnt nothing (``cryodeco pretrain CONTROL --steps 1 --rate 1e-9`` with the prior's
settings). Rows go to ``results/prior_features_baselines.json`` and
``results/prior_features.json``; what is there is not computed again. ``--draw`` only draws.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feature_scores import PROCESSINGS, Score, per_species, points, score
from image_features import BASELINES, Features, combined
from measuring import IMAGES, RESULTS, Stopwatch, Table, machine, provenance
from prior_encoders import of_prior, plugged, random_encoder, shape_of, trained_on, turned
from prior_sets import SETS, Mixture, members, mixture, splits

from napari_cryodeco.model.weights import read_weights

KEYS = ("set", "seed", "snr", "images", "features", "processing", "components", "prior")
SCORES, HEADLINE = ("knn", "nearest", "ari"), "as is, 16"
CLEAN = ("as is",)
BOTH = ("as is", "standard", "defocus-free")
NAMED = ("pixels", "random encoder", "power", "bispectrum")
"""Baselines that the issue names; the others are stronger ones that were found on the way."""
PRIOR, TURNED, ADDED = "prior", "prior, 8 views", "prior + classical"
CONTROL = "untrained, calibrated"


@dataclass(frozen=True)
class Job:
    """Features to score: how they are made, processed, and on how many components."""

    name: str
    compute: Features
    processings: tuple[str, ...] = CLEAN
    components: tuple[int, ...] = (16,)
    prior: str = ""
    table: Table = field(default_factory=lambda: Table(RESULTS / "prior_features.json", KEYS))


def jobs(asked: argparse.Namespace) -> list[Job]:
    """Baselines, then what was asked for."""
    baselines = Table(asked.out / "prior_features_baselines.json", KEYS)
    own = Table(asked.out / "prior_features.json", KEYS)
    found = [
        Job(name, compute, BOTH if name == "pixels" else CLEAN, table=baselines)
        for name, compute in BASELINES.items()
    ]
    shape = shape_of(asked.prior)
    random = random_encoder(shape)
    found.append(Job("random encoder", random, BOTH, prior=json.dumps(shape), table=baselines))
    every = tuple(PROCESSINGS) if asked.all else CLEAN
    counts = (4, 8, 16, 32) if asked.all else (16,)
    if asked.prior is not None:
        weights = read_weights(asked.prior)
        told, prior = weights.sha256[:12], of_prior(asked.prior)
        found.append(Job(PRIOR, prior, every, counts, told, own))
        found.append(Job(ADDED, _with_classical(prior), every, counts, told, own))
        if asked.all and weights.kind == "small":
            found.append(Job(TURNED, turned(asked.prior), every, counts, told, own))
        if asked.control is not None:
            found.append(Job(CONTROL, of_prior(asked.control), CLEAN, (16,), told, own))
    for spec in asked.feature:
        name, compute = plugged(spec)
        found.append(Job(name, compute, every, counts, spec, own))
    wanted = asked.only or [job.name for job in found]
    return [job for job in found if job.name in wanted]


def _with_classical(prior: Features) -> Features:
    def compute(seen: Mixture) -> torch.Tensor:
        parts = [prior(seen), combined(seen)]
        return torch.cat([part / part.var(0).sum().sqrt() for part in parts], 1)

    return compute


def run_job(job: Job, seen: Mixture) -> None:
    """Compute and score what is not there yet."""
    features = None
    for processing in job.processings:
        for count in job.components:
            row: dict[str, Any] = {
                "set": seen.name,
                "seed": seen.seed,
                "snr": seen.snr,
                "images": len(seen.labels),
                "features": job.name,
                "processing": processing,
                "components": count,
                "prior": job.prior,
            }
            if job.table.find(**row):
                continue
            if features is None:
                watch = Stopwatch()
                features = job.compute(seen)
                cost = watch.read()["cpu_seconds"]
            processed = PROCESSINGS[processing](features, seen.ctf)
            row |= asdict(score(processed, seen.labels, seen.seed, count))
            shares = per_species(points(processed, count), seen.labels, seen.seed)
            row["species"] = dict(zip(seen.species, shares, strict=True))
            row["cpu_seconds_features"] = cost
            job.table.put(row | machine() | provenance())
            print(
                f"{seen.name} SNR {seen.snr:g} seed {seen.seed}: {job.name} ({processing}, "
                f"{count}) k-NN {row['knn']:.3f} 1-NN {row['nearest']:.3f} ARI {row['ari']:.3f}",
                flush=True,
            )


@dataclass(frozen=True)
class Mean:
    """Mean and spread of scores over seeds; `how` they were processed, empty: as suits best."""

    features: str
    how: str
    mean: Score
    spread: Score
    seeds: int


def means(rows: Iterable[dict[str, Any]], name: str, snr: float) -> list[Mean]:
    """Per kind of features, processing and number of components, over the seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if (row["set"], row["snr"]) == (name, snr):
            how = f"{row['processing']}, {row['components']}"
            groups.setdefault((row["features"], how), []).append(row)
    found = []
    for (features, how), group in groups.items():
        values = np.array([[row["knn"], row["nearest"], row["ari"]] for row in group])
        mean, spread = Score(*values.mean(0).tolist()), Score(*values.std(0).tolist())
        found.append(Mean(features, how, mean, spread, len(group)))
    return found


def best(found: list[Mean]) -> list[Mean]:
    """Per kind of features one row, each score that of the processing that suits it best."""
    kinds: dict[str, list[Mean]] = {}
    for row in found:
        kinds.setdefault(row.features, []).append(row)
    rows = []
    for features, group in kinds.items():
        leaders = [max(group, key=lambda row: getattr(row.mean, score)) for score in SCORES]
        mean = Score(*(getattr(row.mean, name) for row, name in zip(leaders, SCORES, strict=True)))
        pairs = zip(leaders, SCORES, strict=True)
        spread = Score(*(getattr(row.spread, name) for row, name in pairs))
        rows.append(Mean(features, "", mean, spread, min(row.seeds for row in group)))
    return rows


def verdict(baselines: list[Mean], prior: Mean, snr: float) -> list[str]:
    """The issue's criteria, each with its figures and whether it is met."""
    error = 1 - max(row.mean.knn for row in baselines)
    rand = max(row.mean.ari for row in baselines)
    ratio, gain = (1 - prior.mean.knn) / error, prior.mean.ari - rand

    def line(text: str, met: bool) -> str:
        return f"  {'PASS' if met else 'FAIL'}  {text}"

    if snr < 0.1:
        met = ratio < 1 and gain > 0
        return [line(f"better than all: error ratio {ratio:.2f} < 1, ARI {gain:+.3f} > 0", met)]
    return [
        line(f"must: error ratio {ratio:.2f} <= 0.55", ratio <= 0.55),
        line(f"must: ARI difference {gain:+.3f} >= 0.2", gain >= 0.2),
        line(f"aim: error ratio {ratio:.2f} <= 0.25", ratio <= 0.25),
    ]


def measured(asked: argparse.Namespace, made: list[Job], name: str, snr: float):
    """Rows of the baselines at their best, and those of what was asked for."""
    base = Table(asked.out / "prior_features_baselines.json", KEYS).rows()
    told = {job.prior for job in made}  # of random encoders those of the same shape
    base = [row for row in base if row["prior"] in {"", *told}]
    rows = Table(asked.out / "prior_features.json", KEYS).rows()
    return best(means(base, name, snr)), means((r for r in rows if r["prior"] in told), name, snr)


def report(asked: argparse.Namespace, made: list[Job]) -> None:
    """Print a table for each set and SNR, and what it proves."""
    for name in asked.sets:
        for snr in asked.snr:
            known, own = measured(asked, made, name, snr)
            print(f"\n{name}, SNR {snr:g}")
            for row in [*known, *own]:
                print(
                    f"  {row.features:22s} k-NN {row.mean.knn:.3f} ± {row.spread.knn:.3f}   "
                    f"1-NN {row.mean.nearest:.3f} ± {row.spread.nearest:.3f}   "
                    f"ARI {row.mean.ari:.3f} ± {row.spread.ari:.3f}   ({row.seeds} seeds) {row.how}"
                )
            named = [row for row in known if row.features in NAMED]
            for row in own:
                if named and row.how == HEADLINE:
                    print(f" {row.features}, against the best of all baselines:")
                    print(*verdict(known, row, snr), sep="\n")
                    print(f" {row.features}, against those that the issue names:")
                    print(*verdict(named, row, snr), sep="\n")
    _tell_species(asked, trained_on(asked.prior))


def _tell_species(asked: argparse.Namespace, seen: set[str] | None) -> None:
    print("\nSpecies: split of the index, and whether the prior says that it was trained on it")
    split = splits(asked.data)
    for name in asked.sets:
        for pdb in members(name, asked.data):
            said = "unknown" if seen is None else ("SEEN" if pdb in seen else "not seen")
            print(f"  {name} {pdb} ({split[pdb]}): {said}")


def draw(asked: argparse.Namespace, made: list[Job]) -> None:
    """Bars for each set and SNR; below, the unseen mixture as the best features show it."""
    import prior_figures

    panels = [(name, snr) for name in asked.sets for snr in asked.snr]
    page = prior_figures.figure(3.4 * len(panels), 8.5)
    above, below = page.subfigures(2, 1, height_ratios=(1.35, 1))
    axes = above.subplots(2, len(panels), squeeze=False)
    for column, (name, snr) in enumerate(panels):
        known, own = measured(asked, made, name, snr)
        rows = [*known, *(row for row in own if row.how == HEADLINE)]
        species = len(members(name, asked.data))
        for line, (kind, label) in enumerate((("knn", "15-NN accuracy"), ("ari", "ARI of a GMM"))):
            shown = [
                prior_figures.Bar(
                    row.features, getattr(row.mean, kind), getattr(row.spread, kind), row in own
                )
                for row in rows
            ]
            chance = 1 / species if kind == "knn" else None
            title = f"{name}, SNR {snr:g}" if kind == "knn" else ""
            prior_figures.bars(axes[line, column], shown, title, label, chance)
    seen = mixture(asked.sets[-1], 0, asked.snr[0], asked.data, asked.cache, asked.count)
    chosen = [job for job in made if job.name in ("pixels", "combined", PRIOR)]
    places = np.ravel(below.subplots(1, max(1, len(chosen))))[: len(chosen)]
    for place, job in zip(places, chosen, strict=True):
        where = prior_figures.embedded(points(job.compute(seen)))
        title = f"{job.name}: UMAP of {len(seen.species)} unseen species, SNR {seen.snr:g}"
        prior_figures.scatter(place, where, seen.labels, title)
    prior_figures.save(page, asked.images / "prior_features.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where simulated sets are kept")
    parser.add_argument("--prior", type=Path, help="file of weights; none: baselines only")
    parser.add_argument("--control", type=Path, help="weights of a prior that learnt nothing")
    parser.add_argument("--feature", nargs="*", default=[], help="NAME=FILE.py:FUNCTION")
    parser.add_argument("--only", nargs="*", help="names of features; default: all")
    parser.add_argument("--all", action="store_true", help="every processing and component count")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--snr", nargs="+", type=float, default=[0.1, 0.03])
    parser.add_argument("--count", type=int, default=0, help="images a species; 0: as the recipe")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--images", type=Path, default=IMAGES, help="folder of the figure")
    parser.add_argument("--draw", action="store_true", help="draw what was measured, nothing else")
    asked = parser.parse_args()
    made = jobs(asked)
    if not asked.draw:
        for name in asked.sets:
            for snr in asked.snr:
                for seed in range(asked.seeds):
                    seen = mixture(name, seed, snr, asked.data, asked.cache, asked.count)
                    for job in made:
                        run_job(job, seen)
    report(asked, made)
    if asked.prior is not None:
        draw(asked, made)


if __name__ == "__main__":
    main()
