"""Scores against an independent package, closed forms and laws."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scoringrules
from scipy import stats
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

import odeseries as ode
from odeseries import metrics
from odeseries.metrics import LEVELS

pytestmark = pytest.mark.usefixtures("few_windows")

ROW, COLUMN = np.zeros(3), np.zeros((3, 1))


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded."""
    return np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["Float64", "category", object])
def test_missing_values_of_any_type_are_not_observed(dtype: Any) -> None:
    """In a Series and in a frame, whatever stands for them."""
    plain = pd.Series([1.0, np.nan, 3.0])
    y = plain.astype(dtype)
    if dtype is object:
        y[1] = pd.NA
    quantiles = pd.DataFrame({0.1: plain - 1, 0.9: plain + 1})
    expected = metrics.pinball_loss(plain, quantiles, [0.1, 0.9])
    found = metrics.pinball_loss(y, quantiles.astype(dtype), [0.1, 0.9])
    np.testing.assert_array_equal(found, expected)
    frames = [pd.DataFrame({"u": one, "v": one}) for one in (y, y, y)]
    assert metrics.interval_score(*frames, coverage=0.5)[[0, 2]].tolist() == [[0.0, 0.0]] * 2
    assert metrics.naive_error([0, 1, 2], y, 1) == 2.0


@pytest.mark.parametrize("fair", [False, True])
def test_crps_of_samples_is_that_of_scoringrules(rng: np.random.Generator, fair: bool) -> None:
    """The plain and the fair estimate, of any leading shape."""
    truth, samples = rng.standard_normal((4, 5)), rng.standard_normal((4, 5, 30))
    ours = metrics.crps_from_samples(truth, samples, fair=fair)
    theirs = scoringrules.crps_ensemble(truth, samples, estimator="fair" if fair else "nrg")
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_crps_of_quantiles_and_samples_is_the_closed_form(rng: np.random.Generator) -> None:
    """Of the normal distribution, from 99 quantiles to 1 % and from 20,000 samples to 2 %."""
    truth = np.linspace(-2, 2, 9)
    exact = scoringrules.crps_normal(truth, 0.3, 1.5)
    quantiles = np.broadcast_to(stats.norm(0.3, 1.5).ppf(LEVELS), (9, 99))
    np.testing.assert_allclose(metrics.crps_from_quantiles(truth, quantiles), exact, rtol=0.015)
    samples = np.broadcast_to(rng.normal(0.3, 1.5, 20_000), (9, 20_000))
    np.testing.assert_allclose(metrics.crps_from_samples(truth, samples), exact, rtol=0.02)


def test_fair_crps_does_not_depend_on_the_number_of_samples(rng: np.random.Generator) -> None:
    """In the mean over 20,000 forecasts, two samples score like the distribution itself."""
    truth, samples = rng.standard_normal(20_000), rng.standard_normal((20_000, 2))
    exact = 1 / np.sqrt(np.pi)  # the expected score of the standard normal for itself
    assert metrics.crps_from_samples(truth, samples, fair=True).mean() == pytest.approx(
        exact, rel=0.03
    )
    assert metrics.crps_from_samples(truth, samples).mean() > 1.3 * exact


def test_pinball_and_interval_scores_are_those_of_scoringrules(rng: np.random.Generator) -> None:
    """Truth within the interval, below and above it."""
    truth, low = 3 * rng.standard_normal(50), rng.standard_normal(50) - 1
    high = low + rng.random(50)
    np.testing.assert_allclose(
        metrics.interval_score(truth, low, high, 0.8),
        scoringrules.interval_score(truth, low, high, 0.2),
        rtol=1e-12,
    )
    pinball = metrics.pinball_loss(truth, np.stack([low, high], -1), [0.1, 0.9])
    for k, (level, quantile) in enumerate([(0.1, low), (0.9, high)]):
        np.testing.assert_allclose(
            pinball[:, k], scoringrules.quantile_score(truth, quantile, level), rtol=1e-12
        )
    np.testing.assert_allclose(
        metrics.interval_score(truth, low, high, 0.8), 2 / 0.2 * pinball.sum(-1), rtol=1e-9
    )


