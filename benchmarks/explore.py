"""What exploring costs on one core: pictures, decoding, projections, clusters, support.

CPU-seconds of this process, beside a GFLOP/s probe of the same part. `--data` is the folder of the
development sets (`dev_hinge/gt/vol_000.mrc` is drawn; without it only made-up maps are). Run with

    python benchmarks/explore.py --data DIR
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from napari_cryodeco.explore import landscape
from napari_cryodeco.explore.render import View, framing, maximum, suggest_level, surface
from napari_cryodeco.explore.scores import rand_index
from napari_cryodeco.explore.trajectory import pc_traverse, support
from napari_cryodeco.explore.volumes import Volume, VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.model.precision import choose, gigaflops
from napari_cryodeco.runs.store import read_mrc
from napari_cryodeco.stage_config import FieldConfig

PARTS = ("pictures", "decoding", "landscape")
RESULT = Path(__file__).parent / "results" / "explore.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the development sets")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("-n", type=int, default=300_000, help="particles of the made-up landscape")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cpu")
    work: dict[str, Callable[[], dict[str, float]]] = {
        "pictures": lambda: pictures(options.data / "dev_hinge" / "gt" / "vol_000.mrc"),
        "decoding": decoding,
        "landscape": lambda: landscapes(options.n),
    }
    result = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    for part in options.parts:
        speed = {
            "gflops_fp32": round(gigaflops(torch.float32, device), 1),
            "gflops_bf16": round(gigaflops(torch.bfloat16, device), 1),
        }
        result[part] = speed | work[part]()
    result["chosen"] = str(choose("auto", device))
    print(json.dumps(result, indent=1))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


def cpu(work: Callable[[], object], times: int = 1) -> float:
    """CPU-seconds of one call, the best of some."""
    best = float("inf")
    for _ in range(times):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return round(best, 3)


def pictures(path: Path) -> dict[str, float]:
    volume = Volume(*read_mrc(path))
    level = suggest_level([volume])
    view = framing([volume], level)
    large = framing([volume], level, View(size=(960, 960)))
    return {
        "surface_480_s": cpu(lambda: surface(volume, level, view), 3),
        "surface_960_s": cpu(lambda: surface(volume, level, large), 3),
        "maximum_480_s": cpu(lambda: maximum(volume, 12.0, view), 3),
    }


def decoding() -> dict[str, float]:
    field = FieldDecoder(FieldConfig(), 16, 31, torch.ones(32))
    geometry = Geometry(64, 5.0, 31, 64.0, 64, 5.0)
    points = np.random.default_rng(0).standard_normal((100, 16)).astype(np.float32)
    found: dict[str, float] = {}
    for name in ("fp32", "bf16"):
        field.compute = choose(name, torch.device("cpu"))
        decoder = VolumeDecoder((field, geometry))
        found[f"preview_radius_{name}"] = decoder.preview_radius()
        for radius in (8, 16, 31):
            request = VolumeRequest(points[radius], radius)
            found[f"radius_{radius}_{name}_s"] = cpu(lambda r=request, d=decoder: d.decode(r))
        four = [VolumeRequest(z) for z in points[50:54]]
        whole = cpu(lambda d=decoder, r=four: list(d.decode_many(r)))
        found[f"radius_31_of_four_{name}_s"] = round(whole / 4, 3)
    return found | large()


def large() -> dict[str, float]:
    """128³, and what bf16 costs in accuracy at both sizes."""
    found: dict[str, float] = {}
    for radius in (31, 63):
        torch.manual_seed(0)
        field = FieldDecoder(FieldConfig(), 16, radius, torch.ones(radius + 1))
        ball, z, maps = Ball(radius, 3), torch.randn(1, 16), []
        for name in ("fp32", "bf16"):
            field.compute = choose(name, torch.device("cpu"))
            work = cpu(lambda f=field, b=ball, z=z, m=maps: m.append(f.decode_ball(z, b)))
            if radius == 63:
                found[f"radius_63_{name}_s"] = work
        error = (maps[1] - maps[0]).norm() / maps[0].norm()
        found[f"radius_{radius}_bf16_error"] = round(float(error), 5)
    return found


def landscapes(n: int) -> dict[str, float]:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 8, n)
    latents = 3 * generator.standard_normal((8, 16))[labels] + generator.standard_normal((n, 16))
    found: dict[str, float] = {"particles": n}
    found["pca_s"] = cpu(lambda: landscape.pca(latents))
    for method in ("gmm", "kmeans"):
        begin = time.process_time()
        clusters = landscape.cluster(latents, 8, method)
        found[f"{method}_s"] = round(time.process_time() - begin, 2)
        found[f"{method}_ari"] = round(rand_index(labels, clusters.labels), 4)
    found["suggest_s"] = cpu(lambda: landscape.suggest(latents))
    walk = pc_traverse(latents, 1, 5, 95, 20)
    found["support_s"] = cpu(lambda: support(walk.points, latents))
    few = latents[:10_000]
    found["umap_10000_s"] = cpu(lambda: landscape.umap(few))
    return found


if __name__ == "__main__":
    main()
