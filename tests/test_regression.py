"""Laws of the ridge regression of changes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.forecasters.regression import Regression, is_for_few


def drawn(n: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns and changes, which are half the first column."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=draw, dtype=torch.float64)
    return x, 0.5 * x[:, 0] + noise * torch.randn(n, generator=draw, dtype=torch.float64)


def test_a_planted_effect_is_found() -> None:
    """And what it leaves is the noise; nothing is foretold beyond the changes of the training."""
    x, y = drawn(2000, 0.1)
    found = Regression.fitted(x, y, torch.ones_like(y))
    assert found is not None
    assert float((y - found(x)).std()) == pytest.approx(0.1, rel=0.05)
    assert float(found(1e6 * x).max()) == float(y.max())


def test_examples_count_by_how_much_values_change_at_their_age() -> None:
    """Noise that grows with the age leaves a small effect less than half its error."""
    x, y = drawn(1000, 0.0)
    y, age = y / 10, torch.arange(1, 1001, dtype=torch.float64).flip(0) / 1000
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weighted, plain = (
        Regression.fitted(x, y + age * noise, ages) for ages in (age, torch.ones_like(age))
    )
    assert weighted is not None
    assert plain is not None
    off, plainly_off = (float((found(x) - y).norm()) for found in (weighted, plain))
    assert off < 0.4 * plainly_off


def test_what_is_known_exactly_at_no_age_has_a_regression() -> None:
    """Changes that are zero at short ages, or at all, leave weights finite."""
    x, y = drawn(400, 0.1)
    age = torch.arange(400, dtype=torch.float64)
    for changes in (torch.where(age < 100, 0.0, y), torch.zeros_like(y)):
        found = Regression.fitted(x, changes, age)
        assert found is None or bool(torch.isfinite(found(x)).all())


@pytest.mark.parametrize("share", [0.002, 0.02])
def test_mistyped_values_do_not_spoil_the_others(share: float) -> None:
    """A last value far out has a change back from there; no line serves it and the others."""
    x, y = drawn(2000, 0.1)
    mistyped = torch.arange(len(y)) % round(1 / share) == 0
    wild_x, wild_y = x.clone(), y.clone()
    wild_x[mistyped, 0] += 1000.0
    wild_y[mistyped] -= 1000.0
    found = Regression.fitted(wild_x, wild_y, torch.ones_like(y))
    assert found is not None
    left = (y - found(x))[~mistyped]
    assert float(left.std()) < 0.2 < float(y.std())


def test_what_serves_all_alike_is_not_for_few() -> None:
    """Whether it makes errors smaller or larger by half; one that serves a twentieth alone is."""
    _, before = drawn(1000, 1.0)
    n = torch.ones_like(before)
    assert not is_for_few(n, before, 0.5 * before)
    assert not is_for_few(n, before, 1.3 * before)
    wild = torch.arange(1000) % 40 == 0
    assert is_for_few(n, before + 1e3 * wild, torch.where(wild, before, before + 10))


def test_near_forecasts_of_drifting_walks_are_near() -> None:
    """Errors a twentieth of the horizon ahead are of the size of what can't be known there."""
    rng = np.random.default_rng(0)
    gaps = rng.exponential(1, (15, 60))
    walks = (0.5 * gaps + 0.3 * np.sqrt(gaps) * rng.standard_normal(gaps.shape)).cumsum(1)
    times = gaps.cumsum(1)
    index = pd.MultiIndex.from_arrays([np.arange(15).repeat(60), times.ravel()], names=["id", "t"])
    panel = pd.DataFrame({"x": walks.ravel()}, index=index)
    model = ode.BaselineForecaster(10.0, random_state=0).fit(panel)
    asked = pd.MultiIndex.from_arrays([np.arange(15), times[:, -1] + 0.5], names=["id", "t"])
    errors = model.predict(asked)["x"].to_numpy() - (walks[:, -1] + 0.25)
    assert np.sqrt(np.mean(errors**2)) < 2.5 * 0.3 * np.sqrt(0.5)