def test_joint_scores_are_those_of_scoringrules(rng: np.random.Generator) -> None:
    """Energy and variogram scores, with and without weights."""
    truth, samples = rng.standard_normal((6, 4)), rng.standard_normal((6, 25, 4))
    np.testing.assert_allclose(
        metrics.energy_score(truth, samples),
        scoringrules.es_ensemble(truth, samples, estimator="nrg"),
        rtol=1e-10,
    )
    weights = rng.random((4, 4))
    for order, w in [(0.5, None), (2.0, weights)]:
        theirs = scoringrules.vs_ensemble(
            truth, samples, None if w is None else np.broadcast_to(w, (6, 4, 4)), p=order
        )
        ours = metrics.variogram_score(truth, samples, order=order, weights=w)
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_the_energy_score_in_one_dimension_is_the_crps(rng: np.random.Generator) -> None:
    """Their definitions agree."""
    truth, samples = rng.standard_normal(7), rng.standard_normal((7, 40))
    np.testing.assert_allclose(
        metrics.energy_score(truth[:, None], samples[..., None]),
        metrics.crps_from_samples(truth, samples),
    )


def test_what_was_not_observed_changes_no_score(rng: np.random.Generator) -> None:
    """Joint scores are those of the observed coordinates; NaN where there is nothing to judge."""
    truth, samples = rng.standard_normal((3, 4)), rng.standard_normal((3, 20, 4))
    truth[:, 1] = np.nan
    rest = [0, 2, 3]
    for score in (metrics.energy_score, metrics.variogram_score):
        with_hole, without = score(truth, samples), score(truth[:, rest], samples[..., rest])
        np.testing.assert_allclose(with_hole, without)
    nothing = np.full((3, 4), np.nan)
    assert np.isnan(metrics.energy_score(nothing, samples)).all()
    nothing[:, 0] = 1.0
    assert np.isnan(metrics.variogram_score(nothing, samples)).all()
    alone = metrics.crps_from_samples(truth[0], samples[0].T)
    assert np.isnan(alone).tolist() == [False, True, False, False]
    assert np.isnan(metrics.pit_from_samples(truth[0], samples[0].T)).tolist() == [
        False,
        True,
        False,
        False,
    ]


def test_a_wrong_correlation_costs_variogram_score() -> None:
    """The marginals are right in both forecasts."""
    rng = np.random.default_rng(1)
    factor = np.linalg.cholesky([[1, 0.9], [0.9, 1]])
    truth = rng.standard_normal((300, 2)) @ factor.T
    right = rng.standard_normal((300, 100, 2)) @ factor.T
    wrong = rng.standard_normal((300, 100, 2))
    scores = [metrics.variogram_score(truth, s).mean() for s in (right, wrong)]
    assert scores[0] < 0.5 * scores[1]


def test_mase_on_a_regular_grid_is_the_textbooks() -> None:
    """Mean absolute error over the mean absolute seasonal difference; order and NaN don't count."""
    values = np.random.default_rng(0).standard_normal(40)
    scale = np.abs(values[4:] - values[:-4]).mean()
    times = 0.1 * np.arange(40)
    assert metrics.naive_error(times, values, 0.4) == pytest.approx(scale)
    dates = pd.date_range("2024-01-01", periods=40, freq="6h", tz="Europe/Berlin")
    assert metrics.naive_error(dates, values, "1D") == pytest.approx(scale)
    order = np.random.default_rng(1).permutation(41)
    shuffled = np.append(times, 1.234)[order], np.append(values, np.nan)[order]
    assert metrics.naive_error(*shuffled, 0.4) == pytest.approx(scale)
    error = metrics.mase([1.0, np.nan, 3.0], [1.5, 9.0, 2.0], times, values, 0.4)
    assert error == pytest.approx(0.75 / scale)


def test_mase_does_not_depend_on_the_unit_of_time() -> None:
    """Irregular days, hours and dates give one number."""
    rng = np.random.default_rng(0)
    days, values = np.sort(rng.uniform(0, 100, 60)).round(3), rng.standard_normal(60)
    dates = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D")
    found = [
        metrics.naive_error(days, values, 7.0),
        metrics.naive_error(24 * days, values, 168.0),
        metrics.naive_error(dates, values, "7D"),
        metrics.naive_error(pd.to_timedelta(days, "D"), values, pd.Timedelta("7D")),
    ]
    assert found == pytest.approx([found[0]] * 4)


def test_mase_refuses_what_it_cannot_scale() -> None:
    """A history that is too short, and one that repeats itself."""
    with pytest.raises(ValueError, match="No observation is period=5 later"):
        metrics.naive_error([0.0, 1.0], [1.0, 2.0], 5)
    with pytest.raises(ValueError, match="repeats itself exactly"):
        metrics.mase([1.0], [2.0], np.arange(5), np.ones(5), 1)


