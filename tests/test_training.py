"""Laws of the training loop: what is kept, what ends it, and how it goes on after a kill."""

from __future__ import annotations

import datetime as dt
import functools
import gc
import json
import math
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import nn

import odeseries as ode
from odeseries.checkpoints import Randomness, Store, fingerprint
from odeseries.control import Budget, Control, as_callbacks
from odeseries.training import Loop

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {
    "max_epochs": 4,
    "n_rows": 8,
    "n_lags": 2,
    "hidden": 8,
    "latent_dim": 4,
    "seasonality": None,
    "random_state": 0,
}
SHORT = TINY | {"max_epochs": 3}
SEARCH, REFIT = "choosing the length", "training on all"
PARTS = 5


class Slope:
    """A straight line fitted to noisy batches, as a loop sees it."""

    def __init__(self, control: Control | None = None, rate: float = 0.05) -> None:
        torch.manual_seed(0)
        self.net = nn.Linear(1, 1)
        self.randomness = Randomness(np.random.default_rng(0), torch.Generator().manual_seed(0))
        self.spoil: Callable[[int], float] = lambda step: 0.0
        self.steps = 0
        self.loop = Loop(
            self.net,
            self.loss,
            learning_rate=rate,
            decay=0.0,
            description="slope",
            verbose=False,
            control=control or Control(),
            randomness=self.randomness,
        )

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        """Squared error, with something added at some steps."""
        noise = torch.randn(x.shape, generator=self.randomness.generator)
        self.steps += 1
        extra = self.spoil(self.steps - 1)
        return ((self.net(x) - 3 * x - noise) ** 2).mean() + extra

    def epochs(self) -> Iterator[Iterator[Any]]:
        """Epochs of a few batches."""
        while True:
            drawn = torch.tensor(self.randomness.rng.standard_normal((PARTS, 16, 1))).float()
            yield iter(drawn)

    @torch.no_grad()
    def held_out(self) -> float:
        """Distance to a slope that training passes and leaves behind."""
        return abs(float(self.net.weight) - 1.5)


def test_the_kept_weights_have_the_least_recorded_loss() -> None:
    """Also when later ones are worse, whether patience or the limit ends it (field case 31)."""
    for patience, epochs in ((5, 200), (500, 40)):
        slope = Slope()
        found = slope.loop.search(
            slope.epochs(), slope.held_out, max_epochs=epochs, patience=patience
        )
        losses = [r["held_out_loss"] for r in found.records]
        best = int(np.argmin(losses))
        assert 0 < best < len(losses) - 1, "the test needs a minimum inside"
        assert slope.held_out() == found.loss == losses[best]
        assert found.steps == PARTS * (best + 1)
        assert len(losses) == min(best + 1 + patience, epochs)


def test_the_forecaster_keeps_the_weights_of_the_least_loss() -> None:
    """Interrupted at the second training, the first network stands, at its best epoch."""

    def stop(record: Mapping[str, Any]) -> None:
        if record["phase"] == REFIT:
            raise KeyboardInterrupt

    model = ode.LatentODEForecaster(5.0, callbacks=stop, **TINY | {"max_epochs": 25})
    with pytest.warns(ode.ConvergenceWarning, match="weights of the first phase"):
        model.fit(regular())
    losses = model.history_["held_out_loss"].dropna()
    assert model._fitted.held_out_loss == losses.min()
    steps = model.history_.loc[losses.idxmin(), "step"]
    assert model.n_steps_ == steps


@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
def test_losses_that_are_not_finite_change_nothing(spoilt: float) -> None:
    """Such a step is left out and counted, and its weights are those before it."""
    clean, dirty = Slope(), Slope()
    dirty.spoil = lambda step: spoilt if step == 2 * PARTS - 1 else 0.0
    a = clean.loop.cycle(clean.epochs(), 2 * PARTS - 1)
    b = dirty.loop.cycle(dirty.epochs(), 2 * PARTS)
    assert (a.skipped, b.skipped) == (0, 1)
    assert all(math.isfinite(r["loss"]) for r in b.records)
    assert torch.isfinite(dirty.net.weight).all()
    assert b.records[-1]["skipped"] == 1
    assert dirty.loop.averaged.count == clean.loop.averaged.count


