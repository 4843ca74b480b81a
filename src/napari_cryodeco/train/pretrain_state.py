"""The whole state of a pretraining: it advances step by step, is saved and taken up again."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.store import read_tensors, write_tensors
from napari_cryodeco.train import distributed, optimiser
from napari_cryodeco.train.objective import Make
from napari_cryodeco.train.schedule import (
    WeightAverage,
    parameter_groups,
    rate_factor,
    share_done,
)
from napari_cryodeco.train.shared_norm import share_norms
from napari_cryodeco.train.stages import generator


class PretrainState:
    """Objective, optimiser, averaged weights, step and time.

    Parameters
    ----------
    config
        Settings.
    device
        Where it computes.
    make
        Makes the objective; its random numbers follow from the seed.
    """

    def __init__(self, config: PretrainConfig, device: torch.device, make: Make) -> None:
        self._config = config
        torch.manual_seed(generator(config.seed, "pretrain/start", 0).initial_seed())
        self.objective = make(config, device)
        module = self.objective.module
        module.to(memory_format=torch.channels_last)  # twice as fast for small kernels on CPUs
        share_norms(module)
        module.train()
        groups = parameter_groups(module, config.decay)
        self._optimiser = torch.optim.AdamW(groups, lr=config.peak_rate)
        self._trained = [one for one in module.parameters() if one.requires_grad]
        self.average = WeightAverage(module, config.average)
        self.step, self.seconds = 0, 0.0
        self.scores: dict[str, float] = {}

    def _share(self, step: float) -> float:
        config = self._config
        minutes = config.minutes if config.anneal else None
        return share_done(step, config.steps, self.seconds, minutes)

    @property
    def steps(self) -> int:
        """Steps of the whole training: as set, or fewer where time will end it."""
        share = self._share(self.step)
        if self.step == 0 or share <= self.step / self._config.steps:
            return self._config.steps
        return max(round(self.step / share), self.step)

    @property
    def rate(self) -> float:
        """Learning rate of the next step: that of its middle, so that none is zero."""
        config = self._config
        share = self._share(self.step + 0.5)
        return config.peak_rate * rate_factor(share, config.warmup, config.floor)

    def advance(self) -> Tensor:
        """Do one step and return its loss."""
        step, steps = self.step, self.steps
        random = generator(self._config.seed, f"pretrain/{distributed.rank()}", step)
        torch.manual_seed(random.initial_seed())  # for layers that draw from the global numbers
        optimiser.set_rate(self._optimiser, self.rate)
        loss = self.objective.loss(step, steps, random)
        self._optimiser.zero_grad()
        loss.backward()
        gradients = [one.grad for one in self._trained if one.grad is not None]
        distributed.average_(gradients)
        nn.utils.clip_grad_norm_(self._trained, self._config.clip)
        self._optimiser.step()
        self.objective.after_step(step, steps)
        self.average.update(self.objective.module, step)
        self.step += 1
        return loss

    def save(self, path: Path) -> None:
        """Write everything as one file."""
        tensors = {
            **_prefixed("module", self.objective.module.state_dict()),
            **_prefixed("average", self.average.tensors),
            **optimiser.tensors(self._optimiser, "optimiser"),
        }
        header = {"step": self.step, "seconds": self.seconds, "scores": self.scores}
        write_tensors(path, tensors, header)

    def load(self, path: Path) -> None:
        """Take up what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is damaged or of another encoder.
        """
        tensors, header = read_tensors(path)
        try:
            self.objective.module.load_state_dict(_unprefixed("module", tensors))
            self.average.load(_unprefixed("average", tensors))
        except (KeyError, RuntimeError) as error:
            raise ValueError(
                f"{path} does not fit the encoder of these settings: begin in a new folder."
            ) from error
        optimiser.load(self._optimiser, tensors, "optimiser")
        for parameter, state in self._optimiser.state.items():
            for name, value in state.items():
                if value.shape == parameter.shape:  # the layout decides the last bit of a sum
                    state[name] = torch.empty_like(parameter).copy_(value)
        self.step, self.seconds = int(header["step"]), float(header["seconds"])
        self.scores = dict(header["scores"])

    def export(self, path: Path, draft: bool) -> None:
        """Write the averaged encoder as a prior."""
        with self.average.inside(self.objective.module):
            self.objective.export(path, self._header(), draft)

    def _header(self) -> dict[str, Any]:
        """What the weights come from."""
        config = self._config
        return {
            "objective": config.objective,
            "model": config.model,
            "step": self.step,
            "steps": config.steps,
            "seconds": round(self.seconds),
            "batch": config.batch,
            "seed": config.seed,
            "knn": self.scores,
            "version": _version(),
        }


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _unprefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    start = prefix + "."
    return {key.removeprefix(start): one for key, one in tensors.items() if key.startswith(start)}


def _version() -> str:
    try:
        return version("napari-cryodeco")
    except PackageNotFoundError:
        return "unknown"
