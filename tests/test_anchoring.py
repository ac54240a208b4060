"""Units in which the values of a window are read and forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from odeseries.anchoring import KNOT_STEP, N_KNOTS, Anchored, held_slopes
from odeseries.sampling import query_windows

N_SERIES = 10


def panel() -> pd.DataFrame:
    """Noise, ten times as large in the last series."""
    rng = np.random.default_rng(0)
    times = np.arange(12.0)
    sizes = np.append(np.ones(N_SERIES - 1), 10.0)
    return pd.concat(
        {i: pd.DataFrame({"y": s * rng.standard_normal(12)}, times) for i, s in enumerate(sizes)}
    )


def anchored(*, window_scale: bool) -> Anchored:
    """Of a forecast a little after the end of every series."""
    model = ode.LatentODEForecaster(
        2.0,
        window_scale=window_scale,
        validation_fraction=0,
        n_steps=1,
        seasonality=None,
        hidden=2,
        latent_dim=2,
        random_state=0,
    ).fit(panel())
    fitted, recipe = model._fitted, model._recipe_
    loader = fitted.loader(model.panel_, recipe)
    windows, _ = query_windows(loader.panel, np.arange(N_SERIES), np.full(N_SERIES, 6.0), 4)
    found = fitted.net.anchor(loader.batch(windows))
    assert isinstance(found, Anchored)
    return found


def test_windows_have_a_scale_of_their_own() -> None:
    """That of the large series is large; all others' are near each other."""
    scale = anchored(window_scale=True).scale[:, 0]
    assert scale[-1] > 4 * scale[:-1].max()


def test_all_windows_have_one_scale_where_none_is_wanted() -> None:
    """It is the spread within all windows together, so that the large series dominates it."""
    own, common = (anchored(window_scale=w) for w in (True, False))
    assert len(common.scale.unique()) == 1
    assert own.scale.min() < common.scale[0, 0] < own.scale.max()
    spreads = common.spread[:, 0, 0]
    torch.testing.assert_close(spreads, spreads[:1].expand_as(spreads))


def test_errors_are_held_at_ages_that_training_did_not_see() -> None:
    """No growth towards age 0; beyond, no fall, and no growth faster than the root of the age."""
    rising = torch.arange(float(N_KNOTS))[None]
    counts = torch.zeros(1, N_KNOTS)
    counts[0, 3:6] = 100.0
    counts[0, 2] = counts[0, 6] = 0.5
    falling = held_slopes(-rising, counts)
    torch.testing.assert_close(falling[0], -torch.tensor([3.0, 3, 3, 3, 4, 5, 5, 5, 5]))
    root = 5 + KNOT_STEP / 2 * torch.arange(1.0, 4.0)
    grown = held_slopes(rising, counts)
    torch.testing.assert_close(grown[0], torch.cat([rising[0, :6], root]))
    everywhere = torch.full((1, N_KNOTS), 10.0)
    assert torch.equal(held_slopes(-rising, everywhere), -rising)
    assert held_slopes(rising, torch.zeros(1, N_KNOTS)).isfinite().all()


def test_noise_is_foretold_as_wide_right_after_the_last_row_as_later() -> None:
    """Ages much shorter than any of training are not met by huge intervals."""
    random = np.random.default_rng(4)
    times = np.sort(random.uniform(0, 30, 25))
    model = ode.LatentODEForecaster(
        3.0, hidden=8, n_rows=8, n_lags=2, max_epochs=1, random_state=4
    ).fit(pd.Series(random.normal(size=25), index=times))
    asked = model.predict_quantiles(times[-1] + np.array([1e-3, 0.3]), alpha=[0.1, 0.9])
    assert (asked.iloc[:, 1] - asked.iloc[:, 0]).max() < 15
