"""The linear start of the latents: a mean map plus component maps, fitted to images at poses.

``V_i = mean + Σ_j z_ij · component_j`` is probabilistic principal component analysis with one
projection and one CTF per image, fitted by expectation maximisation. Many components at once find
what varies, and learn noise with it; so those that do not predict unseen images are left out, and
the rest goes on without them. A field that starts from random z cannot tell which image should move
which way (docs/method.md has the measurement); from these coordinates it can.

Volumes live on an unpadded lattice of integer frequencies: the least-squares fit absorbs what
trilinear interpolation does to a map, and `_coefficients` divides it out in the end. Source of the
model: Tipping & Bishop (1999), Journal of the Royal Statistical Society B 61, 611.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_cryodeco.imaging.ball import Ball
from napari_cryodeco.imaging.hartley import hartley, inverse_hartley
from napari_cryodeco.train.linear_model import LinearModel
from napari_cryodeco.train.observations import Observations, transpose
from napari_cryodeco.train.rounds import (
    Posterior,
    expect,
    maximise,
    ridge_of,
    shells_of,
    whiten,
)

_ROUNDS = 8
_PATIENCE = 24  # rounds that one component from random coordinates gets at least
_MORE = 3  # components that are tried one by one beside those that were confirmed
_BETTER = 0.1, 0.005  # gain in log-likelihood, and share of it, from which more rounds are worth it
SURE, _LEAST_GAIN = 2.0, 0.1  # standard errors; log-likelihood an image: less is no use
_EXPECTED = 48  # rounds, for the progress
_FIXED = 1e6  # precision of a coordinate that is zero
_MOST_ROWS = 2_000_000  # Fourier points of all fitted images: about 500 MB of interpolation weights
_LEAST_RELIABILITY = 0.05
_HELD_OUT, _HELD_OUT_LEAST = 0.15, 60  # share, and the count below which chance looks like signal


def _start(n: int, size: int, posteriors: Tensor | None, generator: torch.Generator) -> Tensor:
    """First coordinates ``(n, d)``: class memberships as far as they go, random numbers beyond."""
    start = torch.randn(n, size, generator=generator)
    if posteriors is not None and size:
        known = min(size, posteriors.shape[1])
        centred = posteriors[:, :known] - posteriors[:, :known].mean(0)
        start[:, :known] = 0.1 * start[:, :known] + centred / centred.std().clamp_min(1e-6)
    return start


def _split_half(slices: Tensor, data: Tensor, halves: Tensor, proven: Tensor) -> Tensor:
    """Signal share ``(d,)`` of each coordinate, from two halves of the points of unseen images.

    Components with the numbers `proven` count, whatever a handful of images can tell of halves.
    """
    first, second = (
        expect(slices[:, halves == half], data[:, halves == half]).mean for half in (0, 1)
    )
    first, second = first - first.mean(0), second - second.mean(0)
    norm = (first.pow(2).sum(0) * second.pow(2).sum(0)).sqrt().clamp_min(1e-12)
    agreement = ((first * second).sum(0) / norm).clamp(0, 1)
    certain = agreement > 3 / len(first) ** 0.5  # three standard errors of a chance correlation
    certain[proven] = True
    share = torch.where(certain, 2 * agreement / (1 + agreement), torch.zeros_like(agreement))
    if len(share):
        best = int(agreement.argmax())  # stays in any case: latents that are all zero order nothing
        share[best] = share[best].clamp_min(_LEAST_RELIABILITY)
    return share


def _gains(slices: Tensor, data: Tensor, halves: Tensor) -> Tensor:
    """What each component adds to the prediction of points that were not looked at: ``(d, 2)``.

    With the components up to each in turn, coordinates come from one half of the points of unseen
    images and predict the other half. A component that fits noise makes that worse; agreement of
    the two halves alone does not tell, for noise components pick up what others leave over.
    Mean and standard error of the gain in log-likelihood. Source: cross-validation of a principal
    component analysis, Wold (1978), Technometrics 20, 397.
    """
    scores = data.new_zeros(slices.shape[0], slices.shape[2])
    for first in (0, 1):
        looked, rest = halves == first, halves != first
        for count in range(slices.shape[2]):
            kept = slices[..., : count + 1]
            mean = expect(kept[:, looked], data[:, looked]).mean
            said = kept[:, rest, 0] + (kept[:, rest, 1:] @ mean[..., None])[..., 0]
            scores[:, count] -= (data[:, rest] - said).pow(2).sum(1) / 2
    gains, n = scores.diff(dim=1), len(scores)
    spread = (gains - gains.mean(0)).pow(2).sum(0) / (n * max(n - 1, 1))
    return torch.stack([gains.mean(0), spread.sqrt()], 1)


def _coefficients(maps: Tensor, seen: Observations) -> Tensor:
    """Lattice values ``(side³, c)`` as coefficients ``(c, m)`` without the kernel."""
    side, ball = seen.side, Ball(seen.radius, 3, maps.device)
    box = side - 1
    cube = maps.T.reshape(-1, side, side, side)[:, :box, :box, :box]
    axis = (torch.arange(box, device=maps.device) - box // 2).float() / box
    line = torch.sinc(axis) ** 2
    return ball.from_grid(
        hartley(inverse_hartley(cube, 3) * (line[:, None, None] * line[:, None] * line), 3)
    )


@dataclass(frozen=True)
class _State:
    """Maps ``(side³, d + 1)``, the mean first; the posterior of the fitted images; the ridge."""

    maps: Tensor
    posterior: Posterior
    ridge: Tensor

    @property
    def size(self) -> int:
        return self.maps.shape[1] - 1

    def take(self, chosen: Tensor) -> _State:
        """Leave out all other components."""
        columns = torch.nn.functional.pad(chosen + 1, (1, 0))
        return _State(self.maps[:, columns], self.posterior.take(chosen), self.ridge[:, columns])

    def beside(self, coordinates: Tensor, ridge: Tensor) -> _State:
        """Add components that do not exist yet, at `coordinates` ``(n, m)``."""
        empty = self.maps.new_zeros(len(self.maps), coordinates.shape[1])
        ridges = torch.cat([self.ridge, ridge.expand_as(empty)], 1)
        maps = torch.cat([self.maps, empty], 1)
        return _State(maps, self.posterior.beside(coordinates), ridges)


class _Judge:
    """Images that no fit sees, and two halves of their Fourier points."""

    def __init__(self, seen: Observations, held: Tensor, generator: torch.Generator) -> None:
        self.data, self._slicing = seen.data(held), seen.operator(held)
        drawn = torch.randint(0, 2, (seen.points,), generator=generator).to(seen.device)
        here = torch.arange(seen.points, device=seen.device)
        self.halves = drawn[torch.minimum(here, seen.disc.mirror[: seen.points])]

    def slices(self, maps: Tensor) -> Tensor:
        """CTF-ed slices ``(n, p, d + 1)``."""
        return (self._slicing @ maps).reshape(*self.data.shape, -1)

    def gains(self, state: _State) -> Tensor:
        """What each component adds to the prediction of unseen points: see :func:`_gains`."""
        return _gains(self.slices(state.maps), self.data, self.halves)


@dataclass(frozen=True)
class _Settled:
    state: _State
    gains: Tensor  # (d, 2)

    @property
    def total(self) -> float:
        return float(self.gains[:, 0].sum())

    @property
    def doubt(self) -> float:
        """Two standard errors of the gain of the component that gains least."""
        return SURE * float(self.gains[self.gains[:, 0].argmin(), 1])

    def proven(self) -> Tensor:
        """Numbers of the components that help to predict what was not seen."""
        gain, error = self.gains.T
        return torch.nonzero(gain > (SURE * error).clamp_min(_LEAST_GAIN))[:, 0]

    def best(self, count: int) -> Tensor:
        """Numbers of the proven components, or of so many that gain most if these are more."""
        proven = self.proven()
        if len(proven) >= count:
            return proven
        return self.gains[:, 0].topk(count).indices.sort().values


class _Fit:
    """Expectation maximisation on some images, judged by others."""

    def __init__(
        self, seen: Observations, rows: Tensor, judge: _Judge, step: Callable[[int, int], None]
    ) -> None:
        self._data, self._slicing = seen.data(rows), seen.operator(rows)
        self._pair = (self._slicing, transpose(self._slicing))
        self._shells, self._judge = shells_of(seen.side, seen.device), judge
        ones = torch.ones(seen.side**3, 1, device=seen.device)
        self._weight = self._pair[1] @ (self._slicing @ ones)
        self.ridge = (0.1 * self._weight[self._weight > 0].mean()).expand_as(ones)
        self._step, self._done = step, 0

    def begin(self, coordinates: Tensor) -> _State:
        """Nothing yet but the coordinates ``(n, d)``."""
        none = coordinates.new_zeros(len(coordinates), 0)
        posterior = Posterior(none, none[..., None])
        return _State(torch.zeros_like(self.ridge), posterior, self.ridge).beside(
            coordinates, self.ridge
        )

    def rounds(self, state: _State, count: int) -> _State:
        """Go on for so many rounds."""
        maps, posterior, ridge = state.maps, state.posterior, state.ridge
        for _ in range(count):
            maps = maximise(maps, self._data, posterior, self._pair, ridge)
            slices = (self._slicing @ maps).reshape(*self._data.shape, -1)
            maps, posterior = whiten(maps, expect(slices, self._data))
            ridge = ridge_of(maps, self._weight, ridge, self._shells)
            self._done += 1
            self._step(self._done, max(_EXPECTED, self._done + 1))
        return _State(maps, posterior, ridge)

    def settle(self, state: _State, least: int = 0) -> _Settled:
        """Go on, `least` rounds or more, until unseen images are not explained better."""
        best, done = _Settled(state, state.maps.new_full((1, 2), -torch.inf)), 0
        while True:
            state = self.rounds(state, _ROUNDS)
            done += _ROUNDS
            now = _Settled(state, self._judge.gains(state))
            if now.total > best.total + max(_BETTER[0], _BETTER[1] * abs(now.total)):
                best = now
            elif done >= least:
                return best


def fit(
    seen: Observations,
    size: int,
    generator: torch.Generator,
    posteriors: Tensor | None = None,
    step: Callable[[int, int], None] = lambda done, of: None,
    fewest: int | None = None,
) -> LinearModel:
    """Fit the linear model.

    Parameters
    ----------
    seen
        Images at poses, noise about 1 per coefficient.
    size
        Number of components, at most: those that held-out images do not confirm are zero. 0: a
        mean map only.
    generator
        On the CPU.
    posteriors
        ``(n, K)`` class memberships to start from; random coordinates without.
    step
        Called with (done, of) after each piece of work.
    fewest
        Components that are kept whatever speaks for them; as many as tell the classes apart, where
        it is not said.
    """
    device = seen.device
    order = torch.randperm(len(seen), generator=generator)[: max(_MOST_ROWS // seen.points, 64)]
    held_out = min(max(int(_HELD_OUT * len(order)), _HELD_OUT_LEAST), len(order) // 3)
    held = order[: max(2, held_out)].to(device)
    rows = order[len(held) :].to(device)
    start = _start(len(seen), size, posteriors, generator).to(device)
    judge = _Judge(seen, held, generator)
    fitted = _Fit(seen, rows, judge, step)
    state = fitted.rounds(fitted.begin(start[rows]), _ROUNDS)
    first = _Settled(state, judge.gains(state))
    if fewest is None:
        fewest = 0 if posteriors is None else min(size, posteriors.shape[1] - 1)
    best = _settled(fitted, first, fewest, generator) if size else first
    return _assemble(seen, best, size, judge)


def _settled(
    fitted: _Fit, first: _Settled, told_apart: int, generator: torch.Generator
) -> _Settled:
    """Go on with the components that are proven, and with more that prove themselves.

    Many at once fit each other's noise: of 1000 images of one motion sixteen explained unseen ones
    by 3 in the log-likelihood, the one that was right alone by 10. Fewer than the `told_apart`
    best are not kept, nor fewer than one.
    """
    state, fewest = first.state, max(told_apart, 1)

    def one_more(state: _State) -> _Settled:
        drawn = torch.randn(len(state.posterior.mean), 1, generator=generator)
        more = state.beside(drawn.to(state.maps.device), fitted.ridge)
        return fitted.settle(more, _PATIENCE)

    best = fitted.settle(state.take(first.best(fewest)))
    if not len(best.proven()) and fewest == 1:
        best = max(best, one_more(state.take(best.proven())), key=lambda one: one.total)
    for _ in range(_MORE):
        if best.state.size == state.size:
            break
        new = one_more(best.state)
        if len(new.proven()) <= len(best.proven()) or new.total < best.total + new.doubt:
            break
        best = new
    needed = best.best(fewest)
    if len(needed) < best.state.size:
        best = max(best, fitted.settle(best.state.take(needed)), key=lambda one: one.total)
    return best


def _assemble(seen: Observations, best: _Settled, size: int, judge: _Judge) -> LinearModel:
    """The model, with as many components as were asked for; what did not prove itself is zero."""
    maps = torch.nn.functional.pad(best.state.maps, (0, size - best.state.size))
    gain = torch.nn.functional.pad(best.gains, (0, 0, 0, size - best.state.size))
    reliability = _split_half(judge.slices(maps), judge.data, judge.halves, best.proven())
    coefficients = _coefficients(maps, seen)
    strength = coefficients[1:].norm(dim=1) * reliability.sqrt()
    scale = strength / max([1e-12, *strength.tolist()])
    kept = scale > 0
    components = torch.where(kept[:, None], coefficients[1:] / scale.clamp_min(1e-12)[:, None], 0.0)
    mean, precision = _coordinates(seen, maps)
    precision = torch.where(kept, precision / scale.clamp_min(1e-3) ** 2, _FIXED)
    return LinearModel(
        coefficients[0], components, mean * scale, precision, reliability, seen.radius, gain
    )


def _coordinates(seen: Observations, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Posterior mean and precision ``(n, d)`` of all images, a block at a time."""
    means, precisions = [], []
    for rows in torch.arange(len(seen), device=maps.device).split(max(1, 200_000 // seen.points)):
        data = seen.data(rows)
        posterior = expect((seen.operator(rows) @ maps).reshape(*data.shape, -1), data)
        means.append(posterior.mean)
        precisions.append(1 / posterior.covariance.diagonal(dim1=-2, dim2=-1))
    return torch.cat(means), torch.cat(precisions)
