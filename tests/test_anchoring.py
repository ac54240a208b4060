"""Units in which the values of a window are read and forecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from odeseries.anchoring import Anchored
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
