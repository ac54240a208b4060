"""Exact forecasts of a linear stochastic differential equation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from odeseries.anchoring import Anchor, Anchored
from odeseries.likelihoods import between_scores
from odeseries.model import ClosedForm
from odeseries.stationary import N_WAVES, StationaryLaw, first_constants
from odeseries.windows import Batch

__all__ = ["LinearSDENetwork"]

ENTRIES = 2**17
"""Of the covariances that are held at once."""
PRIOR_SPREAD = 2.0
LONGEST, WIDEST = 3, 192
"""Windows, and rows of each, that the constants are learned from."""
SHAPED = 200
"""Windows whose errors give the shape."""
EVALUATIONS = 40
LEVELS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
NORMAL_TARGETS = 200.0
"""Errors that the normal distribution counts for, where the shape of the errors is learned."""


class LinearSDENetwork(ClosedForm):
    r"""Gaussian conditioning of a sum of linear stochastic differential equations.

    Each channel is a constant, drifts :math:`dx = v\,dt`, :math:`dv = -\lambda^2 x\,dt -
    2\lambda v\,dt + \sigma\,dW` of several rates, and damped oscillators at every period and its
    overtones, all stationary and seen with noise. Their covariances are known, so that a query
    given what is seen is normal in closed form. The constants have the most likely values for
    the longest windows, under a wide prior; the errors of the training windows, in units of
    their standard deviation, give the shape of the forecast's distribution.

    Parameters
    ----------
    n_channels : int
        Channels.
    periods : tuple of float
        Periods in horizons.
    anchor : Anchor
        First guess.

    References
    ----------
    Hartikainen, J., Sarkka, S. (2010). Kalman filtering and smoothing solutions to temporal
    Gaussian process regression models. MLSP. Solin, A., Sarkka, S. (2014). Explicit link between
    periodic covariance functions and state space models. AISTATS. Rasmussen, C. E., Williams,
    C. K. I. (2006). Gaussian Processes for Machine Learning. Equations (2.25), (2.26), (2.30).
    """

    levels = LEVELS

    rates: Tensor
    constants: Tensor
    scores: Tensor
    knots: Tensor

    def __init__(self, n_channels: int, periods: tuple[float, ...], anchor: Anchor) -> None:
        super().__init__()
        self.anchor = anchor.requires_grad_(False)
        waves = [2 * math.pi * k / p for p in periods for k in range(1, N_WAVES + 1)]
        self.register_buffer("rates", torch.tensor(waves, dtype=torch.float64))
        self.register_buffer(
            "constants", first_constants(len(periods)).expand(n_channels, -1).clone()
        )
        scores = torch.special.ndtri(torch.tensor(LEVELS, dtype=torch.float64))
        self.register_buffer("scores", scores)
        self.register_buffer("knots", scores.expand(n_channels, -1).clone())

    def start(self, batches: Sequence[Batch]) -> None:
        """Learn everything from windows."""
        self.anchor.fit(batches)
        self._maximise(*_longest([self._centred(batch) for batch in batches]))
        self._shape(batches)

    @torch.no_grad()
    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles (batch, n_queries, channels, n_levels) and ages, standardised."""
        mean, spread, anchored = self._conditional(batch)
        shape = between_scores(self.knots, self.scores, levels)
        return mean[..., None] + spread[..., None] * shape, anchored.age

    def _centred(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Times (batch, rows), values and masks (batch, channels, rows) in the window's units."""
        anchored = self.anchor(batch)
        times, values, mask = _seen(batch)
        level, scale = anchored.level[:, None], anchored.scale[:, None]
        centred = ((values - level) / scale * mask).swapaxes(1, 2)
        return times.double(), centred.double(), mask.swapaxes(1, 2).double()

    def _maximise(self, times: Tensor, values: Tensor, mask: Tensor) -> None:
        """Most likely constants."""
        first = self.constants.clone()
        found = first.clone().requires_grad_()
        search = torch.optim.LBFGS([found], max_iter=EVALUATIONS, line_search_fn="strong_wolfe")

        def value() -> Tensor:
            search.zero_grad()
            law = StationaryLaw(found, self.rates)
            fit = law.surprise(times, values, mask) / mask.sum().clamp(min=1)
            away = ((found - first) / PRIOR_SPREAD) ** 2
            loss = fit + away.sum() / mask.sum().clamp(min=1)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
            return loss

        with torch.enable_grad():
            search.step(value)  # type: ignore[no-untyped-call]  # so is step
        if torch.isfinite(found).all():
            self.constants.copy_(found.detach())

    @torch.no_grad()
    def _shape(self, batches: Sequence[Batch]) -> None:
        """Quantiles of the errors in standard deviations, drawn towards those of the normal law."""
        errors: list[Tensor] = []
        for batch in batches:
            if len(errors) * len(batch.asked) > SHAPED:
                break
            mean, spread, _ = self._conditional(batch)
            errors.append(
                torch.where(batch.observed > 0, (batch.targets - mean) / spread, torch.nan).flatten(
                    0, 1
                )
            )
        levels = torch.tensor(LEVELS, dtype=torch.float64, device=self.knots.device)
        every = torch.cat(errors)
        count = every.isfinite().sum(0)[:, None]
        own = torch.nanquantile(every, levels, dim=0).T.nan_to_num()
        self.knots.copy_((own * count + self.scores * NORMAL_TARGETS) / (count + NORMAL_TARGETS))

    @torch.no_grad()
    def _conditional(self, batch: Batch) -> tuple[Tensor, Tensor, Anchored]:
        """Mean and standard deviation of every query, (batch, n_queries, channels)."""
        anchored = self.anchor(batch)
        law = StationaryLaw(self.constants, self.rates)
        windows = (*self._centred(batch), _asked(batch).double())
        few = max(ENTRIES // (windows[1].shape[1] * windows[1].shape[2] ** 2), 1)
        parts = [
            law.given(*part) for part in zip(*(torch.split(x, few) for x in windows), strict=True)
        ]
        mean, variance = (torch.cat(part) for part in zip(*parts, strict=True))
        level, scale = anchored.level[:, None].double(), anchored.scale[:, None].double()
        return level + scale * mean.swapaxes(1, 2), scale * variance.sqrt().swapaxes(1, 2), anchored


def _longest(windows: Sequence[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """The windows with the most values, of times, values and masks."""
    width = max(times.shape[1] for times, _, _ in windows)
    padded = [[functional.pad(x, (width - x.shape[-1], 0)) for x in window] for window in windows]
    times, values, mask = (torch.cat(part) for part in zip(*padded, strict=True))
    most = mask.sum((1, 2)).argsort(descending=True, stable=True)[:LONGEST]
    return times[most][..., -WIDEST:], values[most][..., -WIDEST:], mask[most][..., -WIDEST:]


def _seen(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Times (batch, rows), values and masks (batch, rows, channels) of both sides."""
    left, right = batch.left, batch.right
    if right is None:
        return -left.ages, left.values, left.mask
    times = torch.cat([-left.ages, _between(batch)[:, None] + right.ages], 1)
    return times, torch.cat([left.values, right.values], 1), torch.cat([left.mask, right.mask], 1)


def _asked(batch: Batch) -> Tensor:
    """Times of the queries on the same clock."""
    left, right = batch.left, batch.right
    if right is None:
        return left.lead
    return torch.where(left.present[:, None], left.lead, _between(batch)[:, None] - right.lead)


def _between(batch: Batch) -> Tensor:
    """Time from the anchor on the left, or from the first query, to the one on the right."""
    left, right = batch.left, batch.right
    assert right is not None
    return torch.where(left.present, left.lead[:, 0] + right.lead[:, 0], right.lead[:, 0])
