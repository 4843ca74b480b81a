"""Ship a prior: copy its weights into the package and write what was measured onto its card.

    python benchmarks/prior_features.py --data DIR --cache DIR --prior FILE --control FILE
    python benchmarks/prior_card.py --prior FILE

What a person wrote on the card (recipe, commands, limits) stays; digest, sizes, data and scores
are taken from the file and from ``results/prior_features*.json``. docs/model-card.md follows.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from measuring import RESULTS, Table
from prior_features import ADDED, CONTROL, HEADLINE, KEYS, NAMED, PRIOR, Mean, best, means

from napari_cryodeco.atomic import replacing, write_text
from napari_cryodeco.model.card import BUNDLED, card_of, markdown, read_card
from napari_cryodeco.model.weights import Weights, read_weights

DOCS = Path(__file__).parents[1] / "docs" / "model-card.md"
SETS = {
    ("dev_mix4_d64", 0.1): "5fj8 5vox 6vxx 1qvr x 400, 64 px, 5 A/px, SNR 0.1",
    ("dev_mix4_d64", 0.03): "the same, SNR 0.03",
    ("holdout16", 0.1): "16 species of 16 families (holdout16) x 500, SNR 0.1",
    ("holdout16", 0.03): "the same, SNR 0.03",
}


def figures(row: Mean) -> str:
    """k-NN and ARI with their spread."""
    knn, ari = f"{row.mean.knn:.3f} ± {row.spread.knn:.3f}", f"{row.mean.ari:.3f}"
    return f"{knn} / {ari} ± {row.spread.ari:.3f}"


def scores(weights: Weights) -> list[dict[str, str]]:
    """A row of the card's table for each set."""
    base = Table(RESULTS / "prior_features_baselines.json", KEYS).rows()
    shape = json.dumps(weights.header["shape"])
    base = [row for row in base if row["prior"] in ("", shape)]
    own = Table(RESULTS / "prior_features.json", KEYS).rows()
    own = [row for row in own if row["prior"] == weights.sha256[:12]]
    table = []
    for (name, snr), title in SETS.items():
        found = {row.features: row for row in means(own, name, snr) if row.how == HEADLINE}
        known = best(means(base, name, snr))
        named = [row for row in known if row.features in NAMED]
        table.append(
            {
                "set (none of the species was seen)": title,
                "this prior, k-NN / ARI": figures(found[PRIOR]),
                "with classical features beside it": figures(found[ADDED]),
                "the same encoder untrained, last map calibrated": figures(found[CONTROL]),
                "best of pixels, power spectrum, bispectrum, random encoder": _best(named),
                "best of all that needs no training": _best(known),
            }
        )
    return table


def _best(rows: list[Mean]) -> str:
    knn = max(rows, key=lambda row: row.mean.knn)
    ari = max(rows, key=lambda row: row.mean.ari)
    return f"{knn.mean.knn:.3f} ({knn.features}) / {ari.mean.ari:.3f} ({ari.features})"


def measured(weights: Weights) -> dict[str, Any]:
    """Entries that follow from the file and the results."""
    header = weights.header
    return {
        "sha256": weights.sha256,
        "parameters": sum(value.numel() for value in weights.state.values()),
        "megabytes": round(weights.path.stat().st_size / 1e6, 1),
        "data": {
            "real structures": ", ".join(header["structures_seen"]),
            "procedural structures": header["procedural"],
            "held out": "prior_split dev_family, holdout16 and holdout_family of the structure "
            "index: in no training set",
        },
        "scores": scores(weights),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prior", type=Path, required=True, help="weights to ship")
    asked = parser.parse_args()
    card = read_card(card_of(BUNDLED)) | measured(read_weights(asked.prior))
    if asked.prior.resolve() != BUNDLED.resolve():
        with replacing(BUNDLED) as part:
            shutil.copyfile(asked.prior, part)
    write_text(card_of(BUNDLED), json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    write_text(DOCS, markdown(card))
    print(f"{card['sha256']}, {card['parameters']:,} parameters, {card['megabytes']} MB")


if __name__ == "__main__":
    main()
