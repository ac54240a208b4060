"""Costs beside the state, and random ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from odeseries import Regularised, SolverError, random_end, solve
from odeseries.dynamics import MLP, SDE, Linear
from odeseries.nets import seeded_weights

MATRIX = torch.tensor([[-0.5, 2.0], [-1.0, 0.1]], dtype=torch.float64)
TIGHT = {"solver": "dopri5", "rtol": 1e-10, "atol": 1e-10}


def linear(t: Tensor, y: Tensor) -> Tensor:
    """A field whose Jacobian is the same everywhere."""
    return y @ MATRIX.T


def states(batch: int = 3) -> Tensor:
    """Initial states of two coordinates."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("direction", [1, -1])
def test_kinetic_energy_is_the_integral(direction: int) -> None:
    r"""Of a linear field: :math:`y_0^\top \int e^{A^\top s} A^\top A e^{A s} ds \, y_0`."""
    y0 = states()
    times = direction * torch.tensor([0.0, 0.3, 1.2], dtype=torch.float64)
    field = Regularised(linear, y0, seed=0)
    ys, costs = field.split(solve(field, field.start, times, **TIGHT).ys)
    torch.testing.assert_close(ys, solve(linear, y0, times, **TIGHT).ys, rtol=1e-7, atol=1e-7)
    # Simpson's rule, fine enough to be exact here.
    shares = torch.linspace(0, 1, 201, dtype=torch.float64)
    for k in (1, 2):
        flows = torch.matrix_exp(times[k] * shares[:, None, None] * MATRIX)
        speeds = (y0 @ flows.mT @ MATRIX.T).square().sum(-1)
        weights = torch.full_like(shares, 2.0)
        weights[1::2], weights[0], weights[-1] = 4.0, 1.0, 1.0
        right = times[k].abs() * (weights[:, None] * speeds).sum(0) / 600
        torch.testing.assert_close(costs.kinetic[:, k], right, rtol=1e-6, atol=1e-8)


def test_the_jacobian_norm_is_unbiased() -> None:
    """Over many probes it is the Frobenius norm times the span, with a spread as known."""
    y0 = states(4000)
    field = Regularised(linear, y0, seed=1)
    with torch.no_grad():
        _, costs = field.split(solve(field, field.start, torch.tensor([0.0, 0.5])).ys)
    right = 0.5 * float(MATRIX.square().sum())
    error = float(costs.jacobian[:, 1].mean()) - right
    gram = MATRIX @ MATRIX.T
    spread = 0.5 * 2 * abs(float(gram[0, 1]))
    assert abs(error) < 3 * spread / math.sqrt(4000)
    assert float(costs.jacobian[:, 1].std()) == pytest.approx(spread, rel=0.05)
    assert costs.jacobian[:, 0].abs().max() == 0


def test_case_35_one_probe_for_a_solve_and_a_spread_that_falls() -> None:
    """Repeatable under a seed, smooth along the path, averaged over probes."""
    y0, times = states(500), torch.tensor([0.0, 0.5])
    spreads = []
    for n_probes in (1, 10):
        field = Regularised(linear, y0, seed=2, n_probes=n_probes)
        with torch.no_grad():
            first, again = (solve(field, field.start, times, n_steps=3).ys for _ in range(2))
        assert torch.equal(first, again)
        spreads.append(float(field.split(first)[1].jacobian[:, 1].std()))
    assert spreads[0] / spreads[1] == pytest.approx(math.sqrt(10), rel=0.1)
    plain, costly = (solve(f, s, times, **TIGHT).stats for f, s in (
        (linear, y0), (field, field.start)))  # fmt: skip  # a pair a line
    assert int(costly.nfe.max()) <= 2 * int(plain.nfe.max())


