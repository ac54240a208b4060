"""Laws of saving and loading: the same answers, nothing executed, refusals that help."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import json
import math
import pickle
import subprocess
import sys
import uuid
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
)

import odeseries as ode
from odeseries import plugins
from odeseries.encoding import Reader, Writer
from odeseries.persistence import ALL_CODECS

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {
    "max_epochs": 1,
    "batch_size": 8,
    "n_rows": 8,
    "n_lags": 2,
    "hidden": 8,
    "seasonality": None,
    "random_state": 0,
}


def same_answers(a: ode.BaseForecaster, b: ode.BaseForecaster, times: Any) -> None:
    """Forecasts, quantiles, intervals, samples and history are equal bit by bit."""
    for ask in (
        lambda m: m.predict(times),
        lambda m: m.predict_quantiles(times),
        lambda m: m.predict_interval(times, coverage=[0.5, 0.9]),
        lambda m: m.sample(times, n_samples=3),
        lambda m: m.history_,
    ):
        first, second = ask(a), ask(b)
        assert type(first) is type(second)
        assert first.equals(second)
        assert first.index.equals(second.index)


@pytest.mark.parametrize("name", ["model", "model.zip", "deep/er/model"])
def test_a_loaded_model_answers_the_same(
    wave: pd.Series, wave_model: ode.LatentODEForecaster, tmp_path: Path, name: str
) -> None:
    """From a folder or a zip, saved twice over."""
    wave_model.save(tmp_path / name)
    wave_model.save(tmp_path / name)
    loaded = ode.load(tmp_path / name)
    assert type(loaded) is ode.LatentODEForecaster
    assert loaded.get_params() == wave_model.get_params()
    same_answers(wave_model, loaded, ode.future_times(wave, "30D", n=3))
    assert loaded.score(wave.iloc[-20:]) == wave_model.score(wave.iloc[-20:])
    assert not list(tmp_path.rglob("*.part"))


def test_a_panel_and_a_loaded_model_saved_again(
    panel: pd.DataFrame, panel_model: ode.LatentODEForecaster, tmp_path: Path
) -> None:
    """Channels, ids and new histories; saving what was loaded gives the same file."""
    panel_model.save(tmp_path / "a")
    loaded = ode.load(str(tmp_path / "a"))
    same_answers(panel_model, loaded, [5.0, 10.5])
    new = panel.loc[[2]].rename(index={2: "new"}, level=0)
    asked = pd.MultiIndex.from_product([["new"], [10.5]], names=["series", "time"])
    assert loaded.predict(asked, history=new).equals(panel_model.predict(asked, history=new))
    loaded.save(tmp_path / "b")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(
    "transformer",
    [
        FunctionTransformer(np.log1p, np.expm1),
        PowerTransformer(),
        QuantileTransformer(n_quantiles=20, output_distribution="normal"),
        RobustScaler(),
        MinMaxScaler(feature_range=(1, 2)),
    ],
    ids=lambda t: type(t).__name__,
)
def test_covariates_zones_and_transformed_targets(
    wave: pd.Series, tmp_path: Path, transformer: Any
) -> None:
    """Everything that the data's form adds is kept."""
    y = wave[:60].tz_localize("Europe/Berlin", nonexistent="shift_forward", ambiguous=True)
    X = pd.DataFrame({("u", 1): np.cos(np.arange(len(y))), ("v", 2): 1.0}, index=y.index)
    brief = TINY | {"validation_fraction": 0, "n_steps": 2, "target_transformer": transformer}
    model = ode.ODERNNForecaster(pd.Timedelta("60D"), **brief).fit(X, y)
    model.save(tmp_path / "m.zip")
    loaded = ode.load(tmp_path / "m.zip")
    when = pd.DataFrame(
        {("u", 1): [0.5, 0.1], ("v", 2): 1.0}, index=y.index[-2:] + pd.Timedelta("9D")
    )
    same_answers(model, loaded, when)
    assert loaded.horizon == model.horizon
    assert loaded.feature_names_in_.tolist() == model.feature_names_in_.tolist()


def test_a_loaded_model_can_be_fitted_again(
    wave: pd.Series, wave_model: ode.LatentODEForecaster, tmp_path: Path
) -> None:
    """Its parameters are those of the first fit."""
    wave_model.save(tmp_path / "m")
    again = ode.load(tmp_path / "m").fit(wave)
    times = ode.future_times(wave, "30D", n=3)
    assert again.predict(times).equals(wave_model.predict(times))


