"""Laws of fitting, forecasting, sampling and scoring."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import odeseries as ode
from odeseries.nets import Perceptron
from tests.conftest import FAST

pytestmark = pytest.mark.usefixtures("few_windows")

YEAR = 365.25 * 86400.0
BRIEF = FAST | {"validation_fraction": 0, "n_steps": 3}


def ahead(series: pd.Series, n: int = 7) -> pd.Index:
    """Times past the end of a series."""
    return ode.future_times(series, "60D", n=n)


def test_forecasts_do_not_depend_on_the_unit_of_numeric_times() -> None:
    """Seconds, days, years and nanoseconds give the same forecast to 1e-4 (field case 1)."""
    rng = np.random.default_rng(0)
    seconds = np.sort(rng.choice(np.arange(1, 360_000), 60, replace=False)) * 10
    values = np.sin(seconds / 4e5) + 0.1 * rng.standard_normal(60)
    stamps = {
        1.0: seconds.astype(np.float64),
        86400.0: seconds / 86400,
        YEAR: seconds / YEAR,
        1e-9: seconds * 1_000_000_000,
    }
    forecasts = []
    for unit, times in stamps.items():
        series = pd.Series(values, index=times)
        model = ode.LatentODEForecaster(3e5 / unit, **FAST).fit(series)
        asked = [times[-1] + round(s / unit, 12) for s in (1e5, 2e5, 3e5)]
        forecasts.append(model.predict(asked).to_numpy())
    for other in forecasts[1:]:
        np.testing.assert_allclose(other, forecasts[0], rtol=1e-4)


def test_warped_stamps_change_the_forecast(wave: pd.Series) -> None:
    """The same values at other times are another series."""
    regular = wave.set_axis(pd.date_range("2020-01-01", periods=len(wave), freq="7D"))
    steps = np.cumsum(np.linspace(0.2, 1.8, len(wave)))
    warped = wave.set_axis(regular.index[0] + pd.to_timedelta(steps * 7, "D"))
    first, second = (
        ode.LatentODEForecaster("60D", **BRIEF).fit(s).predict([pd.Timedelta("30D")])
        for s in (regular, warped)
    )
    assert abs(first.iloc[0] - second.iloc[0]) > 1e-3


def test_forecasts_follow_an_affine_change_of_the_values(
    wave: pd.Series, wave_model: ode.LatentODEForecaster
) -> None:
    """``a y + b`` is forecast as ``a`` times the forecast plus ``b``, also on a huge offset."""
    model = ode.LatentODEForecaster("60D", **FAST).fit(1e3 * wave + 1e6)
    expected = 1e3 * wave_model.predict(ahead(wave)) + 1e6
    np.testing.assert_allclose(model.predict(ahead(wave)), expected, atol=1.0)


def test_a_shift_in_time_shifts_the_forecast(wave: pd.Series) -> None:
    """Without calendar periods nothing knows the date."""
    later = wave.set_axis(wave.index + pd.Timedelta("1234D"))
    models = [
        ode.LatentODEForecaster("60D", seasonality=None, **FAST).fit(s) for s in (wave, later)
    ]
    first = models[0].predict(ahead(wave))
    second = models[1].predict(ahead(later))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_equal_seeds_give_equal_forecasts_and_leave_global_generators_alone(
    wave: pd.Series, wave_model: ode.LatentODEForecaster
) -> None:
    """Fitting and sampling use generators of their own (field case 27)."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  # the global generator is what is tested
    random.seed(3)
    before = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002, S311  # same
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002  # same
    random.seed(3)
    again = ode.LatentODEForecaster("60D", **FAST).fit(wave)
    again.sample(ahead(wave), n_samples=3)
    after = torch.rand(1).item(), np.random.rand(), random.random()  # noqa: NPY002, S311  # same
    assert before == after
    pd.testing.assert_series_equal(again.predict(ahead(wave)), wave_model.predict(ahead(wave)))


def test_rows_come_back_in_the_order_asked(
    wave: pd.Series, wave_model: ode.LatentODEForecaster
) -> None:
    """Past, between, future, repeated and unsorted: one row each, the index as given."""
    asked = ahead(wave, 3)[[2, 0, 2]].append(wave.index[[5, 0]] - pd.Timedelta("1h"))
    out = wave_model.predict(asked)
    pd.testing.assert_index_equal(out.index, asked)
    assert out.name == "wave"
    assert out.iloc[0] == out.iloc[2]
    assert np.isfinite(out).all()