def test_pit_is_the_distribution_at_the_truth() -> None:
    """From quantiles: at the levels exactly, between them linearly, beyond them half-way."""
    quantiles, levels = np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.5, 0.8])
    truth = np.array([1.0, 2.0, 4.0, 3.0, 0.0, 9.0, np.nan])
    rows = np.broadcast_to(quantiles, (7, 3))
    np.testing.assert_allclose(
        metrics.pit_from_quantiles(truth, rows, levels), [0.1, 0.5, 0.8, 0.65, 0.05, 0.9, np.nan]
    )
    atom = np.array([[0.0, 0.0, 0.0, 1.0]])
    tied = metrics.pit_from_quantiles(np.array([0.0]), atom, np.array([0.2, 0.4, 0.6, 0.8]))
    assert tied.tolist() == pytest.approx([0.4])
    one = metrics.pit_from_quantiles(np.array([0.0, 2.0]), np.ones((2, 1)), [0.5])
    assert one.tolist() == [0.25, 0.75]


def test_pit_of_the_right_distribution_is_uniform() -> None:
    """From quantiles and from few samples, of a discrete distribution too."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    quantiles = np.broadcast_to(stats.norm.ppf(LEVELS), (4000, 99))
    ranks = [
        metrics.pit_from_quantiles(truth, quantiles),
        metrics.pit_from_samples(truth, rng.normal(size=(4000, 7)), random_state=1),
        metrics.pit_from_samples(
            rng.poisson(1.0, 4000), rng.poisson(1.0, (4000, 7)), random_state=1
        ),
    ]
    for rank in ranks:
        assert stats.kstest(rank, "uniform").pvalue > 0.01
    wide = metrics.pit_from_samples(truth, 3 * rng.normal(size=(4000, 7)), random_state=1)
    assert stats.kstest(wide, "uniform").pvalue < 1e-6


def test_coverage_and_sharpness_by_lead() -> None:
    """Shares and widths of each range; what was not observed isn't counted."""
    lead = pd.to_timedelta([1, 2, 3, 4, 5], "D")
    truth, low = [0.5, np.nan, 5.0, 0.5, 0.5], np.zeros(5)
    high = np.array([1.0, 1.0, 2.0, 3.0, 3.0])
    edges = pd.to_timedelta([0, 2, 3, 5], "D")
    table = metrics.by_lead(lead, truth, low, high, edges)
    assert table.index.name == "lead"
    assert table["coverage"].tolist() == [1.0, 0.0, 1.0]
    assert table["width"].tolist() == [1.0, 2.0, 3.0]
    assert table["n"].tolist() == [1, 1, 2]
    assert metrics.coverage(truth, low, high) == 0.75
    assert metrics.sharpness(low, high) == 2.0
    assert np.isnan(metrics.coverage([np.nan], [0], [1]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.interval_score(0, 0, 1, 90), "coverage=90 is not a probability"),
        (lambda: metrics.pinball_scorer(50), r"level=50 .*Did you mean 0\.5"),
        (lambda: metrics.interval_scorer(80), r"coverage=80 .*Did you mean 0\.8"),
        (lambda: metrics.crps_from_samples([0.0], [[1.0]], fair=True), "at least 2 are needed"),
        (lambda: metrics.energy_score([0.0, 1.0], [[1.0], [2.0]]), "needs samples of shape"),
        (lambda: metrics.variogram_score([0.0], [[1.0]], order=0), "order=0 must be positive"),
        (lambda: variogram(weights=[1.0, 2.0]), r"weights of shape \(2,\) must be of shape \(2, 2"),
        (lambda: variogram(weights=[[0.0, -1.0], [1.0, 0.0]]), "none of them negative"),
        (lambda: variogram(weights=np.full((2, 2), np.nan)), "weights must be finite"),
        (lambda: metrics.pinball_loss(0.0, [1.0], [25]), r"levels=\[25.0\] must be in \(0, 1\)"),
        (lambda: metrics.pinball_loss(0.0, [], []), "at least one"),
        (lambda: metrics.pit_from_quantiles(0.0, [1.0, 2.0], [0.5, 0.4]), "must rise"),
        (lambda: metrics.crps_from_quantiles(0.0, ROW, [0.1, 0.2, 0.9]), "must be evenly spaced"),
        (lambda: metrics.crps_from_samples([0.0], np.zeros((1, 0))), "There are no samples"),
        (lambda: metrics.energy_score([0.0], np.zeros((0, 1))), "There are no samples"),
        (lambda: metrics.by_lead([], [], [], []), "truth is empty"),
        (lambda: metrics.naive_error([], [], 1.0), "times is empty"),
        (lambda: metrics.naive_error([0.0], [np.nan], 1.0), "values holds no observation"),
    ],
)
def test_impossible_requests_are_refused(call: object, message: str) -> None:
    """The message names the argument."""
    assert callable(call)
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda y: metrics.pinball_loss(y, np.zeros((2, 99))),
        lambda y: metrics.crps_from_samples(y, np.zeros((2, 3))),
        lambda y: metrics.interval_score(y, 0.0, 1.0, 0.9),
        lambda y: metrics.coverage(y, 0.0, 1.0),
        lambda y: metrics.by_lead([1.0, 2.0], y, 0.0, 1.0),
        lambda y: metrics.energy_score(y, np.zeros((3, 2))),
        lambda y: metrics.variogram_score(y, np.zeros((3, 2))),
        lambda y: metrics.pit_from_samples(y, np.zeros((2, 3))),
        lambda y: metrics.mase(y, 0.0, [0.0, 1.0], [0.0, 1.0], 1.0),
        lambda y: metrics.naive_error([0.0, 1.0], y, 1.0),
    ],
)
def test_infinite_observations_are_refused(call: Any) -> None:
    """Some scores would be infinite, others leave them out in silence."""
    with pytest.raises(ValueError, match=r"(truth|values) is infinite at position 1, the first"):
        call([0.0, -np.inf])


