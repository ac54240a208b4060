"""Laws of the averages of forecasters: weights, quantiles, paths, files, time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer
from torch import Tensor

import odeseries as ode
from odeseries.combining import Judged, Standing, averaged, combined
from odeseries.control import Budget
from odeseries.forecasters.trials import completed, tried
from odeseries.metrics import LEVELS, crps_from_quantiles

N = 400
MANY = 10**12
"""So many values that no difference is chance."""


def judged(*errors: np.ndarray[Any, Any], spread: float = 1.0) -> dict[str, Judged]:
    """Normal forecasts, whose medians are off by errors, of two targets in turn."""
    truth = np.full((N, 2), np.nan)
    truth[np.arange(N), np.arange(N) % 2] = np.random.default_rng(1).normal(size=N)
    around = norm.ppf(LEVELS) * spread
    out = {}
    for i, error in enumerate(errors):
        quantiles = np.nan_to_num(truth)[..., None] + error[:, None, None] + around
        out[f"c{i}"] = Judged.of(truth, quantiles, np.tile(norm.ppf(LEVELS), (2, 1)), MANY)
    return out


def errors(*sizes: float, seed: int = 0) -> list[np.ndarray[Any, Any]]:
    """Independent errors of given sizes."""
    rng = np.random.default_rng(seed)
    return [size * rng.normal(size=N) for size in sizes]


def between() -> pd.Series:
    """A process that reverts to its mean so that the last value and the mean are half right."""
    rng = np.random.default_rng(4)
    times = rng.exponential(1.0, 400).cumsum()
    values, x = [], 0.0
    for gap in np.diff(times, prepend=0.0):
        x = x * np.exp(-gap / 4) + rng.normal() * np.sqrt(1 - np.exp(-gap / 2))
        values.append(x)
    return pd.Series(values, index=times)


def simple() -> dict[str, ode.BaselineForecaster]:
    """Candidates without training that are worth averaging."""
    quick: dict[str, Any] = {"n_rows": 12, "seasonality": None}
    return {m: ode.BaselineForecaster(method=m, **quick) for m in ("mean", "last")}


@pytest.fixture(scope="module")
def auto() -> ode.AutoForecaster:
    """An average of two."""
    return ode.AutoForecaster(4.0, candidates=simple(), random_state=0).fit(between())


@pytest.fixture
def asked() -> list[float]:
    """Times after and between the observations, out of order."""
    end = float(between().index[-1])
    return [end + 3.0, end + 1.0, end - 30.05, end + 2.0]


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_is_never_worse_than_the_best_candidate(seed: int) -> None:
    """The mean is never worse than the best candidate."""
    candidates = judged(*errors(1.0, 1.05, 0.95, 2.0, seed=seed))
    weights, score = combined(candidates)
    assert sum(weights.values()) == pytest.approx(1.0)
    assert score <= min(one.score() for one in candidates.values())
    excess = sum(w * candidates[n].excess.astype(float) for n, w in weights.items())
    assert score == pytest.approx(candidates["c0"].score(np.asarray(excess)))
    assert "c3" not in weights, "much worse ones take no part"


def test_independent_errors_of_one_size_get_like_weights() -> None:
    """Independent errors of one size get like weights."""
    weights, score = combined(judged(*errors(1.0, 1.0)))
    assert weights["c0"] == pytest.approx(0.5, abs=0.15)
    assert score < 0.9 * judged(*errors(1.0, 1.0))["c0"].score()


def test_a_candidate_that_is_right_gets_everything() -> None:
    """A candidate that is right gets everything."""
    candidates = judged(*errors(1.0, 0.0, 1.0), spread=1e-9)
    assert combined(candidates)[0] == {"c1": 1.0}


def test_weights_fall_with_the_square_of_the_scores() -> None:
    """Weights fall with the square of the scores."""
    candidates = judged(*errors(1.0, 1.05))
    weights, _ = combined(candidates)
    ratio = candidates["c1"].score() / candidates["c0"].score()
    assert weights["c0"] / weights["c1"] == pytest.approx(ratio**2)


def test_one_that_makes_the_mean_worse_is_left_out() -> None:
    """One whose errors are those of the best one, only larger, is of no use."""
    (error,) = errors(1.0)
    assert combined(judged(error, 1.1 * error))[0] == {"c0": 1.0}


def test_few_values_leave_nobody_out_for_a_difference_that_may_be_chance() -> None:
    """With 16 values half of the score may be chance, with 10,000 hardly anything."""
    (error,) = errors(1.0)
    many = judged(error, 1.4 * error)
    few = {name: replace(one, n_values=16) for name, one in many.items()}
    ratio = many["c1"].score() / many["c0"].score()
    assert 1.2 < ratio < 1.5
    assert set(combined(many)[0]) == {"c0"}
    assert set(combined(few)[0]) == {"c0", "c1"}


def test_plain_ones_take_part_where_they_are_better_by_more_than_chance() -> None:
    """A plain candidate gives way to one that is as good but for chance, and to no other."""
    many = judged(*errors(1.0, 1.1, 3.0))
    few = {name: replace(one, n_values=100) for name, one in many.items()}
    plain = {"c0": Standing(is_plain=True)}
    assert set(combined(many, plain)[0]) == {"c0", "c1"}
    assert set(combined(few, plain)[0]) == {"c1"}
    alone = {name: few[name] for name in ("c0", "c2")}
    assert set(combined(alone, plain)[0]) == {"c0"}
    assert set(combined(few, dict.fromkeys(few, plain["c0"]))[0]) == {"c0", "c1"}


def test_what_is_known_before_multiplies_weights_and_limits_scores() -> None:
    """The weight multiplies that of the score; beyond its limit a candidate takes no part."""
    candidates = judged(*errors(1.0, 1.05, 1.4))
    few = {name: replace(one, n_values=16) for name, one in candidates.items()}
    plain, heavy = (combined(few, known)[0] for known in ({}, {"c0": Standing(weight=2.0)}))
    assert set(plain) == {"c0", "c1", "c2"}
    assert heavy["c0"] / heavy["c1"] == pytest.approx(2 * plain["c0"] / plain["c1"])
    assert heavy["c2"] / heavy["c1"] == pytest.approx(plain["c2"] / plain["c1"])
    assert set(combined(few, {"c2": Standing(limit=1.3)})[0]) == {"c0", "c1"}


def test_only_forecasts_of_the_same_values_are_averaged() -> None:
    """Only forecasts of the same values are averaged, and only those without gaps."""
    first, other = judged(*errors(1.0, 1.0)).values()
    elsewhere = Judged(other.truth + 1, other.target, other.excess, other.plain, MANY)
    assert len(combined({"a": first, "b": elsewhere})[0]) == 1
    gap = other.excess.copy()
    gap[:9] = np.nan
    holey = Judged(other.truth, other.target, gap, other.plain, MANY)
    assert combined({"a": first, "b": holey})[0] in ({"a": 1.0}, {"b": 1.0})


def test_the_score_is_the_relative_crps_whatever_the_order_of_the_rows() -> None:
    """The score is the relative CRPS, whatever the order of the rows."""
    rng = np.random.default_rng(2)
    truth = np.where(rng.random((50, 3)) < 0.4, np.nan, rng.normal(size=(50, 3)))
    quantiles = rng.normal(size=(50, 3, 1)) + norm.ppf(LEVELS)
    plain = np.tile(norm.ppf(LEVELS), (3, 1))
    ours, theirs = (
        np.nanmean(crps_from_quantiles(truth, np.broadcast_to(q, quantiles.shape)), 0)
        for q in (quantiles, plain)
    )
    order = rng.permutation(50)
    for rows in (np.arange(50), order):
        found = Judged.of(truth[rows], quantiles[rows], plain, MANY).score()
        assert found == pytest.approx((ours / theirs).mean(), rel=1e-5)


@pytest.mark.parametrize("unit", [2.0**-160, 2.0**130])
def test_scores_do_not_depend_on_the_unit(unit: float) -> None:
    """Not by a bit where it is a power of two."""
    truth = np.random.default_rng(1).normal(size=(N, 1))
    law = norm.ppf(LEVELS)[None]
    quantiles = 0.1 + truth[..., None] * 0.5 + law

    def score(k: float) -> float:
        return Judged.of(k * truth, k * quantiles, k * law, MANY).score()

    assert score(unit) == score(1.0)


@pytest.mark.parametrize("constant", [0.0, 1.0, -273.15])
def test_a_target_that_never_varies_decides_nothing(constant: float) -> None:
    """A forecast that is off by a millionth where all values are alike is as good as before."""
    rng = np.random.default_rng(2)
    truth, quantiles = rng.normal(size=(50, 1)), rng.normal(size=(50, 1, 1)) + norm.ppf(LEVELS)
    alone = Judged.of(truth, quantiles, norm.ppf(LEVELS)[None], MANY).score()
    fixed = np.full((50, 1), constant)
    near = np.broadcast_to(fixed[..., None] + 1e-6, quantiles.shape)
    plain = np.stack([norm.ppf(LEVELS), np.full(99, constant)])
    both = Judged.of(np.hstack([truth, fixed]), np.hstack([quantiles, near]), plain, MANY)
    assert both.score() == pytest.approx(alone)


def test_averages_are_those_by_hand_and_leave_out_what_is_not_there() -> None:
    """Averages are those by hand and leave out what is not there."""
    values = np.array([[[[1.0, 2.0]], [[np.nan, 0.0]]], [[[5.0, 8.0]], [[3.0, 4.0]]]])
    found = averaged(values, np.array([0.25, 0.75]))
    np.testing.assert_allclose(found, [[[4.0, 6.5]], [[3.0, 4.0]]])
    assert np.isnan(averaged(values[:1], np.ones(1))[1]).all()


def test_forecasts_are_the_weighted_means_of_the_members(
    auto: ode.AutoForecaster, asked: list[float]
) -> None:
    """Forecasts are the weighted means of the members'."""
    assert list(auto.members_) == list(auto.weights_.index) == ["mean", "last"]
    assert auto.weights_.sum() == pytest.approx(1.0)
    for ask in (
        lambda m: m.predict(asked),
        lambda m: m.predict_quantiles(asked, alpha=[0.1, 0.9]),
        lambda m: m.predict_interval(asked, coverage=0.8),
        lambda m: m.predict(asked, history=between().iloc[:200]),
    ):
        by_hand = sum(w * ask(auto.members_[n]).to_numpy() for n, w in auto.weights_.items())
        np.testing.assert_allclose(ask(auto).to_numpy(), by_hand)
    alone = auto.predict(asked[:1]).iloc[0]
    assert alone == pytest.approx(auto.predict(asked).iloc[0])


