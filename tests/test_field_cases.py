"""Inputs that broke other tools, each with its right behaviour, by number."""

from __future__ import annotations

import gc
import pickle
import random
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import odeseries as ode
from tests.conftest import FAST

pytestmark = pytest.mark.usefixtures("few_windows")

PARAMS: dict[str, Any] = {**FAST, "seasonality": None, "hidden": 16, "latent_dim": 8}
DAY = 86400


def fitted(data: Any, horizon: Any, **changes: Any) -> ode.LatentODEForecaster:
    """A small model of some data."""
    return ode.LatentODEForecaster(horizon, **{**PARAMS, **changes}).fit(data)


def walk(n: int, seed: int = 0) -> np.ndarray:
    """A random walk."""
    return np.cumsum(np.random.default_rng(seed).standard_normal(n))


def levels(ids: list[Any], level: Any, n: int = 20) -> pd.DataFrame:
    """A panel in which each series stays near its own level."""
    rng = np.random.default_rng(1)
    index = pd.MultiIndex.from_product([ids, np.arange(float(n))], names=["id", "t"])
    values = np.repeat([level(i) for i in ids], n) * (1 + 0.01 * rng.standard_normal(len(index)))
    return pd.DataFrame({"y": values}, index=index)


# Times


def test_case_01_the_unit_of_time_changes_nothing() -> None:
    """An hour of seconds, as dates and as numbers in seconds, days, years and nanoseconds."""
    seconds = np.sort(np.random.default_rng(0).choice(3600, 40, replace=False))
    values = np.sin(seconds / 300)
    ahead = np.array([60.0, 180.0, 360.0])
    dates = pd.Timestamp("2024-03-01") + pd.to_timedelta(seconds, "s")
    model = fitted(pd.Series(values, index=dates), "6min")
    expected = model.predict(dates[-1] + pd.to_timedelta(ahead, "s")).to_numpy()
    for unit in (1.0, 1 / DAY, 1 / (365.25 * DAY), 1e9):
        series = pd.Series(values, index=seconds * unit)
        got = fitted(series, 360 * unit).predict((seconds[-1] + ahead) * unit)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("unit", ["s", "ms", "us"])
def test_case_03_the_resolution_of_dates_changes_nothing(unit: str) -> None:
    """Fitted in one unit and asked in another; the answer keeps the unit that was asked."""
    days = pd.date_range("2024-01-01", periods=30, freq="D", unit="ns")
    later = pd.date_range("2024-02-01", periods=3, freq="D", unit="ns")
    expected = fitted(pd.Series(walk(30), index=days), "3D").predict(later)
    model = fitted(pd.Series(walk(30), index=days.as_unit(unit)), "3D")
    assert model.predict(later).index.unit == "ns"
    got = model.predict(later.as_unit(unit))
    assert got.index.unit == unit
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize("years", [range(1500, 1600), range(3870, 3970)])
def test_case_03_dates_outside_of_the_nanosecond_range(years: range) -> None:
    """Old and far dates are fitted and forecast like others."""
    old = np.array([f"{year}-06-01" for year in years], dtype="datetime64[s]")
    usual = np.array([f"{year - years[0] + 1900}-06-01" for year in years], dtype="datetime64[s]")
    step = pd.Timedelta(366, "D")
    got = fitted(pd.Series(walk(100), index=pd.DatetimeIndex(old)), "3660D").predict([step])
    assert got.index[0] == (pd.DatetimeIndex(old) + step)[-1]
    near = fitted(pd.Series(walk(100), index=pd.DatetimeIndex(usual)), "3660D").predict([step])
    np.testing.assert_allclose(got, near, atol=0.2)


@pytest.mark.parametrize("solver", ["euler", "rk4"])
def test_case_05_a_long_gap_is_crossed_in_bounded_steps(solver: str) -> None:
    """Two years between two months: halving the step moves the forecast by little."""
    days = np.concatenate([np.arange(20.0), np.arange(750.0, 770.0)])
    series = pd.Series(walk(40), index=days)
    forecasts = []
    for step in (0.2, 0.1):
        params = {"dynamics": "mlp", "solver": solver, "solver_params": {"step": step}}
        model = fitted(series, 800.0, max_epochs=1, batch_size=8, **params)
        forecasts.append(model.predict([771.0, 770.0 + 5 * 365]).to_numpy())
    assert np.isfinite(forecasts).all()
    np.testing.assert_allclose(forecasts[0], forecasts[1], atol=0.1 * float(series.std()))