def test_empty_questions_have_empty_answers(wave_model: ode.LatentODEForecaster) -> None:
    """Nothing asked, nothing returned, in the right shape (field case 23)."""
    none = pd.DatetimeIndex([])
    assert len(wave_model.predict(none)) == 0
    assert wave_model.predict_interval(none, coverage=[0.5, 0.9]).shape == (0, 4)


def test_the_median_is_the_forecast_and_quantiles_never_cross(
    panel_model: ode.LatentODEForecaster,
) -> None:
    """Field case 25."""
    times = [5.0, 10.5, 12.0]
    alphas = [0.01, 0.2, 0.5, 0.6, 0.999]
    quantiles = panel_model.predict_quantiles(times, alpha=alphas)
    median = panel_model.predict(times)
    for target in ("x", "y"):
        np.testing.assert_allclose(quantiles[target, 0.5], median[target])
        assert (np.diff(quantiles[target].to_numpy(), axis=1) >= 0).all()


def test_a_forecast_does_not_depend_on_its_companions(
    panel: pd.DataFrame, panel_model: ode.LatentODEForecaster
) -> None:
    """Alone or with all other series and times (field case 21)."""
    times = [1.0, 4.2, 10.5, 11.0]
    together = panel_model.predict(times)
    alone = panel_model.predict(pd.MultiIndex.from_product([[3], times], names=["series", "time"]))
    np.testing.assert_allclose(together.loc[3], alone.loc[3], atol=1e-5)
    one = pd.MultiIndex.from_tuples([(3, 10.5)], names=["series", "time"])
    np.testing.assert_allclose(panel_model.predict(one), alone.loc[[(3, 10.5)]], atol=1e-5)


def test_what_can_not_be_reached_takes_nothing_near_along(wave: pd.Series) -> None:
    """A row too far away for the solver's steps is NaN; the rows asked with it are forecast."""
    model = ode.ODERNNForecaster("60D", **BRIEF).fit(wave)
    near, far = (wave.index[-1] + pd.Timedelta(days=d) for d in (20, 70_000))
    with pytest.warns(ode.ConvergenceWarning, match="1 of 2 rows"):
        both = model.predict([near, far])
    np.testing.assert_allclose(both[near], model.predict([near]).iloc[0], rtol=1e-5)
    assert np.isnan(both[far])
    with pytest.warns(ode.ConvergenceWarning, match="1 of 2 rows"):
        assert np.isfinite(model.sample([near, far], n_samples=3).loc[(slice(None), near)]).all()


@pytest.mark.parametrize("forecaster", [ode.ODERNNForecaster, ode.NeuralODEForecaster])
def test_series_with_a_gap_of_thousands_of_horizons_are_forecast(
    wave: pd.Series, forecaster: type[ode.BaseForecaster]
) -> None:
    """Steps over it would be more than a solver takes, and would tell nothing."""
    half = len(wave) // 2
    later = wave.index[half:] + pd.Timedelta(days=70_000)
    series = wave.set_axis(wave.index[:half].append(later))
    model = forecaster("60D", **BRIEF).fit(series)
    assert np.isfinite(model.predict(later[10:20] + pd.Timedelta("1h"))).all()
    assert int(model.history_["skipped"].sum()) == 0


def test_intervals_far_beyond_the_horizon_keep_their_width(wave: pd.Series) -> None:
    """They are as wide as a few horizons ahead: how far it is is not told apart any more."""
    model = ode.LatentODEForecaster("60D", **FAST).fit(wave)
    leads = [pd.Timedelta(days=d) for d in (180, 6_000, 60_000)]
    bounds = model.predict_interval(leads, coverage=0.9).to_numpy()
    few, *many = bounds[:, 1] - bounds[:, 0]
    assert all(few / 2 < width < 2 * few for width in many)
    assert np.abs(bounds - wave.mean()).max() < 2 * np.ptp(wave)


