"""Frozen features of encoders: the prior, and the same network as it was before any training."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from image_features import Features, Silent
from prior_sets import Mixture
from torch import Tensor

from napari_cryodeco.model.prior import PriorEncoder
from napari_cryodeco.model.weights import Weights, read_weights
from napari_cryodeco.train.device import choose_device
from napari_cryodeco.train.features import prior_features
from napari_cryodeco.train.prior import open_prior
from napari_cryodeco.train.views import PriorViews

BATCH = 512


def of_prior(path: Path) -> Features:
    """What a run makes of its particles with the prior at `path`."""

    def compute(mixture: Mixture) -> Tensor:
        prior = open_prior(str(path), mixture.run, choose_device("auto"))
        if prior is None:
            raise ValueError(f"{path} is no prior: give a file of weights.")
        return prior_features(prior.embed, mixture.ctf, Silent())

    return compute


def shape_of(path: Path | None) -> dict[str, object]:
    """Shape of the small encoder at `path`; its default where there is none, or it is a ViT."""
    weights = read_weights(path) if path is not None else None
    small = weights is not None and weights.kind == "small"
    return dict(weights.header.get("shape", {})) if weights is not None and small else {}


def random_encoder(shape: dict[str, object]) -> Features:
    """A small encoder of this shape with fresh random weights (of the mixture's seed)."""

    def compute(mixture: Mixture) -> Tensor:
        device = choose_device("auto")
        with torch.random.fork_rng():
            torch.manual_seed(mixture.seed)
            encoder = PriorEncoder(1, **shape).to(device).eval()
        views = PriorViews(mixture.images, mixture.ctf, mixture.geometry, device)

        def embed(rows: Tensor) -> Tensor:
            with torch.no_grad():
                return encoder.features(views(rows.to(device)))

        return prior_features(embed, mixture.ctf, Silent())

    return compute


def turned(path: Path) -> Features:
    """The prior's features averaged over the eight turns and mirror images of each view.

    An image turned, or seen in a mirror, is another projection of the same particle.
    """

    def compute(mixture: Mixture) -> Tensor:
        device = choose_device("auto")
        weights = read_weights(path)
        if weights.kind != "small":
            raise ValueError(f"{path} is no small prior: its views are not turned here.")
        encoder = _encoder(weights).to(device).eval()
        views = PriorViews(mixture.images, mixture.ctf, mixture.geometry, device)

        def embed(rows: Tensor) -> Tensor:
            seen = views(rows.to(device))
            with torch.no_grad():
                found = [
                    torch.nn.functional.normalize(encoder.features(_turn(seen, turn)), dim=1)
                    for turn in range(8)
                ]
            return torch.stack(found).mean(0)

        return prior_features(embed, mixture.ctf, Silent())

    return compute


def _encoder(weights: Weights) -> PriorEncoder:
    from napari_cryodeco.model.weights import load_encoder

    encoder = load_encoder(weights, 1)
    assert isinstance(encoder, PriorEncoder)
    return encoder


def _turn(views: Tensor, turn: int) -> Tensor:
    """Turn by quarter turns, and mirror from the fifth on, about pixel D//2."""
    odd = views[..., 1:, 1:]  # symmetrical about the centre; the first row and column are margin
    odd = torch.rot90(odd, turn % 4, (-2, -1))
    odd = odd.flip(-1) if turn >= 4 else odd
    return torch.nn.functional.pad(odd, (1, 0, 1, 0), mode="replicate")


def plugged(spec: str) -> tuple[str, Features]:
    """A feature function of yours: ``NAME=FILE.py:FUNCTION``, from a mixture to ``(n, f)``.

    Raises
    ------
    ValueError
        If it is written otherwise.
    """
    name, _, where = spec.partition("=")
    file, _, function = where.rpartition(":")
    if not (name and file and function):
        raise ValueError(f"--feature {spec}: write it as NAME=FILE.py:FUNCTION.")
    found = importlib.util.spec_from_file_location(Path(file).stem, file)
    if found is None or found.loader is None:
        raise ValueError(f"--feature {spec}: {file} is no Python file.")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return name, getattr(module, function)


def trained_on(path: Path | None) -> set[str] | None:
    """Names of the real structures a prior was trained on, by its header; None: it does not say."""
    if path is None:
        return None
    names = read_weights(path).header.get("structures_seen")
    return None if names is None else {str(name).lower() for name in names}