def test_case_05_the_gap_of_the_report() -> None:
    """Decay over times 0, 1, 51: a bounded step gives the right value, not 90,294."""
    times = torch.tensor([[0.0, 1.0, 51.0]], dtype=torch.float64)
    y0 = torch.ones(1, 1, dtype=torch.float64)
    ys = ode.solve(lambda t, y: -y, y0, times, solver="rk4", step=0.1).ys[0, :, 0]
    np.testing.assert_allclose(ys.numpy(), np.exp(-times[0].numpy()), atol=1e-6)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "rk4", "dopri5", "tsit5"])
def test_case_05_a_time_off_the_grid_of_steps(solver: str) -> None:
    """The last time alone, or among others, has one state: no step goes beyond it."""
    y0 = torch.ones(1, 1, dtype=torch.float64)
    step = {} if solver in ("dopri5", "tsit5") else {"step": 0.1}

    def end(*times: float) -> float:
        asked = torch.tensor([times], dtype=torch.float64)
        return float(ode.solve(lambda t, y: -3 * y**2, y0, asked, solver=solver, **step).ys[0, -1])

    assert end(0.0, 0.37) == pytest.approx(
        end(0.0, 0.05, 0.21, 0.37), abs=1e-3 if not step else 1e-9
    )
    assert end(0.0, 0.37) == pytest.approx(1 / (1 + 3 * 0.37), abs=0.06)


@pytest.mark.parametrize(("start", "hours"), [("2022-10-29 22:00", 25), ("2022-03-26 23:00", 23)])
def test_case_07_days_of_25_and_23_hours(start: str, hours: int) -> None:
    """Elapsed time counts: the forecast equals that in UTC, and carries the zone."""
    utc = pd.date_range(start, periods=12, freq="h", tz="UTC")
    asked = utc + pd.Timedelta(hours=12)
    values = walk(12)
    plain = fitted(pd.Series(values, index=utc), "12h").predict(asked)
    local = fitted(pd.Series(values, index=utc.tz_convert("CET")), "12h")
    got = local.predict(asked.tz_convert("CET"))
    np.testing.assert_allclose(got, plain, rtol=1e-6)
    pd.testing.assert_index_equal(got.index, asked.tz_convert("CET"))
    day = pd.Timestamp(start).normalize() + pd.Timedelta("1D")
    whole = pd.date_range(
        day.tz_localize("Europe/Berlin"),
        day.tz_localize("Europe/Berlin") + pd.DateOffset(days=1),
        freq="h",
        inclusive="left",
    )
    assert len(local.predict(whole)) == hours


def test_case_09_equal_and_almost_equal_times() -> None:
    """Conflicts are named; other series, a nanosecond, half a minute and disorder are fine."""
    stamps = pd.DatetimeIndex(["2024-01-01", "2024-01-01", "2024-01-02", "2024-01-01"])
    with pytest.raises(ode.DataError, match=r"two values at one time: 1.0 and 2.0 .*2024-01-01"):
        fitted(pd.Series([1.0, 2.0, 0.0, 3.0], index=stamps), "1D")
    rule = fitted(pd.Series([1.0, 2.0, 0.0, 3.0], index=stamps), "1D", duplicates="mean")
    assert rule.panel_.values[:, 0].tolist() == pytest.approx([2.0, 0.0])
    both = pd.concat({"a": pd.Series(walk(9)), "b": pd.Series(walk(9))})
    assert len(fitted(both, 3).predict([9])) == 2
    close = pd.DatetimeIndex(pd.Timestamp("2024-01-01").as_unit("ns") + pd.to_timedelta([0, 1]))
    assert np.isfinite(fitted(pd.Series([1.0, 2.0], index=close), "1s").predict(close)).all()
    half = pd.date_range("2024-01-01", periods=20, freq="30s")
    series = pd.Series(walk(20), index=half, name="x")
    assert np.unique(fitted(series, "5min").panel_.times).tolist() == list(range(0, 600, 30))
    shuffled = series.sample(frac=1, random_state=0)
    kept = shuffled.copy()
    times = [pd.Timedelta("1min")]
    got = fitted(shuffled, "5min").predict(times)
    pd.testing.assert_series_equal(got, fitted(series, "5min").predict(times))
    pd.testing.assert_series_equal(shuffled, kept)