def test_it_says_what_was_averaged(auto: ode.AutoForecaster) -> None:
    """It says what was averaged."""
    assert auto.best_ is auto.members_[auto.best_name_]
    assert auto.weights_[auto.best_name_] == auto.weights_.max()
    assert auto.leaderboard_["weight"].tolist() == auto.weights_.tolist()
    assert auto.leaderboard_["picked"].all()
    assert f"{auto.weights_['last']:.2f} last: held-out CRPS" in auto.reason_
    assert "; the best alone, " in auto.reason_


def test_paths_have_the_averaged_marginals_and_the_order_of_the_heaviest(
    auto: ode.AutoForecaster, asked: list[float]
) -> None:
    """Paths have the averaged marginals and the order of the heaviest member's."""
    paths = auto.sample(asked, n_samples=400).to_numpy().reshape(400, 4)
    theirs = auto.best_.sample(asked, n_samples=400).to_numpy().reshape(400, 4)
    alpha = [0.1, 0.3, 0.5, 0.7, 0.9]
    wanted = auto.predict_quantiles(asked, alpha=alpha).to_numpy().T
    np.testing.assert_allclose(np.quantile(paths, alpha, axis=0), wanted, atol=0.05)
    ahead = [0, 1, 3]
    order = np.lexsort((paths, theirs), axis=0)
    assert (np.diff(np.take_along_axis(paths, order, 0)[:, ahead], axis=0) >= 0).all()
    again = auto.sample(asked, n_samples=400).to_numpy().reshape(400, 4)
    np.testing.assert_array_equal(paths, again)
    other = auto.sample(asked, n_samples=400, random_state=7).to_numpy().reshape(400, 4)
    assert not np.array_equal(paths, other)


