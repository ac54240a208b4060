"""What is held out of a training panel, and how a network is judged by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from odeseries.combining import Judged
from odeseries.copula import Copula
from odeseries.metrics import LEVELS
from odeseries.model import Model
from odeseries.panel import Float64, Int64, Panel
from odeseries.phases import Phase
from odeseries.recipe import Fitted, Recipe, batches, loader_for
from odeseries.sampling import cutoff_windows, forecast_windows, hidden_windows
from odeseries.scaling import Scaling
from odeseries.widths import Calibration, HeldOut
from odeseries.windows import Batch, Windows

__all__ = ["FEWEST_SERIES", "Searched", "complete", "is_asked", "searched", "split"]

FEWEST_SERIES = 8
HELD_WINDOWS = 256
HIDDEN_WINDOWS = 96
"""Of interpolations and of backcasts, which settle nothing but their widths."""


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


def searched(phase: Phase, held: Panel, starts: Float64) -> Searched | None:
    """Choose the length of the training; None without held-out forecasts."""
    judge = _Judge(phase, held, starts)
    checks = judge.forecasts()
    if not checks:
        return None
    trained, seconds = phase.searched(lambda: _mean_loss(phase.net, checks))
    widths = Calibration() if phase.net.has_paths else _widths(phase, judge, checks)
    fitted = phase.fitted(widths, trained.records, max(trained.steps, 1), trained.loss)
    truth, quantiles = _foretold(fitted, checks, phase.panel.n_targets, judge.sizes)
    judged = _judged(truth, quantiles, phase, judge.n_values)
    if not phase.net.has_paths:
        window, times = _places(checks)
        fitted = replace(fitted, copula=Copula.fitted(window, times, truth, quantiles))
    return Searched(fitted, judged, trained.interrupted, phase.setup_seconds, seconds)


def split(
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
    return (known if is_asked(known, recipe) else None), held, starts


def is_asked(panel: Panel, recipe: Recipe) -> bool:
    """Whether there is anything to be forecast from the cutoffs, if there are some."""
    if recipe.model_cutoffs is None:
        return True
    scaled = replace(
        panel, origins=panel.origins / recipe.horizon, times=panel.times / recipe.horizon
    )
    anywhere, most = np.zeros(len(panel)), panel.n_rows
    return len(cutoff_windows(scaled, recipe.model_cutoffs, anywhere, n_queries=most)) > 0


def complete(known: Panel, panel: Panel) -> Panel:
    """The known part, or everything where a channel is not observed in it."""
    return known if np.isfinite(known.values).any(0).all() else panel


class _Judge:
    """Cuts the batches by which a network is judged, in the units of a phase.

    Parameters
    ----------
    phase : Phase
        Whose network is judged.
    held : Panel
        In clock units.
    starts : ndarray of shape (n_series,)
        Where the held-out part of each series begins, in horizons.
    """

    def __init__(self, phase: Phase, held: Panel, starts: Float64) -> None:
        self.recipe, self.starts = phase.recipe, starts
        self.panel, self._sizes = phase.scaling.apply(held), phase.scaling.sizes(held)
        self.loader = loader_for(self.panel, phase.spec.periods, phase.recipe)

    def forecasts(self) -> list[Batch]:
        """Forecasts of the held-out part, the same at every call."""
        return self._cut(self._ahead)

    @property
    def n_values(self) -> int:
        """Values that the forecasts are judged by, each counted once."""
        rows = np.unique(self._ahead.rows[self._ahead.rows >= 0])
        return int(np.isfinite(self.panel.values[rows, : self.panel.n_targets]).sum())

    @property
    def sizes(self) -> Float64 | None:
        """Units of the series of all rows of the forecasts, where these have some."""
        ahead = self._ahead
        return None if self._sizes is None else self._sizes[np.repeat(ahead.series, ahead.counts)]

    @cached_property
    def _ahead(self) -> Windows:
        """Windows of the forecasts."""
        rng, cutoffs = np.random.default_rng(0), self.recipe.model_cutoffs
        if cutoffs is None:
            return forecast_windows(
                self.panel, self.starts, rng, n_queries=self.recipe.n_queries, most=HELD_WINDOWS
            )
        every = cutoff_windows(self.panel, cutoffs, self.starts, n_queries=self.recipe.n_queries)
        return every.take(rng.permutation(len(every))[:HELD_WINDOWS])

    def hidden(self, seed: int, *, seen_left: bool) -> tuple[list[Batch], list[Batch]]:
        """Interpolations or backcasts, of the held-out part and over all times."""
        rng = np.random.default_rng(seed)
        sizes = {"n_queries": self.recipe.n_queries, "most": HIDDEN_WINDOWS}
        late, ever = (
            hidden_windows(self.panel, since, rng, seen_left=seen_left, **sizes)
            for since in (self.starts, np.zeros(len(self.panel)))
        )
        return self._cut(late), self._cut(ever)

    def _cut(self, windows: Windows) -> list[Batch]:
        self.loader.rng = np.random.default_rng(3)  # hides the same rows at every call
        return list(batches(self.loader, windows, 64, self.recipe.device))


@torch.no_grad()
def _mean_loss(net: Model, checks: Sequence[Batch]) -> float:
    """Mean loss over windows."""
    total = torch.cat([net.loss(batch, None) for batch in checks])
    return float(total.mean())


@torch.no_grad()
def _widths(phase: Phase, judge: _Judge, checks: list[Batch]) -> Calibration:
    """How wide intervals should be."""
    held_out = HeldOut(checks, judge.hidden(1, seen_left=True), judge.hidden(2, seen_left=False))
    return Calibration.fitted(phase.net, held_out, phase.recipe.device)


def _foretold(
    fitted: Fitted, checks: Sequence[Batch], n_targets: int, sizes: Float64 | None
) -> tuple[Float64, Float64]:
    """Held-out values (n, n_targets), and the quantiles of their forecasts, in the data's units."""
    parts = zip(*(_scored(fitted, batch) for batch in checks), strict=True)
    truth, quantiles = (np.concatenate(part)[:, :n_targets] for part in parts)
    scaling = fitted.scaling
    return _original(truth[..., None], scaling, sizes)[..., 0], _original(quantiles, scaling, sizes)