def test_case_11_missing_times_are_counted_and_placed() -> None:
    """NaT in the data, in the question, and everywhere."""
    index = pd.date_range("2024-01-01", periods=20, freq="D").append(pd.DatetimeIndex([pd.NaT]))
    with pytest.raises(ode.DataError, match=r"1 of 21 .*position 20"):
        fitted(pd.Series(np.arange(21.0), index=index), "3D")
    model = fitted(pd.Series(np.arange(20.0), index=index[:20]), "3D")
    with pytest.raises(ode.DataError, match=r"1 of 2 .*position 1"):
        model.predict([pd.Timestamp("2024-02-01"), pd.NaT])
    with pytest.raises(ode.DataError, match="2 of 2"):
        fitted(pd.Series([1.0, 2.0], index=pd.DatetimeIndex([pd.NaT, pd.NaT])), "3D")


# Values


def test_case_13_channels_without_observations() -> None:
    """Named where nothing was observed at all; harmless in one series or at the end."""
    frame = levels(["p", "q", "r"], lambda i: 3.0).assign(b=1.0)
    with pytest.raises(ode.DataError, match="column 'b': every value is NaN"):
        fitted(frame.assign(b=np.nan), 3)
    empty = frame.copy()
    empty.loc["q"] = np.nan
    with pytest.raises(ode.DataError, match="in 1 of 3 series: 'q'"):
        fitted(empty, 3)
    rng = np.random.default_rng(0)
    partly = frame.assign(b=rng.standard_normal(len(frame)))
    partly.loc["q", "b"] = np.nan
    assert np.isfinite(fitted(partly, 3).predict([21.0]).to_numpy()).all()
    late = partly.copy()
    late.loc[late.index.get_level_values("t") > 14, "b"] = np.nan
    assert np.isfinite(fitted(late, 3).predict([21.0]).to_numpy()).all()


@pytest.mark.parametrize("scale", [1e20, 1e-20])
def test_case_15_extreme_magnitudes(scale: float) -> None:
    """Forecasts scale with the data, in double precision."""
    noise = pd.Series(walk(40))
    plain = fitted(noise, 4).predict_quantiles([41, 43])
    scaled = fitted(noise * scale, 4).predict_quantiles([41, 43])
    np.testing.assert_allclose(scaled / scale, plain, rtol=1e-4)


def test_case_15_a_small_wave_on_a_large_offset() -> None:
    """An amplitude of 1 on a billion is not flattened, nor one channel by another."""
    wave = pd.Series(np.sin(np.arange(80) / 4))
    plain = fitted(wave, 8).predict([80, 83, 86])
    high = fitted(wave + 1e9, 8).predict([80, 83, 86]) - 1e9
    np.testing.assert_allclose(high, plain, atol=1e-3)
    two = pd.DataFrame({"a": 1e-3 * wave, "b": 1e12 * wave})
    both = fitted(two, 8).predict([80, 83, 86])
    assert np.isfinite(both.to_numpy()).all()
    np.testing.assert_allclose(both["a"] * 1e15, both["b"], atol=1e12)


# Series and their ids


def test_case_17_ids_keep_their_own_levels() -> None:
    """Text that sorts otherwise, shuffled rows, numbers, categories, and "1" beside 1."""
    for ids in (["T1", "T2", "T11"], [3, 1, 2], ["1", 1, 2.5]):
        level = dict(zip(ids, (10.0, 100.0, 1000.0), strict=True))
        frame = levels(ids, level.__getitem__).sample(frac=1, random_state=0)
        got = fitted(frame, 3).predict([20.0])["y"]
        assert set(got.index.get_level_values(0)) == set(ids)
        for i in ids:
            assert 0.5 * level[i] < got[(i, 20.0)] < 2 * level[i]