def test_few_paths_are_not_all_near_the_median(
    auto: ode.AutoForecaster, asked: list[float]
) -> None:
    """Few paths are not all near the median."""
    drawn = [auto.sample(asked[:1], n_samples=1, random_state=k).iloc[0] for k in range(30)]
    low, high = auto.predict_quantiles(asked[:1], alpha=[0.25, 0.75]).to_numpy()[0]
    assert np.std(drawn) > (high - low) / 3


def test_its_score_is_that_of_its_quantiles(auto: ode.AutoForecaster) -> None:
    """Its score is that of its quantiles."""
    y = between()
    truth, quantiles = auto.scored_quantiles(y)
    plain = np.broadcast_to(auto.climatology_, quantiles.shape)
    ours, theirs = (crps_from_quantiles(truth, q).mean() for q in (quantiles, plain))
    assert auto.score(y) == pytest.approx(1 - ours / theirs)


@pytest.mark.parametrize("name", ["model.zip", "model"])
def test_a_saved_average_answers_alike(
    auto: ode.AutoForecaster, asked: list[float], tmp_path: Path, name: str
) -> None:
    """A saved average answers alike."""
    auto.save(tmp_path / name)
    again = ode.load(tmp_path / name)
    assert isinstance(again, ode.AutoForecaster)
    pd.testing.assert_frame_equal(again.predict_quantiles(asked), auto.predict_quantiles(asked))
    pd.testing.assert_series_equal(again.sample(asked), auto.sample(asked))
    pd.testing.assert_frame_equal(again.leaderboard_, auto.leaderboard_)
    pd.testing.assert_series_equal(again.weights_, auto.weights_)
    assert (again.reason_, again.best_name_) == (auto.reason_, auto.best_name_)
    assert again.score(between()) == auto.score(between())
    panels = {id(one.panel_) for one in again.members_.values()}
    assert panels == {id(again.panel_)}, "the data are kept once"
    again.save(tmp_path / "twice")
    pd.testing.assert_series_equal(ode.load(tmp_path / "twice").predict(asked), auto.predict(asked))