def test_ids_are_labels_only(panel: pd.DataFrame, panel_model: ode.LatentODEForecaster) -> None:
    """A series under a new name, given as history, has the forecast of the old one."""
    renamed = panel.loc[[4]].rename(index={4: "new"}, level=0)
    asked = pd.MultiIndex.from_product([["new"], [10.5, 11.0]], names=["series", "time"])
    known = pd.MultiIndex.from_product([[4], [10.5, 11.0]], names=["series", "time"])
    new = panel_model.predict(asked, history=renamed)
    np.testing.assert_allclose(new, panel_model.predict(known), atol=1e-5)


def test_the_order_of_rows_and_unobserved_rows_change_nothing(panel: pd.DataFrame) -> None:
    """Shuffled rows and a row in which nothing was observed are the same panel (case 47)."""
    shuffled = panel.sample(frac=1.0, random_state=0)
    order = [panel.index.get_level_values(0)[0]]
    first_ids = shuffled.loc[order]
    rest = shuffled.drop(index=order, level=0)
    shuffled = pd.concat([first_ids, rest]).sort_index(level=0, sort_remaining=False, kind="stable")
    empty = pd.DataFrame(
        np.nan, columns=panel.columns, index=pd.MultiIndex.from_tuples([(0, 3.333)])
    ).rename_axis(panel.index.names)
    models = [
        ode.LatentODEForecaster(2.0, **FAST).fit(f) for f in (panel, pd.concat([shuffled, empty]))
    ]
    first, second = (m.predict([10.5]) for m in models)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_an_unknown_series_needs_a_history(panel_model: ode.LatentODEForecaster) -> None:
    """The error names the series and the remedy."""
    asked = pd.MultiIndex.from_tuples([("nobody", 10.5)], names=["series", "time"])
    with pytest.raises(ode.DataError, match=r"nobody.*history"):
        panel_model.predict(asked)


def test_short_histories_have_finite_forecasts(
    panel: pd.DataFrame, panel_model: ode.LatentODEForecaster
) -> None:
    """One observed value is enough to be asked (field case 19)."""
    one = panel.loc[[2]].iloc[[4]]
    asked = pd.MultiIndex.from_tuples([(2, 9.0)], names=["series", "time"])
    assert np.isfinite(panel_model.predict_quantiles(asked, history=one)).all(axis=None)


def test_samples_are_joint_paths_with_the_predicted_marginals(
    panel: pd.DataFrame, panel_model: ode.LatentODEForecaster
) -> None:
    """Seeded, independent of other series, and spread as the quantiles say."""
    times = [10.2, 10.4, 11.5]
    paths = panel_model.sample(times, n_samples=2000)
    assert list(paths.index.names) == ["sample", "series", "time"]
    quantiles = panel_model.predict_quantiles(times, alpha=[0.1, 0.9])
    low, high = quantiles["x", 0.1].loc[3].to_numpy(), quantiles["x", 0.9].loc[3].to_numpy()
    x = paths["x"].xs(3, level="series").to_numpy().reshape(2000, 3)
    assert np.abs(((x >= low) & (x <= high)).mean(0) - 0.8).max() < 0.04
    only = pd.MultiIndex.from_product([[3], times], names=["series", "time"])
    alone = panel_model.sample(only, n_samples=2000)
    np.testing.assert_allclose(alone["x"].to_numpy().reshape(2000, 3), x, atol=1e-4)
    other = panel_model.sample(only, n_samples=2000, random_state=1)
    assert not np.allclose(other["x"].to_numpy(), alone["x"].to_numpy())


def test_paths_reach_as_far_as_the_quantiles(panel_model: ode.LatentODEForecaster) -> None:
    """Also where one in five hundred lies, on either side."""
    only = pd.MultiIndex.from_product([[3], [11.5]], names=["series", "time"])
    x = panel_model.sample(only, n_samples=20_000)["x"].to_numpy()
    low, high = panel_model.predict_quantiles(only, alpha=[0.002, 0.998])["x"].to_numpy()[0]
    for share in ((x < low).mean(), (x > high).mean()):
        assert share == pytest.approx(0.002, abs=4 * np.sqrt(0.002 / 20_000))
    assert (x == x.max()).mean() < 0.001


def by_time(paths: pd.DataFrame) -> pd.DataFrame:
    """One row a time, one column a path."""
    table = paths["x"].reset_index()
    return table.pivot_table(index="time", columns="sample", values="x")