def test_case_17_unused_categories_have_no_rows() -> None:
    """A category without a row is no series; the order asked is the order answered."""
    ids = pd.Categorical(np.repeat(["b", "a"], 15), categories=["x", "a", "b", "z"])
    frame = pd.DataFrame({"id": ids, "t": np.tile(np.arange(15.0), 2), "y": walk(30)})
    model = fitted(frame, 3, time_col="t", id_col="id")
    assert model.panel_.ids == ("b", "a")
    asked = pd.DataFrame({"id": ["a", "b", "a"], "t": [16.0, 15.0, 15.0]}, index=[7, 5, 9])
    got = model.predict(asked)
    assert got["id"].tolist() == ["a", "b", "a"]
    assert got.index.tolist() == [7, 5, 9]


def test_case_19_series_of_one_observation() -> None:
    """The same alone and among others, and finite; no time span is no division by zero."""
    frame = levels([*"abcde"], lambda i: 5.0)
    one = pd.DataFrame({"y": [4.0]}, index=pd.MultiIndex.from_tuples([("f", 2.0)]))
    sparse = levels(["g"], lambda i: 6.0)
    sparse.loc[sparse.index.get_level_values("t") != 3.0] = np.nan
    model = fitted(pd.concat([frame, one, sparse]), 3)
    together = model.predict([25.0])["y"]
    assert np.isfinite(together).all()
    alone = model.predict([25.0], history=one)["y"]
    np.testing.assert_allclose(alone.loc["f"], together.loc["f"], rtol=1e-5)
    assert alone.iloc[0] != 0
    index = pd.MultiIndex.from_product([["a", "b"], [0.0]])
    only = fitted(pd.Series([1.0, 2.0], index=index), 1.0)
    assert np.isfinite(only.predict_quantiles([1.0]).to_numpy()).all()


def test_case_19_two_observations_have_a_sane_forecast() -> None:
    """Between values of the size of the two, not millions."""
    two = pd.Series([10.0, 11.0], index=pd.date_range("2024-01-01", periods=2, freq="D"))
    band = fitted(two, "1D").predict_interval([pd.Timedelta("1D")]).to_numpy()
    assert (np.abs(band - 10.5) < 20).all()


@pytest.mark.parametrize("stochastic", [False, True])
def test_case_21_companions_change_nothing(stochastic: bool, panel: pd.DataFrame) -> None:
    """Medians and seeded paths, alone, among others, and beside a wild neighbour."""
    model = fitted(panel, 2.0, dynamics="mlp")

    def ask(history: pd.DataFrame) -> pd.DataFrame:
        if stochastic:
            return model.sample([11.0, 12.0], history=history, n_samples=3, random_state=5)
        return model.predict([11.0, 12.0], history=history)

    wild = panel.copy()
    wild[wild.index.get_level_values(0) == panel.index[-1][0]] *= 1e6
    first = panel.index[0][0]
    alone = ask(panel.loc[[first]])
    for others in (panel, wild):
        got = ask(others)
        got = got[got.index.get_level_values(-2) == first]
        np.testing.assert_allclose(got, alone, rtol=1e-4, atol=1e-5)


# Questions and answers


def test_case_23_empty_single_and_odd_questions(wave_model: ode.LatentODEForecaster) -> None:
    """Nothing gives nothing, one stamp one row; steps and periods are refused by name."""
    for nothing in ([], pd.DatetimeIndex([])):
        got = wave_model.predict_interval(nothing)
        assert len(got) == 0
        assert isinstance(got.index, pd.DatetimeIndex)
        assert got.columns.nlevels == 3
    stamp = pd.Timestamp("2022-11-01")
    for one in (stamp, stamp.to_datetime64(), "2022-11-01", [stamp], stamp.to_pydatetime()):
        assert wave_model.predict(one).index.tolist() == [stamp]
    several = ["2022-11-01", "2022-11-03", "2022-11-05"]
    assert len(wave_model.predict(several)) == 3
    for count in (0, -3, 5, np.int64(3)):
        with pytest.raises(ode.DataError, match="fitted on dates, but the times in X are numbers"):
            wave_model.predict(count)
    with pytest.raises(ode.DataError, match=r"periods: convert them with \.to_timestamp"):
        wave_model.predict(pd.period_range("2022-11", periods=2, freq="M"))
    for horizon in ("0D", "-3D", 7):
        with pytest.raises(ode.DataError, match="horizon="):
            fitted(wave_model.predict(several), horizon)