def test_probes_come_from_the_seed_alone() -> None:
    """A generator is advanced, and the global one is not."""
    y0, generator = states(), torch.Generator().manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = (Regularised(linear, y0, seed=generator).probes for _ in range(2))
    assert torch.equal(first, Regularised(linear, y0, seed=3).probes)
    assert not torch.equal(first, second)
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("gradient", ["checkpoint", "adjoint"])
def test_costs_are_learned_from_in_every_way(gradient: str) -> None:
    """Gradients of the costs agree, though the field differentiates."""
    with seeded_weights(0):
        dynamics = MLP(2, hidden=8).double()
    y0 = states().requires_grad_()
    times = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64)

    def found(gradient: str) -> list[Tensor]:
        field = Regularised(dynamics, y0, seed=0)
        path = solve(field, field.start, times, gradient=gradient, **TIGHT).ys
        ys, costs = field.split(path)
        loss = ys.square().sum() + costs.kinetic[:, -1].sum() + costs.jacobian[:, -1].sum()
        return list(torch.autograd.grad(loss, [y0, *dynamics.parameters()]))

    torch.testing.assert_close(found(gradient), found("autograd"), rtol=1e-4, atol=1e-7)


def test_a_field_is_taught_to_be_simple() -> None:
    """Training on the costs takes evaluations away."""
    with seeded_weights(0):
        dynamics = MLP(2, hidden=16).double()
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.mul_(2)
    y0, times = states(16), torch.tensor([0.0, 2.0], dtype=torch.float64)
    options = {"solver": "dopri5", "rtol": 1e-5, "atol": 1e-5}
    before = int(solve(dynamics, y0, times, **options).stats.nfe.max())
    optimizer = torch.optim.Adam(dynamics.parameters(), lr=0.03)
    for step in range(12):
        field = Regularised(dynamics, y0, seed=step)
        _, costs = field.split(solve(field, field.start, times, solver="rk4", n_steps=5).ys)
        optimizer.zero_grad()
        (costs.kinetic[:, -1] + costs.jacobian[:, -1]).mean().backward()
        optimizer.step()
    assert int(solve(dynamics, y0, times, **options).stats.nfe.max()) < 0.8 * before


def test_states_of_several_axes_and_fields_that_do_not_look_at_them() -> None:
    """Costs are sums over a whole row; a field without a Jacobian has the norm 0."""
    y0 = torch.zeros(2, 3, 4, dtype=torch.float64)
    field = Regularised(lambda t, y: torch.ones_like(y), y0, seed=0)
    ys, costs = field.split(solve(field, field.start, torch.tensor([0.0, 2.0])).ys)
    assert ys.shape == (2, 2, 3, 4)
    torch.testing.assert_close(costs.kinetic[:, 1], torch.full((2,), 24.0, dtype=torch.float64))
    assert costs.jacobian.abs().max() == 0


def test_a_closed_form_is_stepped_through_for_its_costs() -> None:
    """The flow says nothing of them."""
    dynamics = Linear(2).double()
    y0 = states()
    field = Regularised(dynamics, y0, seed=0)
    times = torch.tensor([0.0, 1.0], dtype=torch.float64)
    ys, _ = field.split(solve(field, field.start, times, **TIGHT).ys)
    torch.testing.assert_close(ys, solve(dynamics, y0, times).ys, rtol=1e-7, atol=1e-7)


def test_random_ends_are_uniform_around_the_last_valid_times() -> None:
    """In either direction, and nothing else is changed."""
    times = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    rows = torch.stack([times, -times]).repeat_interleave(2000, 0)
    drawn = random_end(rows, 0.5, seed=0)
    assert torch.equal(drawn[:, :2], rows[:, :2])
    forth, back = drawn[:2000, 2], -drawn[2000:, 2]
    for ends in (forth, back):
        assert 2 < float(ends.min()) < 2.01
        assert 3.99 < float(ends.max()) < 4
        assert float(ends.mean()) == pytest.approx(3, abs=3 * 2 / math.sqrt(12 * 2000))
    mask = torch.tensor([[True, True, False]])
    padded = random_end(times[None], 0.9, seed=1, mask=mask)
    assert torch.equal(padded[:, [0, 2]], times[None, [0, 2]])
    assert 0.1 <= float(padded[0, 1]) <= 1.9
    assert padded[0, 1] != 1


def test_what_makes_no_sense_is_refused() -> None:
    """No probes, and ends that might come before the time before."""
    with pytest.raises(SolverError, match=r"n_probes=0 must be at least 1"):
        Regularised(linear, states(), seed=0, n_probes=0)
    with pytest.raises(SolverError, match=r"spread=1.5 must be at least 0 and less than 1"):
        random_end(torch.tensor([0.0, 1.0]), 1.5, seed=0)


