"""Two-phase fitting: a held-out part chooses how long to train, then all data are used."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from odeseries.checkpoints import Randomness
from odeseries.combining import Judged
from odeseries.control import Control, Record
from odeseries.copula import Copula
from odeseries.errors import ConvergenceWarning, DataError
from odeseries.metrics import LEVELS
from odeseries.model import Model
from odeseries.nets import seeded_weights
from odeseries.panel import Float64, Int64, Panel
from odeseries.sampling import (
    WindowSampler,
    cutoff_windows,
    forecast_windows,
    hidden_windows,
)
from odeseries.seasonality import calendar_periods, validated_periods
from odeseries.trained import Trained
from odeseries.training import Loop
from odeseries.widths import Calibration, HeldOut
from odeseries.windows import ROUND, Batch, Loader, Scaling, Windows

__all__ = ["Fitted", "Recipe", "Searched", "Spec", "fit", "refit", "search"]

FEWEST_SERIES = 8
LEAST_STEPS_PER_EPOCH = 10
STEPS_WITHOUT_HOLDOUT = 100
HELD_WINDOWS = 256
MOST_PERIODS = 4
MEMBER_STRIDE = 1_000_003
"""Between the seeds of the members, so that seeds next to each other share none."""


@dataclass(frozen=True)
class Spec:
    """What a network is built for.

    Attributes
    ----------
    n_channels : int
        Channels that are seen; the targets come first.
    n_inputs : int
        Known inputs.
    periods : tuple of float
        Periods in horizons.
    n_series : int
        Series of the training panel.
    input_gap : float
        Median time from one known value of the inputs to the next, in horizons; infinite
        without inputs.
    """

    n_channels: int
    n_inputs: int
    periods: tuple[float, ...]
    n_series: int
    input_gap: float = math.inf


@dataclass(frozen=True)
class Recipe:
    """Everything that steers a fit beside the network.

    Attributes
    ----------
    horizon : float
        In clock units.
    seasonality : "auto", None or sequence of float
        Periods in clock units.
    calendar : bool
        Whether the clock is one of dates, so that days and years mean something.
    transformer : scikit-learn transformer or None
        Of the targets, not fitted.
    cutoffs : tuple of float, or None
        Times from which forecasts are trained, in clock units since its reference.
    """

    horizon: float
    seasonality: str | Sequence[float] | None
    calendar: bool
    n_rows: int
    n_lags: int
    n_harmonics: int
    n_queries: int
    interpolation: float
    backcast: float
    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    validation_fraction: float
    input_noise: float
    device: torch.device
    verbose: bool
    transformer: Any = None
    n_members: int = 1
    cutoffs: tuple[float, ...] | None = None

    @property
    def model_cutoffs(self) -> Float64 | None:
        """The cutoffs in horizons, rounded like the times of a panel."""
        if self.cutoffs is None:
            return None
        return np.round(np.array(self.cutoffs) / self.horizon, ROUND)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained network with what it was built for and the units that it was trained in.

    Attributes
    ----------
    others : tuple of Model
        Further members of an ensemble, trained alike from other weights and batches.
    copula : Copula or None
        Dependence of the errors of the held-out forecasts, if there were some.
    """

    net: Model
    spec: Spec
    scaling: Scaling
    widths: Calibration
    records: list[Record]
    best_steps: int
    held_out_loss: float
    interrupted: bool = False
    others: tuple[Model, ...] = ()
    copula: Copula | None = None

    def quantiles(self, batch: Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the members' quantiles, and ages; see `Model.quantiles`."""
        first, ages = self.net.quantiles(batch, levels)
        if not self.others:
            return first, ages
        rest = [net.quantiles(batch, levels)[0] for net in self.others]
        return torch.stack([first, *rest]).mean(0), ages

    def paths(self, batch: Batch, keys: Tensor, n_paths: int) -> Tensor:
        """Mean of the members' paths, which share their randomness; see `Model.paths`."""
        drawn = [net.paths(batch, keys, n_paths) for net in (self.net, *self.others)]
        return torch.stack(drawn).mean(0)

    def loader(self, panel: Panel, recipe: Recipe, inputs: Float64 | None = None) -> Loader:
        """Cuts batches from a panel in clock units, asked with inputs in the data's units."""
        known = None if inputs is None else self.scaling.standard_inputs(inputs)
        return _loader(self.scaling.apply(panel), self.spec.periods, recipe, known)


Build = Callable[[Spec], Model]


def fit(
    panel: Panel, recipe: Recipe, build: Build, seed: int, control: Control | None = None
) -> Fitted:
    """Fit in two phases.

    First a part is held out: the last share of the time of each series or, of a panel of many,
    whole series. Training at a constant rate on the rest tells the number of steps after which
    the held-out forecasts are best, and how wide they should be. Then a fresh network is
    trained on everything for that many steps.

    Ctrl-C ends the fit. The network of the first phase is kept, at its best held-out loss, unless
    the second one has done at least half of its steps.

    Parameters
    ----------
    panel : Panel
        In clock units.
    recipe : Recipe
    build : callable
        Makes a network from a `Spec`.
    seed : int
        Seed of everything random.
    control : Control, optional
        Time, callbacks and checkpoints.

    Returns
    -------
    Fitted

    Raises
    ------
    OdeSeriesError
        If no step had a finite loss.
    DataError
        If no series has something observed both up to a cutoff and in the horizon after it.
    KeyboardInterrupt
        If there are no weights to be kept yet.
    """
    if not _is_asked(panel, recipe):
        raise DataError(
            "No series has something observed both up to one of the cutoffs and in the horizon "
            "after it, so that there is nothing to learn from: move the cutoffs, or leave them out."
        )
    control = control or Control()
    rng = np.random.default_rng(seed)
    first = search(panel, recipe, build, seed, rng, control)
    return refit(panel, recipe, build, seed, rng, control, first)


def search(
    panel: Panel,
    recipe: Recipe,
    build: Build,
    seed: int,
    rng: np.random.Generator,
    control: Control,
) -> Searched | None:
    """First phase of a fit: choose the length of the training on what is held out.

    Returns
    -------
    Searched or None
        None where nothing can be held out.
    """
    known, held, starts = _split(panel, recipe, rng)
    if known is None:
        return None
    scaling = Scaling.fitted(_complete(known, panel), recipe.horizon, recipe.transformer)
    phase = _Phase(known, scaling, recipe, build, seed, rng, control)
    return _searched(phase, held, starts / recipe.horizon)


@dataclass(frozen=True, eq=False)
class Searched:
    """What the first phase found, and the seconds that the second one needs beside training.

    Attributes
    ----------
    judged : Judged
        The held-out forecasts.
    """

    fitted: Fitted
    judged: Judged
    interrupted: bool
    setup_seconds: float
    validation_seconds: float


def _searched(phase: _Phase, held: Panel, starts: Float64) -> Searched | None:
    """Choose the length of the training; None without held-out forecasts."""
    judge = _Judge(phase, held, starts)
    checks = judge.forecasts()
    if not checks:
        return None
    trained, seconds = phase.searched(lambda: _mean_loss(phase.net, checks))
    widths = Calibration() if phase.net.has_paths else _widths(phase, judge, checks)
    fitted = phase.fitted(widths, trained.records, max(trained.steps, 1), trained.loss)
    truth, quantiles = _foretold(fitted, checks, phase.panel.n_targets)
    judged = _judged(truth, quantiles, phase, judge.n_values)
    if not phase.net.has_paths:
        window, times = _places(checks)
        fitted = replace(fitted, copula=Copula.fitted(window, times, truth, quantiles))
    return Searched(fitted, judged, trained.interrupted, phase.setup_seconds, seconds)


def refit(
    panel: Panel,
    recipe: Recipe,
    build: Build,
    seed: int,
    rng: np.random.Generator,
    control: Control,
    first: Searched | None,
) -> Fitted:
    """Second phase of a fit: train a fresh network on everything, as long as was found best.

    The network of the first phase is kept if the second one comes to nothing.
    """
    if first is not None and first.interrupted:
        return _kept("best weights so far", first)
    steps = STEPS_WITHOUT_HOLDOUT if first is None else first.fitted.best_steps
    try:
        scaling = Scaling.fitted(panel, recipe.horizon, recipe.transformer)
        started = time.perf_counter()
        phase = _Phase(panel, scaling, recipe, build, seed + 1, rng, control)
        tail = 0.0 if first is None else first.validation_seconds
        trained = phase.cycled("training on all", steps, tail)
        took = time.perf_counter() - started
    except KeyboardInterrupt:
        if first is None:
            raise
        return _kept("weights of the first phase", first)
    if trained.interrupted and 2 * trained.step < steps and first is not None:
        return _kept("weights of the first phase", first, trained.records)
    if trained.interrupted:
        _warn_interrupted("averaged weights so far")
    fitted = phase.fitted(Calibration(), trained.records, steps, float("nan"))
    if first is not None:
        records = first.fitted.records + trained.records
        fitted = replace(
            first.fitted, net=phase.net, spec=phase.spec, scaling=phase.scaling, records=records
        )
    if trained.interrupted:
        return replace(fitted, interrupted=True)
    return _joined(fitted, phase, steps, seed + 1, took + tail)


def _joined(fitted: Fitted, phase: _Phase, steps: int, seed: int, seconds: float) -> Fitted:
    """Train the other members of the ensemble, as many as there is time for."""
    for k in range(1, phase.recipe.n_members if phase.learns else 1):
        if phase.control.budget.left() < seconds:
            warnings.warn(
                f"max_time was reached after {k} of n_members={phase.recipe.n_members} networks.",
                ConvergenceWarning,
                stacklevel=5,
            )
            break
        phase.renew(seed + k * MEMBER_STRIDE)
        trained = phase.cycled(f"training on all, member {k + 1}", steps)
        if trained.interrupted:
            _warn_interrupted(f"{k} complete networks")
            return replace(fitted, interrupted=True)
        records = fitted.records + trained.records
        fitted = replace(fitted, others=(*fitted.others, phase.net), records=records)
    return fitted


def _kept(what: str, first: Searched, more: Sequence[Record] = ()) -> Fitted:
    """The result of the first phase, after an interruption."""
    _warn_interrupted(what)
    return replace(first.fitted, records=[*first.fitted.records, *more], interrupted=True)


def _warn_interrupted(kept: str) -> None:
    warnings.warn(f"Interrupted: kept are the {kept}.", ConvergenceWarning, stacklevel=4)


class _Phase:
    """One network trained on one panel."""

    def __init__(
        self,
        panel: Panel,
        scaling: Scaling,
        recipe: Recipe,
        build: Build,
        seed: int,
        rng: np.random.Generator,
        control: Control,
    ) -> None:
        started = time.perf_counter()
        self.scaling, self.recipe, self.rng, self.control = scaling, recipe, rng, control
        self.panel = scaling.apply(panel)
        periods = _periods(self.panel, recipe)
        self.loader = _loader(self.panel, periods, recipe)
        n_inputs = 0 if panel.inputs is None else len(panel.inputs.channels)
        gap = _input_gap(self.panel)
        self.spec = Spec(len(panel.channels), n_inputs, periods, len(panel), gap)
        self.build = build
        self.sampler = WindowSampler(
            self.panel,
            rng,
            n_queries=recipe.n_queries,
            interpolation=recipe.interpolation,
            backcast=recipe.backcast,
            cutoffs=recipe.model_cutoffs,
        )
        self.renew(seed)
        self.setup_seconds = time.perf_counter() - started

    def renew(self, seed: int) -> None:
        """Begin with a network of other weights."""
        with seeded_weights(seed):
            net = self.build(self.spec)
        self.net = net.to(self.recipe.device)
        self.generator = torch.Generator().manual_seed(seed)
        most = self.net.n_start_windows
        windows = self.sampler.cover(most // 2)
        few = windows.take(np.arange(min(len(windows), most)))
        self.net.start(list(self._batches(few)))

    @property
    def learns(self) -> bool:
        """Whether the network has anything to be trained."""
        return any(p.requires_grad for p in self.net.parameters())

    def searched(self, validate: Callable[[], float]) -> tuple[Trained, float]:
        """Train until the held-out loss stops falling; also the seconds that it takes once."""
        if not self.learns:
            self.net.eval()
            return Trained(loss=validate(), finished=True), 0.0
        loop = self._loop("choosing the length")
        trained = loop.search(
            self._epochs(),
            validate,
            max_epochs=self.recipe.max_epochs,
            patience=self.recipe.patience,
            tail=self.setup_seconds,
        )
        return trained, loop.validation_seconds

    def cycled(self, description: str, steps: int, tail: float = 0.0) -> Trained:
        """Train a number of steps."""
        if not self.learns:
            self.net.eval()
            return Trained(finished=True)
        return self._loop(description).cycle(self._epochs(), steps, tail=tail)

    def _loop(self, description: str) -> Loop[Batch]:
        return Loop(
            self.net,
            self._loss,
            learning_rate=self.recipe.learning_rate,
            decay=self.recipe.weight_decay,
            description=description,
            verbose=self.recipe.verbose,
            control=self.control,
            randomness=Randomness(self.rng, self.generator),
        )

    def fitted(self, widths: Calibration, records: list[Record], steps: int, loss: float) -> Fitted:
        """The network as it is."""
        return Fitted(self.net, self.spec, self.scaling, widths, records, steps, loss)

    def _loss(self, batch: Batch) -> Tensor:
        """Mean loss of a batch whose inputs are jittered."""
        return self.net.loss(
            _jittered(batch, self.recipe.input_noise, self.generator), self.generator
        ).mean()

    def _epochs(self) -> Iterator[Iterator[Batch]]:
        """Endless epochs; in each every observation is a target at least once."""
        size = self.recipe.batch_size
        while True:
            windows = self.sampler.cover(LEAST_STEPS_PER_EPOCH * size)
            yield self._batches(windows)

    def _batches(self, windows: Windows) -> Iterator[Batch]:
        return _cut(self.loader, windows, self.recipe.batch_size, self.recipe.device)


class _Judge:
    """Cuts the batches by which a network is judged, in the units of a phase.

    Parameters
    ----------
    phase : _Phase
        Whose network is judged.
    held : Panel
        In clock units.
    starts : ndarray of shape (n_series,)
        Where the held-out part of each series begins, in horizons.
    """

    def __init__(self, phase: _Phase, held: Panel, starts: Float64) -> None:
        self.recipe, self.starts = phase.recipe, starts
        self.panel = phase.scaling.apply(held)
        self.loader = _loader(self.panel, phase.spec.periods, phase.recipe)
        self.sizes = {"n_queries": phase.recipe.n_queries, "most": HELD_WINDOWS}

    def forecasts(self) -> list[Batch]:
        """Forecasts of the held-out part, the same at every call."""
        return self._cut(self._ahead)

    @property
    def n_values(self) -> int:
        """Values that the forecasts are judged by, each counted once."""
        rows = np.unique(self._ahead.rows[self._ahead.rows >= 0])
        return int(np.isfinite(self.panel.values[rows, : self.panel.n_targets]).sum())

    @cached_property
    def _ahead(self) -> Windows:
        """Windows of the forecasts."""
        rng, cutoffs = np.random.default_rng(0), self.recipe.model_cutoffs
        if cutoffs is None:
            return forecast_windows(self.panel, self.starts, rng, **self.sizes)
        every = cutoff_windows(self.panel, cutoffs, self.starts, n_queries=self.recipe.n_queries)
        return every.take(rng.permutation(len(every))[:HELD_WINDOWS])

    def hidden(self, seed: int, *, seen_left: bool) -> tuple[list[Batch], list[Batch]]:
        """Interpolations or backcasts, of the held-out part and over all times."""
        rng = np.random.default_rng(seed)
        late, ever = (
            hidden_windows(self.panel, since, rng, seen_left=seen_left, **self.sizes)
            for since in (self.starts, np.zeros(len(self.panel)))
        )
        return self._cut(late), self._cut(ever)

    def _cut(self, windows: Windows) -> list[Batch]:
        return list(_cut(self.loader, windows, 64, self.recipe.device))


def _loader(
    panel: Panel, periods: Sequence[float], recipe: Recipe, inputs: Float64 | None = None
) -> Loader:
    return Loader(
        panel,
        periods,
        inputs=inputs,
        n_rows=recipe.n_rows,
        n_lags=recipe.n_lags,
        n_harmonics=recipe.n_harmonics,
    )


def _cut(loader: Loader, windows: Windows, size: int, device: torch.device) -> Iterator[Batch]:
    """Batches of at most ``size`` windows."""
    for start in range(0, len(windows), size):
        chosen = np.arange(start, min(start + size, len(windows)))
        yield loader.batch(windows.take(chosen)).to(device)


def _split(
    panel: Panel, recipe: Recipe, rng: np.random.Generator
) -> tuple[Panel | None, Panel, Float64]:
    """Known part, panel of the held-out forecasts, and their earliest cutoffs.

    Cutoffs are relative to the origins of the series, in clock units.
    """
    share = recipe.validation_fraction
    if share == 0:
        return None, panel, np.zeros(len(panel))
    if len(panel) >= FEWEST_SERIES:
        order = rng.permutation(len(panel))
        count = max(1, round(share * len(panel)))
        held, starts = panel.select(np.sort(order[:count])), np.zeros(count)
        known = panel.select(np.sort(order[count:]))
    else:
        held, starts = panel, (1 - share) * panel.spans()
        known = panel.before(starts)
        if known.n_rows < 2 or not np.isfinite(known.values).any(0).all():
            return None, panel, starts
    return (known if _is_asked(known, recipe) else None), held, starts


def _is_asked(panel: Panel, recipe: Recipe) -> bool:
    """Whether there is anything to be forecast from the cutoffs, if there are some."""
    if recipe.model_cutoffs is None:
        return True
    scaled = replace(
        panel, origins=panel.origins / recipe.horizon, times=panel.times / recipe.horizon
    )
    anywhere, most = np.zeros(len(panel)), panel.n_rows
    return len(cutoff_windows(scaled, recipe.model_cutoffs, anywhere, n_queries=most)) > 0


def _complete(known: Panel, panel: Panel) -> Panel:
    """The known part, or everything where a channel is not observed in it."""
    return known if np.isfinite(known.values).any(0).all() else panel


def _periods(panel: Panel, recipe: Recipe) -> tuple[float, ...]:
    """Periods in horizons, the given ones or those that were validated, over all channels."""
    if recipe.seasonality is None:
        return ()
    if not isinstance(recipe.seasonality, str):
        return tuple(p / recipe.horizon for p in recipe.seasonality)
    calendar = [p / recipe.horizon for p in calendar_periods()] if recipe.calendar else []
    found: list[float] = []
    for c in range(min(panel.n_targets, 8)):
        series = []
        for i in range(len(panel)):
            times, values = panel.series(i)
            seen = np.isfinite(values[:, c])
            series.append((times[seen] + panel.origins[i], values[seen, c]))
        for period in validated_periods(series, calendar=calendar):
            if all(abs(np.log(period / p)) > 0.03 for p in found):
                found.append(period)
    return tuple(found[:MOST_PERIODS])


def _input_gap(panel: Panel) -> float:
    """Median time between knots of the inputs; infinite where there are none to speak of."""
    if panel.inputs is None:
        return math.inf
    gaps = np.concatenate([np.diff(times) for times, _ in panel.inputs])
    return float(np.median(gaps)) if len(gaps) else math.inf


def _jittered(batch: Batch, noise: float, generator: torch.Generator) -> Batch:
    """The batch with noise on its inputs, in shares of their spread within the window."""
    if noise == 0:
        return batch
    left = batch.left
    total = left.mask.sum(1, keepdim=True).clamp(min=1)
    mean = (left.values * left.mask).sum(1, keepdim=True) / total
    spread = ((left.values - mean) ** 2 * left.mask).sum(1, keepdim=True).div(total).sqrt()
    drawn = torch.randn(left.values.shape, generator=generator).to(left.values)
    values = left.values + noise * spread * drawn * left.mask
    return replace(batch, left=replace(left, values=values))


@torch.no_grad()
def _mean_loss(net: Model, batches: Sequence[Batch]) -> float:
    """Mean loss over windows."""
    total = torch.cat([net.loss(b, None) for b in batches])
    return float(total.mean())


@torch.no_grad()
def _widths(phase: _Phase, judge: _Judge, checks: list[Batch]) -> Calibration:
    """How wide intervals should be."""
    held_out = HeldOut(checks, judge.hidden(1, seen_left=True), judge.hidden(2, seen_left=False))
    return Calibration.fitted(phase.net, held_out, phase.recipe.device)


def _foretold(fitted: Fitted, checks: Sequence[Batch], n_targets: int) -> tuple[Float64, Float64]:
    """Held-out values (n, n_targets), and the quantiles of their forecasts, in the data's units."""
    parts = zip(*(_scored(fitted, batch) for batch in checks), strict=True)
    truth, quantiles = (np.concatenate(part)[:, :n_targets] for part in parts)
    scaling = fitted.scaling
    return _original(truth[..., None], scaling)[..., 0], _original(quantiles, scaling)


def _judged(truth: Float64, quantiles: Float64, phase: _Phase, n_values: int) -> Judged:
    """Forecasts of the held-out values, beside the distribution of the known ones."""
    plain = np.full(quantiles.shape[1:], np.nan)
    kept = np.isfinite(truth).any(0)
    known = phase.panel.values[:, : phase.panel.n_targets][:, kept]
    plain[kept] = np.nanquantile(known, LEVELS, axis=0).T
    return Judged.of(truth, quantiles, _original(plain[None], phase.scaling)[0], n_values)


def _places(checks: Sequence[Batch]) -> tuple[Int64, Float64]:
    """Which window each held-out row belongs to, and its time after the cutoff in horizons."""
    counts = np.concatenate([batch.asked.sum(1).cpu().numpy() for batch in checks])
    times = [batch.left.lead[batch.asked].double().cpu().numpy() for batch in checks]
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(times)


def _original(values: Float64, scaling: Scaling) -> Float64:
    """Quantiles (n_rows, n_targets, n) at levels that mirror each other, in the data's units."""
    out = scaling.original(np.nan_to_num(values))
    out[np.isnan(values)] = np.nan
    if scaling.transform is None:
        return out
    return np.where(scaling.transform.decreasing[:, None], out[..., ::-1], out)


@torch.no_grad()
def _scored(fitted: Fitted, batch: Batch) -> tuple[Float64, Float64]:
    """Truth (n, channels), NaN where not observed, and quantiles at `LEVELS`."""
    asked = torch.tensor(np.append(LEVELS, 0.5), dtype=torch.float64, device=batch.targets.device)
    wide = fitted.widths.answers(*fitted.quantiles(batch, asked), batch)
    truth, seen = (x[batch.asked].double().cpu().numpy() for x in (batch.targets, batch.observed))
    return np.where(seen > 0, truth, np.nan), wide