def test_held_out_losses_that_are_not_finite_are_never_best() -> None:
    """NaN and minus infinity in validation are passed over, first or later."""
    slope = Slope()
    values = iter([math.nan, 3.0, -math.inf, 2.0, math.nan, 4.0])
    found = slope.loop.search(slope.epochs(), lambda: next(values), max_epochs=6, patience=10)
    assert (found.loss, found.steps) == (2.0, 4 * PARTS)
    blind = Slope()
    with pytest.warns(ode.ConvergenceWarning, match="None of the 3 held-out losses"):
        found = blind.loop.search(blind.epochs(), lambda: math.nan, max_epochs=3, patience=10)
    assert found.steps == 3 * PARTS
    assert torch.isfinite(blind.net.weight).all()


def test_small_gains_do_not_begin_the_waiting_anew() -> None:
    """They are kept, until together they are more than the least gain."""
    slope = Slope()
    values = iter([1.0, 0.995, 0.985, 0.984, 0.983, 0.982, 0.981])
    found = slope.loop.search(
        slope.epochs(), lambda: next(values), max_epochs=7, patience=3, least_gain=0.01
    )
    assert (found.loss, found.steps) == (0.982, 6 * PARTS)


def test_nothing_learnt_is_an_error_and_later_trouble_keeps_the_best() -> None:
    """A whole epoch without a finite loss ends the training."""
    slope = Slope()
    slope.spoil = lambda step: math.nan
    with pytest.raises(ode.OdeSeriesError, match=r"None of the 5 steps of epoch 0 .*learning_rate"):
        slope.loop.search(slope.epochs(), slope.held_out, max_epochs=9, patience=9)
    slope = Slope()
    slope.spoil = lambda step: math.nan if step >= 2 * PARTS else 0.0
    with pytest.warns(ode.ConvergenceWarning, match="best weights so far are kept"):
        found = slope.loop.search(slope.epochs(), slope.held_out, max_epochs=9, patience=9)
    assert len(found.records) == 3
    assert slope.held_out() == found.loss


def test_failed_integrations_are_steps_left_out() -> None:
    """A solver's error in one step does not end a fit; in all of them it is the cause."""
    slope = Slope()

    def fail(step: int) -> float:
        if step == 3:
            raise ode.IntegrationError("blew up")
        return 0.0

    slope.spoil = fail
    assert slope.loop.cycle(slope.epochs(), 10).skipped == 1

    def always(step: int) -> float:
        raise ode.IntegrationError("blew up")

    slope = Slope()
    slope.spoil = always
    with pytest.raises(ode.OdeSeriesError, match=r"nothing was learnt.*blew up") as caught:
        slope.loop.cycle(slope.epochs(), 10)
    assert isinstance(caught.value.__cause__, ode.IntegrationError)


def test_what_can_never_be_integrated_ends_a_fit_at_once() -> None:
    """It is not mistaken for steps that went wrong."""
    slope = Slope()

    def impossible(step: int) -> float:
        raise ode.SolverError("a method for stochastic dynamics")

    slope.spoil = impossible
    with pytest.raises(ode.SolverError, match="stochastic dynamics"):
        slope.loop.cycle(slope.epochs(), 10)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own answer to Ctrl-C, which a process started in the background may lack."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("phase", [SEARCH, REFIT])
@pytest.mark.parametrize("epoch", [0, 2])
def test_ctrl_c_keeps_the_best_weights_so_far(wave: pd.Series, phase: str, epoch: int) -> None:
    """A real signal ends either phase; the model forecasts."""

    def stop(record: Mapping[str, Any]) -> None:
        if record["phase"] == phase and record["epoch"] == epoch:
            signal.raise_signal(signal.SIGINT)

    model = ode.LatentODEForecaster("60D", callbacks=stop, **TINY)
    with pytest.warns(ode.ConvergenceWarning, match="Interrupted"):
        model.fit(wave)
    last = model.history_.iloc[-1]
    assert (last["phase"], last["epoch"]) == (phase, epoch)
    assert np.isfinite(model.predict_quantiles(ode.future_times(wave, "60D", n=3))).all(axis=None)