def _judged(truth: Float64, quantiles: Float64, phase: Phase, n_values: int) -> Judged:
    """Forecasts of the held-out values, beside the distribution of the known ones."""
    return Judged.of(truth, quantiles, _climatology(phase, np.isfinite(truth)), n_values)


def _climatology(phase: Phase, seen: npt.NDArray[np.bool_]) -> Float64:
    """Quantiles of known values, (n_targets, n_levels), in the data's units; NaN if never seen."""
    kept = np.flatnonzero(seen.any(0))
    known = phase.panel.values[:, : phase.panel.n_targets]
    plain = np.full((known.shape[1], len(LEVELS)), np.nan)
    if phase.sizes is None:
        plain[kept] = np.nanquantile(known[:, kept], LEVELS, axis=0).T
        first: Float64 = _original(plain[None], phase.scaling)[0]
        return first
    # Quantiles of series in units of their own would be none of all values.
    own = phase.scaling.original(known[..., None], phase.sizes[phase.panel.owners()])[..., 0]
    plain[kept] = np.nanquantile(own[:, kept], LEVELS, axis=0).T
    return plain


def _places(checks: Sequence[Batch]) -> tuple[Int64, Float64]:
    """Which window each held-out row belongs to, and its time after the cutoff in horizons."""
    counts = np.concatenate([batch.asked.sum(1).cpu().numpy() for batch in checks])
    times = [batch.left.lead[batch.asked].double().cpu().numpy() for batch in checks]
    return np.repeat(np.arange(len(counts)), counts), np.concatenate(times)


@torch.no_grad()
def _scored(fitted: Fitted, batch: Batch) -> tuple[Float64, Float64]:
    """Truth (n, channels), NaN where not observed, and quantiles at `LEVELS`."""
    asked = torch.tensor(np.append(LEVELS, 0.5), dtype=torch.float64, device=batch.targets.device)
    wide = fitted.widths.answers(*fitted.quantiles(batch, asked), batch)
    truth, seen = (x[batch.asked].double().cpu().numpy() for x in (batch.targets, batch.observed))
    return np.where(seen > 0, truth, np.nan), wide


def _original(values: Float64, scaling: Scaling, sizes: Float64 | None = None) -> Float64:
    """Quantiles (n_rows, n_targets, n) at levels that mirror each other, in the data's units."""
    out = scaling.original(np.nan_to_num(values), sizes)
    out[np.isnan(values)] = np.nan
    if scaling.transform is None:
        return out
    return np.where(scaling.transform.decreasing[:, None], out[..., ::-1], out)
