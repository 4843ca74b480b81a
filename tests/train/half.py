"""As a program: one step of each thing that several processes share, written by the first."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from conftest import Scene, make_scene
from napari_cryodeco.config import TrainConfig
from napari_cryodeco.model.encoder import ConvEncoder, TokenBatchNorm
from napari_cryodeco.runs.store import write_tensors
from napari_cryodeco.train import distributed, shards
from napari_cryodeco.train.latent_source import EncoderSource
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.refine import RefineStage
from napari_cryodeco.train.shared_norm import share_norms
from napari_cryodeco.train.stages import Silent
from napari_cryodeco.train.views import WorkingViews

COUNT = 239  # odd: the processes have not equally many
MOMENTS = ("exp_avg", "first", "second", "exp_avg_sq")


def step(scene: Scene) -> dict[str, Tensor]:
    """State after one step over all particles; first moments are a tenth of the gradient."""
    values = {
        "data": {"source": "particles.star"},
        "latent_dim": 3,
        "field": {"width": 48, "layers": 2, "frequencies": 64},
        "encoder": {"kind": "table"},
        "refine": {"epochs": 1, "batch": COUNT, "warmup": 0, "point_fraction": 0.7},
        "precision": "fp32",
    }
    seen, mine = scene.seen, distributed.share(COUNT)
    draw = torch.Generator().manual_seed(1)
    maps = torch.stack([scene.molecule(0), scene.molecule(1), scene.molecule(0)])
    z, ones = torch.randn(COUNT, 3, generator=draw), torch.ones(COUNT, 3)
    linear = LinearModel(maps.mean(0), maps, z, ones, ones[0], 7)
    stage = RefineStage(
        TrainConfig.model_validate(values),
        seen.images[mine],
        seen.ctf[mine],
        seen.poses[mine],
        seen.geometry,
        linear,
    )
    stage.load(None)
    stage.advance(0, Silent())
    state = stage.tensors()
    return {name: value.float() for name, value in state.items() if moment(name)}


def encoder_step(scene: Scene) -> dict[str, Tensor]:
    """State of an encoder after one step towards latents that are given."""
    mine = distributed.share(COUNT)
    torch.manual_seed(0)
    encoder, target = ConvEncoder(3), torch.randn(COUNT, 3)
    views = WorkingViews(scene.seen.images[mine], scene.seen.geometry, torch.device("cpu"))
    source = EncoderSource(encoder, list(encoder.parameters()), views, target[mine], 1e-3)
    ((rows, weight),) = shards.batches(COUNT, COUNT, torch.Generator().manual_seed(2))
    found = source.visit(rows)
    (weight * (found - target[mine][rows]).square().mean()).backward()
    source.update(rows, found, 1.0)
    return {name: value.float() for name, value in source.tensors().items() if moment(name)}


def moment(name: str) -> bool:
    """Whether a tensor of the state tells the gradient, and not where Adam went with it."""
    return name.endswith(MOMENTS)


def norms() -> dict[str, Tensor]:
    """Gradients and statistics of batch norms of tokens whose batch is shared 3 to 2."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), TokenBatchNorm(5), nn.Linear(5, 4), TokenBatchNorm(4))
    x, target = torch.randn(5, 7, 6), torch.randn(5, 7, 4)
    share_norms(net)
    mine = distributed.share(5)
    (net(x[mine]) * target[mine]).sum().backward()
    distributed.sum_gradients(net.parameters())
    found = {f"grad.{name}": value.grad for name, value in net.named_parameters()}
    return found | {f"state.{name}": value.float() for name, value in net.state_dict().items()}


def passes() -> dict[str, Tensor]:
    """How often each particle is visited in a pass, and the shares of each step, summed."""
    visits, steps = torch.zeros(COUNT), []
    mine = distributed.share(COUNT)
    for rows, weight in shards.batches(COUNT, 16, torch.Generator().manual_seed(3)):
        visits[mine.start + rows] += 1
        steps.append(weight)
    found = {"visits": visits, "weights": torch.tensor(steps)}
    distributed.sum_(list(found.values()))
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    with distributed.joined(torch.device("cpu")):
        scene = make_scene(noise=0.3)
        found = step(scene) | encoder_step(scene) | norms() | passes()
        if distributed.rank() == 0:
            write_tensors(Path(sys.argv[1]), found)