def test_numpy_s_lengths_and_dates_are_parameters(wave: pd.Series, tmp_path: Path) -> None:
    """As pandas' are; they stay as they were given."""
    horizon, cutoffs = np.timedelta64(60, "D"), [wave.index[-9].to_datetime64()]
    model = ode.BaselineForecaster(horizon, cutoffs=cutoffs, seasonality=None, random_state=0)
    model.fit(wave).save(tmp_path / "m")
    loaded = ode.load(tmp_path / "m")
    for one in (model, clone(model), loaded):
        assert repr(one.get_params()["horizon"]) == repr(horizon)
        assert one.get_params()["cutoffs"] == cutoffs
    pandas = clone(model).set_params(horizon=pd.Timedelta(horizon), cutoffs=wave.index[-9])
    expected = pandas.fit(wave).predict(pd.Timedelta(horizon))
    pd.testing.assert_series_equal(model.predict(horizon), expected)
    pd.testing.assert_series_equal(loaded.predict(horizon), expected)


@pytest.mark.parametrize(
    "form",
    [
        lambda stamps: stamps,
        lambda stamps: stamps.to_numpy(),
        lambda stamps: stamps.to_numpy().astype("datetime64[s]"),
        lambda stamps: stamps.tz_localize("Europe/Paris").rename("from"),
    ],
)
def test_cutoffs_in_an_index_or_an_array(form: Any, wave: pd.Series, tmp_path: Path) -> None:
    """They split, train, and stay what they are in a file."""
    cutoffs = form(wave.index[[-40, -20]].floor("s"))
    y = wave.tz_localize(getattr(cutoffs, "tz", None))
    assert [len(f.test) > 0 for f in ode.TimeSplit("60D", cutoffs=cutoffs).folds(y)] == [True] * 2
    model = ode.BaselineForecaster("60D", cutoffs=cutoffs, seasonality=None, random_state=0)
    model.fit(y).save(tmp_path / "m")
    loaded = ode.load(tmp_path / "m")
    assert type(loaded.cutoffs) is type(cutoffs)
    assert loaded.cutoffs.dtype == cutoffs.dtype
    assert getattr(loaded.cutoffs, "name", None) == getattr(cutoffs, "name", None)
    np.testing.assert_array_equal(loaded.cutoffs, cutoffs)
    same_answers(model, loaded.fit(y), [pd.Timedelta("3D")])


def test_lengths_of_time_in_an_index_or_an_array(wave: pd.Series, tmp_path: Path) -> None:
    """Periods, as other parameters that may be several."""
    periods = pd.to_timedelta([90, 30], "D")
    for given in (periods, periods.to_numpy()):
        model = ode.BaselineForecaster("60D", seasonality=given, random_state=0).fit(wave)
        model.save(tmp_path / "m")
        np.testing.assert_array_equal(ode.load(tmp_path / "m").seasonality, given)
        np.testing.assert_allclose(model.periods_, [90 * 86400, 30 * 86400])


def test_parameters_set_after_the_fit(wave: pd.Series, tmp_path: Path) -> None:
    """The network is rebuilt with what it was fitted with, the parameters are the later ones."""
    model = ode.LatentODEForecaster("60D", **TINY).fit(wave)
    model.set_params(hidden=32, callbacks=[print])
    model.save(tmp_path / "m")
    loaded = ode.load(tmp_path / "m")
    assert (loaded.hidden, loaded.callbacks) == (32, None)
    same_answers(model, loaded, [pd.Timedelta("3D")])


def test_copies_answer_the_same(
    wave: pd.Series, wave_model: ode.LatentODEForecaster, tmp_path: Path
) -> None:
    """Pickle, deepcopy and joblib, of a fitted and of a loaded model."""
    wave_model.save(tmp_path / "m")
    times = ode.future_times(wave, "30D", n=3)
    for model in (wave_model, ode.load(tmp_path / "m")):
        same_answers(wave_model, copy.deepcopy(model), times)
        same_answers(wave_model, pickle.loads(pickle.dumps(model)), times)  # noqa: S301  # of our own making
        joblib.dump(model, tmp_path / "j")
        same_answers(wave_model, joblib.load(tmp_path / "j"), times)