def variogram(weights: object) -> object:
    """Score of two values."""
    return metrics.variogram_score([0.0, 1.0], [[0.0, 2.0]], weights=weights)  # type: ignore[arg-type]


def test_a_missing_forecast_of_an_observed_value_is_never_left_out() -> None:
    """What is made of it is NaN; where nothing was observed none is needed."""
    truth, lost, nan = [1.0, 2.0, 3.0], np.array([1.0, 2.0, np.nan]), np.nan
    history = np.arange(4.0), np.array([0.0, 1.0, 3.0, 2.0])
    assert np.isnan(metrics.mase(truth, lost, *history, 1.0))
    assert metrics.mase([1.0, 3.0, nan], lost, *history, 1.0) == pytest.approx(0.5 / (4 / 3))
    assert np.isnan(metrics.mase([nan], [1.0], *history, 1.0))
    assert np.isnan(metrics.coverage(truth, lost, 9.0))
    assert np.isnan(metrics.coverage(truth, 0.0, lost))
    assert metrics.coverage([1.0, 3.0, nan], lost, 9.0) == 1.0
    assert np.isnan(metrics.sharpness([], []))
    table = metrics.by_lead([1, 2, 3], truth, 0.0, lost, [0, 2, 3, 4])
    np.testing.assert_array_equal(table["coverage"], [1.0, nan, nan])
    np.testing.assert_array_equal(table["width"], [1.5, nan, nan])
    assert table["n"].tolist() == [2, 1, 0]
    quantiles = np.array([[0.0, 2.0], [0.0, nan]])
    np.testing.assert_array_equal(
        np.isnan(metrics.pit_from_quantiles([1.0, 1.0], quantiles, [0.25, 0.75])), [False, True]
    )
    assert np.isnan(metrics.pit_from_samples([1.0, 1.0], quantiles)).tolist() == [False, True]


