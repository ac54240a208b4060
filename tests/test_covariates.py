"""Laws of known inputs, past-only inputs and transformed targets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)

import odeseries as ode
from odeseries.frames import read_frame, read_queries
from tests.conftest import FAST

pytestmark = pytest.mark.usefixtures("few_windows")

N = 120


@pytest.fixture(scope="module")
def driven() -> tuple[pd.DataFrame, pd.Series]:
    """A target that is 3 times a random input, at irregular days."""
    rng = np.random.default_rng(3)
    days = np.sort(rng.choice(np.arange(400), N, replace=False))
    index = pd.Timestamp("2021-01-01") + pd.to_timedelta(days, "D")
    X = pd.DataFrame({"force": rng.standard_normal(N)}, index=index)
    y = (3 * X["force"] + 0.1 * rng.standard_normal(N)).rename("load")
    return X, y


@pytest.fixture(scope="module")
def driven_model(driven: tuple[pd.DataFrame, pd.Series]) -> ode.LatentODEForecaster:
    """Fitted on the first hundred rows."""
    X, y = driven
    params = {**FAST, "max_epochs": 6, "learning_rate": 1e-2, "seasonality": None}
    return ode.LatentODEForecaster("60D", **params).fit(X[:100], y[:100])


def test_a_known_input_is_used(
    driven: tuple[pd.DataFrame, pd.Series], driven_model: ode.LatentODEForecaster
) -> None:
    """Forecasts follow the input of the future: most of the variance is explained."""
    X, y = driven
    error = y[100:] - driven_model.predict(X[100:])
    assert float(error.var()) < 0.3 * float(y[100:].var())
    assert driven_model.score(X[100:], y[100:]) > 0.4


def test_a_score_needs_known_covariates(
    driven: tuple[pd.DataFrame, pd.Series], driven_model: ode.LatentODEForecaster
) -> None:
    """What is refused as a question is refused as a score, and not taken for zero."""
    X, y = driven
    with pytest.raises(ode.DataError, match=r"covariate 'force' is not known at 20 of 20 times to"):
        driven_model.score(X[100:] * np.nan, y[100:])


def test_a_missing_covariate_is_named(
    driven: tuple[pd.DataFrame, pd.Series], driven_model: ode.LatentODEForecaster
) -> None:
    """Bare future times, a NaN and an infinity are refused with covariate and position."""
    X, _ = driven
    later = X[100:].copy()
    with pytest.raises(ode.DataError, match="covariate 'force' is not known at 20 of 20"):
        driven_model.predict(later.index)
    for bad in (np.nan, np.inf):
        later.iloc[3, 0] = bad
        with pytest.raises(ode.DataError, match=r"not known at 1 of 20 .* position 3"):
            driven_model.predict(later)


def test_covariates_of_the_history_serve_its_own_times(
    driven: tuple[pd.DataFrame, pd.Series], driven_model: ode.LatentODEForecaster
) -> None:
    """At a stamp of the history its covariate is known; one that is given comes first."""
    X, _ = driven
    inside = X.index[40:50]
    pd.testing.assert_series_equal(driven_model.predict(inside), driven_model.predict(X[40:50]))
    other = driven_model.predict(X[40:50] + 1.0)
    assert not np.allclose(other, driven_model.predict(inside))


def test_equal_times_with_different_inputs_get_their_own_answers(
    driven: tuple[pd.DataFrame, pd.Series], driven_model: ode.LatentODEForecaster
) -> None:
    """What-if questions: the same stamp twice, under two inputs."""
    X, _ = driven
    low, high = X[100:101] * 0 - 1.0, X[100:101] * 0 + 1.0
    both = driven_model.predict(pd.concat([low, high]))
    assert both.iloc[1] > both.iloc[0] + 1.0
    np.testing.assert_allclose(both.iloc[0], driven_model.predict(low).iloc[0], rtol=1e-5)


def test_history_as_one_frame_or_as_a_pair(
    driven: tuple[pd.DataFrame, pd.Series], driven_model: ode.LatentODEForecaster
) -> None:
    """Targets and covariates together, or (X, y), are the same history."""
    X, y = driven
    one = X[:80].assign(load=y[:80])
    pair = driven_model.predict(X[80:90], history=(X[:80], y[:80]))
    pd.testing.assert_series_equal(driven_model.predict(X[80:90], history=one), pair)
    with pytest.raises(ode.DataError, match="lacks the covariate columns 'force'"):
        driven_model.predict(X[80:90], history=y[:80])


def test_future_rows_of_the_history_tell_their_covariates() -> None:
    """Rows whose target is NaN keep their covariates for forecasts at their times."""
    X = pd.DataFrame({"u": np.arange(30.0)}, index=pd.RangeIndex(30))
    y = pd.Series(np.arange(30.0), name="y").where(X.index < 25)
    panel, schema = read_frame(X, y)
    assert panel.n_rows == 25
    assert read_queries([27, 28], schema, panel).inputs.tolist() == [[27.0], [28.0]]


def test_static_covariates_need_not_be_repeated() -> None:
    """A covariate that is constant within each series is known for its future."""
    frame = pd.DataFrame(
        {
            "id": np.repeat(["b", "a"], 4),
            "t": [0, 1, 2, 3, 0, 1, 2, 3],
            "age": np.repeat([70.0, 30.0], 4),
            "dose": np.arange(8.0),
        }
    )
    y = pd.Series(np.arange(8.0), name="y")
    panel, schema = read_frame(frame, y, time_col="t", id_col="id")
    assert schema.static == (True, False)
    asked = pd.DataFrame({"id": ["a", "b"], "t": [9, 9], "dose": [1.0, 2.0]})
    assert read_queries(asked, schema, panel).inputs.tolist() == [[30.0, 1.0], [70.0, 2.0]]


def test_bare_times_with_covariates_go_to_every_series() -> None:
    """A calendar column without ids holds for all series of a panel."""
    index = pd.MultiIndex.from_product([["x", "y"], [0.0, 1.0, 2.0]])
    X = pd.DataFrame({"day": [0.0, 1.0, 2.0] * 2}, index=index)
    panel, schema = read_frame(X, pd.Series(np.arange(6.0), index=index))
    asked = read_queries(pd.DataFrame({"day": [3.0, 4.0]}, index=[3.0, 4.0]), schema, panel)
    assert asked.inputs[:, 0].tolist() == [3.0, 4.0, 3.0, 4.0]
    assert asked.series.tolist() == [0, 0, 1, 1]


def test_values_of_a_series_asked_for_are_no_covariate() -> None:
    """Its index is asked for, whatever it is called, and its values are not read."""
    times = np.arange(40.0)
    X = pd.DataFrame({0: np.cos(times)}, index=times)
    y = pd.Series(np.sin(times), index=times)
    model = ode.BaselineForecaster(2.0, method="lags").fit(X, y)
    asked = pd.Series([100.0], index=[39.0])
    assert model.predict(asked).equals(model.predict(X.index[-1:]))
    assert model.predict(asked.rename("x")).equals(model.predict(X.index[-1:]))
    with pytest.raises(ode.DataError, match="covariate 0 is not known"):
        model.predict(pd.Series([100.0], index=[41.0]))


@pytest.mark.parametrize("constant", [0.0, 0.3, 1e9])
def test_a_covariate_that_never_varied_changes_nothing(constant: float) -> None:
    """Neither by what rounding does to it nor by another value: nothing was learned of it."""
    times = np.arange(40.0)
    X = pd.DataFrame({"c": np.full(40, constant)}, index=times)
    X.iloc[3] *= 1 + 1e-16
    model = ode.NeuralODEForecaster(2.0, **FAST).fit(X, pd.Series(np.sin(times), index=times))
    asked = pd.DataFrame({"c": [constant, constant]}, index=[40.5, 41.0])
    right = model.predict(asked)
    assert model.predict(asked.astype("float32")).equals(right)
    assert model.predict(asked + 5).equals(right)


def test_units_of_a_covariate_do_not_matter(driven: tuple[pd.DataFrame, pd.Series]) -> None:
    """An affine change of an input changes no forecast."""
    X, y = driven
    params = {**FAST, "seasonality": None}
    plain = ode.LatentODEForecaster("60D", **params).fit(X[:100], y[:100]).predict(X[100:])
    moved = 1e6 * X - 3e7
    other = ode.LatentODEForecaster("60D", **params).fit(moved[:100], y[:100])
    np.testing.assert_allclose(other.predict(moved[100:]), plain, rtol=1e-3, atol=1e-3)


def test_past_only_inputs_are_seen_and_never_forecast() -> None:
    """With targets=, the other columns count as history and are not in the answer."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((60, 3)), columns=["a", "b", "c"])
    frame["c"] = frame["c"].mask(frame.index % 3 > 0)
    frame["b"] = frame["b"].mask(frame.index % 2 > 0)
    params = {**FAST, "targets": ["b"]}
    model = ode.LatentODEForecaster(6, **params).fit(frame)
    assert list(model.predict([61]).columns) == ["b"]
    assert model.sample([61, 62], n_samples=3).shape == (6, 1)
    assert model.predict_quantiles([61]).shape == (1, 5)
    moved = model.predict([61], history=frame.assign(a=frame["a"] ** 2))
    assert float((moved - model.predict([61])).abs().max().max()) > 1e-4
    assert np.isfinite(model.score(frame))
    with pytest.raises(ode.DataError, match="lacks the input columns 'a'"):
        model.predict([61], history=frame[["b", "c"]])