def test_in_a_fresh_process(
    wave: pd.Series, wave_model: ode.LatentODEForecaster, tmp_path: Path
) -> None:
    """Saved and pickled models answer the same where nothing else was imported."""
    times = ode.future_times(wave, "30D", n=3)
    wave_model.save(tmp_path / "m.zip")
    (tmp_path / "p").write_bytes(pickle.dumps((wave_model, times)))
    code = (
        "import pickle, sys, odeseries as ode; f = sys.argv[1]; "
        "m, t = pickle.load(open(f + '/p', 'rb')); n = ode.load(f + '/m.zip'); "
        "pickle.dump([x.sample(t, n_samples=3) for x in (m, n)], open(f + '/out', 'wb'))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=240)  # noqa: S603  # our own code
    expected = wave_model.sample(times, n_samples=3)
    for got in pickle.loads((tmp_path / "out").read_bytes()):  # noqa: S301  # of our own making
        pd.testing.assert_series_equal(got, expected, check_exact=True)


def changed(folder: Path, **entries: Any) -> None:
    """Write other entries into the document."""
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.fixture
def saved(wave_model: ode.LatentODEForecaster, tmp_path: Path) -> Path:
    """A folder with a saved model."""
    wave_model.save(tmp_path / "saved")
    return tmp_path / "saved"


def test_the_document_says_what_is_needed(saved: Path) -> None:
    """Names, distributions and versions can be read by a person."""
    document = json.loads((saved / "model.json").read_text())
    release = version("odeseries") if plugins.source("linear")[1] != "unknown" else "unknown"
    built_in = {"distribution": "odeseries", "version": release}
    assert document["schema_version"] == 1
    assert document["forecaster"] == {"kind": "forecaster", "name": "latent_ode", **built_in}
    assert {"kind": "dynamics", "name": "linear", **built_in} in document["parts"]
    assert document["parameters"]["horizon"] == "60D"
    assert document["libraries"]["torch"] == version("torch")


def test_a_newer_schema_is_refused_kindly(saved: Path) -> None:
    """Both versions are named, and the remedy."""
    changed(saved, schema_version=2, libraries={"odeseries": "9.1"})
    with pytest.raises(ode.PersistenceError, match=r"odeseries 9\.1 .* version 2; .*--upgrade"):
        ode.load(saved)


def test_what_is_no_saved_model(saved: Path, tmp_path: Path) -> None:
    """Missing, foreign and damaged files are told apart."""
    with pytest.raises(ode.PersistenceError, match="holds no saved model"):
        ode.load(tmp_path / "nowhere")
    with pytest.raises(ode.PersistenceError, match=r"model\.json can't be read"):
        ode.load(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ode.PersistenceError, match="holds no saved model"):
        ode.load(tmp_path / "file")
    (saved / "weights.safetensors").write_bytes(b"0" * 100)
    with pytest.raises(ode.PersistenceError, match="damaged or belongs to another"):
        ode.load(saved)
    (saved / "model.json").write_text("{")
    with pytest.raises(ode.PersistenceError, match=r"model\.json .* is damaged"):
        ode.load(saved)


def test_a_place_that_is_taken(wave_model: ode.LatentODEForecaster, tmp_path: Path) -> None:
    """A file is not overwritten by a folder; nothing is saved before fit."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(ode.PersistenceError, match=r"is a file: .*\.zip"):
        wave_model.save(tmp_path / "file")
    with pytest.raises(NotFittedError):
        ode.LatentODEForecaster().save(tmp_path / "m")


def test_a_file_names_nothing_that_is_imported(saved: Path) -> None:
    """Paths to code are names like others, and unknown ones."""
    document = json.loads((saved / "model.json").read_text())
    for name in ("os:system", "builtins.eval", "tests.test_persistence:evil"):
        changed(saved, forecaster=document["forecaster"] | {"name": name})
        with pytest.raises(ode.PluginError):
            ode.load(saved)
    changed(saved, forecaster=document["forecaster"], learnt={"seed": {"$": "eval", "value": "1"}})
    with pytest.raises(ode.PersistenceError, match="unknown type 'eval'"):
        ode.load(saved)
    evil = {"$": "ufunc", "value": ["os", "system"]}
    changed(saved, learnt={"seed": evil})
    with pytest.raises(ode.PersistenceError, match=r"os\.system, which is no ufunc"):
        ode.load(saved)


def test_a_zip_is_read_by_name_only(saved: Path, tmp_path: Path) -> None:
    """Other members, whatever they are called, are never written."""
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("../outside", "x")
        for name in ("model.json", "weights.safetensors"):
            archive.writestr(name, (saved / name).read_bytes())
    ode.load(tmp_path / "m.zip")
    assert not (tmp_path.parent / "outside").exists()


class Decay(ode.Dynamics):
    """Exponential decay at a learned rate."""

    def __init__(self, dim: int, *, start: float = 1.0) -> None:
        super().__init__(dim)
        self.rate = torch.nn.Parameter(torch.full((dim,), start))

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Derivative of the state."""
        return -self.rate * state


def test_a_class_is_saved_by_its_registered_name(wave: pd.Series, tmp_path: Path) -> None:
    """Unregistered it is refused, saying how to register it; missing at load, likewise."""
    model = ode.LatentODEForecaster(
        "60D", dynamics=Decay, dynamics_params={"start": 0.5}, **TINY
    ).fit(wave)
    with pytest.raises(ode.PersistenceError, match=r"dynamics can't be saved: .*register"):
        model.save(tmp_path / "m")
    ode.register(Decay, name="decay")
    try:
        model.save(tmp_path / "m")
        loaded = ode.load(tmp_path / "m")
        assert loaded.dynamics == "local:decay"
        same_answers(model, loaded, [pd.Timedelta("3D")])
    finally:
        del plugins._registry._local["dynamics"]["decay"]
    with pytest.raises(
        ode.PluginError, match=r"local:decay.*Decay, registered in the process that saved"
    ):
        ode.load(tmp_path / "m")


class Own(ode.LatentODEForecaster):
    """A forecaster that nobody offers."""


def test_an_unknown_forecaster_is_refused(wave: pd.Series, tmp_path: Path) -> None:
    """The message says how to register it."""
    with pytest.raises(ode.PluginError, match=r"Own has no name: register it"):
        Own("60D", **TINY).fit(wave).save(tmp_path / "m")


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"target_transformer": FunctionTransformer(lambda x: 2 * x, lambda x: x / 2)}, "func"),
        ({"random_state": np.random.default_rng(0)}, "random_state"),
        ({"solver_params": {"step": {1, 2}}}, r"solver_params\.step"),
        ({"target_transformer": KBinsDiscretizer()}, "target_transformer"),
    ],
)
def test_what_has_no_form_in_a_file_is_refused_by_name(
    wave_model: ode.LatentODEForecaster, tmp_path: Path, params: dict[str, Any], name: str
) -> None:
    """The parameter is named, and nothing is written."""
    model = copy.copy(wave_model).set_params(**params)
    with pytest.raises(ode.PersistenceError, match=rf"{name}=.*can't be saved"):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