class TestScorers:
    """Scorers judge the rows that ``score`` judges, and bigger is better."""

    def test_the_crps_scorer_and_score_tell_the_same(
        self, wave: pd.Series, wave_model: ode.LatentODEForecaster
    ) -> None:
        """The skill is one minus the ratio of the CRPS to the climatology's."""
        ahead = wave.iloc[-30:]
        skill, crps = wave_model.score(ahead), metrics.crps_scorer(wave_model, ahead)
        climatology = np.broadcast_to(wave_model.climatology_[0], (30, 99))
        plain = metrics.crps_from_quantiles(ahead.to_numpy(), climatology).mean()
        assert skill == pytest.approx(1 + crps / plain)

    def test_each_is_its_loss_of_the_public_forecasts(
        self, wave: pd.Series, wave_model: ode.LatentODEForecaster
    ) -> None:
        """Median, quantile and interval, from ``predict`` and its kin."""
        ahead = wave.iloc[-30:]
        quantiles = wave_model.predict_quantiles(ahead, alpha=[0.1, 0.5, 0.9]).to_numpy()
        truth = ahead.to_numpy()
        expected = {
            metrics.mae_scorer: np.abs(truth - quantiles[:, 1]),
            metrics.pinball_scorer(0.9): metrics.pinball_loss(truth, quantiles[:, 2:], [0.9]),
            metrics.interval_scorer(0.8): metrics.interval_score(
                truth, quantiles[:, 0], quantiles[:, 2], 0.8
            ),
        }
        for scorer, loss in expected.items():
            assert scorer(wave_model, ahead) == pytest.approx(-loss.mean(), rel=1e-6)
            again = pickle.loads(pickle.dumps(scorer))  # noqa: S301 # made in this line
            assert again(wave_model, ahead) == scorer(wave_model, ahead)

    def test_grid_search_takes_splitter_and_scorer(
        self, wave: pd.Series, panel: pd.DataFrame, wave_model: ode.LatentODEForecaster
    ) -> None:
        """A single series by time, a panel by series; scores are negative losses."""
        fast = clone(wave_model).set_params(validation_fraction=0, n_steps=3)
        search = GridSearchCV(
            fast,
            {"hidden": [8, 16]},
            cv=ode.TimeSplit("60D", n_splits=2),
            scoring=metrics.crps_scorer,
            refit=False,
            error_score="raise",
        ).fit(wave)
        assert (search.cv_results_["mean_test_score"] < 0).all()
        scores = cross_val_score(
            fast.set_params(horizon=2.0),
            panel,
            cv=ode.PanelSplit(2, random_state=0),
            scoring=metrics.mae_scorer,
            error_score="raise",
        )
        assert scores.shape == (2,)
        assert (scores < 0).all()

    def test_a_pipeline_may_hold_a_forecaster_alone(
        self, wave: pd.Series, wave_model: ode.LatentODEForecaster
    ) -> None:
        """Or steps that do nothing."""
        ahead = wave.iloc[-30:]
        alone = Pipeline([("model", wave_model)])
        passing = Pipeline([("nothing", "passthrough"), ("none", None), ("model", wave_model)])
        expected = metrics.mae_scorer(wave_model, ahead)
        assert metrics.mae_scorer(alone, ahead) == metrics.mae_scorer(passing, ahead) == expected

    def test_a_missing_forecast_has_no_score(self) -> None:
        """Scikit-learn then says so."""

        class Lost:
            def scored_quantiles(self, *_: object) -> tuple[object, object]:
                return np.array([[1.0], [np.nan], [1.0]]), np.array([[[1.0]], [[1.0]], [[np.nan]]])

        assert np.isnan(metrics.mae_scorer(Lost(), None))


@pytest.mark.parametrize(
    "call",
    [
        lambda: metrics.mase(ROW, pd.DataFrame(COLUMN), np.arange(4), np.arange(4), 1),
        lambda: metrics.naive_error(ROW, COLUMN, 1),
        lambda: metrics.interval_score(ROW, COLUMN, COLUMN, 0.9),
        lambda: metrics.interval_score(0.0, ROW, COLUMN, 0.9),
        lambda: metrics.coverage(ROW, COLUMN, COLUMN),
        lambda: metrics.sharpness(ROW, COLUMN),
        lambda: metrics.by_lead(ROW, ROW, COLUMN, COLUMN),
        lambda: metrics.by_lead(COLUMN, ROW, ROW, ROW),
        lambda: metrics.pinball_loss(ROW, COLUMN),
        lambda: metrics.pinball_loss(COLUMN, np.zeros((3, 99))),
        lambda: metrics.crps_from_quantiles(ROW, ROW),
        lambda: metrics.pit_from_quantiles(COLUMN, np.zeros((3, 99))),
        lambda: metrics.crps_from_samples(ROW, ROW),
        lambda: metrics.crps_from_samples(COLUMN, np.zeros((3, 5))),
        lambda: metrics.pit_from_samples(COLUMN, np.zeros((3, 5))),
    ],
)
def test_shapes_that_differ_are_refused(call: object) -> None:
    """A column beside a row would be every value against every other."""
    assert callable(call)
    with pytest.raises(ValueError, match=r"of shape \(.*\).* needs? .*\(3"):
        call()


