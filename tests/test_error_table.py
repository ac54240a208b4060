"""Laws of the table of past errors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from odeseries.forecasters.error_table import PER_BIN, ErrorTable
from odeseries.metrics import LEVELS

N = 40_000
MIDDLE = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
UPPER = 1.2815515655446004
"""The quantile .9 of the normal distribution."""


def uniform(*shape: int, seed: int) -> Tensor:
    """In [0, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def normal(*shape: int, seed: int) -> Tensor:
    """Of variance 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def asked(table: ErrorTable, guess: list[float], age: list[float]) -> Tensor:
    """Quantiles at the levels in the middle, (n, 3), of the first channel."""
    at = [torch.tensor(x, dtype=torch.float64).view(1, -1, 1) for x in (guess, age)]
    return table.quantiles(at[0], at[1], MIDDLE)[0, :, 0]


def test_spread_follows_the_guess_and_the_age() -> None:
    """Normal errors, as wide as the guess at the age 0, and twice as wide at 1."""
    guess, age = 1 + uniform(N, seed=0), uniform(N, seed=1)
    table = ErrorTable(1, 8, 3)
    table.take(0, guess, age, guess * (1 + age) * normal(N, seed=2))
    found = asked(table, [1.25, 1.75, 1.25, 1.75], [0.25, 0.25, 0.75, 0.75])
    width = torch.tensor([1.25 * 1.25, 1.75 * 1.25, 1.25 * 1.75, 1.75 * 1.75]).double()
    assert torch.allclose(found[:, 2], UPPER * width, rtol=0.06)
    assert torch.allclose(found[:, 0], -UPPER * width, rtol=0.06)
    assert torch.allclose(found[:, 1], torch.zeros(4).double(), atol=0.06)


def test_values_within_bounds_are_foretold_within_them() -> None:
    """A value of 0 or 1, of which the guess is the probability: no spread beyond the bounds."""
    guess = uniform(N, seed=0)
    error = (uniform(N, seed=1) < guess).double() - guess
    by_guess, alone = ErrorTable(1, 8, 3), ErrorTable(1, 1, 3)
    for table in (by_guess, alone):
        table.take(0, guess, torch.ones(N).double(), error)
    near = torch.tensor([0.05, 0.95]).double()
    outside = [
        asked(table, near.tolist(), [1.0, 1.0]) + near[:, None] for table in (alone, by_guess)
    ]
    beyond = [float((x - x.clamp(0, 1)).abs().max()) for x in outside]
    assert beyond[1] < 0.1 < 0.3 < beyond[0]


def test_guesses_that_are_too_low_at_some_level_are_made_up_for() -> None:
    """Errors of half a unit above the median guess alone."""
    guess = uniform(N, seed=0)
    table = ErrorTable(1, 8, 3)
    table.take(0, guess, torch.ones(N).double(), 0.5 * (guess > 0.5) + 0.1 * normal(N, seed=1))
    found = asked(table, [0.2, 0.8], [1.0, 1.0])
    assert found[:, 1].tolist() == pytest.approx([0.0, 0.5], abs=0.02)


def test_a_single_bin_of_guesses_does_not_depend_on_them() -> None:
    """The quantiles of all errors, by the age alone."""
    guess = normal(N, seed=0)
    table = ErrorTable(1)
    error = guess * normal(N, seed=1)
    table.take(0, guess, torch.ones(N).double(), error)
    found = asked(table, [-3.0, 0.0, 50.0], [1.0, 1.0, 1.0])
    assert torch.equal(found, found[:1].expand(3, -1))


@pytest.mark.parametrize("n", [1, 3, 2 * PER_BIN - 1])
def test_few_errors_make_one_bin(n: int) -> None:
    """The quantiles of all errors, whatever is asked."""
    guess, age, error = (normal(n, seed=seed) for seed in range(3))
    table = ErrorTable(1, 8, 1)
    table.take(0, guess, age, error)
    found = asked(table, [-9.0, 0.0, 9.0], [0.0, 1.0, 9.0])
    assert torch.allclose(found, torch.quantile(error, MIDDLE).expand(3, -1))


def test_errors_of_one_age_are_parted_in_the_order_in_which_they_came() -> None:
    """Bins of equal ages are not those of low and high guesses."""
    guess = normal(N, seed=0)
    table = ErrorTable(1)
    table.take(0, guess, torch.ones(N).double(), guess)
    assert table.table[0, 0, :, len(LEVELS) // 2 + 2].abs().max() < 0.1


def test_channels_have_their_own_errors() -> None:
    """A channel without any has normal ones; the order of the levels is kept."""
    table = ErrorTable(2, 8, 3)
    table.take(1, *(10 * normal(N, seed=seed) for seed in range(3)))
    table.take(0, *[torch.zeros(0).double()] * 3)
    at = torch.zeros(2, 5, 2).double()
    found = table.quantiles(at, at, MIDDLE)
    assert found.shape == (2, 5, 2, 3)
    assert torch.allclose(found[..., 0, 2], torch.tensor(UPPER).double())
    assert torch.allclose(found[..., 1, 2], torch.tensor(10 * UPPER).double(), rtol=0.2)
    assert bool((found.diff(dim=-1) > 0).all())


def test_a_table_is_held_by_its_state() -> None:
    """A round trip, and finite answers for any guess and age."""
    table, other = ErrorTable(1, 8, 3), ErrorTable(1, 8, 3)
    table.take(0, *(normal(N, seed=seed) for seed in range(3)))
    other.load_state_dict(table.state_dict())
    far = ([-1e9, 0.0, 1e9], [1e9, 0.0, 0.0])
    assert torch.equal(asked(table, *far), asked(other, *far))
    assert math.isfinite(float(asked(table, *far).sum()))