def test_a_panel_of_dates_with_a_transformed_target_is_averaged_in_its_units() -> None:
    """A panel of dates with a transformed target is averaged in its units."""
    y = between().iloc[:100]
    times = pd.Timestamp("2020-01-01") + pd.to_timedelta(y.index, "D")
    frames = {k: pd.DataFrame({"x": np.exp(y.to_numpy() + k)}, index=times) for k in range(8)}
    data = pd.concat(frames, names=["id", "time"]).reset_index()
    auto = ode.AutoForecaster(
        "4D",
        candidates=simple(),
        id_col="id",
        time_col="time",
        target_transformer=FunctionTransformer(lambda x: -np.log(x), lambda z: np.exp(-z)),
        random_state=0,
    ).fit(data)
    assert len(auto.members_) == 2
    asked = pd.DataFrame({"id": [3, 5], "time": [times[-1] + pd.Timedelta("1D")] * 2})
    found = auto.predict_quantiles(asked, alpha=[0.1, 0.9])
    by_hand = sum(
        w * auto.members_[n].predict_quantiles(asked, alpha=[0.1, 0.9])["x"].to_numpy()
        for n, w in auto.weights_.items()
    )
    np.testing.assert_allclose(found["x"].to_numpy(), by_hand)
    assert (np.diff(found["x"].to_numpy()) > 0).all()


def test_a_member_that_fails_at_last_is_left_out() -> None:
    """A member that fails at last is left out."""

    class Late(ode.BaselineForecaster):
        """Fails when it is built again."""

        built = 0

        def build(self, spec: ode.Spec) -> Any:
            """Fail at the second time."""
            Late.built += 1
            if Late.built > 1:
                raise ode.SolverError("no solution")
            return super().build(spec)

    given = {**simple(), "last": Late(method="last", n_rows=12, seasonality=None)}
    with pytest.warns(ode.ConvergenceWarning, match="last is left out, since its fit .*no sol"):
        auto = ode.AutoForecaster(4.0, candidates=given, random_state=0).fit(between())
    assert auto.weights_.to_dict() == {"mean": 1.0}
    assert auto.leaderboard_.loc["last", "weight"] == 0.0
    score = auto.leaderboard_.loc["mean", "score"]
    assert auto.reason_.startswith(f"mean: held-out CRPS {score:.3f} of")
    Late.built = 0
    with pytest.raises(ode.SolverError, match="no solution"):
        ode.AutoForecaster(4.0, candidates={"late": Late()}, random_state=0).fit(between())


