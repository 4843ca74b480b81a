"""The picture of the tutorial: the shut and the open clamp of the sample that moves.

    cryodeco demo --sample motion --no-window -o motion
    python benchmarks/open_state.py --demo motion --first 3 --second 1

The maps are those of ``motion/export/maps``; which cluster is which the demo says at its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mrcfile
import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial.transform import Rotation

from napari_cryodeco.explore.render import View, surface
from napari_cryodeco.explore.volumes import Volume

SEEN_FROM = (0, 90, 0)  # degrees about x, y, z: the clamp in profile
SIDE, CUT, LEVEL = 900, 170, 3.0  # px, px, σ
TARGET = Path(__file__).parents[1] / "docs" / "images" / "open-and-shut.png"


def drawn(file: Path, words: str) -> Image.Image:
    """One map from the side, with its caption."""
    with mrcfile.open(file) as mrc:
        volume = Volume(np.array(mrc.data, np.float32), float(mrc.voxel_size.x))
    turned = Rotation.from_euler("xyz", SEEN_FROM, degrees=True).as_matrix()
    picture = surface(volume, LEVEL, View(rotation=turned, size=(SIDE, SIDE)))
    whole = Image.fromarray(picture).crop((CUT, CUT, SIDE - CUT, SIDE - CUT))
    ImageDraw.Draw(whole).text((12, 8), words, fill=(40, 40, 40), font_size=26)
    return whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, required=True, help="the demo's folder")
    parser.add_argument("--first", type=int, required=True, help="cluster that is shut")
    parser.add_argument("--second", type=int, required=True, help="cluster that is open")
    asked = parser.parse_args()
    maps = asked.demo / "export" / "maps"
    named = ((asked.first, "shut"), (asked.second, "open"))
    parts = [drawn(maps / f"class_{number:03d}.mrc", words) for number, words in named]
    both = Image.new("RGB", (sum(part.width for part in parts), parts[0].height))
    for place, part in enumerate(parts):
        both.paste(part, (place * part.width, 0))
    both.save(TARGET)


if __name__ == "__main__":
    main()