VALUES: list[Any] = [
    None,
    True,
    0,
    2**80,
    -0.0,
    0.1 + 0.2,
    math.inf,
    "ä\n",
    (1, (2.5, None)),
    [1, "a", [None]],
    {"a": 1, "b": {"c": (1,)}},
    {1: "x", (2, "y"): "z"},
    {"$": 1},
    np.float64(0.1),
    np.float32(0.1),
    np.int8(-3),
    np.bool_(True),
    np.str_("s"),
    np.timedelta64(25, "h"),
    np.timedelta64("NaT", "s"),
    np.datetime64("2020-02-03T04:05", "m"),
    np.float64("nan"),
    pd.Timestamp("2020-02-03 04:05:06.789", tz="Europe/Berlin"),
    pd.Timestamp("1500-01-01").as_unit("s"),
    pd.Timedelta("3h") + pd.Timedelta(7, "ns"),
    dt.datetime(2020, 1, 2, 3, 4, 5, 6),
    dt.date(2020, 1, 2),
    dt.timedelta(days=-3, microseconds=7),
    dt.UTC,
    dt.timezone(dt.timedelta(hours=5, minutes=30)),
    pd.DatetimeIndex([], tz="America/New_York").tz,
    decimal.Decimal("1.10"),
    uuid.UUID(int=7),
    Path("a/b"),
    torch.device("cpu"),
    np.log1p,
    scipy.special.logit,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_survive(value: Any) -> None:
    """Through the text of a file and back: same type, same value."""
    writer = Writer(ALL_CODECS)
    text = json.dumps(writer(value, "x"), allow_nan=False)
    back = Reader(ALL_CODECS, writer.tensors)(json.loads(text))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_random_states_survive() -> None:
    """The next draws are the same."""
    state = np.random.RandomState(3)
    state.normal()
    writer = Writer(ALL_CODECS)
    plain = json.loads(json.dumps(writer(state, "x")))
    back = Reader(ALL_CODECS, writer.tensors)(plain)
    assert back.normal() == state.normal()


def test_devices(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model saved on a GPU comes to the processor; a GPU asked for must be there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    document = json.loads((saved / "model.json").read_text())
    changed(saved, parameters=document["parameters"] | {"device": "cuda"})
    model = ode.load(saved)
    assert next(model._fitted.net.parameters()).device.type == "cpu"
    assert np.isfinite(model.predict([pd.Timedelta("3D")])).all()
    assert ode.load(saved, device="cpu").device == "cpu"
    with pytest.raises(ValueError, match="device='cuda', but no such GPU"):
        ode.load(saved, device="cuda")
    with pytest.raises(ValueError, match="device='tpu' is unknown"):
        ode.load(saved, device="tpu")
