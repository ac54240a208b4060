"""Heads, dynamics, encoders, seasonality, training and scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from odeseries.dynamics import MLP, Linear
from odeseries.encoders import GRUEncoder, ODERNNEncoder
from odeseries.likelihoods import GaussianHead, QuantileHead
from odeseries.metrics import LEVELS, crps_from_quantiles
from odeseries.seasonality import validated_periods
from odeseries.solvers import solve
from odeseries.widths import Widths


def test_quantiles_never_cross_and_pass_through_the_knots() -> None:
    """Whatever the raw outputs are."""
    head = QuantileHead()
    raw = 3 * torch.randn(50, head.n_outputs, generator=torch.Generator().manual_seed(0))
    centre, scale = torch.zeros(50), torch.ones(50)
    levels = torch.linspace(0.001, 0.999, 97, dtype=torch.float64)
    assert (head.quantiles(raw, centre, scale, levels).diff(dim=-1) >= 0).all()
    at = head.quantiles(raw, centre, scale, head.levels.double())
    torch.testing.assert_close(at, head.knots(raw), rtol=1e-4, atol=1e-4)


def test_an_untrained_quantile_head_is_the_standard_normal() -> None:
    """Zero outputs give the normal scores, in the tails too."""
    head = QuantileHead()
    levels = torch.tensor([0.001, 0.2, 0.5, 0.95], dtype=torch.float64)
    out = head.quantiles(torch.zeros(head.n_outputs), torch.tensor(2.0), torch.tensor(3.0), levels)
    np.testing.assert_allclose(out, 2 + 3 * norm.ppf(levels), atol=1e-3)


def test_the_pinball_loss_is_the_crps_of_the_normal() -> None:
    """Against the closed form of Gneiting and Raftery (2007), equation (21)."""
    head = QuantileHead()
    x = torch.linspace(-3, 3, 13)
    raw = torch.zeros(13, head.n_outputs)
    loss = head.loss(raw, torch.zeros(13), torch.ones(13), x).numpy()
    z = x.numpy()
    exact = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(loss, exact, atol=0.02)
    quantiles = np.tile(norm.ppf(LEVELS), (13, 1))
    np.testing.assert_allclose(crps_from_quantiles(z, quantiles), exact, rtol=0.012)


def test_the_gaussian_loss_is_the_negative_log_density() -> None:
    """With location and scale mapped to the target's units."""
    raw = torch.tensor([[0.5, math.log(2.0)]])
    head = GaussianHead()
    loss = head.loss(raw, torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([4.0]))
    assert loss.item() == pytest.approx(-norm.logpdf(4.0, 1 + 1.5, 6.0), rel=1e-6)


def test_the_linear_flow_solves_its_equation() -> None:
    """The closed form agrees with stepping the field, in both directions, for odd sizes too."""
    torch.manual_seed(0)
    dynamics = Linear(5).double()
    start = dynamics.lift(torch.randn(3, 5, dtype=torch.float64))
    times = torch.tensor([[0.0, 0.3, 1.0], [0.0, -0.2, -0.5], [0.0, 0.0, 2.0]], dtype=torch.float64)
    exact = solve(dynamics, start, times).ys
    stepped = solve(lambda t, y: dynamics(t, y), start, times, step=0.002).ys
    torch.testing.assert_close(exact, stepped, rtol=1e-6, atol=1e-6)
    again = dynamics.flow(
        dynamics.flow(start, torch.zeros(3, 1).double(), torch.ones(3, 1).double()),
        torch.ones(3, 1).double(),
        2 * torch.ones(3, 1).double(),
    )
    direct = dynamics.flow(start, torch.zeros(3, 1).double(), 2 * torch.ones(3, 1).double())
    torch.testing.assert_close(again, direct)


def test_no_mode_of_the_linear_flow_grows() -> None:
    """Whatever the parameters are."""
    dynamics = Linear(6)
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.normal_(0, 5)
    state = torch.ones(1, 6)
    later = dynamics.flow(state, torch.zeros(1, 1), torch.full((1, 1), 3.0))
    assert later.norm() <= state.norm() + 1e-5


def test_the_linear_flow_starts_at_the_frequencies_found() -> None:
    """The strongest first."""
    dynamics = Linear(8)
    dynamics.start_at(torch.tensor([3.0, 7.0]))
    assert {3.0, 7.0} <= set(dynamics.frequency.tolist())


@pytest.mark.parametrize("kind", ["gru", "ode_rnn"])
def test_padding_changes_no_code(kind: str) -> None:
    """Rows behind the length are not read."""
    torch.manual_seed(0)
    encoder = (
        GRUEncoder(3, 8) if kind == "gru" else ODERNNEncoder(3, MLP(8), "midpoint", {"step": 0.1})
    )
    rows, gaps = torch.randn(2, 5, 3), torch.rand(2, 5)
    length = torch.tensor([3, 5])
    code = encoder(rows, gaps, length)
    alone = encoder(rows[:1, :3], gaps[:1, :3], length[:1])
    torch.testing.assert_close(code[:1], alone, rtol=1e-5, atol=1e-6)
    rows[0, 3:] = 99.0
    torch.testing.assert_close(encoder(rows, gaps, length), code)


def test_periods_that_foretell_are_found() -> None:
    """At irregular times, shorter than the typical gap too; noise has none."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 300, 400))
    wave = np.sin(2 * np.pi * times / 0.4) + 0.3 * rng.standard_normal(400)
    (period, *_) = validated_periods([(times, wave)])
    assert period == pytest.approx(0.4, rel=1e-3)
    assert validated_periods([(times, rng.standard_normal(400))]) == []


def test_calendar_periods_replace_near_peaks() -> None:
    """A year is a year."""
    times = np.arange(0.0, 3000, 7)
    wave = np.sin(2 * np.pi * times / 366.5)
    assert validated_periods([(times, wave)], calendar=[365.2425])[0] == 365.2425


def test_wider_intervals_keep_their_median() -> None:
    """Factors are interpolated in the age."""
    widths = Widths((0.0, 1.0), (1.0, 3.0))
    quantiles = np.array([[-1.0, 0.5, 2.0]])
    out = widths.apply(quantiles, np.array([0.5]), np.array([0.5]))
    np.testing.assert_allclose(out, [[-2.5, 0.5, 3.5]])
