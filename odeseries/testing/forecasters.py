"""Laws of a forecaster."""

from __future__ import annotations

import pickle
import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import odeseries as ode
from odeseries.testing.checks import Subject, Suite, require

__all__ = ["SUITE"]

SUITE = Suite()
LENGTHS = {"a": 26, "b": 20, "c": 23}
ASKED = [10.3, 10.8, 4.2, -0.5, 10.3]
TINY: dict[str, Any] = {
    "max_epochs": 1,
    "batch_size": 32,
    "n_rows": 4,
    "n_lags": 2,
    "seasonality": None,
    "random_state": 0,
}
TOLERANCE = 1e-4


def _panel(scale: float = 1.0, clock: float = 1.0) -> pd.DataFrame:
    """Three series of two channels at private times, a fifth not observed."""
    rng = np.random.default_rng(0)
    parts = {}
    for shift, (name, n) in enumerate(LENGTHS.items()):
        t = np.sort(rng.uniform(0, 10, n)).round(2)
        t[-1] = 10.0
        values = {"u": np.sin(t) + shift, "v": np.cos(t) - 0.1 * t}
        frame = scale * pd.DataFrame(values, index=pd.Index(clock * t, name="t"))
        hidden = rng.random(frame.shape) < 0.2
        hidden[-1] = False
        parts[name] = frame.mask(hidden)
    return pd.concat(parts, names=["id"])


def _made(subject: Subject, horizon: float = 1.0) -> Any:
    """An estimator that is quick to fit."""
    return subject.cls(horizon, **{**TINY, **subject.params})


@dataclass(frozen=True)
class _Fit:
    """A fitted estimator, and what fitting it changed beside it."""

    model: Any
    returned: object
    changed: list[str]


def _first_fit(subject: Subject) -> _Fit:
    """One fit, shared by the checks."""
    if "fit" not in subject.memory:
        data, model = _panel(), _made(subject)
        before, params, generators = data.copy(), model.get_params(deep=False), _generators()
        returned = model.fit(data)
        kept = {
            "a parameter": model.get_params(deep=False) == params,
            "the data": data.equals(before),
            "a global generator": _generators() == generators,
        }
        changed = [name for name, same in kept.items() if not same]
        subject.memory["fit"] = _Fit(model, returned, changed)
    fit: _Fit = subject.memory["fit"]
    return fit


def _fitted(subject: Subject) -> Any:
    """The estimator that was fitted."""
    return _first_fit(subject).model


def _rows(name: str, times: list[float]) -> pd.MultiIndex:
    """Rows to be asked of one series."""
    return pd.MultiIndex.from_product([[name], times], names=["id", "t"])


def _generators() -> list[bytes]:
    """States of the global generators."""
    state: Any = np.random.get_state(legacy=False)  # noqa: NPY002  # the one that must not move
    return [torch.get_rng_state().numpy().tobytes(), pickle.dumps(state)]


def _same(a: Any, b: Any, message: str, tolerance: float = TOLERANCE) -> None:
    """Require two forecasts to agree."""
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    require(first.shape == second.shape, f"{message} The shapes {first.shape}, {second.shape}.")
    error = float(np.max(np.abs(first - second) / (1 + np.abs(second)), initial=0.0))
    require(error <= tolerance, f"{message} The relative difference is {error:.2g}.")