def test_costs_in_inference_mode() -> None:
    """Are those elsewhere, and no zeros, unless the field is made of what can't be derived."""
    y0, times = states(), torch.tensor([0.0, 1.0])
    field = Regularised(linear, y0, seed=0)
    expected = solve(field, field.start, times).ys
    with torch.inference_mode():
        y0 = states()
        field = Regularised(linear, y0, seed=0)
        torch.testing.assert_close(solve(field, field.start, times.clone()).ys, expected)
        matrix = MATRIX.clone()
        field = Regularised(lambda t, y: (y @ matrix).sin(), y0, seed=0)
        with pytest.raises(SolverError, match=r"take torch\.no_grad\(\) instead"):
            solve(field, field.start, times)


@pytest.mark.parametrize("padding", [100.0, math.nan])
def test_random_ends_beside_padding_anywhere(padding: float) -> None:
    """The interval is between valid times; a row of one of them, or of none, has no interval."""
    times = torch.tensor([0.0, padding, 2.0, padding], dtype=torch.float64)
    mask = torch.tensor([[1, 0, 1, 0]] * 200 + [[0, 0, 1, 0], [0, 0, 0, 0]]).bool()
    drawn = random_end(times, 0.5, seed=0, mask=mask)
    assert drawn.shape == mask.shape
    assert 1 < float(drawn[:200, 2].min()) < 1.1
    assert 2.9 < float(drawn[:200, 2].max()) < 3
    same = torch.ones_like(mask)
    same[:200, 2] = False
    torch.testing.assert_close(drawn[same], times.expand(202, 4)[same], equal_nan=True)
    assert torch.equal(drawn[200:, 2], times[2].expand(2))


def test_random_ends_of_whole_numbers() -> None:
    """Become numbers of the precision in which they are solved."""
    drawn = random_end(torch.tensor([0, 1, 2]), 0.5, seed=0)
    assert drawn.dtype == torch.float64
    assert torch.equal(drawn, random_end(torch.tensor([0.0, 1, 2]).double(), 0.5, seed=0))


@pytest.mark.parametrize(
    ("times", "mask"),
    [((3,), (2,)), ((2, 3), (3, 3)), ((2, 3), (2, 2)), ((), None), ((1, 2, 3), None), ((0,), None)],
)
def test_random_ends_of_shapes_that_do_not_fit(
    times: tuple[int, ...], mask: tuple[int, ...] | None
) -> None:
    """Which is said."""
    with pytest.raises(SolverError, match=r"give times \(n_times,\) or \(batch, n_times\)"):
        random_end(
            torch.ones(times), 0.5, seed=0, mask=None if mask is None else torch.ones(mask) > 0
        )


def test_seeds_are_those_of_a_solve() -> None:
    """Whole numbers of any kind; others are refused."""
    times = torch.tensor([0.0, 1.0])
    for seed in (np.int64(1), True, torch.tensor(1), torch.Generator().manual_seed(1)):
        assert torch.equal(random_end(times, 0.5, seed=seed), random_end(times, 0.5, seed=1))
    probes = (Regularised(linear, states(), seed=seed).probes for seed in (np.int64(1), 1))
    assert torch.equal(*probes)
    for seed in (None, 1.5, "1", 2**70):
        with pytest.raises(SolverError, match=r"seed=.*: give an int"):
            random_end(times, 0.5, seed=seed)
        with pytest.raises(SolverError, match=r"seed=.*: give an int"):
            Regularised(linear, states(), seed=seed)


def test_costs_of_noisy_paths_are_refused() -> None:
    """Without a word the noise would be left out of the states."""
    with pytest.raises(SolverError, match=r"SDE is stochastic.*the drift alone"):
        Regularised(SDE(2).double(), states(), seed=0)


@pytest.mark.parametrize("start", [states(3), torch.zeros(2, 4, dtype=torch.float64)])
def test_other_starts_than_its_own_are_refused(start: Tensor) -> None:
    """States without room for the costs, and those of another batch."""
    field = Regularised(linear, states(3), seed=0)
    with pytest.raises(SolverError, match="solve it from its attribute start"):
        solve(field, start, torch.tensor([0.0, 1.0]))
