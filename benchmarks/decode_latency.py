"""How long one waits for a decoded map: seconds by the clock, beside CPU-seconds and error.

    python benchmarks/decode_latency.py --threads 2

A field of the default size with random weights (time and rounding do not depend on them), each map
at a z of its own, so that nothing is cached; the median of ``--maps`` maps, from z to the array in
voxels. The coarse map is the one that the Explorer shows while the mouse moves. Goals on two cores
with bf16 and nothing else to do: 64³ in 0.7 s, 128³ in 5 s, the coarse one in 0.1 s, within 1 % of
float32. The load of the machine is kept beside each row.
"""

from __future__ import annotations

import argparse
import os
import statistics
from typing import Any, Literal

import napari_cryodeco  # noqa: F401  (before torch: threads that wait then sleep, as in a run)

# isort: split
import numpy as np
import torch
from measuring import RESULTS, Stopwatch, Table, machine, provenance

from napari_cryodeco.explore.volumes import VolumeDecoder, VolumeRequest
from napari_cryodeco.imaging.geometry import Geometry
from napari_cryodeco.model.field import FieldDecoder
from napari_cryodeco.stage_config import FieldConfig

FILE = RESULTS / "decode_latency.json"
LATENT = 16
GOALS = {"64": 0.7, "128": 5.0, "coarse": 0.1}
GOAL_ERROR = 0.01


def decoder(box: int, precision: Literal["bf16", "fp32"]) -> VolumeDecoder:
    """A decoder of this box, with the same weights each time."""
    torch.manual_seed(0)
    radius = box // 2 - 1
    field = FieldDecoder(FieldConfig(), LATENT, radius, torch.ones(radius + 1))
    geometry = Geometry(box, 5.0, radius, float(box), box, 5.0)
    return VolumeDecoder((field, geometry), precision=precision)


def waited(made: VolumeDecoder, requests: list[VolumeRequest]) -> dict[str, Any]:
    """Median seconds and CPU-seconds of a map; the first is for warming up."""
    made.decode(requests[0])
    spent = []
    for request in requests[1:]:
        watch = Stopwatch()
        made.decode(request)
        spent.append(watch.exact())
    return {name: round(statistics.median(one[name] for one in spent), 4) for name in spent[0]}


def one(what: str, precision: Literal["bf16", "fp32"], maps: int) -> dict[str, Any]:
    """Measure one size of map."""
    made = decoder(128 if what == "128" else 64, precision)
    points = np.random.default_rng(1).standard_normal((maps + 1, LATENT)).astype(np.float32)
    if what == "coarse":
        found: dict[str, Any] = {"radius": made.preview_radius()}
        requests = [made.preview(z) for z in points]
    else:
        found, requests = {"radius": made.geometry.radius}, [VolumeRequest(z) for z in points]
    found |= waited(made, requests)
    if precision == "bf16":
        exact = decoder(made.geometry.box, "fp32").decode(requests[0]).data
        off = made.decode(requests[0]).data - exact
        found["error"] = round(float(np.linalg.norm(off) / np.linalg.norm(exact)), 5)
        met = found["seconds"] <= GOALS[what] and found["error"] <= GOAL_ERROR
        found["goal"] = "PASS" if met else "FAIL"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--maps", type=int, default=5, help="maps timed, of each kind")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    table = Table(FILE, ("what", "precision", "threads"))
    precisions: tuple[Literal["bf16", "fp32"], ...] = ("bf16", "fp32")
    for precision in precisions:
        for what in GOALS:
            row = {"what": what, "precision": precision, "load": round(os.getloadavg()[0], 1)}
            row |= one(what, precision, asked.maps)
            table.put(row | machine() | provenance())
            print(row, flush=True)


if __name__ == "__main__":
    main()