class _Spy(ode.Model):
    """Keeps the batches that a network is started with."""

    def __init__(self, net: ode.Model, seen: list[ode.Batch]) -> None:
        super().__init__()
        self.net, self.seen = net, seen
        self.n_start_windows = net.n_start_windows

    def start(self, batches: Any) -> None:
        """Start the network, and keep its batches."""
        self.seen[:] = batches
        self.net.start(batches)

    def loss(self, batch: ode.Batch, generator: torch.Generator | None) -> torch.Tensor:
        """Loss of the network."""
        return self.net.loss(batch, generator)

    def quantiles(
        self, batch: ode.Batch, levels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Quantiles of the network."""
        return self.net.quantiles(batch, levels)


@dataclass(frozen=True)
class _Spied:
    """A second fit, its network of the first phase and batches that look both ways."""

    model: Any
    net: ode.Model
    batches: list[ode.Batch]


def _spied(subject: Subject) -> _Spied:
    """One fit whose network is seen."""
    if "spied" not in subject.memory:
        seen: list[ode.Batch] = []
        built: list[ode.Model] = []

        class Spied(subject.cls):  # type: ignore[name-defined, misc]  # known only at run time
            def build(self, spec: ode.Spec) -> ode.Model:
                built.append(super().build(spec))
                return _Spy(built[-1], seen)

        model = Spied(1.0, **{**TINY, **subject.params}).fit(_panel())
        subject.memory["spied"] = _Spied(model, built[0], seen[:3])
    spied: _Spied = subject.memory["spied"]
    return spied


def _network(subject: Subject) -> tuple[ode.Model, list[ode.Batch]]:
    """A network and batches for it."""
    spied = _spied(subject)
    return spied.net, spied.batches


@SUITE.law()
def init_stores_its_arguments(subject: Subject) -> None:
    """Parameters are stored untouched, and nothing else is; clones have the same ones."""
    params = subject.cls().get_params(deep=False)
    shared = set(ode.BaseForecaster._get_param_names())
    missing = shared - set(params)
    require(not missing, f"The shared parameters {sorted(missing)} are not arguments of __init__.")
    marked = {name: object() for name in params}
    stored = vars(subject.cls(**marked))
    for name, value in marked.items():
        require(stored.get(name) is value, f"'{name}' is not stored as given: validate it in fit.")
    extra = sorted(set(stored) - set(marked))
    require(not extra, f"__init__ also sets {extra}: set them in fit, ending in '_'.")
    made = _made(subject)
    for name, value in made.get_params(deep=False).items():
        require(clone(made).get_params(deep=False)[name] == value, f"A clone has another '{name}'.")


@SUITE.law()
def not_fitted_is_said(subject: Subject) -> None:
    """Forecasting before fitting raises scikit-learn's NotFittedError."""
    for method in ("predict", "predict_quantiles", "predict_interval", "sample"):
        try:
            getattr(_made(subject), method)([1.0])
        except NotFittedError:
            continue
        require(False, f"{method} before fit raises no NotFittedError.")


@SUITE.law()
def fit_leaves_parameters_and_data_alone(subject: Subject) -> None:
    """Fitting returns the estimator, changes no parameter, no data and no global generator."""
    fit = _first_fit(subject)
    require(fit.returned is fit.model, "fit must return self.")
    require(not fit.changed, f"fit changed {' and '.join(fit.changed)}.")


@SUITE.law()
def same_seed_same_forecast(subject: Subject) -> None:
    """Two fits with one seed forecast the same, and so do two calls."""
    model = _fitted(subject)
    _same(model.predict(ASKED), model.predict(ASKED), "Two calls differ.", 0.0)
    other = _spied(subject).model
    _same(model.predict(ASKED), other.predict(ASKED), "Two fits with one seed differ.")


@SUITE.law()
def rows_come_back_as_asked(subject: Subject) -> None:
    """One finite row per row asked, in that order: ahead, between, before, and repeated."""
    model = _fitted(subject)
    index = _rows("b", ASKED).append(_rows("a", ASKED[:2]))
    forecast = model.predict(index)
    require(forecast.index.equals(index), "The index differs from the one asked for.")
    require(list(forecast.columns) == ["u", "v"], f"The columns are {list(forecast.columns)}.")
    require(np.isfinite(forecast.to_numpy()).all(), "A forecast is not finite.")
    require(len(model.predict(index[:0])) == 0, "No rows asked, yet rows come back.")


@SUITE.law()
def companions_are_irrelevant(subject: Subject) -> None:
    """A row's forecast does not depend on the other rows and series that are asked for."""
    model = _fitted(subject)
    together = model.predict(ASKED)
    for row in range(0, len(together), 4):
        _same(
            model.predict(together.index[[row]]),
            together.iloc[[row]],
            "A row asked for alone has another forecast.",
        )


@SUITE.law()
def order_of_series_is_irrelevant(subject: Subject) -> None:
    """The same histories in another order, under other names, give the same forecasts."""
    model = _fitted(subject)
    data = _panel()
    renamed = pd.concat([data.loc[[name]].rename({name: name.upper()}) for name in "cab"])
    _same(
        model.predict(_rows("B", ASKED), history=renamed),
        model.predict(_rows("b", ASKED)),
        "A series under another name and in another place has another forecast.",
    )


@SUITE.law()
def time_shift_is_irrelevant(subject: Subject) -> None:
    """Without seasonality, a history that is moved in time has the same forecast, moved."""
    model = _fitted(subject)
    moved = _panel().loc[["a"]].reset_index()
    moved["t"] += 1000
    shifted = [t + 1000 for t in ASKED]
    _same(
        model.predict(_rows("a", shifted), history=moved.set_index(["id", "t"])),
        model.predict(_rows("a", ASKED)),
        "A shift of the clock changes the forecast.",
    )


@SUITE.law()
def units_are_irrelevant(subject: Subject) -> None:
    """Values in thousandths and times in minutes give the forecasts in these units."""
    other = _made(subject, 60.0).fit(_panel(1000.0, 60.0))
    _same(
        other.predict([60 * t for t in ASKED]) / 1000,
        _fitted(subject).predict(ASKED),
        "A change of units changes the forecast.",
        1e-3,
    )


@SUITE.law()
def quantiles_do_not_cross(subject: Subject) -> None:
    """Quantiles rise with their probability, and the median is what is predicted."""
    model = _fitted(subject)
    table = model.predict_quantiles(ASKED, alpha=[0.01, 0.2, 0.5, 0.8, 0.99])
    values = table.to_numpy().reshape(len(table), 2, 5)
    require(bool((np.diff(values, axis=-1) >= 0).all()), "Quantiles cross.")
    _same(values[..., 2], model.predict(ASKED), "The median is not what is predicted.")


@SUITE.law()
def paths_follow_the_seed(subject: Subject) -> None:
    """Equal requests draw equal finite paths, other seeds others, series independently."""
    model = _fitted(subject)
    paths = model.sample(ASKED[:3], n_samples=3, random_state=1)
    require(np.isfinite(paths.to_numpy()).all(), "A path is not finite.")
    again = model.sample(ASKED[:3], n_samples=3, random_state=1)
    _same(again, paths, "Equal requests give different paths.", 0.0)
    alone = model.sample(_rows("b", ASKED[:3]), n_samples=3, random_state=1)
    rows = paths.index.get_level_values("id") == "b"
    _same(alone, paths[rows], "A series' paths depend on the other series.")
    other = model.sample(ASKED[:3], n_samples=3, random_state=2)
    require(not np.allclose(other, paths), "Another seed gives the same paths.")


@SUITE.law()
def score_is_a_skill(subject: Subject) -> None:
    """The score of the training data is a number of at most 1."""
    score = _fitted(subject).score(_panel())
    require(np.isfinite(score) and score <= 1, f"The score is {score}.")


@SUITE.law()
def pickling_keeps_the_forecast(subject: Subject) -> None:
    """A model that was pickled forecasts the same."""
    model = _fitted(subject)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  # made a moment ago
    _same(again.predict(ASKED), model.predict(ASKED), "Pickling changes the forecast.", 0.0)


def _quantiles(net: ode.Model, batch: ode.Batch) -> torch.Tensor:
    """Quantiles at the queries that were asked."""
    levels = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    with torch.no_grad():
        values, ages = net.quantiles(batch, levels)
    require(
        values.shape == (*batch.targets.shape, 3) and ages.shape == batch.targets.shape,
        f"quantiles() gave {tuple(values.shape)} and {tuple(ages.shape)} for targets of the "
        f"shape {tuple(batch.targets.shape)} and 3 levels.",
    )
    return values[batch.asked]


@SUITE.law()
def saving_keeps_the_forecast(subject: Subject) -> None:
    """A model that was saved and loaded forecasts the same; its class is known by a name."""
    model = _fitted(subject)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "model.zip"))
        again = ode.load(Path(folder, "model.zip"))
    require(type(again) is subject.cls, f"A {type(again).__name__} was loaded.")
    _same(again.predict(ASKED), model.predict(ASKED), "Saving changes the forecast.", 0.0)