@pytest.mark.parametrize("targets", ["z", ["a", "a"], []])
def test_targets_must_be_columns(targets: object) -> None:
    """A name that is no column, a repeated one and an empty list are refused."""
    with pytest.raises(ode.DataError, match="must name different columns of X"):
        read_frame(pd.DataFrame({"a": [1.0, 2.0]}), targets=targets)


def test_a_logarithm_makes_every_quantile_positive(wave: pd.Series) -> None:
    """Quantiles and samples are inverted; forecasts of a level series stay in its units."""
    levels = np.exp(wave - 5)
    log = FunctionTransformer(np.log, np.exp)
    model = ode.LatentODEForecaster("60D", target_transformer=log, **FAST).fit(levels)
    times = ode.future_times(wave, "60D", n=5)
    plain = ode.LatentODEForecaster("60D", **FAST).fit(wave - 5)
    expected = np.exp(plain.predict_quantiles(times, alpha=[0.01, 0.5, 0.99]))
    got = model.predict_quantiles(times, alpha=[0.01, 0.5, 0.99])
    np.testing.assert_allclose(got, expected, rtol=1e-3)
    assert float(model.sample(times).min()) > 0


def test_a_decreasing_transformer_keeps_quantiles_in_order(wave: pd.Series) -> None:
    """The mirrored data have the mirrored forecast."""
    mirror = FunctionTransformer(np.negative, np.negative)
    model = ode.LatentODEForecaster("60D", target_transformer=mirror, **FAST).fit(wave)
    times = ode.future_times(wave, "60D", n=5)
    alpha = [0.05, 0.3, 0.5, 0.95]
    got = model.predict_quantiles(times, alpha=alpha)
    assert (np.diff(got.to_numpy(), axis=1) > 0).all()
    mirrored = ode.LatentODEForecaster("60D", **FAST).fit(-wave)
    expected = -mirrored.predict_quantiles(times, alpha=[1 - a for a in alpha])
    np.testing.assert_allclose(got, expected, rtol=1e-4)