def test_ctrl_c_within_a_step_keeps_the_best_weights() -> None:
    """Wherever the signal comes, the best weights are whole."""
    slope = Slope()
    whole = Slope()

    def stop(step: int) -> float:
        if step == 12 * PARTS + 2:
            raise KeyboardInterrupt
        return 0.0

    slope.spoil = stop
    found = slope.loop.search(slope.epochs(), slope.held_out, max_epochs=30, patience=30)
    expected = whole.loop.search(whole.epochs(), whole.held_out, max_epochs=12, patience=30)
    assert found.interrupted
    assert found.loss == expected.loss == slope.held_out()


def test_callbacks_see_every_epoch_and_may_end_a_phase(wave: pd.Series) -> None:
    """Rows of the history, read-only; something true ends the phase, not the fit."""
    seen: list[Mapping[str, Any]] = []

    def two_epochs(record: Mapping[str, Any]) -> bool:
        return record["phase"] == SEARCH and record["epoch"] == 1

    model = ode.LatentODEForecaster("60D", callbacks=[seen.append, two_epochs], **TINY).fit(wave)
    pd.testing.assert_frame_equal(pd.DataFrame(map(dict, seen)), model.history_)
    assert (model.history_["phase"] == SEARCH).sum() == 2
    assert (model.history_["phase"] == REFIT).any()
    with pytest.raises(TypeError):
        seen[0]["loss"] = 0.0  # type: ignore[index]
    with pytest.raises(TypeError, match="can't be called"):
        as_callbacks([print, 3])  # type: ignore[list-item]


class Clock:
    """Time that passes when it is told to."""

    now = 100.0

    def perf_counter(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the loop and its budget see."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock.perf_counter)
    return clock


@pytest.mark.parametrize("seconds", [20.0, 100.0])
def test_a_limit_on_time_is_used_and_kept(clock: Clock, seconds: float) -> None:
    """Steps of 0.1 s and validations of 1 s: both phases together take the limit to 10 %."""
    control = Control(Budget(seconds))

    def step(_: int) -> float:
        clock.now += 0.1
        return 0.0

    def validate() -> float:
        clock.now += 1.0
        return -clock.now

    started = clock.now
    first = Slope(control)
    first.spoil = step
    found = first.loop.search(first.epochs(), validate, max_epochs=10**6, patience=10**6)
    second = Slope(control)
    second.spoil = step
    done = second.loop.cycle(second.epochs(), found.steps, tail=1.0)
    clock.now += 1.0
    assert 0.9 * seconds <= clock.now - started <= 1.1 * seconds
    assert done.steps >= 0.7 * found.steps
    assert second.loop.optimizer.rate < 0.05 * second.loop.learning_rate


def test_a_long_epoch_ends_in_time(clock: Clock) -> None:
    """The limit is looked at after every step, and one step is always made."""
    slope = Slope(Control(Budget("2s")))

    def step(_: int) -> float:
        clock.now += 0.5
        return 0.0

    slope.spoil = step
    found = slope.loop.search(slope.epochs(), lambda: 1.0, max_epochs=9, patience=9)
    assert (found.epoch, found.step) == (1, 2)
    late = Slope(Control(Budget(0.1)))
    late.spoil = step
    assert late.loop.cycle(late.epochs(), 100).steps == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("soon", "not understood"),
        ("90", "not understood"),
        (np.timedelta64(90), "not understood"),
        (np.timedelta64(1, "M"), "not understood"),
        (np.timedelta64("NaT", "s"), "not understood"),
        ("-1min", "must be positive"),
        (np.timedelta64(0, "s"), "must be positive"),
        (0.0, "'max_time'"),
    ],
)
def test_limits_that_are_none(given: Any, message: str, wave: pd.Series) -> None:
    """Fit says what is wrong."""
    with pytest.raises(ValueError, match=message):
        ode.LatentODEForecaster("60D", max_time=given).fit(wave)


