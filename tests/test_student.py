"""The Student-t head against SciPy, and inside a forecaster."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

import odeseries as ode
from odeseries.likelihoods import LEAST_FREEDOM, MOST_FREEDOM, GaussianHead, StudentHead

LEVELS = torch.tensor([1e-4, 0.01, 0.2, 0.5, 0.8, 0.99, 0.9999], dtype=torch.float64)


@pytest.fixture
def raw() -> Tensor:
    """Wild raw outputs of 200 forecasts in float64."""
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(200, 3, generator=generator, dtype=torch.float64)


def law(raw: Tensor, centre: float, scale: float) -> stats.rv_continuous:
    """SciPy's distribution of the same parameters."""
    location, width = centre + scale * raw[:, 0], scale * torch.exp(raw[:, 1].clamp(-6, 4))
    return stats.t(StudentHead().freedom(raw).numpy(), location.numpy(), width.numpy())


def test_the_loss_is_the_negative_log_density(raw: Tensor) -> None:
    """With location and scale mapped to the unit of the targets, far outliers among them."""
    target = torch.linspace(-1e4, 1e4, 200, dtype=torch.float64)
    centre, scale = (
        torch.full((200,), 5.0, dtype=torch.float64),
        torch.full((200,), 0.3, dtype=torch.float64),
    )
    loss = StudentHead().loss(raw, centre, scale, target)
    np.testing.assert_allclose(loss, -law(raw, 5.0, 0.3).logpdf(target), rtol=1e-10)


def test_quantiles_are_those_of_the_distribution(raw: Tensor) -> None:
    """Far tails included."""
    one = torch.ones(200, dtype=torch.float64)
    out = StudentHead().quantiles(raw, 5 * one, 0.3 * one, LEVELS)
    exact = np.stack([law(raw, 5.0, 0.3).ppf(level) for level in LEVELS.numpy()], -1)
    np.testing.assert_allclose(out, exact, rtol=1e-9)


def test_quantiles_never_cross_in_single_precision(raw: Tensor) -> None:
    """Levels as near as 1e-9, wide and narrow distributions, at a far centre."""
    near = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)[:, None]
    levels = torch.sort((near + torch.tensor([0.0, 1e-9, 1e-5])).flatten()).values
    one = torch.ones(200)
    out = StudentHead().quantiles(raw.float(), 1e6 * one, one, levels)
    assert out.dtype == torch.float32
    assert out.isfinite().all()
    assert (out.diff(dim=-1) >= 0).all()


def test_degrees_of_freedom_are_bounded_and_begin_at_eight() -> None:
    """The variance exists whatever the raw output is."""
    head = StudentHead()
    freedom = head.freedom(torch.tensor([[0.0, 0.0, x] for x in (-1e3, 0.0, 1e3)]))
    assert freedom.tolist() == pytest.approx([LEAST_FREEDOM, 8.0, MOST_FREEDOM])


def test_many_degrees_of_freedom_are_the_normal_head() -> None:
    """The loss to 1 %, quantiles from 1 to 99 % to a twentieth of the standard deviation."""
    raw = torch.tensor([[0.5, -0.2, 1e3]]).double()
    one = torch.ones(1).double()
    normal, student = GaussianHead(), StudentHead()
    target = torch.tensor([1.7]).double()
    torch.testing.assert_close(
        student.loss(raw, one, one, target),
        normal.loss(raw[:, :2], one, one, target),
        rtol=0.01,
        atol=0,
    )
    torch.testing.assert_close(
        student.quantiles(raw, one, one, LEVELS[1:-1]),
        normal.quantiles(raw[:, :2], one, one, LEVELS[1:-1]),
        rtol=0,
        atol=0.05,
    )


def test_the_likelihood_finds_the_parameters() -> None:
    """Twenty thousand draws with 4 degrees of freedom, location 1 and scale 2."""
    draws = stats.t(4, 1, 2).rvs(20_000, random_state=np.random.default_rng(0))
    target = torch.tensor(draws)
    raw = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    one, head = torch.ones((), dtype=torch.float64), StudentHead()
    optimizer = torch.optim.LBFGS([raw], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = head.loss(raw, 0 * one, one, target).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    found = [raw[0].item(), math.exp(raw[1].item()), head.freedom(raw).item()]
    assert found == pytest.approx([1.0, 2.0, 4.0], rel=0.06)


@pytest.mark.parametrize("objective", ["forecast", "elbo"])
def test_a_forecaster_takes_the_head(wave: pd.Series, objective: str) -> None:
    """Finite quantiles in order, with the likelihood of the ELBO too."""
    model = ode.LatentODEForecaster(
        "60D",
        head="student",
        objective=objective,
        max_epochs=1,
        n_rows=16,
        n_lags=4,
        random_state=0,
    ).fit(wave)
    ahead = model.predict_quantiles(ode.future_times(wave, "60D", n=5), alpha=[0.01, 0.5, 0.99])
    values = ahead.to_numpy()
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=1) > 0).all()


def test_the_elbo_still_needs_a_likelihood(wave: pd.Series) -> None:
    """Free quantiles have none."""
    with pytest.raises(ValueError, match="give head='gaussian' or head='student'"):
        ode.LatentODEForecaster("60D", objective="elbo").fit(wave)