@pytest.mark.parametrize(
    "transformer",
    [
        PowerTransformer(),
        QuantileTransformer(n_quantiles=20, output_distribution="normal"),
        StandardScaler(),
    ],
)
def test_transformers_of_scikit_learn(transformer: object, wave: pd.Series) -> None:
    """Finite, ordered quantiles far in the tails; NaN stays not observed."""
    data = np.exp(wave - 5).to_frame("a").assign(b=wave)
    data.iloc[::3, 0] = np.nan
    model = ode.LatentODEForecaster("60D", target_transformer=transformer, **FAST).fit(data)
    got = model.predict_quantiles([pd.Timedelta("90D")], alpha=[1e-6, 0.1, 0.9, 1 - 1e-6])
    values = got.to_numpy().reshape(2, 4)
    assert np.isfinite(values).all()
    assert (np.diff(values, axis=1) >= 0).all()


def test_a_transformer_that_rises_and_falls_is_refused(wave: pd.Series) -> None:
    """It has no inverse, and quantiles would be none."""
    square = FunctionTransformer(np.square, np.sqrt, check_inverse=False)
    model = ode.BaselineForecaster("60D", target_transformer=square)
    with pytest.raises(ode.DataError, match=r"rises and falls: it turns the values .* of target"):
        model.fit(wave - wave.mean())