def test_case_25_names_and_shapes() -> None:
    """2 channels, 3 series, 7 times, 11 paths: nothing is squeezed, the median is the forecast."""
    index = pd.MultiIndex.from_product([["u", "v", "w"], np.arange(20.0)], names=["who", "t"])
    data = pd.DataFrame({"p": walk(60), "q": walk(60, 1)}, index=index)
    model = fitted(data, 5.0)
    times = [20.0, 20.5, 21.0, 22.0, 23.0, 24.0, 25.0]
    point = model.predict(times)
    assert (point.shape, list(point.columns), point.index.names) == (
        (21, 2),
        ["p", "q"],
        ["who", "t"],
    )
    half = model.predict_quantiles(times, alpha=0.5)
    assert list(half.columns) == [("p", 0.5), ("q", 0.5)]
    np.testing.assert_array_equal(half, point)
    paths = model.sample(times, n_samples=11)
    assert (paths.shape, paths.index.names) == ((231, 2), ["sample", "who", "t"])
    assert model.sample([20.0], n_samples=1).shape == (3, 2)
    single = fitted(pd.Series(walk(30), name="only"), 3).predict([31])
    assert isinstance(single, pd.Series)
    assert single.name == "only"


def test_case_27_seeds_and_global_streams() -> None:
    """Equal seeds, equal numbers, whatever was called before; global streams are not touched."""
    series = pd.Series(walk(40))
    np.random.seed(3)  # noqa: NPY002  # the global stream is what is watched
    torch.manual_seed(3)
    random.seed(3)
    untouched = (np.random.rand(), float(torch.rand(1)), random.random())  # noqa: NPY002, S311  # as above
    np.random.seed(3)  # noqa: NPY002  # as above
    torch.manual_seed(3)
    random.seed(3)
    model = fitted(series, 4)
    first = (model.predict([41]), model.sample([41, 42]), model.predict([41]))
    drawn = (np.random.rand(), float(torch.rand(1)), random.random())  # noqa: NPY002, S311  # as above
    assert drawn == untouched
    other = fitted(series, 4)
    pd.testing.assert_series_equal(other.sample([41, 42]), first[1])
    pd.testing.assert_series_equal(first[0], first[2])
    states = [np.random.RandomState(1), np.random.RandomState(1), None, None]
    got = [fitted(series, 4, random_state=s).predict([41]).iloc[0] for s in states]
    assert got[0] == got[1]
    assert got[2] != got[3]


def test_case_27_threads_do_not_disturb_each_other() -> None:
    """Two fits at once give the numbers of two fits one after another."""
    data = [pd.Series(walk(40, seed)) for seed in (0, 1)]
    alone = [fitted(d, 4).predict([41]).iloc[0] for d in data]
    together: dict[int, float] = {}

    def work(k: int) -> None:
        together[k] = float(fitted(data[k], 4).predict([41]).iloc[0])

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[0], together[1]] == pytest.approx(alone, rel=1e-6)


# Training


class Explosive(ode.Dynamics):
    """Squares its state, so that it blows up in finite time."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.rate = torch.nn.Parameter(torch.ones(dim))

    def forward(self, t: Any, state: Any, inputs: Any = None) -> Any:
        """Growth faster than exponential."""
        return self.rate * 1e3 * state**2


@pytest.mark.parametrize(
    ("solver", "params"), [("rk4", {"n_steps": 20}), ("dopri5", {"rtol": 1e-6, "atol": 1e-6})]
)
def test_case_29_a_blow_up_names_the_step_and_what_to_try(
    solver: str, params: dict[str, Any]
) -> None:
    """A field that can't be integrated ends the fit in an error of the package."""
    series = pd.Series(np.arange(30.0) ** 2)
    with pytest.raises(ode.OdeSeriesError, match=r"epoch 0 .*finite.* try another solver"):
        fitted(series, 6, dynamics=Explosive, solver=solver, solver_params=params, batch_size=4)