@pytest.mark.parametrize(
    "given",
    [90, "1.5min", dt.timedelta(seconds=90), pd.Timedelta("90s"), np.timedelta64(90_000, "ms")],
)
def test_limits_of_any_type_are_lengths_of_time(given: Any, clock: Clock) -> None:
    """Of the same length, whatever the unit, and every estimator takes them."""
    assert Budget(given).left() == pytest.approx(90, rel=1e-12)
    for estimator in (
        ode.LatentODEForecaster("60D", max_time=given),
        ode.AutoForecaster("60D", max_time=given),
        ode.ODENetClassifier(max_time=given),
        ode.CNFDensityEstimator(max_time=given),
    ):
        estimator._validate_params()


def test_a_limit_is_saved(wave: pd.Series, tmp_path: Path) -> None:
    """Also one of numpy's."""
    model = ode.LatentODEForecaster("60D", max_time=np.timedelta64(10, "m"), **TINY).fit(wave)
    model.save(tmp_path / "model")
    assert ode.load(tmp_path / "model").max_time == np.timedelta64(10, "m")


@pytest.mark.slow
def test_a_fit_takes_its_time_to_ten_percent(wave: pd.Series) -> None:
    """By the wall clock, on a machine that does nothing else."""
    ode.LatentODEForecaster("60D", **TINY).fit(wave)
    for seconds in (5.0, 15.0):
        started = time.perf_counter()
        ode.LatentODEForecaster("60D", max_epochs=10**6, patience=10**6, max_time=seconds).fit(wave)
        assert time.perf_counter() - started == pytest.approx(seconds, rel=0.1)


SCRIPT = """
import json, os, signal, sys
import odeseries as ode
from tests.conftest import few
from tests.test_training import regular

folder, phase, epoch, params = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])


def kill(record):
    if (record["phase"], record["epoch"]) == (phase, epoch):
        os.kill(os.getpid(), signal.SIGKILL)


with few():
    model = ode.LatentODEForecaster(5.0, callbacks=kill, **params).fit(regular())
model.save(folder + "/model")
"""


def regular() -> pd.Series:
    """Sixty values at nearly regular times."""
    times = np.arange(60.0) + np.sin(np.arange(60.0)) / 3
    return pd.Series(np.sin(times / 5), index=times)


def status_of_script(folder: Path, phase: str, epoch: int, params: dict[str, Any]) -> int:
    """Exit status of a process that fits, and dies by SIGKILL at an epoch."""
    command = [sys.executable, "-c", SCRIPT, str(folder), phase, str(epoch), json.dumps(params)]
    return subprocess.run(command, timeout=300, check=False).returncode  # noqa: S603  # our own code


def test_a_killed_fit_goes_on_to_the_same_end(tmp_path: Path) -> None:
    """Killed by SIGKILL in either phase, then finished: equal to the uninterrupted fit."""
    params = TINY | {"max_epochs": 3, "objective": "elbo", "head": "gaussian"}
    params["checkpoint_dir"] = str(tmp_path / "c")
    assert status_of_script(tmp_path, SEARCH, 1, params) == -signal.SIGKILL
    assert status_of_script(tmp_path, REFIT, 1, params) == -signal.SIGKILL
    assert len(list((tmp_path / "c").iterdir())) == 1
    assert status_of_script(tmp_path, "", 0, params) == 0
    assert list((tmp_path / "c").iterdir()) == []
    resumed = ode.load(tmp_path / "model")
    whole = ode.LatentODEForecaster(5.0, **params | {"checkpoint_dir": None}).fit(regular())
    asked = [10.5, 62.0, 70.0]
    np.testing.assert_allclose(
        resumed.predict_quantiles(asked), whole.predict_quantiles(asked), rtol=0, atol=1e-6
    )
    times = ["seconds"]
    pd.testing.assert_frame_equal(
        resumed.history_.drop(columns=times), whole.history_.drop(columns=times)
    )


