"""scikit-learn's rules for estimators, rerun on pandas fixtures."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.utils import estimator_checks

import odeseries as ode
from odeseries import plugins

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {
    "max_epochs": 1,
    "n_rows": 8,
    "n_lags": 2,
    "hidden": 8,
    "seasonality": None,
    "random_state": 0,
}
BRIEF = TINY | {"validation_fraction": 0, "n_steps": 3}


class OnFrames(ode.LatentODEForecaster):
    """Puts the arrays of scikit-learn's checks into frames, row by row one unit of time."""

    def fit(self, X: Any, y: Any = None) -> OnFrames:
        """Fit on covariates and targets."""
        return super().fit(_framed(X), None if y is None else np.asarray(y, dtype=np.float64))

    def predict(self, X: Any, history: Any = None) -> Any:
        """Forecast at the rows."""
        return super().predict(_framed(X), history)

    def score(self, X: Any, y: Any = None) -> float:
        """Score the rows."""
        return super().score(_framed(X), y)


def _framed(X: Any) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        return X.reset_index(drop=True)
    return pd.DataFrame(np.asarray(X), index=pd.RangeIndex(len(X)))


@pytest.mark.filterwarnings("ignore")  # scikit-learn's checks warn of their own
@pytest.mark.parametrize(
    "name",
    [
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_fit_score_takes_y",
        "check_estimators_overwrite_params",
        "check_dont_overwrite_parameters",
        "check_estimators_fit_returns_self",
        "check_readonly_memmap_input",
        "check_estimators_unfitted",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_mixin_order",
        "check_positive_only_tag_during_fit",
        "check_estimators_dtypes",
        "check_pipeline_consistency",
        "check_estimators_pickle",
        "check_f_contiguous_array_estimator",
        "check_parameters_default_constructible",
        "check_fit2d_1sample",
        "check_fit2d_1feature",
        "check_get_params_invariance",
        "check_set_params",
        "check_dict_unchanged",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
        "check_n_features_in",
        "check_estimator_cloneable",
    ],
)
def test_check_of_scikit_learn(name: str) -> None:
    """One of scikit-learn's own checks."""
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip("this version of scikit-learn has no such check")
    check("OnFrames", clone(OnFrames(latent_dim=4, **TINY)))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"max_epochs": 0}, r"'max_epochs' parameter of LatentODEForecaster must be an int"),
        ({"max_epochs": 2.5}, r"'max_epochs' .* must be an int .* Got 2.5 instead"),
        ({"learning_rate": -1.0}, r"'learning_rate' .* in the range \(0"),
        ({"validation_fraction": 1.0}, r"'validation_fraction' .* in the range \[0"),
        ({"head": "cauchy"}, r"'head' .* must be a str among \{.*'gaussian'"),
        ({"encoder": "lstm"}, r"'encoder' .* must be a str among"),
        ({"objective": "mse"}, r"'objective' .* must be a str among"),
        ({"duplicates": "first"}, r"'duplicates' .* must be a str among"),
        ({"n_lags": 0}, r"'n_lags' .* must be an int in the range \[1"),
        ({"target_transformer": "log"}, r"'target_transformer' .* object implementing 'fit'"),
        ({"random_state": "x"}, "'random_state'"),
        ({"seasonality": "yearly"}, "seasonality='yearly'"),
        ({"seasonality": pd.Timedelta("7D")}, "give 'auto', None or a list of periods"),
        ({"dynamics_params": {"slowest": 1}}, "has 'slowest', but Linear takes 'fastest'"),
        ({"dynamics_params": {"n_inputs": 1}}, "has 'n_inputs', but Linear takes 'fastest'"),
        ({"solver_params": {"steps": 3}}, "has 'steps', but a solver takes 'step', 'n_steps'"),
        ({"device": "tpu"}, "device='tpu'"),
    ],
)
def test_parameters_are_checked_in_fit(
    params: dict[str, Any], message: str, wave: pd.Series
) -> None:
    """The constructor takes anything; fit says what is wrong in scikit-learn's words."""
    model = ode.LatentODEForecaster("60D", **params)
    with pytest.raises(ValueError, match=message):
        model.fit(wave)


