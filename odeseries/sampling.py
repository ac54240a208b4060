"""Which windows are trained on, and which windows a forecast needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from odeseries.panel import Float64, Int64, Panel
from odeseries.windows import Windows

__all__ = [
    "WindowSampler",
    "cutoff_windows",
    "forecast_windows",
    "hidden_windows",
    "query_windows",
    "with_rare",
]

FEWEST_TARGETS = 256
"""Of a channel, as far as there are so many, to begin a network with."""

LONGEST_LEAD = 100.0
"""Horizons; rows that are farther from a stretch are not seen: nothing is to be learned so far."""

SLACK = 1e-8
"""Horizons within which stamps are equal, so that rounding puts no row on the other side."""

Bounds = tuple[int, int, int, int]
Bools = npt.NDArray[np.bool_]


class WindowSampler:
    """Cuts every series into stretches to be hidden and asked for.

    Every row with an observed target is a target at least once in `cover`. A stretch is at most a
    horizon long and is asked for from before it (a forecast), from both sides (an
    interpolation) or from after it (a backcast); the first rows of a series, and those after a gap
    of more than 100 horizons, can only be a backcast.

    Parameters
    ----------
    panel : Panel
        In model units: one unit of time is the horizon.
    rng : numpy.random.Generator
        Source of randomness.
    n_queries : int
        Most queries of a window; a longer stretch is asked for in several windows.
    interpolation, backcast : float
        Share of the stretches that are interpolations and backcasts.
    cutoffs : ndarray of float64, optional
        Absolute times after which forecasts are asked for; nothing else is then asked for, see
        `cutoff_windows`.
    """

    def __init__(
        self,
        panel: Panel,
        rng: np.random.Generator,
        *,
        n_queries: int,
        interpolation: float,
        backcast: float,
        cutoffs: Float64 | None = None,
    ) -> None:
        self.panel, self.rng, self.n_queries = panel, rng, n_queries
        self.interpolation, self.backcast = interpolation, backcast
        self._ahead: Windows | None = None
        if cutoffs is not None:
            anywhere = np.zeros(len(panel))
            self._ahead = cutoff_windows(panel, cutoffs, anywhere, n_queries=n_queries)
        seen = np.isfinite(panel.values[:, : panel.n_targets])
        self.is_target: Bools = np.asarray(seen.any(1))

    def cover(self, least: int) -> Windows:
        """Windows that ask for every observation at least once; at least ``least`` windows.

        With cutoffs, those of all series that have some; ``least`` does not hold without any.
        """
        if self._ahead is not None:
            repeats = -(-max(least, 1) // max(len(self._ahead), 1))
            orders = [self.rng.permutation(len(self._ahead)) for _ in range(repeats)]
            return self._ahead.take(np.concatenate(orders))
        bounds: list[Bounds] = []
        rows: list[Int64] = []
        while len(bounds) < max(least, 1):
            for i in range(len(self.panel)):
                self._cover_series(i, bounds, rows)
        order = self.rng.permutation(len(bounds))
        bounds, rows = [bounds[k] for k in order], [rows[k] for k in order]
        return Windows.build(bounds, [self.panel.times[r] for r in rows], rows)

    def _cover_series(self, i: int, bounds: list[Bounds], rows: list[Int64]) -> None:
        """Append the windows of one series."""
        span = self.panel.rows(i)
        times = self.panel.times[span]
        at = 0
        length = self.rng.random()
        while at < len(times):
            kind = self.rng.random()
            between = kind < self.interpolation and at > 0
            if between:
                length = float(np.exp(self.rng.uniform(np.log(1e-3), 0.0)))
            end = max(_until(times, times[at] + length), at + 1)
            self._append(i, span, at, end, kind, bounds, rows)
            at, length = end, 1.0

    def _append(
        self,
        i: int,
        span: slice,
        at: int,
        end: int,
        kind: float,
        bounds: list[Bounds],
        rows: list[Int64],
    ) -> None:
        """Append the windows that ask for the rows ``at:end`` of a series."""
        before, after = self._is_near(span, at), self._is_near(span, end)
        if kind < self.interpolation:
            seen_left, seen_right = before, after
        elif kind < self.interpolation + self.backcast or not before:
            seen_left, seen_right = False, after
        else:
            seen_left, seen_right = True, False
        left = span.start + at if seen_left else span.start
        right = span.start + end
        right_end = span.stop if seen_right else right
        hidden = span.start + at + self.rng.permutation(end - at)
        hidden = hidden[self.is_target[hidden]]
        for chunk in np.array_split(hidden, max(-(-len(hidden) // self.n_queries), 1)):
            if not len(chunk):
                continue
            bounds.append((i, left, right, right_end))
            rows.append(np.sort(chunk))

    def _is_near(self, span: slice, at: int) -> bool:
        """Whether a row of a series follows the one before it closely enough to learn from it."""
        times = self.panel.times[span]
        return 0 < at < len(times) and bool(times[at] - times[at - 1] <= LONGEST_LEAD)


def forecast_windows(
    panel: Panel, starts: Float64, rng: np.random.Generator, *, n_queries: int, most: int
) -> Windows:
    """Random forecasts whose cutoff lies at or after ``starts[i]`` in series ``i``, evenly in time.

    Parameters
    ----------
    panel : Panel
        In model units.
    starts : ndarray of shape (n_series,)
        Earliest cutoff of each series.
    rng : numpy.random.Generator
        Source of randomness.
    n_queries : int
        Queries of a window, chosen among the rows of the horizon.
    most : int
        Number of windows that are tried.

    Returns
    -------
    Windows
        Possibly none.
    """
    bounds: list[Bounds] = []
    rows: list[Int64] = []
    for i in rng.permutation(np.resize(np.arange(len(panel)), most)):
        span = panel.rows(int(i))
        times = panel.times[span]
        last_start = max(float(times[-1]) - 1.0, float(starts[i]))
        cutoff = rng.uniform(float(starts[i]), last_start)
        at = max(_until(times, cutoff), min(3, len(times) - 1), 1)
        end = _until(times, times[min(at, len(times)) - 1] + 1.0)
        if end <= at:
            continue
        ahead = _targets(panel, span.start + np.arange(at, end))
        if not len(ahead):
            continue
        ahead = np.sort(rng.permutation(ahead)[:n_queries])
        bounds.append((int(i), span.start + at, span.start + end, span.start + end))
        rows.append(ahead)
    return Windows.build(bounds, [panel.times[r] for r in rows], rows)


def cutoff_windows(panel: Panel, cutoffs: Float64, starts: Float64, *, n_queries: int) -> Windows:
    """Forecasts from given cutoffs, of every series that was observed before and after them.

    Parameters
    ----------
    panel : Panel
        In model units.
    cutoffs : ndarray of float64, shape (n_cutoffs,)
        Absolute times; what was observed at a cutoff is seen, and what was observed a horizon after
        it is asked for.
    starts : ndarray of shape (n_series,)
        Earliest cutoff of each series, relative to its origin.
    n_queries : int
        Most queries of a window; a horizon of more rows is asked for in several windows, each of
        which asks all over it.

    Returns
    -------
    Windows
        Possibly none.
    """
    bounds: list[Bounds] = []
    rows: list[Int64] = []
    for i in range(len(panel)):
        span = panel.rows(i)
        times = panel.times[span]
        for cutoff in cutoffs - panel.origins[i]:
            at, end = _until(times, cutoff), _until(times, cutoff + 1.0)
            ahead = _targets(panel, span.start + np.arange(at, end))
            if at == 0 or cutoff < starts[i] - SLACK or not len(ahead):
                continue
            n_parts = -(-len(ahead) // n_queries)
            for chunk in (ahead[k::n_parts] for k in range(n_parts)):
                bounds.append((i, span.start + at, span.start + end, span.start + end))
                rows.append(chunk)
    return Windows.build(bounds, [panel.times[r] for r in rows], rows)


def with_rare(panel: Panel, windows: Windows, most: int) -> Windows:
    """The first windows, and those further ones that ask for channels which are rare in them.

    What is asked for once in a hundred windows would otherwise begin with a dozen values.

    Parameters
    ----------
    panel : Panel
        In model units.
    windows : Windows
        In random order.
    most : int
        Windows that are taken whatever they ask for; a further one is if it asks for a channel
        of which less than 256 targets came before it.

    Returns
    -------
    Windows
        In their order.
    """
    seen = np.isfinite(panel.values[:, : panel.n_targets])
    taken = np.arange(len(windows)) < most
    enough = _targets_of(windows.take(np.flatnonzero(taken)), seen).sum(0) >= FEWEST_TARGETS
    rare = _targets_of(windows, seen[:, ~enough])
    before = rare.cumsum(0) - rare
    taken |= ((rare > 0) & (before < FEWEST_TARGETS)).any(1)
    return windows.take(np.flatnonzero(taken))


def _targets_of(windows: Windows, seen: Bools) -> Int64:
    """How many targets every window has of each channel, (n, channels)."""
    return np.asarray((seen[windows.rows] & (windows.rows >= 0)[..., None]).sum(1))


def _until(times: Float64, limit: float) -> int:
    """How many of some ascending times are up to a limit, or equal to it but for rounding."""
    return int(np.searchsorted(times, limit + SLACK, "right"))


def _targets(panel: Panel, rows: Int64) -> Int64:
    """Those of some rows in which a target was observed."""
    return rows[np.isfinite(panel.values[rows, : panel.n_targets]).any(1)]


def hidden_windows(
    panel: Panel,
    starts: Float64,
    rng: np.random.Generator,
    *,
    n_queries: int,
    most: int,
    seen_left: bool,
) -> Windows:
    """Random stretches at or after ``starts[i]`` in series ``i`` that rows after them are seen of.

    Parameters
    ----------
    panel, starts, rng, n_queries, most
        As in `forecast_windows`.
    seen_left : bool
        Whether the rows before a stretch are seen too: interpolations, otherwise backcasts.

    Returns
    -------
    Windows
        Possibly none.
    """
    bounds: list[Bounds] = []
    rows: list[Int64] = []
    for i in rng.permutation(np.resize(np.arange(len(panel)), most)):
        span = panel.rows(int(i))
        times = panel.times[span]
        lowest = max(int(np.searchsorted(times, starts[i], "left")), int(seen_left))
        if lowest >= len(times) - 1:
            continue
        at = int(rng.integers(lowest, len(times) - 1))
        length = float(np.exp(rng.uniform(np.log(1e-3), 0.0))) if seen_left else rng.random()
        end = _until(times, times[at] + length)
        hidden = span.start + np.arange(at, min(max(end, at + 1), len(times) - 1))
        asked = _targets(panel, hidden)
        if len(asked):
            left = span.start + at if seen_left else span.start
            bounds.append((int(i), left, int(hidden[-1]) + 1, span.stop))
            rows.append(np.sort(rng.permutation(asked)[:n_queries]))
    return Windows.build(bounds, [panel.times[r] for r in rows], rows)


def query_windows(
    panel: Panel, series: Int64, times: Float64, n_queries: int
) -> tuple[Windows, Int64]:
    """Windows for queries at any time: all rows before and after each query may be seen.

    Queries between the same two observations share a window.

    Parameters
    ----------
    panel : Panel
        In model units.
    series : ndarray of int64, shape (n,)
        Series of each query.
    times : ndarray of float64, shape (n,)
        Times, relative to the origin of the series.
    n_queries : int
        Most queries of a window.

    Returns
    -------
    windows : Windows
    order : ndarray of int64, shape (n,)
        Queries in the order in which the windows hold them, window after window.
    """
    order = np.lexsort((times, series))
    left = np.empty(len(series), dtype=np.int64)
    for i in np.unique(series):
        span = panel.rows(int(i))
        of = series == i
        left[of] = span.start + np.searchsorted(panel.times[span], times[of], "right")
    key = np.stack([series, left], 1)[order]
    new = np.flatnonzero(np.any(np.diff(key, axis=0) != 0, axis=1)) + 1
    groups = np.split(order, new) if len(order) else []
    bounds: list[Bounds] = []
    chunks: list[Int64] = []
    for group in groups:
        i, at = int(series[group[0]]), int(left[group[0]])
        for chunk in np.array_split(group, -(-len(group) // n_queries)):
            bounds.append((i, at, at, int(panel.offsets[i + 1])))
            chunks.append(chunk)
    windows = Windows.build(bounds, [times[c] for c in chunks], asked=chunks)
    return windows, np.concatenate(chunks) if chunks else np.zeros(0, dtype=np.int64)