def test_a_transformer_outside_its_domain_is_refused(wave: pd.Series) -> None:
    """The logarithm of a negative value names value and target."""
    log = FunctionTransformer(np.log, np.exp, check_inverse=False)
    model = ode.LatentODEForecaster("60D", target_transformer=log, **FAST)
    with pytest.raises(ode.DataError, match=r"gives nan for the value -\d.* of target 'wave'"):
        model.fit(wave - 6)


def test_pipeline_of_covariates(driven: tuple[pd.DataFrame, pd.Series]) -> None:
    """Transformers act on the covariates; forecasts come out on the asked index."""
    X, y = driven
    pipe = make_pipeline(StandardScaler(), ode.LatentODEForecaster("60D", **FAST))
    pipe.set_output(transform="pandas")
    forecast = pipe.fit(X[:100], y[:100]).predict(X[100:])
    pd.testing.assert_index_equal(forecast.index, X.index[100:])
    assert np.isfinite(pipe.score(X[100:], y[100:]))
    paths = pipe[-1].sample(pipe[:-1].transform(X[100:]), n_samples=2)
    assert len(paths) == 40
    with pytest.raises(ode.DataError, match="set_output"):
        make_pipeline(StandardScaler(), ode.LatentODEForecaster("60D", **FAST)).fit(X, y)


def test_targets_in_an_array_give_an_array(driven: tuple[pd.DataFrame, pd.Series]) -> None:
    """So that regressors that transform their targets work."""
    X, y = driven
    model = ode.LatentODEForecaster("60D", **FAST)
    scaled = TransformedTargetRegressor(model, transformer=StandardScaler())
    forecast = scaled.fit(X[:100], y[:100]).predict(X[100:])
    assert isinstance(forecast, np.ndarray)
    assert forecast.shape == (20,)
    with pytest.raises(ode.DataError, match=r"y is an array of shape \(3,\)"):
        model.fit(X, np.zeros(3))


def test_polars_frames() -> None:
    """The same numbers as from pandas, zones and nulls included."""
    pl = pytest.importorskip("polars")
    dates = pd.date_range("2024-01-01", periods=6, freq="7h", tz="Europe/Berlin", unit="us")
    plain = pd.DataFrame(
        {"when": dates, "who": list("aabbab"), "y": [1.0, np.nan, 3.0, 4.0, 5.0, 6.0]}
    )
    given = pl.DataFrame(
        {
            "when": pl.Series(dates.tz_convert("UTC").tz_localize(None).to_numpy())
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Europe/Berlin"),
            "who": list("aabbab"),
            "y": [1, None, 3, 4, 5, 6],
        }
    )
    panel, schema = read_frame(given, time_col="when", id_col="who")
    expected, _ = read_frame(plain, time_col="when", id_col="who")
    np.testing.assert_array_equal(panel.values, expected.values)
    np.testing.assert_array_equal(panel.times, expected.times)
    assert panel.ids == expected.ids == ("a", "b")
    assert str(schema.tz) == "Europe/Berlin"
    asked = read_queries(given[["when", "who"]], schema, panel)
    assert asked.series.tolist() == [0, 0, 1, 1, 0, 1]