@SUITE.law()
def loss_is_one_number_per_window(subject: Subject) -> None:
    """The loss of a batch has one finite number per window, and reaches the parameters."""
    net, batches = _network(subject)
    for batch in batches:
        loss = net.loss(batch, torch.Generator().manual_seed(0))
        require(
            loss.shape == (len(batch.asked),) and bool(torch.isfinite(loss).all()),
            f"The loss of {len(batch.asked)} windows has the shape {tuple(loss.shape)}, or is "
            f"not finite.",
        )
        require(loss.requires_grad, "No gradient of the loss reaches the network.")


@SUITE.law()
def the_truth_is_not_seen(subject: Subject) -> None:
    """Quantiles do not depend on the targets that they are compared with."""
    net, batches = _network(subject)
    for batch in batches:
        other = replace(
            batch, targets=batch.targets + 100, observed=torch.ones_like(batch.observed)
        )
        _same(_quantiles(net, other), _quantiles(net, batch), "A forecast sees its target.", 0.0)


@SUITE.law()
def values_under_the_mask_are_irrelevant(subject: Subject) -> None:
    """What stands where nothing was observed, in padding too, changes no quantile."""
    net, batches = _network(subject)
    for batch in batches:
        left = replace(batch.left, values=torch.where(batch.left.mask > 0, batch.left.values, 7.0))
        other = replace(batch, left=left)
        _same(
            _quantiles(net, other),
            _quantiles(net, batch),
            "A value that was not observed changes the forecast.",
        )


