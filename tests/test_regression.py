"""Laws of the ridge regression of changes."""

from __future__ import annotations

import pytest
import torch

from odeseries.forecasters.regression import Regression, is_for_few


def drawn(n: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns and changes, which are half the first column."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, 6, generator=draw, dtype=torch.float64)
    return x, 0.5 * x[:, 0] + noise * torch.randn(n, generator=draw, dtype=torch.float64)


def test_a_planted_effect_is_found() -> None:
    """And what it leaves is the noise; nothing is foretold beyond the changes of the training."""
    x, y = drawn(2000, 0.1)
    found = Regression.fitted(x, y)
    assert found is not None
    assert float((y - found(x)).std()) == pytest.approx(0.1, rel=0.05)
    assert float(found(1e6 * x).max()) == float(y.max())


@pytest.mark.parametrize("share", [0.002, 0.02])
def test_mistyped_values_do_not_spoil_the_others(share: float) -> None:
    """A last value far out has a change back from there; no line serves it and the others."""
    x, y = drawn(2000, 0.1)
    mistyped = torch.arange(len(y)) % round(1 / share) == 0
    wild_x, wild_y = x.clone(), y.clone()
    wild_x[mistyped, 0] += 1000.0
    wild_y[mistyped] -= 1000.0
    found = Regression.fitted(wild_x, wild_y)
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