def test_polars_dates_are_midnights() -> None:
    """The stamps of the same days in pandas."""
    pl = pytest.importorskip("polars")
    days = pd.DatetimeIndex(["2024-01-31", "1900-03-01", "2024-02-29"])
    given = pl.DataFrame({"when": [day.date() for day in days], "y": [1.0, 2.0, 3.0]})
    assert given.schema["when"] == pl.Date
    panel, schema = read_frame(given, time_col="when")
    expected, _ = read_frame(pd.Series([1.0, 2.0, 3.0], index=days))
    np.testing.assert_array_equal(panel.times, expected.times)
    assert schema.clock.kind == "datetime"


def test_categories_of_numbers_are_numbers() -> None:
    """Nullable, boolean, integer and categorical columns are read; categories of text are not."""
    frame = pd.DataFrame(
        {
            "a": pd.array([1, None, 3], dtype="Int64"),
            "b": pd.array([True, None, False], dtype="boolean"),
            "c": pd.Categorical([2, 1, 2]),
            "d": np.array([1, 2, 3], dtype=np.uint8),
        }
    )
    panel, _ = read_frame(frame)
    expected = [[1, 1, 2, 1], [np.nan, np.nan, 1, 2], [3, 0, 2, 3]]
    np.testing.assert_array_equal(panel.values, expected)
    with pytest.raises(ode.DataError, match="'c' is not numeric: it holds 'x'"):
        read_frame(frame.assign(c=pd.Categorical(["x", "y", "x"])))


def sited(*sites: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A static covariate, and series about it; NaN is a site that is not known."""
    t = np.arange(20.0)
    values = {i: pd.DataFrame({"y": np.sin(t) + i}, index=t) for i in range(len(sites))}
    known = {i: pd.DataFrame({"site": s}, index=t) for i, s in enumerate(sites)}
    return pd.concat(known), pd.concat(values)


def test_a_series_without_a_static_covariate_leaves_it_static_for_the_others() -> None:
    """It has to be given for that series alone."""
    x, y = sited(0.0, 1.0, np.nan)
    _, schema = read_frame(x, y)
    assert schema.static == (True,)
    panel, _ = read_frame(x, y, schema=schema)
    ahead = pd.MultiIndex.from_product([[0, 1], [22.0]])
    assert read_queries(ahead, schema, panel).inputs.tolist() == [[0.0], [1.0]]
    with pytest.raises(ode.DataError, match="covariate 'site' is not known at 1 of 1"):
        read_queries(pd.MultiIndex.from_tuples([(2, 22.0)]), schema, panel)
    with pytest.raises(ode.DataError, match="every value is NaN"):
        read_frame(*sited(np.nan, np.nan))


def test_what_was_static_in_the_fit_and_varies_in_a_history_has_to_be_given() -> None:
    """Its last value is not held in silence; that of another series is."""
    x, y = sited(0.0, 1.0)
    _, schema = read_frame(x, y)
    x.loc[(1, 5.0) :, "site"] = 3.0
    moved, _ = read_frame(x, y, schema=schema)
    still = pd.MultiIndex.from_tuples([(0, 22.0), (1, 4.0), (1, 6.0)])
    assert read_queries(still, schema, moved).inputs.tolist() == [[0.0], [1.0], [3.0]]
    with pytest.raises(ode.DataError, match="covariate 'site' is not known at 1 of 2"):
        read_queries(pd.MultiIndex.from_product([[0, 1], [22.0]]), schema, moved)
