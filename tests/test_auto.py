"""Laws of the simple forecasts, and of the choice among forecasters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import odeseries as ode

RNG_SEED = 0


def walk(n: int = 400) -> pd.Series:
    """A random walk at irregular times; its spread grows with the root of the time."""
    rng = np.random.default_rng(RNG_SEED)
    gaps = rng.exponential(1.0, n)
    steps = rng.normal(size=n) * np.sqrt(gaps)
    return pd.Series(steps.cumsum(), index=gaps.cumsum())


def noise(n: int = 400) -> pd.Series:
    """Independent values about 5 at irregular times."""
    rng = np.random.default_rng(RNG_SEED)
    return pd.Series(rng.normal(5.0, 2.0, n), index=rng.exponential(1.0, n).cumsum())


def simple(*methods: str, **params: Any) -> list[ode.BaselineForecaster]:
    """Candidates without training."""
    return [ode.BaselineForecaster(method=m, **params) for m in methods]


def test_the_last_value_is_the_median_of_a_walk_and_its_spread_grows_as_the_root() -> None:
    """The last value is the median of a walk and its spread grows as the root."""
    y = walk(6000)
    model = ode.BaselineForecaster(20.0, method="last", random_state=0).fit(y)
    end = y.index[-1]
    band = model.predict_interval([end + 4.0, end + 16.0], coverage=0.5).to_numpy()
    width = np.diff(band, axis=1)[:, 0]
    np.testing.assert_allclose(width / (2 * 0.6745), [2.0, 4.0], rtol=0.25)
    np.testing.assert_allclose(model.predict([end + 4.0]), y.iloc[-1], atol=0.7)


def test_the_climatology_is_the_distribution_of_the_training_values() -> None:
    """The climatology is the distribution of the training values."""
    y = noise()
    model = ode.BaselineForecaster(20.0, method="climatology", random_state=0).fit(y)
    found = model.predict_quantiles([y.index[-1] + 7.0], alpha=[0.1, 0.5, 0.9]).to_numpy()[0]
    np.testing.assert_allclose(found, np.quantile(y, [0.1, 0.5, 0.9]), atol=0.45)


def test_the_mean_is_that_of_what_is_seen() -> None:
    """The mean is that of what is seen."""
    y = noise()
    model = ode.BaselineForecaster(20.0, method="mean", n_rows=10, random_state=0).fit(y)
    found = model.predict([y.index[-1] + 7.0]).iloc[0]
    assert abs(found - y.iloc[-10:].mean()) < 0.4


def test_the_regression_finds_a_recurrence_that_the_last_value_misses() -> None:
    """The regression finds a recurrence that the last value misses."""
    times = np.arange(300.0)
    y = pd.Series(np.cos(0.9 * times), index=times)
    lags, last = (
        ode.BaselineForecaster(2.0, method=m, seasonality=None, random_state=0).fit(y.iloc[:280])
        for m in ("lags", "last")
    )
    error = {m: abs(m.predict([281.0]).iloc[0] - y[281]) for m in (lags, last)}
    assert error[lags] < 0.1
    assert error[last] > 0.5


@pytest.mark.parametrize(
    ("series", "picked"),
    [(walk(), "baseline (last)"), (noise(), "baseline (climatology)")],
    ids=["walk", "noise"],
)
def test_the_right_one_is_picked(series: pd.Series, picked: str) -> None:
    """The right one is picked."""
    auto = ode.AutoForecaster(
        10.0, candidates=simple("climatology", "last", "mean"), combine=False, random_state=0
    ).fit(series)
    assert auto.best_name_ == picked
    assert auto.leaderboard_["picked"].sum() == 1
    assert auto.leaderboard_.loc[picked, "score"] <= 1.02 * auto.leaderboard_["score"].min()
    assert auto.reason_.startswith(picked)


def test_it_answers_as_the_picked_one_does(tmp_path: Path) -> None:
    """It answers as the picked one does."""
    y = walk()
    auto = ode.AutoForecaster(10.0, candidates=simple("climatology", "last"), random_state=3)
    auto = clone(auto).fit(y)
    alone = ode.BaselineForecaster(10.0, method="last", random_state=3).fit(y)
    asked = [y.index[-1] + 2.0, y.index[50] + 0.1]
    pd.testing.assert_frame_equal(auto.predict_quantiles(asked), alone.predict_quantiles(asked))
    pd.testing.assert_series_equal(
        auto.sample(asked, n_samples=4), alone.sample(asked, n_samples=4)
    )
    assert auto.score(y) == alone.score(y)
    auto.save(tmp_path / "model.zip")
    again = ode.load(tmp_path / "model.zip")
    assert isinstance(again, ode.BaselineForecaster)
    pd.testing.assert_frame_equal(again.predict_interval(asked), auto.predict_interval(asked))


def test_a_fit_without_a_seed_leaves_the_global_generator_alone() -> None:
    """Its seed comes from the system."""
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # what is not to be touched
    y = pd.Series(np.sin(np.arange(60.0) / 7), index=np.arange(60.0))
    auto = ode.AutoForecaster(5.0, candidates=[ode.BaselineForecaster(method="last")]).fit(y)
    assert np.isfinite(auto.predict([61.0])).all()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_a_learned_candidate_is_trained_and_shares_the_parameters() -> None:
    """A learned candidate is trained and shares the parameters."""
    tiny = ode.LatentODEForecaster(max_epochs=1, n_rows=6, hidden=8, latent_dim=4)
    y = noise(80).rename("x").to_frame().assign(z=1.0)
    auto = ode.AutoForecaster(5.0, candidates={"learned": tiny}, targets=["x"], random_state=0).fit(
        y
    )
    assert auto.best_.horizon == 5.0
    assert list(auto.predict([y.index[-1] + 1.0]).columns) == ["x"]
    assert not hasattr(tiny, "seed_"), "candidates are left as they are"


def test_candidates_that_fail_are_told_and_the_rest_goes_on() -> None:
    """Candidates that fail are told and the rest goes on."""

    class Broken(ode.BaselineForecaster):
        """Has no network."""

        def build(self, spec: ode.Spec) -> Any:
            """Fail."""
            raise ode.SolverError("no solution")

    given = {"broken": Broken(), "last": simple("last")[0]}
    auto = ode.AutoForecaster(5.0, candidates=given, random_state=0).fit(noise(80))
    assert auto.best_name_ == "last"
    assert auto.leaderboard_.loc["broken", "failure"] == "no solution"
    with pytest.raises(ode.OdeSeriesError, match=r"Every candidate failed\. broken: no solution"):
        ode.AutoForecaster(5.0, candidates={"broken": Broken()}, random_state=0).fit(noise(80))


def test_time_that_is_over_leaves_candidates_out() -> None:
    """Time that is over leaves candidates out."""
    auto = ode.AutoForecaster(
        5.0, candidates=simple("last", "mean"), max_time=1e-4, random_state=0
    ).fit(noise(80))
    assert auto.best_name_ == "baseline (last)"
    assert "max_time" in auto.leaderboard_.loc["baseline (mean)", "failure"]


def test_where_nothing_can_be_held_out_the_first_is_used() -> None:
    """Where nothing can be held out the first is used."""
    y = pd.Series([1.0, 2.0], index=[0.0, 1.0])
    with pytest.warns(ode.ConvergenceWarning, match="Nothing could be held out"):
        auto = ode.AutoForecaster(1.0, candidates=simple("last", "mean"), random_state=0).fit(y)
    assert auto.best_name_ == "baseline (last)"


def test_candidates_may_be_classes() -> None:
    """A class stands for itself without parameters."""
    auto = ode.AutoForecaster(5.0, candidates=[ode.BaselineForecaster], random_state=0)
    assert auto.fit(noise(50)).best_name_ == "baseline (lags)"


@pytest.mark.parametrize("candidate", ["baseline", ode.BaselineForecaster])
def test_a_mapping_may_hold_names_and_classes(candidate: Any) -> None:
    """As a list may."""
    auto = ode.AutoForecaster(5.0, candidates={"mine": candidate}, random_state=0)
    assert auto.fit(noise(50)).best_name_ == "mine"


@pytest.mark.parametrize("changed", [{"n_queries": 3}, {"validation_fraction": 0.4}])
def test_candidates_that_would_be_judged_on_other_values_are_refused(
    changed: dict[str, Any],
) -> None:
    """Their scores could not be compared."""
    candidates = {"a": ode.BaselineForecaster(), "b": ode.BaselineForecaster(**changed)}
    with pytest.raises(ValueError, match=r"differ in .* \(a: .*, b: .*\).*: give all the same"):
        ode.AutoForecaster(5.0, candidates=candidates).fit(noise(50))


def test_names_must_differ() -> None:
    """Names must differ."""
    with pytest.raises(ValueError, match="have the same name: give a mapping"):
        ode.AutoForecaster(5.0, candidates=simple("last", "last")).fit(noise(50))
    with pytest.raises(ValueError, match="candidates is empty"):
        ode.AutoForecaster(5.0, candidates=[]).fit(noise(50))


def test_paths_that_are_equal_are_put_in_order_by_lot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their ranks are even, whatever the number of paths, and the same for all tied hours."""
    frame = pd.concat({"a": noise(60), "b": noise(60) + 1.0})
    lags = {k: ode.BaselineForecaster(method="lags", n_lags=k) for k in (2, 3)}
    auto = ode.AutoForecaster(5.0, candidates=lags, random_state=0).fit(frame)
    assert len(auto.members_) == 2

    def tied(queries: Any, panel: Any, n_samples: int, seed: int) -> Any:
        return np.zeros((n_samples, len(queries.times), 1))

    monkeypatch.setattr(auto.best_, "_drawn", tied)
    end = float(noise(60).index[-1])
    asked = pd.MultiIndex.from_product([["a", "b"], [end + 1.0, end + 3.0]])
    median = auto.predict(asked).to_numpy()
    found = [auto.sample(asked, n_samples=10, random_state=k) for k in range(16)]
    paths = np.stack([one.to_numpy().reshape(10, 4) for one in found])
    np.testing.assert_allclose((paths > median).mean((0, 1)), 0.5, atol=0.12)
    order = paths.argsort(1)
    np.testing.assert_array_equal(order[..., 0], order[..., 1])
    assert (order[..., 0] != order[..., 2]).any(), "series are independent"
    alone = auto.sample(asked[[3, 2]], n_samples=10, random_state=4)
    pd.testing.assert_series_equal(alone.sort_index(), found[4].loc[:, ["b"]].sort_index())
