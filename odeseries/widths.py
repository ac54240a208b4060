"""Widths of the intervals, adjusted on held-out forecasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from odeseries.metrics import LEVELS, crps_from_quantiles
from odeseries.model import Model
from odeseries.panel import Float64
from odeseries.windows import Batch

__all__ = ["Calibration", "HeldOut", "Widths"]

FACTORS = (0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
LEAST_TARGETS = 60
N_BINS = 3
COVERAGE = 0.9
LOWER, UPPER = (int(np.argmin(np.abs(LEVELS - p))) for p in (0.05, 0.95))
MOST_WIDENING = 5.0

Choice = Callable[[Float64, Float64], float]


@dataclass(frozen=True)
class Widths:
    """Factors on the distance of a quantile from the median, by the age of the last value.

    Attributes
    ----------
    ages, factors : tuple of float
        The factor is interpolated between the ages, and constant beyond them.
    """

    ages: tuple[float, ...] = (0.0,)
    factors: tuple[float, ...] = (1.0,)

    @classmethod
    @torch.no_grad()
    def fitted(
        cls,
        net: Model,
        batches: Sequence[Batch],
        device: torch.device,
        otherwise: Widths,
        best: Choice,
    ) -> Widths:
        """The best factors on held-out targets, in bins of the age.

        Where there are too few targets, they are ``otherwise``.
        """
        if not batches:
            return otherwise
        levels = torch.tensor(LEVELS, dtype=torch.float32, device=device)
        parts = [_held(net, batch, levels) for batch in batches]
        age, truth, quantiles = (np.concatenate(p) for p in zip(*parts, strict=True))
        bins = min(N_BINS, len(age) // LEAST_TARGETS)
        if bins == 0:
            return otherwise
        groups = np.array_split(np.argsort(age, kind="stable"), bins)
        factors = [best(truth[g], quantiles[g]) for g in groups]
        return cls(tuple(float(np.median(age[g])) for g in groups), tuple(factors))

    def wider(self, other: Widths) -> Widths:
        """At every age the larger factor of both."""
        ages = tuple(sorted({*self.ages, *other.ages}))
        both = [np.interp(ages, w.ages, w.factors) for w in (self, other)]
        return Widths(ages, tuple(np.maximum(*both).tolist()))

    def apply(self, quantiles: Float64, median: Float64, ages: Float64) -> Float64:
        """Widen quantiles (..., n_levels) about the median (...)."""
        factor = np.interp(ages, self.ages, self.factors)[..., None]
        return np.asarray(median[..., None] + factor * (quantiles - median[..., None]))


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Batches by which a network is judged.

    Attributes
    ----------
    ahead : list of Batch
        Held-out forecasts.
    between, back : pair of list of Batch
        Interpolations and backcasts, held out and over all times.
    """

    ahead: list[Batch]
    between: tuple[list[Batch], list[Batch]]
    back: tuple[list[Batch], list[Batch]]


@dataclass(frozen=True)
class Calibration:
    """Widths of each kind of answer: its rows lie after, between or before what is seen."""

    ahead: Widths = Widths()
    between: Widths = Widths()
    back: Widths = Widths()

    @classmethod
    def fitted(cls, net: Model, held: HeldOut, device: torch.device) -> Calibration:
        """Widths on held-out forecasts, interpolations and backcasts.

        Forecasts are scored; the other two, which training sees less of and which may be asked
        of noisier times than the last ones, are made to cover, held out and over all times.
        """
        first = Widths.fitted(net, held.ahead, device, Widths(), _sharpest)

        def covering(parts: Sequence[Sequence[Batch]]) -> Widths:
            late, ever = (Widths.fitted(net, part, device, first, _covering) for part in parts)
            return late.wider(ever)

        return cls(first, covering(held.between), covering(held.back))

    def answers(self, quantiles: torch.Tensor, ages: torch.Tensor, batch: Batch) -> Float64:
        """Widened quantiles of the asked rows of a batch; the last one given is the median."""
        values, age = (x[batch.asked].double().cpu().numpy() for x in (quantiles, ages))
        return self.apply(values[..., :-1], values[..., -1], age, batch)

    def apply(self, quantiles: Float64, median: Float64, ages: Float64, batch: Batch) -> Float64:
        """Widen the quantiles of the asked rows of a batch; see `Widths.apply`."""
        left = batch.left.present
        right = torch.zeros_like(left) if batch.right is None else batch.right.present
        kind = torch.where(left & right, 1, torch.where(right, 2, 0))
        row = kind[:, None].expand_as(batch.asked)[batch.asked].cpu().numpy()
        out = np.empty_like(quantiles)
        for k, widths in enumerate((self.ahead, self.between, self.back)):
            of = row == k
            out[of] = widths.apply(quantiles[of], median[of], ages[of])
        return out


def _held(net: Model, batch: Batch, levels: torch.Tensor) -> tuple[Float64, Float64, Float64]:
    """Ages, truth and quantiles of the observed targets."""
    quantiles, age = net.quantiles(batch, levels)
    seen = (batch.observed > 0) & torch.isfinite(quantiles).all(-1)
    taken = [x[seen].double().cpu().numpy() for x in (age, batch.targets, quantiles)]
    return taken[0], taken[1], taken[2]


def _sharpest(truth: Float64, quantiles: Float64) -> float:
    """The factor with the least score."""
    median = quantiles[:, len(LEVELS) // 2, None]
    scores = [crps_from_quantiles(truth, median + f * (quantiles - median)).mean() for f in FACTORS]
    return FACTORS[int(np.argmin(scores))]


def _covering(truth: Float64, quantiles: Float64) -> float:
    """The factor with which the 90 % interval holds 90 %, within the bounds of the factors.

    References
    ----------
    Romano, Y., Patterson, E., Candes, E. (2019). Conformalized Quantile Regression. NeurIPS.
    Section 3, with ratios in place of differences.
    """
    low, middle, high = (quantiles[:, k] for k in (LOWER, len(LEVELS) // 2, UPPER))
    side = np.where(truth > middle, high - middle, middle - low)
    ratio = np.abs(truth - middle) / np.maximum(side, 1e-12)
    return float(np.clip(np.quantile(ratio, COVERAGE), FACTORS[0], MOST_WIDENING))
