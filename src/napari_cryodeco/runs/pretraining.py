"""The directory of a pretraining: the names of its files, and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_cryodeco.atomic import write_text
from napari_cryodeco.pretrain_config import PretrainConfig
from napari_cryodeco.runs.paths import RunPaths


@dataclass(frozen=True)
class PretrainPaths:
    """Where everything of the pretraining in the directory `root` lies.

    ``status.json``, ``metrics.jsonl``, ``log.txt`` and ``lock.json`` are a run's
    (:class:`napari_cryodeco.runs.paths.RunPaths`).
    """

    root: Path

    @property
    def settings(self) -> Path:
        """Settings."""
        return self.root / "pretrain.yaml"

    @property
    def state(self) -> Path:
        """Everything that is needed to go on: weights, their average, moments, step."""
        return self.root / "state.safetensors"

    @property
    def prior(self) -> Path:
        """The averaged encoder of the last save: the prior for runs."""
        return self.root / "prior.safetensors"

    @property
    def stop(self) -> Path:
        """The request to save and stop."""
        return RunPaths(self.root).stop


def read_settings(root: Path) -> PretrainConfig | None:
    """Read the settings of the pretraining in `root`; None where none was begun."""
    file = PretrainPaths(root).settings
    if not file.is_file():
        return None
    return PretrainConfig.from_yaml(file.read_text(encoding="utf-8"), file)


def check_settings(root: Path, asked: PretrainConfig) -> None:
    """Refuse to begin or to go on in `root` with these settings.

    Raises
    ------
    ValueError
        If `root` holds other things, or a pretraining with other settings than limits.
    """
    before = read_settings(root)
    if before is not None:
        before.continued(asked, root)
    elif root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file: choose a new folder for the prior.")
    elif root.is_dir() and (others := _others(root)):
        raise ValueError(f"{root} holds {others[0]}: choose a new folder for the prior.")


def _others(root: Path) -> list[str]:
    """Names that an earlier call, failed before its first step, has not left there."""
    paths, run = PretrainPaths(root), RunPaths(root)
    ours = {run.status.name, run.metrics.name, run.log.name, run.lock.name, paths.stop.name}
    names = sorted(entry.name for entry in root.iterdir())
    return [name for name in names if name not in ours and not name.startswith(".")]


def write_settings(root: Path, settings: PretrainConfig) -> None:
    """Write the settings, where they are new or their limits changed."""
    if settings != read_settings(root):
        write_text(PretrainPaths(root).settings, settings.to_yaml())