def interrupted(model: ode.BaseForecaster, y: pd.Series) -> None:
    """Fit until the second epoch."""

    def stop(record: Mapping[str, Any]) -> None:
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.warns(ode.ConvergenceWarning, match="Interrupted"):
        model.set_params(callbacks=stop).fit(y)
    model.set_params(callbacks=None)


def test_an_interrupted_fit_without_a_seed_keeps_its_own(tmp_path: Path) -> None:
    """Otherwise a fit with random_state=None could never go on."""
    params, y = SHORT | {"random_state": None, "checkpoint_dir": tmp_path}, regular()
    first = ode.LatentODEForecaster(5.0, **params)
    interrupted(first, y)
    second = ode.LatentODEForecaster(5.0, **params).fit(y)
    assert second.seed_ == first.seed_
    done = first.history_.drop(columns="seconds")
    pd.testing.assert_frame_equal(second.history_.drop(columns="seconds").iloc[: len(done)], done)
    third = ode.LatentODEForecaster(5.0, **params).fit(y)
    assert third.seed_ != first.seed_


@pytest.mark.parametrize("change", ["data", "parameter", "seed"])
def test_progress_of_another_fit_is_left_alone(tmp_path: Path, change: str) -> None:
    """Other data or parameters start afresh and say so; the first fit can still go on."""
    params, y = SHORT | {"checkpoint_dir": tmp_path}, regular()
    interrupted(ode.LatentODEForecaster(5.0, **params), y)
    (kept,) = tmp_path.iterdir()
    other = {"parameter": {"hidden": 6}, "seed": {"random_state": 1}}.get(change, {})
    model = ode.LatentODEForecaster(5.0, **params | other)
    given = y + 1e-9 if change == "data" else y
    with pytest.warns(UserWarning, match=r"progress of 1 fits of other data or parameters"):
        model.fit(given)
    assert list(tmp_path.iterdir()) == [kept]
    fresh = ode.LatentODEForecaster(5.0, **SHORT | other).fit(given)
    assert model.history_["loss"].equals(fresh.history_["loss"])


def test_damaged_progress_is_refused(tmp_path: Path) -> None:
    """The message names the folder to delete; nothing in a file is executed."""
    store = Store.opened(tmp_path, "key", 3)
    store.write("slope", {"x": torch.ones(2), "y": [1.0, "a"]})
    read = store.read("slope")
    assert read is not None
    assert read["y"] == [1.0, "a"]
    (tmp_path / "key" / "slope.pt").write_bytes(b"cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(ode.OdeSeriesError, match=r"can't be read: delete .*key"):
        store.read("slope")
    assert store.read("nothing") is None


def test_fingerprints_tell_fits_apart_but_not_processes() -> None:
    """Addresses of functions are no difference; types, shapes and values are."""
    parts: list[Any] = [1, 1.0, "1", [1], (1,), {"a": 1}, np.ones(2), np.ones((2, 1)), None, True]
    assert len({fingerprint([p]) for p in parts}) == len(parts)

    def made() -> Callable[[], None]:
        return lambda: None

    one, two = made(), made()
    assert repr(one) != repr(two)
    assert fingerprint([one]) == fingerprint([two])


def small_fit(wave: pd.Series) -> ode.LatentODEForecaster:
    """A model of one epoch."""
    params = TINY | {"max_epochs": 1, "batch_size": 4}
    return ode.LatentODEForecaster("30D", **params).fit(wave.iloc[:40])


def count_tensors() -> int:
    """Tensors that are alive."""
    gc.collect()
    return sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())


@pytest.mark.slow
def test_memory_is_flat_over_thirty_fits(wave: pd.Series) -> None:
    """Less than 5 kB more a fit, of all that Python allocates (field case 33)."""
    for _ in range(3):
        small_fit(wave)
    before = count_tensors()
    tracemalloc.start()
    small_fit(wave)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    for _ in range(30):
        small_fit(wave)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - size
    tracemalloc.stop()
    assert count_tensors() == before
    assert grown < 30 * 5000, f"{grown} bytes more after 30 fits"