def test_a_scalar_and_common_quantiles_serve_all(rng: np.random.Generator) -> None:
    """As if they were written out."""
    truth, quantiles, rows = rng.standard_normal(3), np.sort(rng.standard_normal(99)), np.ones(3)
    everywhere = np.broadcast_to(quantiles, (3, 99))
    for score in (metrics.pinball_loss, metrics.crps_from_quantiles, metrics.pit_from_quantiles):
        np.testing.assert_array_equal(score(truth, quantiles), score(truth, everywhere))
        np.testing.assert_array_equal(score(0.0, everywhere), score(0 * rows, everywhere))
    assert metrics.coverage(truth, -9.0, 9.0) == 1
    np.testing.assert_array_equal(
        metrics.interval_score(truth, -1.0, 1.0, 0.9),
        metrics.interval_score(truth, -rows, rows, 0.9),
    )
    assert metrics.by_lead([1, 2, 3], truth, -9.0, 9.0, 1)["width"].tolist() == [18]


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: metrics.mase(a, b, np.arange(4), np.arange(4), 1),
        lambda a, b: metrics.interval_score(a, 0.0, b, 0.9),
        lambda a, b: metrics.coverage(a, b, b),
        lambda a, b: metrics.sharpness(a, b),
        lambda a, b: metrics.by_lead(b, a, -a, a),
        lambda a, b: metrics.pinball_loss(a, b.to_frame(), [0.5]),
        lambda a, b: metrics.crps_from_samples(a, b.to_frame()),
        lambda a, b: metrics.pit_from_quantiles(a, b.to_frame(), [0.5]),
        lambda a, b: metrics.pit_from_samples(a, b.to_frame()),
    ],
)
def test_the_same_labels_in_another_order_are_refused(call: object) -> None:
    """Rows are compared by position; other labels, or none, are the caller's business."""
    assert callable(call)
    truth = pd.Series([1.0, 2.0, 4.0], index=["a", "b", "c"])
    with pytest.raises(ValueError, match="same labels in another order"):
        call(truth, truth[::-1])
    call(truth, truth.set_axis(range(3))[::-1])


def test_every_pair_of_labels_is_compared() -> None:
    """Columns as well as rows, and ends of intervals beside a plain truth."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [8.0, 9.0]})
    with pytest.raises(ValueError, match=r"same columns .*give high as high\[low.columns\]"):
        metrics.coverage(frame.to_numpy(), frame, frame[["b", "a"]])
    with pytest.raises(ValueError, match=r"low and high have the same labels"):
        metrics.interval_score(ROW[:2], frame["a"], frame["a"][::-1], 0.9)
    with pytest.raises(ValueError, match=r"lead and low have the same labels"):
        metrics.by_lead(frame["a"], ROW[:2], frame["a"][::-1], 9.0)
    assert metrics.coverage(frame, frame, frame) == 1.0


@pytest.mark.parametrize(
    ("times", "lag"),
    [
        (2e9 + np.arange(2000) * 0.001, 0.003),
        (np.arange(-1000, 1000) * 1e5 + 0.1, 3e5),
        (pd.date_range("2026", periods=2000, freq="ms"), "3ms"),
    ],
    ids=["epoch", "both-signs", "dates"],
)
def test_a_lag_is_met_at_times_that_floats_round(times: pd.Index, lag: object) -> None:
    """The third row before, at epoch seconds and half a century after the first row too."""
    values = np.random.default_rng(0).standard_normal(2000)
    expected = np.abs(values[3:] - values[:-3]).mean()
    assert metrics.naive_error(times, values, lag) == pytest.approx(expected)
    long_before = pd.Index([pd.Timestamp(0) if isinstance(lag, str) else -1e9])
    more = long_before.append(pd.Index(times)), np.append(np.nan, values)
    assert metrics.naive_error(*more, lag) == pytest.approx(expected)


def test_a_lag_is_met_at_times_of_single_precision() -> None:
    """As at the same times of double precision, to whose rounding they are not equal."""
    times, values = 1000 + np.arange(2000) * 0.1, np.random.default_rng(0).standard_normal(2000)
    expected = metrics.naive_error(times, values, 0.3)
    assert metrics.naive_error(times.astype(np.float32), values, 0.3) == pytest.approx(expected)