def test_asking_for_more_times_leaves_the_law_of_the_others(
    panel_model: ode.LatentODEForecaster,
) -> None:
    """Ranks of a path at a time are uniform, whatever else is asked for."""
    index = pd.MultiIndex.from_product([[3], [10.2, 11.5]], names=["series", "time"])
    more = pd.MultiIndex.from_product(
        [[3], np.sort(np.append(np.linspace(10.1, 12, 15), [10.2, 11.5]))], names=["series", "time"]
    )
    few = by_time(panel_model.sample(index, n_samples=3000))
    many = by_time(panel_model.sample(more, n_samples=3000)).loc[few.index]
    for level in (0.1, 0.5, 0.9):
        cut = few.quantile(level, axis=1)
        assert np.abs(many.lt(cut, axis=0).mean(axis=1) - level).max() < 0.03
    assert np.abs(few.T.corr().iloc[0, 1] - many.T.corr().iloc[0, 1]) < 0.08


def test_the_score_is_the_skill_against_climatology(
    wave: pd.Series, panel: pd.DataFrame, panel_model: ode.LatentODEForecaster
) -> None:
    """Below 1; above 0 for a learned wave; defined for unseen series, alone or among others."""
    model = ode.LatentODEForecaster("60D", random_state=0, max_epochs=25).fit(wave.iloc[:120])
    assert 0.3 < model.score(wave.iloc[120:135]) < 1
    unseen = panel.rename(index=lambda i: f"new {i}", level=0)
    assert panel_model.score(unseen) < 1


def test_the_score_merges_equal_stamps_by_the_rule_of_the_fit(wave: pd.Series) -> None:
    """As does the grid search of scikit-learn, which scores what it is given."""
    model = ode.BaselineForecaster("60D", method="last", duplicates="mean", random_state=0)
    twice = pd.concat([wave + 0.1, wave - 0.1])
    model.fit(twice)
    assert model.score(twice) == pytest.approx(model.score(wave))
    with pytest.raises(ode.DataError, match="duplicates"):
        model.set_params(duplicates="error").score(twice)


@pytest.mark.parametrize("dynamics", ["linear", "mlp"])
@pytest.mark.parametrize("encoder", ["gru", "ode_rnn"])
@pytest.mark.parametrize("head", ["quantile", "gaussian"])
def test_every_combination_forecasts(
    panel: pd.DataFrame, dynamics: str, encoder: str, head: str
) -> None:
    """Each part works with each other one."""
    model = ode.LatentODEForecaster(
        2.0, dynamics=dynamics, encoder=encoder, head=head, **BRIEF
    ).fit(panel)
    assert np.isfinite(model.predict([5.0, 11.0])).all(axis=None)


@pytest.mark.parametrize("dynamics", ["linear", "mlp"])
def test_the_ode_rnn_forecasts(panel: pd.DataFrame, dynamics: str) -> None:
    """The state of the filter flows on to the query."""
    model = ode.ODERNNForecaster(2.0, dynamics=dynamics, **BRIEF).fit(panel)
    assert np.isfinite(model.predict([5.0, 11.0])).all(axis=None)


@pytest.mark.parametrize("dynamics", ["linear", "mlp"])
def test_the_evidence_bound_trains(panel: pd.DataFrame, dynamics: str) -> None:
    """The paper's objective lowers its own loss, by more than the draws of an epoch tell."""
    length = {"validation_fraction": 0, "n_steps": 16, "batch_size": 160, "learning_rate": 1e-2}
    model = ode.LatentODEForecaster(
        2.0, dynamics=dynamics, head="gaussian", objective="elbo", **FAST | length
    ).fit(panel)
    losses = model.history_["loss"]
    assert losses.iloc[-1] < losses.iloc[0] - 0.3
    assert np.isfinite(model.predict([11.0])).all(axis=None)


def test_the_evidence_bound_needs_a_likelihood(panel: pd.DataFrame) -> None:
    """A combination that makes no sense says why."""
    with pytest.raises(ValueError, match="needs a likelihood"):
        ode.LatentODEForecaster(2.0, objective="elbo", **FAST).fit(panel)


