"""The dependence of the errors of a forecast: what is drawn, and what is learnt of it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import odeseries as ode
from odeseries.copula import Copula
from odeseries.metrics import LEVELS
from odeseries.panel import Float64, Int64

NORMAL = norm.ppf(LEVELS)
N_WINDOWS, N_ROWS = 120, 16


def test_the_copula_has_its_correlations() -> None:
    """Uniform ranks; normal scores correlated in time and across channels as stated."""
    factor = np.linalg.cholesky(np.array([[1.0, 0.6], [0.6, 1.0]]))
    copula = Copula(length=0.5, share=0.8, factor=factor)
    ranks = copula.ranks(np.array([0.3, 0.0]), 20_000, np.random.default_rng(0))
    scores = norm.ppf(ranks)
    assert ranks.shape == (20_000, 2, 2)
    assert np.abs(ranks.mean(0) - 0.5).max() < 0.01
    in_time = np.corrcoef(scores[:, 0, 0], scores[:, 1, 0])[0, 1]
    assert in_time == pytest.approx(0.8 * math.exp(-0.3 / 0.5), abs=0.03)
    across = np.corrcoef(scores[:, 0, 0], scores[:, 0, 1])[0, 1]
    assert across == pytest.approx(0.6, abs=0.03)


def test_a_turning_copula_changes_its_sign_with_the_period() -> None:
    """Half a period later the errors are opposite, but for the decay."""
    copula = Copula(length=2.0, share=0.9, factor=np.eye(1), period=0.5)
    ranks = copula.ranks(np.array([0.0, 0.25, 0.5]), 20_000, np.random.default_rng(0))
    found = np.corrcoef(norm.ppf(ranks[..., 0]).T)
    assert found[0, 1] == pytest.approx(-0.9 * math.exp(-0.125), abs=0.03)
    assert found[0, 2] == pytest.approx(0.9 * math.exp(-0.25), abs=0.03)


def places(rng: np.random.Generator) -> tuple[Int64, Float64]:
    """Windows and irregular times of rows."""
    return np.repeat(np.arange(N_WINDOWS), N_ROWS), rng.uniform(0, 1, N_WINDOWS * N_ROWS)


def drawn(law: Copula, window: Int64, times: Float64, rng: np.random.Generator) -> Float64:
    """Errors with the law, independent from one window to the next."""
    parts = [law.ranks(times[window == i], 1, rng)[0] for i in range(N_WINDOWS)]
    return norm.ppf(np.concatenate(parts))


@pytest.mark.parametrize(("length", "period"), [(0.3, math.inf), (1.0, 0.7)])
def test_what_was_drawn_is_found_again(length: float, period: float) -> None:
    """The correlation function of the fit is that of the law."""
    rng = np.random.default_rng(1)
    across = np.linalg.cholesky(np.array([[1.0, -0.7], [-0.7, 1.0]]))
    law = Copula(length, 0.9, across, period)
    window, times = places(rng)
    truth = drawn(law, window, times, rng)
    found = Copula.fitted(window, times, truth, np.broadcast_to(NORMAL, (*truth.shape, 99)))
    lag = np.linspace(0.01, 1, 30)
    wanted, got = (
        c.share * np.exp(-lag / c.length) * np.cos(2 * np.pi * lag / c.period) for c in (law, found)
    )
    assert np.abs(got - wanted).max() < 0.12
    assert (found.factor @ found.factor.T)[0, 1] == pytest.approx(-0.7, abs=0.06)


def test_days_without_rain_do_not_hang_together_for_being_dry() -> None:
    """Values on a step of their distributions say nothing of their dependence."""
    rng = np.random.default_rng(2)
    window, times = places(rng)
    truth = np.where(rng.random((len(times), 1)) < 0.8, 0.0, rng.exponential(size=(len(times), 1)))
    rain = np.where(LEVELS < 0.8, 0.0, -np.log1p(-((LEVELS - 0.8) / 0.2).clip(0)))
    found = Copula.fitted(window, times, truth, np.broadcast_to(rain, (*truth.shape, 99)))
    assert found.share * math.exp(-0.05 / found.length) < 0.05


def test_few_errors_leave_it_as_unknown() -> None:
    """What is not observed tells nothing."""
    truth = np.full((40, 2), np.nan)
    truth[:3] = 0.5
    quantiles = np.broadcast_to(NORMAL, (40, 2, 99))
    found = Copula.fitted(np.zeros(40, dtype=int), np.arange(40.0), truth, quantiles)
    unknown = Copula.unknown(2)
    assert (found.length, found.share) == (unknown.length, unknown.share)
    np.testing.assert_allclose(found.factor, np.eye(2), atol=0.3)


def test_the_errors_are_those_of_what_was_not_trained_on() -> None:
    """Trees reproduce what they have seen; paths of a random walk still keep together."""
    rng = np.random.default_rng(3)
    y = np.cumsum(rng.standard_normal(400))
    model = ode.ForestForecaster(20.0, random_state=0).fit(pd.Series(y))
    paths = model.sample(np.arange(400.0, 420.0), n_samples=400, random_state=0)
    found = np.corrcoef(np.asarray(paths).reshape(400, 20)[:, [17, 19]].T)[0, 1]
    assert found > 0.6