def scaled_by(factor: float) -> FunctionTransformer:
    """Two functions of one place in the code, whatever they close over."""
    return FunctionTransformer(lambda x: x * factor, lambda x: x / factor)


def compiled(source: str) -> Any:
    """What a source calls ``made``, of a module of its own, as in a process of its own."""
    space: dict[str, Any] = {"__name__": "notebook", "np": np}
    exec(source, space)  # noqa: S102  # a fixed text of this file
    return space["made"]


METHOD = """
rate = 2.0
def helper(x):
    return {0} * x
class made:
    dim = {1}
    def forward(self, x):
        return helper(x) * rate
"""
CHANGED = [METHOD.format(3, 1), METHOD.format(4, 1), METHOD.format(3, 2)]
CHANGED += [CHANGED[0].replace("rate = 2", "rate = 3"), CHANGED[0].replace("* rate", "+ rate")]


def test_fingerprints_tell_transformers_and_code_apart() -> None:
    """By what functions close over and long parameters hold, which a text of them hides."""
    long = [np.arange(2000.0), np.arange(2000.0)]
    long[1][1000] = 0
    parts: list[Any] = [
        *(scaled_by(k) for k in (1.0, 2.0)),
        *(make_pipeline(scaled_by(k)) for k in (1.0, 2.0)),
        *(FunctionTransformer(np.interp, kw_args={"xp": x}) for x in long),
        *(FunctionTransformer(functools.partial(np.interp, xp=x)) for x in long),
        *(FunctionTransformer(scaled_by(k).transform) for k in (1.0, 2.0)),
        *(torch.from_numpy(x) for x in long),
        *(np.array([x, None]) for x in (1, 2)),
        *(compiled(source) for source in CHANGED),
        *(compiled(source)() for source in CHANGED),
    ]
    assert len({fingerprint([p]) for p in parts}) == len(parts)


def test_fingerprints_of_equal_code_are_equal() -> None:
    """Whatever the order of a set, and of objects that refer to themselves."""
    for source in CHANGED:
        assert fingerprint([compiled(source)]) == fingerprint([compiled(source)])
    assert fingerprint([scaled_by(3.0)]) == fingerprint([scaled_by(3.0)])
    assert fingerprint([{0, 8}]) == fingerprint([{8, 0}])

    def endless(n: int) -> int:
        return endless(n)

    assert fingerprint([endless]) == fingerprint([endless])


def test_another_transformer_has_progress_of_its_own(tmp_path: Path) -> None:
    """A copy of the forecaster finds the progress again."""
    one, other = (
        ode.LatentODEForecaster(
            5.0, target_transformer=scaled_by(k), checkpoint_dir=tmp_path, random_state=0
        )
        for k in (1.0, 2.0)
    )
    folder = Store.of(one, [], 0).folder
    assert Store.of(clone(one), [], 0).folder == folder
    with pytest.warns(UserWarning, match="starts afresh"):
        assert Store.of(other, [], 0).folder != folder


def test_progress_of_another_network_is_refused(tmp_path: Path) -> None:
    """The message names the folder to delete."""
    store = Store.opened(tmp_path, "key", 3)
    slope = Slope(Control(store=store))
    store.write("slope", slope.loop.state() | {"net": nn.Linear(2, 1).state_dict()})
    with pytest.raises(ode.OdeSeriesError, match=r"key is that of another network: delete this"):
        slope.loop.cycle(slope.epochs(), 3)


def test_a_cycle_that_a_callback_ended_is_over_for_good(tmp_path: Path) -> None:
    """Taken up again, as when a later member was being trained, it goes on with no epoch."""

    def enough(record: Mapping[str, Any]) -> bool:
        return record["epoch"] == 1

    control = Control(callbacks=(enough,), store=Store.opened(tmp_path, "key", 3))
    first, again = (Slope(control) for _ in range(2))
    ended = first.loop.cycle(first.epochs(), 100)
    assert ended.step == 2 * PARTS
    resumed = again.loop.cycle(again.epochs(), 100)
    assert (resumed.epoch, resumed.step) == (ended.epoch, ended.step)
    assert torch.equal(first.net.weight, again.net.weight)
