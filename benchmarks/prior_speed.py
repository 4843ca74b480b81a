"""How long a prior needs for 100,000 particles on this machine, and their soft clusters after it.

    python benchmarks/prior_speed.py --data DIR --cache DIR

The 16 held-out species, 6,250 images each, 64 px at 5 Å/px (1.6 GB in the cache, a few minutes to
simulate). Goal: features of all on two cores in at most three minutes. The ARI of the clusters is
that of their true number, before any pose is searched.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from image_features import Silent
from measuring import RESULTS, Stopwatch, Table, machine, provenance
from prior_sets import mixture

from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.model.weights import located
from napari_cryodeco.train.device import choose_device
from napari_cryodeco.train.features import PRIOR_COMPONENTS, mix, prior_features
from napari_cryodeco.train.prior import open_prior

KEYS = ("prior", "particles", "device", "threads")
SET, SNR = "holdout16", 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--cache", type=Path, required=True, help="where the set is kept")
    parser.add_argument("--prior", default="bundled", help="bundled, or weights")
    parser.add_argument("--count", type=int, default=6250, help="images of each of the 16 species")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    asked = parser.parse_args()
    seen = mixture(SET, 0, SNR, asked.data, asked.cache, asked.count)
    prior = open_prior(str(located(asked.prior)), seen.run, choose_device("auto"))
    if prior is None:
        raise SystemExit("A prior is needed: bundled, or a file of weights.")
    speed = machine()
    prior.embed(torch.arange(prior.batch))
    watch = Stopwatch()
    features = prior_features(prior.embed, seen.ctf, Silent(), prior.batch)
    embedding = watch.read()
    watch = Stopwatch()
    mixed = mix(features, len(seen.species), 0, components=PRIOR_COMPONENTS, shared=True)
    clustering = watch.read()
    ari = rand_index(seen.labels, mixed.posteriors.argmax(1))
    row = {
        "prior": asked.prior,
        "particles": len(seen.labels),
        **{f"features_{name}": value for name, value in embedding.items()},
        **{f"clusters_{name}": value for name, value in clustering.items()},
        "species": len(seen.species),
        "ari": round(ari, 4),
    }
    Table(asked.out / "prior_speed.json", KEYS).put(row | speed | provenance())
    print(
        f"{len(seen.labels):,} particles: features {embedding['seconds']} s "
        f"({embedding['cpu_seconds']} CPU-s), clusters {clustering['seconds']} s "
        f"({clustering['cpu_seconds']} CPU-s), ARI {ari:.3f}"
    )


if __name__ == "__main__":
    main()
