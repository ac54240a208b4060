"""Values whole periods away: what lies between is bridged where there is a trend."""

from __future__ import annotations

import numpy as np
import pytest

from odeseries.seasons import seasons_of

TIMES = np.arange(0.0, 6.0, 0.125)


def wave(times: np.ndarray) -> np.ndarray:
    """Of period 1."""
    return np.sin(2 * np.pi * times) + 0.3 * np.cos(6 * np.pi * times)


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("slope", [0.0, 2.0, -50.0])
def test_a_trend_goes_on_over_the_first_period_ahead(direction: int, slope: float) -> None:
    """In the second period ahead the values are those of one and two periods before the query."""
    end = TIMES[-1] if direction > 0 else TIMES[0]
    asked = end + direction * np.arange(0.125, 2.01, 0.125)
    found = seasons_of(asked, end, TIMES, wave(TIMES) + slope * TIMES, [1.0])
    right = [wave(asked) + slope * (asked - direction * k) for k in (1, 2)]
    np.testing.assert_allclose(found, np.stack(right, -1), rtol=0, atol=1e-9)


def test_farther_ahead_a_trend_is_damped() -> None:
    """Of a rise of 1 a period, 1 + .8 is bridged over two periods."""
    asked = TIMES[-1] + np.array([2.5])
    found = seasons_of(asked, TIMES[-1], TIMES, TIMES, [1.0])
    np.testing.assert_allclose(found[0], asked[0] - np.array([3, 4]) + 1.8)


def test_a_change_no_larger_than_its_spread_bridges_nothing() -> None:
    """Without a trend the values are those that were seen."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(len(TIMES))
    late = np.arange(len(TIMES)) >= len(TIMES) - 8
    values[late] -= (values[late] - values[np.roll(late, -8)]).mean()
    asked = TIMES[-1] + np.arange(1.125, 2.01, 0.125)
    found = seasons_of(asked, TIMES[-1], TIMES, values, [1.0])
    np.testing.assert_array_equal(found[:, 0], np.interp(asked - 2, TIMES, values))


@pytest.mark.parametrize("step", [0.1, 0.3, 1 / 7])
@pytest.mark.parametrize("offset", [0.0, 1234.5])
def test_rounding_hides_no_season(step: float, offset: float) -> None:
    """The value exactly one period back is known, whatever a step times a number rounds to."""
    times = offset + step * np.arange(50)
    asked = times[-1] + step * np.arange(1, 22)
    found = seasons_of(asked, times[-1], times, np.zeros(50), [7 * step])
    assert np.isfinite(found).all()


def test_what_was_not_seen_is_not_known() -> None:
    """Before the first value, and where only a few tell of a change."""
    found = seasons_of(np.array([2.5]), 2.0, np.array([1.2, 2.0]), np.array([1.0, 3.0]), [1.0])
    np.testing.assert_array_equal(found, [[np.interp(1.5, [1.2, 2.0], [1.0, 3.0]), np.nan]])
    found = seasons_of(np.array([3.5]), 2.0, np.array([0.1, 2.0]), np.array([1.0, 3.0]), [1.0])
    np.testing.assert_allclose(found, [[np.interp(1.5, [0.1, 2.0], [1.0, 3.0]), 1 + 0.8 / 1.9]])
