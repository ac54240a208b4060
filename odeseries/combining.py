"""What candidates foretold of the same held-out values, and the weights to combine them with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from odeseries.metrics import crps_from_quantiles
from odeseries.panel import Float64, Int64

__all__ = ["Judged", "Standing", "averaged", "combined", "mean_score"]

STANDARD_ERRORS = 2.0
LEAST_ERROR = 1e-12


@dataclass(frozen=True, eq=False)
class Judged:
    """Held-out values, and the quantiles that were forecast for them, of sizes around 1.

    Every target is divided by a power of 2 that follows from its known values, so that neither
    its unit nor rounding plays a part.

    Attributes
    ----------
    truth : ndarray of float64, shape (n,)
        The observed values of all targets.
    target : ndarray of int64, shape (n,)
        Position of the target of each.
    excess : ndarray of float32, shape (n, n_levels)
        By how much the quantiles at `LEVELS` lie above them.
    plain : ndarray of float64, shape (n_targets,)
        Mean CRPS of the distribution of the known values, of every target that occurs.
    n_values : int
        Different values among them; one is foretold from many cutoffs.
    """

    truth: Float64
    target: Int64
    excess: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    plain: Float64
    n_values: int

    @classmethod
    def of(cls, truth: Float64, quantiles: Float64, climatology: Float64, n_values: int) -> Judged:
        """Keep what was observed.

        Parameters
        ----------
        truth : ndarray of shape (n_rows, n_targets)
            NaN is "not observed".
        quantiles : ndarray of shape (n_rows, n_targets, n_levels)
        climatology : ndarray of shape (n_targets, n_levels)
            Quantiles of the known values.
        n_values : int
            Different observed values among the truth.
        """
        unit = _units(climatology)
        truth, climatology = truth / unit, climatology / unit[:, None]
        quantiles = quantiles / unit[:, None]
        seen = np.isfinite(truth)
        _, target = np.unique(np.nonzero(seen)[1], return_inverse=True)
        everywhere = np.broadcast_to(climatology, quantiles.shape)[seen]
        plain = _by_target(crps_from_quantiles(truth[seen], everywhere), target)
        excess = quantiles[seen] - truth[seen][:, None]
        return cls(truth[seen], target, excess.astype(np.float32), plain, n_values)

    def score(self, excess: Float64 | None = None) -> float:
        """CRPS over that of the distribution of the known values, mean over targets.

        A target that does not vary, which that distribution foretells without an error, has no
        part in it where others vary.

        Parameters
        ----------
        excess : ndarray of shape (n, n_levels), optional
            Of other forecasts of the same values; of those held by default.
        """
        asked = self.excess if excess is None else excess
        ours = _by_target(crps_from_quantiles(np.zeros(len(asked)), asked), self.target)
        relative = ours / np.maximum(self.plain, LEAST_ERROR)
        varying = self._varying()
        return float((relative[varying] if varying.any() else relative).mean())

    def _varying(self) -> npt.NDArray[np.bool_]:
        """Of which targets the known values leave any error, but for rounding."""
        size = np.zeros(len(self.plain))
        np.maximum.at(size, self.target, np.abs(self.truth))
        return np.asarray(self.plain > LEAST_ERROR * np.maximum(size, LEAST_ERROR))

    def is_complete(self) -> bool:
        """Whether every value was forecast."""
        return bool(np.isfinite(self.excess).all())

    def is_of_the_values_of(self, other: Judged) -> bool:
        """Whether both are forecasts of the same values, in the same order."""
        same = np.array_equal(self.target, other.target)
        return same and np.array_equal(self.truth, other.truth)


def _units(climatology: Float64) -> Float64:
    """Powers of 2 above the sizes of all quantiles of a target, (n_targets,); 1 for zeros."""
    sizes = np.nan_to_num(np.abs(climatology)).max(1)
    return np.asarray(np.ldexp(1.0, np.frexp(sizes)[1]))


@dataclass(frozen=True)
class Standing:
    """What speaks for or against a candidate beside its held-out score.

    Attributes
    ----------
    weight : float
        Weight relative to that of others with the same score.
    limit : float
        How many times the best score its own may be, for it to take part.
    is_plain : bool
        Whether it learns nothing of how values hang together. It takes no part where another one is
        as good but for chance: what puts it ahead on few values seldom lasts.
    """

    weight: float = 1.0
    limit: float = 2.0
    is_plain: bool = False


def combined(
    candidates: Mapping[str, Judged], standings: Mapping[str, Standing] | None = None
) -> tuple[dict[str, float], float]:
    """Weights of candidates whose quantiles are to be averaged.

    All whose scores are within their limits of the best one take part, with weights that fall with
    the square of their scores. The worst one is left out for as long as the mean is worse than the
    best candidate. What is worse allows for chance: the errors of n values have a
    relative standard error of about the inverse root of n, of which two are allowed. Weights that
    are fitted any closer to what was held out, such as those of a greedy selection, follow its
    chances.

    Parameters
    ----------
    candidates : mapping of str to Judged
        The simplest first: it is preferred where two are equally good.
    standings : mapping of str to Standing, optional
        By name; that of any other candidate is the default.

    Returns
    -------
    weights : dict of str to float
        Of those that take part, in their order; they sum to 1.
    score : float
        Of the weighted mean.

    References
    ----------
    Bates, J. M., Granger, C. W. J. (1969). The Combination of Forecasts. Operational Research
    Quarterly 20, 451 (weights without correlations). Timmermann, A. (2006). Forecast Combinations.
    Handbook of Economic Forecasting 1, 135. Section 7 (trimming).
    """
    known = {name: (standings or {}).get(name, Standing()) for name in candidates}
    scores = {name: one.score() for name, one in candidates.items()}
    best = min(scores, key=lambda name: _or_inf(scores[name]))
    if not candidates[best].is_complete():
        return {best: 1.0}, scores[best]
    chance = STANDARD_ERRORS / math.sqrt(max(candidates[best].n_values, 1))
    close = {
        name: scores[name]
        for name, one in candidates.items()
        if scores[name] <= known[name].limit * scores[best]
        and one.is_complete()
        and one.is_of_the_values_of(candidates[best])
    }
    apart = {name: score for name, score in close.items() if not known[name].is_plain}
    if apart and min(apart.values()) <= (1 + chance) * scores[best]:
        close = apart
    while True:
        weights = _inverse(close, known)
        score = mean_score(candidates, weights)
        if len(close) == 1 or score <= (1 + chance) * scores[best]:
            return weights, score
        del close[max(close, key=lambda name: (close[name], name != best))]


def averaged(values: Float64, weights: Float64) -> Float64:
    """Weighted mean over the first axis, of those that have all quantiles of a row and target.

    The mean of quantiles at each level is a distribution whose width is the mean of the widths.

    Parameters
    ----------
    values : ndarray of shape (n, n_rows, n_targets, n_levels)
    weights : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n_rows, n_targets, n_levels)
        NaN where none has them.

    References
    ----------
    Lichtendahl, K. C., Grushka-Cockayne, Y., Winkler, R. L. (2013). Is It Better to Average
    Probabilities or Quantiles? Management Science 59, 1594.
    """
    whole = np.isfinite(values).all(-1, keepdims=True)
    shares = whole * weights[:, None, None, None]
    total = shares.sum(0)
    summed = (np.where(whole, values, 0.0) * shares).sum(0)
    return np.asarray(np.where(total > 0, summed / np.maximum(total, 1e-300), np.nan))


def mean_score(candidates: Mapping[str, Judged], weights: Mapping[str, float]) -> float:
    """Held-out score of the mean of candidates by weights that sum to 1; see `Judged.score`."""
    excess = sum(w * candidates[n].excess.astype(np.float64) for n, w in weights.items())
    return candidates[next(iter(weights))].score(np.asarray(excess))


def _inverse(scores: Mapping[str, float], known: Mapping[str, Standing]) -> dict[str, float]:
    """Weights by the inverse squares of scores, times what is known before."""
    squares = {n: known[n].weight * max(score, 1e-150) ** -2.0 for n, score in scores.items()}
    total = sum(squares.values())
    return {name: square / total for name, square in squares.items()}


def _by_target(values: Float64, target: Int64) -> Float64:
    """Mean of each target's values that are not NaN."""
    seen = np.isfinite(values)
    count = np.bincount(target[seen], minlength=target.max() + 1)
    total = np.bincount(target[seen], values[seen], minlength=target.max() + 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def _or_inf(score: float) -> float:
    return score if math.isfinite(score) else math.inf