def test_one_is_picked_where_nothing_is_to_be_combined() -> None:
    """One is picked where nothing is to be combined."""
    auto = ode.AutoForecaster(4.0, candidates=simple(), combine=False, random_state=0)
    auto = clone(auto).fit(between())
    assert auto.weights_.to_dict() == {auto.best_name_: 1.0}
    assert list(auto.members_) == [auto.best_name_]


class Slow(ode.Model):
    """Learns a spread; every loss takes seconds of a clock."""

    clock: ClassVar[float] = 0.0

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.log_spread = torch.nn.Parameter(torch.zeros(()))
        self.seconds = seconds

    def start(self, batches: Any) -> None:
        """Nothing."""

    def loss(self, batch: Any, generator: torch.Generator | None) -> Tensor:
        """Of normal values."""
        Slow.clock += self.seconds
        z = batch.targets / self.log_spread.exp()
        return batch.mean_of_observed(z**2 / 2 + self.log_spread)

    def quantiles(self, batch: Any, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Of normal values."""
        z = torch.special.ndtri(levels).float() * self.log_spread.exp()
        return z.expand(*batch.targets.shape, -1), torch.ones_like(batch.targets)


class SlowForecaster(ode.BaseForecaster):
    """Takes its time."""

    seconds: float = 0.0

    def build(self, spec: ode.Spec) -> Slow:
        """Make an untrained network."""
        return Slow(self.seconds)


@pytest.mark.parametrize(("epochs", "n_tried"), [(2, 2), (1000, 1)])
def test_trials_leave_time_for_the_final_fits(
    monkeypatch: pytest.MonkeyPatch, epochs: int, n_tried: int
) -> None:
    """One that takes all the time leaves none for others, and is fitted in time."""
    monkeypatch.setattr(time, "perf_counter", lambda: Slow.clock)
    endless: dict[str, Any] = {"max_epochs": epochs, "patience": 1000, "seasonality": None}
    given = {k: SlowForecaster(seconds=1.0, **endless) for k in ("first", "second")}
    entrants = {k: one.set_params(horizon=4.0) for k, one in given.items()}
    panel, schema = entrants["first"]._read(between().iloc[:60], None)
    started, budget = Slow.clock, Budget(600.0)
    trials = tried(entrants, panel, schema, 0, budget)
    chosen = {name: trial for name, trial in trials.items() if trial.is_scored}
    assert list(chosen) == ["first", "second"][:n_tried]
    completed(chosen, panel, schema, 0, budget)
    assert Slow.clock - started <= 600
    last = list(chosen)[-1]
    assert set(given[last].history_["phase"]) == {"choosing the length", "training on all"}


def test_an_interruption_ends_the_final_fits() -> None:
    """An interruption at a final fit keeps what the members were tried with."""

    class Stopped(Slow):
        """Interrupts the training of its second network."""

        made = 0

        def __init__(self) -> None:
            super().__init__(0.0)
            type(self).made += 1

        def loss(self, batch: Any, generator: torch.Generator | None) -> Tensor:
            """Interrupt the second phase."""
            if self.training and self.made > 1:
                raise KeyboardInterrupt
            return super().loss(batch, generator)

    class StoppedForecaster(ode.BaseForecaster):
        """Is interrupted."""

        def build(self, spec: ode.Spec) -> Stopped:
            """Make an untrained network."""
            return Stopped()

    entrants = {"stopped": StoppedForecaster(4.0, max_epochs=2), "last": simple()["last"]}
    panel, schema = entrants["last"]._read(between().iloc[:100], None)
    trials = tried(entrants, panel, schema, 0, Budget())
    with pytest.warns(ode.ConvergenceWarning, match="Interrupted: kept are the"):
        members = completed(trials, panel, schema, 0, Budget())
    assert list(members) == ["stopped", "last"]
    assert members["last"]._fitted.interrupted
    assert len(members["last"].panel_.times) == 100
