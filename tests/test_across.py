"""Laws of the regression on what all channels of a window tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from odeseries.forecasters.across import Across, _ridge
from odeseries.sampling import cutoff_windows
from tests.conftest import errors_from

N_SERIES, CUTOFF = 150, 1.0


@pytest.fixture(scope="module")
def panel() -> pd.DataFrame:
    """Of two channels; after the cutoff the second is twice the first, before it is noise."""
    rng = np.random.default_rng(0)
    parts = {}
    for i in range(N_SERIES):
        times = np.sort(rng.uniform(0, 2, 10))
        early, told = times < CUTOFF, rng.normal()
        first = np.where(early, told + 0.1 * rng.normal(size=10), np.nan)
        second = np.where(early, rng.normal(size=10), 2 * told + 0.3 * rng.normal(size=10))
        parts[i] = pd.DataFrame({"first": first, "second": second}, index=times)
    return pd.concat(parts)


def fitted(method: str, panel: pd.DataFrame) -> ode.BaselineForecaster:
    """Of the first 110 series."""
    settings = {"cutoffs": CUTOFF, "seasonality": None, "n_lags": 2, "random_state": 0}
    return ode.BaselineForecaster(1.0, method=method).set_params(**settings).fit(panel.loc[:109])


def error(model: ode.BaselineForecaster, panel: pd.DataFrame) -> float:
    """Root of the mean squared error of the second channel after the cutoff."""
    return float((errors_from(CUTOFF, model, panel.loc[110:])["second"] ** 2).mean() ** 0.5)


def test_a_channel_is_foretold_from_another_one(panel: pd.DataFrame, tmp_path: Path) -> None:
    """By no other regression; a saved one is the same."""
    model = fitted("channels", panel)
    assert error(model, panel) < 0.6
    assert error(fitted("lags", panel), panel) > 1.5
    model.save(tmp_path / "model")
    assert error(ode.load(tmp_path / "model"), panel) == error(model, panel)


def planted(n: int, n_columns: int, size: float) -> tuple[torch.Tensor, ...]:
    """Columns, numbers of errors and their sums, where the first column tells of each error."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(n, n_columns, generator=draw, dtype=torch.float64)
    count = torch.randint(1, 4, (n,), generator=draw).double()
    noise = count.sqrt() * torch.randn(n, generator=draw, dtype=torch.float64)
    return x, count, size * count * x[:, 0] + noise


def test_the_planted_effect_is_found() -> None:
    """With many windows nearly whole; nothing else is."""
    found = _ridge(*planted(4000, 10, 0.5))
    assert found[0] == pytest.approx(0.5, abs=0.04)
    assert found[1:].abs().max() < 0.05


@pytest.mark.parametrize(("n", "size"), [(1000, 0.0), (60, 0.1)])
def test_what_may_be_chance_changes_nothing(n: int, size: float) -> None:
    """Without an effect, and with one that few windows can't show beside 40 columns."""
    assert (_ridge(*planted(n, 40, size)) == 0).all()


def test_one_extreme_value_does_not_spoil_the_others() -> None:
    """A mistyped value is worth a great deal in squares; what it asks of the others is not done."""
    x, count, sums = planted(400, 10, 0.0)
    sums = 0.001 * sums
    mistyped = torch.arange(400) % 40 == 0
    x[mistyped, 3] = 5.0
    sums[mistyped] = 100 * count[mistyped]
    assert (_ridge(x, count, sums) == 0).all()


def test_sums_by_window_are_enough() -> None:
    """The least squares of single errors, without a penalty to speak of."""
    x, count, sums = planted(500, 4, 1.0)
    each = x.repeat_interleave(count.long(), 0)
    spread = (sums / count).repeat_interleave(count.long())
    plain = torch.linalg.lstsq(each, spread[:, None]).solution[:, 0]
    torch.testing.assert_close(_ridge(x, count, sums), plain, rtol=0, atol=0.03)


def test_repeated_windows_are_no_evidence(panel: pd.DataFrame) -> None:
    """What is learnt of chance by heart is not confirmed by the same windows once more."""
    of = 5 * _batches(fitted("channels", panel))
    noise = torch.randn(of[0].targets.shape, generator=torch.Generator().manual_seed(0))
    across = Across(2)
    across.fit(of, 5 * [noise], [batch.observed > 0 for batch in of])
    assert (across.weights == 0).all()


def _batches(model: ode.BaselineForecaster) -> list[ode.Batch]:
    """All windows from the cutoff, each once."""
    recipe = model._recipe_
    loader = model._fitted.loader(model.panel_, recipe)
    assert recipe.model_cutoffs is not None
    every = cutoff_windows(loader.panel, recipe.model_cutoffs, np.zeros(110), n_queries=64)
    return [loader.batch(every)]


def test_corrections_are_no_larger_than_in_training(panel: pd.DataFrame) -> None:
    """Whatever is seen."""
    model = fitted("channels", panel)
    history = panel.loc[[110]].copy()
    history = history[history.index.get_level_values(1) < CUTOFF]
    asked = pd.MultiIndex.from_tuples([(110, 1.5)])
    moved = [history.assign(first=history["first"] + x) for x in (0, 50, 500)]
    near, *far = (float(model.predict(asked, history=one)["second"].iloc[0]) for one in moved)
    assert far[0] == pytest.approx(far[1])
    assert 1 < far[0] - near < 15
