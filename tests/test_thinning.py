"""Histories that are thinned in training, and waves that encoders read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import odeseries as ode
from odeseries.forecasters.network import FlowNetwork
from odeseries.panel import Panel
from odeseries.recipe import loader_for
from odeseries.sampling import query_windows
from odeseries.thinning import thinned
from odeseries.windows import Batch, Loader
from tests.conftest import FAST
from tests.test_windows import scaled

BRIEF = FAST | {"validation_fraction": 0, "n_steps": 3}


def window(panel: Panel, **options: float) -> Batch:
    """What is seen from the end of the first series."""
    last = panel.spans()[:1] + 0.5
    windows = query_windows(panel, np.zeros(1, dtype=np.int64), last, 1)[0]
    rng = np.random.default_rng(0) if options else None
    loader = Loader(panel, (0.7,), n_rows=8, n_lags=3, n_harmonics=2, rng=rng, **options)
    return loader.batch(windows)


def test_every_row_is_kept_or_hidden_by_its_share() -> None:
    """Exactly that share, never all of them, and nothing of a line without rows."""
    kept, is_kept, hidden, is_hidden = thinned(
        np.array([10, 4, 1, 0]), 0.75, np.random.default_rng(0)
    )
    assert is_kept.sum(1).tolist() == [2, 1, 1, 0]
    assert is_hidden.sum(1).tolist() == [8, 3, 0, 0]
    for i, count in enumerate([10, 4, 1, 0]):
        both = np.concatenate([kept[i, is_kept[i]], hidden[i, is_hidden[i]]])
        assert sorted(both.tolist()) == list(range(count))
        assert (np.diff(kept[i, is_kept[i]]) > 0).all()


def test_rows_are_hidden_with_equal_chances() -> None:
    """Over many lines each position is kept as often."""
    kept, is_kept, _, _ = thinned(np.full(4000, 5), 0.6, np.random.default_rng(0))
    share = np.bincount(kept[is_kept], minlength=5) / 4000
    np.testing.assert_allclose(share, 0.4, atol=0.03)


def test_a_thinned_side_is_that_of_a_panel_without_the_hidden_rows(panel: pd.DataFrame) -> None:
    """Gaps, ages, lags and seasonal values follow from the rows that are left."""
    whole = scaled(panel)
    seen = window(whole, thinning=0.5).left
    end = int(whole.offsets[1])
    last = whole.spans()[:1] + 0.5
    times = last[0] - float(seen.lead[0, 0]) - seen.ages[0].double().numpy()
    read = np.abs(whole.times[:end] - times[:, None]).argmin(1)
    left = np.concatenate([np.arange(end - 16), read])
    own = replace(
        whole,
        ids=whole.ids[:1],
        origins=whole.origins[:1],
        offsets=np.array([0, len(left)]),
        times=whole.times[left],
        values=whole.values[left],
    )
    windows = query_windows(own, np.zeros(1, dtype=np.int64), last, 1)[0]
    told = Loader(own, (0.7,), n_rows=8, n_lags=3, n_harmonics=2).batch(windows).left
    for name in ("gaps", "ages", "values", "mask", "phases", "lags", "seasonal", "lead"):
        np.testing.assert_allclose(getattr(seen, name), getattr(told, name), atol=1e-5)


def test_forecasts_are_made_from_all_rows(panel: pd.DataFrame) -> None:
    """Only training and what is held out are thinned."""
    model = ode.LatentODEForecaster(2.0, thinning=0.5, **BRIEF).fit(panel.iloc[:60])
    loader = model._fitted.loader(model.panel_, model._recipe_)
    windows = query_windows(loader.panel, np.zeros(1, dtype=np.int64), np.array([9.0]), 1)[0]
    seen = loader.batch(windows).left
    assert int(seen.length[0]) == min(windows.left[0], BRIEF["n_rows"])
    thinned_by = np.random.default_rng(0)
    args = (loader.panel, model._fitted.spec.periods, model._recipe_)
    fewer = loader_for(*args, thinned_by=thinned_by).batch(windows).left
    assert not fewer.ages[0].equal(seen.ages[0])


def test_rows_hold_waves_of_their_times_and_products_with_their_values(panel: pd.DataFrame) -> None:
    """By the formula, at absolute times."""
    model = ode.LatentODEForecaster(2.0, encoder_periods=[3.0, 1.5], **BRIEF).fit(panel)
    net, loader = model._fitted.net, model._fitted.loader(model.panel_, model._recipe_)
    assert isinstance(net, FlowNetwork)
    asked = loader.panel.spans()[:1] + 0.5
    batch = loader.batch(query_windows(loader.panel, np.zeros(1, dtype=np.int64), asked, 1)[0])
    side = batch.left
    rows = net._rows(side, net.anchor(batch))[0].detach().numpy()
    stamps = loader.panel.origins[0] + loader.panel.spans()[0] - side.ages[0].numpy()
    angles = [2 * np.pi * 2.0 * stamps / p for p in (3.0, 1.5)]
    waves = np.stack([f(a) for a in angles for f in (np.sin, np.cos)], -1)
    products = rows[:, : net.sizes.n_channels, None] * waves[:, None]
    told = np.concatenate([waves, products.reshape(len(rows), -1)], 1)
    np.testing.assert_allclose(rows[:, -told.shape[1] :], told, atol=1e-4)


@pytest.mark.parametrize(
    "forecaster",
    [
        ode.LatentODEForecaster,
        pytest.param(ode.ODERNNForecaster, marks=pytest.mark.slow),
        pytest.param(ode.NeuralODEForecaster, marks=pytest.mark.slow),
        pytest.param(ode.LatentSDEForecaster, marks=pytest.mark.slow),
    ],
)
def test_every_encoder_reads_waves_and_is_saved_with_them(
    forecaster: type[ode.BaseForecaster], panel: pd.DataFrame, tmp_path: Path
) -> None:
    """A loaded forecaster answers the same."""
    settings = FAST | {"hidden": 8}
    model = forecaster(
        2.0, encoder_periods=[3.0, 1.5], thinning=0.3, input_noise=0.0, n_queries=5, **settings
    ).fit(panel.iloc[:60])
    model.save(tmp_path / "model.zip")
    loaded = ode.load(tmp_path / "model.zip")
    pd.testing.assert_frame_equal(loaded.predict([11.0]), model.predict([11.0]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"encoder_periods": 5.0}, "encoder_periods.*array-like"),
        ({"encoder_periods": [0.0]}, "encoder_periods=0.0"),
        ({"thinning": 1.0}, "thinning"),
        ({"input_noise": -1.0}, "input_noise"),
        ({"n_queries": 0}, "n_queries"),
    ],
)
def test_settings_without_a_meaning_are_refused(
    given: dict[str, object], words: str, panel: pd.DataFrame
) -> None:
    """The message names the parameter."""
    with pytest.raises(ValueError, match=words):
        ode.LatentODEForecaster(2.0, **given).fit(panel)