class Pendulum(ode.Dynamics):
    """Pairs of angle and velocity with a learned force."""

    def __init__(self, dim: int, *, damping: float = 0.1) -> None:
        super().__init__(dim)
        self.damping = damping
        self.force = Perceptron((dim // 2, 16, dim // 2), torch.nn.Tanh)

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Velocity and acceleration."""
        angle, velocity = state.chunk(2, -1)
        return torch.cat([velocity, self.force(angle) - self.damping * velocity], -1)


@pytest.mark.parametrize("name", ["class", "local"])
def test_dynamics_of_ones_own(wave: pd.Series, name: str) -> None:
    """By class, or by the name that it was registered under."""
    ode.register(Pendulum, name="pendulum")
    dynamics = Pendulum if name == "class" else "local:pendulum"
    model = ode.LatentODEForecaster(
        "60D", dynamics=dynamics, dynamics_params={"damping": 0.2}, latent_dim=4, **BRIEF
    ).fit(wave)
    assert np.isfinite(model.predict(ahead(wave))).all()


def test_probabilities_lie_between_zero_and_one(wave_model: ode.LatentODEForecaster) -> None:
    """90 is refused with a hint."""
    with pytest.raises(ValueError, match=r"Did you mean 0\.9"):
        wave_model.predict_interval([pd.Timedelta("1D")], coverage=90)


@pytest.mark.parametrize(
    "options",
    [{"n_samples": n} for n in (0, 2.5, True)] + [{"random_state": s} for s in (-1, 0.5, True)],
)
def test_numbers_of_paths_and_seeds_are_whole(
    wave_model: ode.LatentODEForecaster, options: dict[str, Any]
) -> None:
    """The argument is named."""
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}={options[name]} must be a whole number"):
        wave_model.sample([pd.Timedelta("1D")], **options)


def test_a_generator_is_a_source_of_seeds(wave_model: ode.LatentODEForecaster) -> None:
    """Equal ones give equal paths, the next draw of one other paths; a numpy integer is a seed."""
    generators = [np.random.RandomState(0), np.random.RandomState(0)]

    def draw(seed: Any) -> pd.Series:
        return wave_model.sample([pd.Timedelta("1D")], n_samples=3, random_state=seed)

    first, same = (draw(generator) for generator in generators)
    pd.testing.assert_series_equal(first, same)
    assert not first.equals(draw(generators[0]))
    pd.testing.assert_series_equal(draw(3), draw(np.int64(3)))


def test_an_unfitted_model_says_so() -> None:
    """scikit-learn's error."""
    with pytest.raises(NotFittedError):
        ode.LatentODEForecaster().predict([1.0])


def test_parameters_clone_and_pickle(wave: pd.Series, wave_model: ode.LatentODEForecaster) -> None:
    """A clone has the parameters, a pickle also the forecasts."""
    assert clone(wave_model).get_params() == wave_model.get_params()
    again = pickle.loads(pickle.dumps(wave_model))  # noqa: S301  # our own bytes
    pd.testing.assert_series_equal(again.predict(ahead(wave)), wave_model.predict(ahead(wave)))


def test_dates_are_not_numbers(wave_model: ode.LatentODEForecaster) -> None:
    """A number asked of a model of dates is refused."""
    with pytest.raises(ode.DataError, match="dates"):
        wave_model.predict([3.0])


def test_constant_series_are_forecast_as_constant() -> None:
    """A channel without variance divides nothing by zero."""
    series = pd.Series(3.0, index=np.arange(40.0))
    model = ode.LatentODEForecaster(3.0, **FAST).fit(series)
    np.testing.assert_allclose(model.predict([41.0, 10.5]), 3.0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e20, 1e-20])
def test_extreme_magnitudes_keep_their_scale(scale: float) -> None:
    """Statistics are taken in double precision (field case 15)."""
    rng = np.random.default_rng(0)
    series = pd.Series(scale * rng.standard_normal(60), index=np.arange(60.0))
    model = ode.LatentODEForecaster(5.0, **FAST).fit(series)
    width = model.predict_interval([62.0], coverage=0.8).diff(axis=1).iloc[0, 1]
    assert 0.5 * scale < width < 8 * scale


def test_a_constant_target_has_no_part_in_the_score() -> None:
    """What is foretold without an error by anything tells nothing of the skill."""
    t = np.arange(60.0)
    frame = pd.DataFrame({"a": np.sin(t / 3), "stuck": 1.0, "off": 0.0}, index=t)
    plain = ode.BaselineForecaster(5.0, method="last", random_state=0)
    train, test = frame[frame.index < 50], frame[frame.index >= 50]
    asked = (train, train[["a"]], train[["stuck"]], train[["off"]])
    both, alone, stuck, off = (clone(plain).fit(one) for one in asked)
    np.testing.assert_allclose(both.score(test), alone.score(test[["a"]]), atol=1e-6)
    np.testing.assert_allclose(stuck.score(test[["stuck"]]), 0.0, atol=1e-6)
    assert off.score(test[["off"]]) == 0.0
    assert stuck.score(test[["stuck"]] + 1.0) < 0.1, "a change after the training counts"


def test_the_length_is_chosen_by_a_network_built_as_the_final_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are told of all series, also of those that are held out at first."""
    told: list[int] = []
    build = ode.BaselineForecaster.build

    def noting(self: ode.BaselineForecaster, spec: ode.Spec) -> ode.Model:
        told.append(spec.n_series)
        return build(self, spec)

    monkeypatch.setattr(ode.BaselineForecaster, "build", noting)
    series = pd.Series(np.sin(np.arange(12.0)))
    frame = pd.concat(dict.fromkeys(range(8), series))
    ode.BaselineForecaster(2.0, method="last", random_state=0).fit(frame)
    assert told == [8, 8]


@pytest.mark.parametrize("levels", [[], [[0.1, 0.5]], {0.1}, "0.5", None, [0.1, [0.2]]])
def test_levels_are_probabilities(wave: pd.Series, levels: Any) -> None:
    """One or several; what is none is named."""
    model = ode.BaselineForecaster("60D", method="last").fit(wave)
    asked = ahead(wave, 2)
    with pytest.raises(ValueError, match=r"alpha=.* must be a probability or a list of prob"):
        model.predict_quantiles(asked, alpha=levels)
    with pytest.raises(ValueError, match=r"coverage=.* must be a probability or a list of prob"):
        model.predict_interval(asked, coverage=levels)


def test_periods_of_an_encoder_may_be_an_array(panel: pd.DataFrame) -> None:
    """Or any other sequence of lengths."""
    models = [
        ode.LatentODEForecaster(2.0, encoder_periods=given, **BRIEF).fit(panel)
        for given in ([1.0, 3.0], np.array([1.0, 3.0]))
    ]
    one, other = (model.predict([11.0]) for model in models)
    pd.testing.assert_frame_equal(one, other)


def test_one_column_is_not_time_and_id(panel: pd.DataFrame) -> None:
    """It is said where it is asked for."""
    model = ode.BaselineForecaster(2.0, time_col="time", id_col="time")
    with pytest.raises(ode.DataError, match="time_col and id_col are both 'time'"):
        model.fit(panel.reset_index())


@pytest.mark.parametrize("lengths", [[2, 1, 1, 1], [3] + [1] * 20])
@pytest.mark.parametrize(
    "kind", [ode.BaselineForecaster, ode.BoostedForecaster, ode.ForestForecaster]
)
def test_series_of_a_row_have_intervals_as_wide_as_they_differ(
    kind: Any, lengths: list[int]
) -> None:
    """The few histories that there are, drawn many times, are no more than they are."""
    values = np.random.default_rng(0).normal(5.0, 2.0, sum(lengths))
    ids = np.repeat(np.arange(len(lengths)), lengths)
    times = np.concatenate([np.arange(float(n)) for n in lengths])
    data = pd.DataFrame({"y": values}, index=[ids, times])
    model = kind(2.0, random_state=0).fit(data)
    width = np.diff(model.predict_interval([4.0, 5.0], coverage=0.9), axis=1)
    assert (width > values.std()).all()


def test_a_target_that_was_observed_once_is_named() -> None:
    """Its intervals have no width; the other target has one."""
    index = pd.MultiIndex.from_product([range(4), [0.0]])
    data = pd.DataFrame({"a": [1.0, 2.0, 4.0, 3.0], "b": [5.0] + [np.nan] * 3}, index=index)
    with pytest.warns(UserWarning, match="One value alone was observed of the target 'b'"):
        model = ode.BaselineForecaster(1.0, method="channels", random_state=0).fit(data)
    low, high, *_ = model.predict_interval([1.0]).to_numpy().T
    assert (high - low > 1).all()