def test_case_29_a_failing_series_spares_the_others(panel: pd.DataFrame) -> None:
    """Its rows are NaN, a warning names it, and the others have their forecasts."""
    model = fitted(panel, 2.0, dynamics="mlp")
    ids = panel.index.get_level_values(0).unique()
    expected = model.predict([11.0], history=panel.loc[ids[:3]])
    flow = model._fitted.net.dynamics
    plain = flow.forward

    def failing(t: Any, state: Any, inputs: Any = None) -> Any:
        slope = plain(t, state, inputs)
        first = torch.arange(len(state)) == 1
        return torch.where(first[:, None], torch.nan, slope)

    flow.forward = failing
    with pytest.warns(ode.ConvergenceWarning, match=f"1 of 3 rows.*{ids[1]}"):
        got = model.predict([11.0], history=panel.loc[ids[:3]])
    assert got.loc[ids[1]].isna().all(axis=None)
    rest = [ids[0], ids[2]]
    np.testing.assert_allclose(got.loc[rest], expected.loc[rest], rtol=1e-5)


def test_case_31_the_best_weights_are_kept() -> None:
    """Those of the least recorded loss, also where the last epoch is not the best."""
    series = pd.Series(walk(80))
    model = fitted(series, 8, max_epochs=12, patience=5, learning_rate=0.05)
    first = model.history_[model.history_["phase"] == model.history_["phase"].iloc[0]]
    best = first["held_out_loss"].idxmin()
    assert model._fitted.held_out_loss == first["held_out_loss"][best]
    assert model.n_steps_ == first["step"][best]
    blind = fitted(series, 8, validation_fraction=0, n_steps=3)
    assert blind.history_["held_out_loss"].isna().all()


def test_case_33_fits_leave_nothing_behind() -> None:
    """No tensor and no estimator stays over fits, and histories hold plain numbers."""
    series = pd.Series(walk(30))

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())

    model = fitted(series, 4, max_epochs=1)
    before = tensors()
    for _ in range(4):
        model = fitted(series, 4, max_epochs=1)
    assert tensors() <= before
    assert all(dtype.kind in "ifOU" or dtype == "str" for dtype in model.history_.dtypes)
    numbers = [x for r in model._fitted.records for name, x in r.items() if name != "phase"]
    assert all(type(x) in (float, int) for x in numbers)
    gone = weakref.ref(model)
    del model
    assert tensors() < before
    assert gone() is None


def test_case_39_files_travel_between_machines(
    wave_model: ode.LatentODEForecaster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loaded without a GPU where there is none; asked for one, the error says so."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wave_model.save(tmp_path / "model")
    asked = [pd.Timedelta("9D")]
    got = ode.load(tmp_path / "model", device="auto").predict(asked)
    pd.testing.assert_series_equal(got, wave_model.predict(asked))
    with pytest.raises(ValueError, match="no such GPU is usable here"):
        ode.load(tmp_path / "model", device="cuda")
    again = pickle.loads(pickle.dumps(wave_model))  # noqa: S301  # of our own making
    pd.testing.assert_series_equal(again.predict(asked), got)
    with pytest.raises(ValueError, match="no such GPU is usable here"):
        fitted(pd.Series(walk(20)), 3, device="cuda")


# Channels


def test_case_47_channels_at_different_times() -> None:
    """Only what was observed counts: masked values and rows without any change nothing."""
    times = np.arange(60.0)
    frame = pd.DataFrame({"a": walk(60), "b": walk(60, 1)}, index=times)
    frame["a"] = frame["a"].where(times % 2 == 0)
    frame["b"] = frame["b"].where(times % 2 == 1)
    expected = fitted(frame, 6).predict([61.0, 63.0])
    assert np.isfinite(expected.to_numpy()).all()
    holes = pd.DataFrame(np.nan, index=[10.5, 33.25], columns=["a", "b"])
    got = fitted(pd.concat([frame, holes]), 6).predict([61.0, 63.0])
    pd.testing.assert_frame_equal(got, expected)
    pieces = pd.concat([frame[["a"]].dropna(), frame[["b"]].dropna()])
    pd.testing.assert_frame_equal(fitted(pieces, 6).predict([61.0, 63.0]), expected)
    sparse = frame.where(np.random.default_rng(0).random(frame.shape) < 0.2)
    assert np.isfinite(fitted(sparse, 6).predict([61.0]).to_numpy()).all()