@pytest.mark.parametrize("name", ["ode_rnn", "neural_ode", "latent_sde"])
def test_options_that_no_solver_has_are_refused(name: str, wave: pd.Series) -> None:
    """By every forecaster that integrates."""
    cls = plugins.get("forecaster", name)
    with pytest.raises(ValueError, match="solver_params has 'tol', but a solver takes 'step'"):
        cls("60D", solver_params={"tol": 1e-3}, max_epochs=1, random_state=0).fit(wave)


@pytest.mark.parametrize("history", [(), (1, 2, 3)])
def test_a_history_of_other_than_two_parts_is_refused(
    history: Any, wave: pd.Series, wave_model: ode.LatentODEForecaster
) -> None:
    """A tuple is (X, y)."""
    with pytest.raises(ode.DataError, match=rf"history is a tuple of {len(history)}: give"):
        wave_model.predict(ode.future_times(wave, "30D", n=3), history=history)


def test_refit_is_afresh(wave: pd.Series, panel: pd.DataFrame) -> None:
    """A model that was fitted on something else gives the forecast of a new one."""
    model = ode.ODERNNForecaster(**BRIEF).fit(panel)
    model.fit(wave)
    times = ode.future_times(wave, "30D", n=3)
    fresh = ode.ODERNNForecaster(**BRIEF).fit(wave)
    pd.testing.assert_series_equal(model.predict(times), fresh.predict(times))


def test_copies_forecast_the_same(wave: pd.Series, wave_model: ode.LatentODEForecaster) -> None:
    """Deepcopy and pickle keep the fit, clone keeps the parameters only."""
    times = ode.future_times(wave, "30D", n=3)
    expected = wave_model.sample(times, n_samples=3)
    for other in (copy.deepcopy(wave_model), pickle.loads(pickle.dumps(wave_model))):  # noqa: S301  # of our own making
        pd.testing.assert_series_equal(other.sample(times, n_samples=3), expected)
    assert not any(name.endswith("_") for name in vars(clone(wave_model)))


def test_pickle_in_a_fresh_process(
    wave: pd.Series, wave_model: ode.LatentODEForecaster, tmp_path: Path
) -> None:
    """Another process that imported nothing else forecasts the same numbers."""
    times = ode.future_times(wave, "30D", n=3)
    (tmp_path / "in").write_bytes(pickle.dumps((wave_model, times)))
    code = (
        "import pickle, sys; m, t = pickle.load(open(sys.argv[1] + '/in', 'rb')); "
        "m.predict_quantiles(t).to_pickle(sys.argv[1] + '/out')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=120)  # noqa: S603  # our own code
    got = pd.read_pickle(tmp_path / "out")  # noqa: S301  # of our own making
    pd.testing.assert_frame_equal(got, wave_model.predict_quantiles(times))


def test_feature_names(wave: pd.Series, panel_model: ode.LatentODEForecaster) -> None:
    """Columns of X: covariates where there are targets in y, channels otherwise."""
    assert panel_model.n_features_in_ == len(panel_model.feature_names_in_)
    X = pd.DataFrame({"u": wave * 0, "v": wave})
    model = ode.LatentODEForecaster("60D", **BRIEF).fit(X, wave)
    assert model.feature_names_in_.tolist() == ["u", "v"]


def test_grid_search_over_time(wave: pd.Series) -> None:
    """TimeSeriesSplit on one series; the best parameters are refitted on all of it."""
    search = GridSearchCV(
        ode.LatentODEForecaster("60D", **BRIEF), {"hidden": [4, 8]}, cv=TimeSeriesSplit(2)
    )
    search.fit(wave)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.predict([pd.Timedelta("3D")])) == 1
    again = cross_val_score(search.best_estimator_, wave, cv=TimeSeriesSplit(2))
    assert again.mean() == pytest.approx(search.best_score_)


def test_grid_search_with_covariates(wave: pd.Series) -> None:
    """X and y are cut alike."""
    X = pd.DataFrame({"u": np.cos(np.arange(len(wave)))}, index=wave.index)
    model = ode.LatentODEForecaster("60D", **BRIEF)
    assert np.isfinite(cross_val_score(model, X, wave, cv=TimeSeriesSplit(2))).all()