@SUITE.law()
def windows_are_independent(subject: Subject) -> None:
    """A window's quantiles and loss are the same alone and in its batch."""
    net, batches = _network(subject)
    batch = batches[0]
    one = _first_window(batch)
    loss = [net.loss(b, None).detach()[:1] for b in (batch, one)]
    _same(loss[1], loss[0], "A window alone has another loss.")
    together = _quantiles(net, replace(batch, asked=_only_first(batch)))
    _same(_quantiles(net, one), together, "A window alone has other quantiles.")


def _only_first(batch: ode.Batch) -> torch.Tensor:
    """The queries of the first window."""
    asked = torch.zeros_like(batch.asked)
    asked[0] = batch.asked[0]
    return asked


def _first_window(item: Any) -> Any:
    """The first window of a batch or of a side of it."""
    taken = {}
    for f in fields(item):
        value = getattr(item, f.name)
        if isinstance(value, torch.Tensor):
            taken[f.name] = value[:1]
        elif isinstance(value, ode.Side):
            taken[f.name] = _first_window(value)
    return replace(item, **taken)


@SUITE.law()
def training_lowers_the_loss(subject: Subject) -> None:
    """Thirty steps on one batch lower its loss, which is measured with the same randomness."""
    net, batches = _network(subject)
    state = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    first = _measured_loss(net, batches[0])
    for _ in range(30):
        optimizer.zero_grad()
        loss = net.loss(batches[0], generator).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        optimizer.step()
    last = _measured_loss(net, batches[0])
    net.load_state_dict(state)
    require(last < first, f"Thirty steps on one batch lead from {first:.4g} to {last:.4g}.")


@torch.no_grad()
def _measured_loss(net: ode.Model, batch: ode.Batch) -> float:
    """Mean loss of a batch over a few seeds, which are the same ones at every call."""
    seeds = (torch.Generator().manual_seed(k) for k in range(100, 110))
    return float(np.mean([float(net.loss(batch, seed).mean()) for seed in seeds]))
