"""Periods of irregular series: candidates from a periodogram, kept only if they foretell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.fft import next_fast_len, rfft

from odeseries.panel import Float64

__all__ = ["calendar_periods", "harmonics", "validated_periods"]

MOST_POINTS = 4000
MOST_BINS = 1 << 20
SNAP = 0.03
DAY = 86400.0
Series = tuple[Float64, Float64]


def harmonics(times: Float64, periods: Sequence[float], count: int) -> Float64:
    """Sines and cosines of the first ``count`` harmonics of every period.

    Parameters
    ----------
    times : ndarray of shape (...,)
        Times.
    periods : sequence of float
        Periods in the unit of ``times``.
    count : int
        Harmonics per period.

    Returns
    -------
    ndarray of shape (..., 2 * count * len(periods))
    """
    angles = [2 * np.pi * k / p * times for p in periods for k in range(1, count + 1)]
    waves = [f(a) for a in angles for f in (np.sin, np.cos)]
    return np.stack(waves, -1) if waves else np.zeros((*times.shape, 0))


def calendar_periods() -> list[float]:
    """Day, week, half a year and year, in seconds."""
    return [DAY, 7 * DAY, 182.62125 * DAY, 365.2425 * DAY]


def validated_periods(
    series: Sequence[Series],
    *,
    calendar: Sequence[float] = (),
    most: int = 3,
    least_gain: float = 0.03,
) -> list[float]:
    """Periods whose harmonics, fitted on the past, lower the error on what comes after.

    Candidates are the strongest peaks of the longest series, found one after another with the
    found ones removed, then the calendar's; a peak near a calendar period becomes it. One
    channel at a time: give one call per channel.

    Parameters
    ----------
    series : sequence of (times, values)
        Observed values of one channel, times increasing, in one unit on a common clock.
    calendar : sequence of float
        Further candidates in the same unit.
    most : int
        Most periods returned.
    least_gain : float
        Least relative reduction of the squared error on the last 30 % of each series.

    Returns
    -------
    list of float
        Periods, strongest first.

    References
    ----------
    Scargle, J. D. (1982). Studies in astronomical time series analysis II. ApJ 263, 835.
    Section II (the classical periodogram of unevenly sampled data).
    """
    usable = [s for s in series if len(s[0]) >= 20 and np.ptp(s[0]) > 0 and np.ptp(s[1]) > 0]
    if not usable:
        return []
    longest = max(usable, key=lambda s: len(s[0]))
    found = _peaks(*_thinned(*longest), most)
    candidates = [_snapped(p, calendar) for p in found] + list(calendar)
    typical = float(np.median([np.ptp(t) for t, _ in usable]))
    gap = float(np.median(np.diff(longest[0])))
    kept: list[float] = []
    for period in candidates:
        near = any(abs(np.log(period / p)) < SNAP for p in kept)
        resolved = period > 2 * gap or period in found
        if near or not resolved or period > typical / 2 or len(kept) >= most:
            continue
        if _gain(usable, kept, period) > least_gain:
            kept.append(period)
    return kept


def _snapped(period: float, calendar: Sequence[float]) -> float:
    """The calendar period next to a peak, or the peak's own."""
    near = [p for p in calendar if abs(np.log(period / p)) < SNAP]
    return near[0] if near else period


def _thinned(times: Float64, values: Float64) -> Series:
    """At most ``MOST_POINTS`` rows, evenly chosen among them."""
    if len(times) <= MOST_POINTS:
        return times, values
    keep = np.sort(np.random.default_rng(0).choice(len(times), MOST_POINTS, replace=False))
    return times[keep], values[keep]


def _peaks(times: Float64, values: Float64, most: int) -> list[float]:
    """Strongest periods, each found after the earlier ones (two harmonics) were removed."""
    times = times - times[0]
    found: list[float] = []
    for _ in range(most):
        rest = values - _fit(times, found) @ _coefficients(times, values, found)
        if rest.std() <= 1e-9 * values.std():
            break
        period = _strongest(times, rest)
        if period is None:
            break
        found.append(period)
    return found


def _strongest(times: Float64, values: Float64) -> float | None:
    """Period of the highest peak if it stands clear of noise, refined on the exact times."""
    span = float(times[-1])
    gaps = np.diff(times)
    gaps = gaps[gaps > 0]
    top = min(4 / float(np.median(gaps)), 0.45 / float(np.quantile(gaps, 0.01)))
    start, width = 2 / span, 0.2 / span
    frequencies, power = _periodogram(times, values, max(top, 4 * start), width)
    allowed = (frequencies >= start) & (frequencies <= top)
    if not allowed.any():
        return None
    power = np.where(allowed, power, 0.0)
    best = int(np.argmax(power))
    chance = allowed.sum() * max(1 - power[best], 0.0) ** ((len(times) - 3) / 2)
    if chance > 1e-2:
        return None
    near = frequencies[best] + width * np.linspace(-1, 1, 21)
    errors = [_residual(times, values, [1 / f]) for f in near if f > 0]
    return float(1 / near[int(np.argmin(errors))])


def _periodogram(
    times: Float64, values: Float64, top: float, width: float
) -> tuple[Float64, Float64]:
    """Share of the variance at frequencies up to ``top``, by an FFT over fine bins."""
    bins = next_fast_len(int(min(8 * top / width, MOST_BINS)))
    size = 1 / (bins * width)
    where = np.minimum(np.round(times / size).astype(np.int64), bins - 1)
    signal = np.bincount(where, weights=values - values.mean(), minlength=bins)
    energy = float(((values - values.mean()) ** 2).sum())
    power = 2 * np.abs(rfft(signal)) ** 2 / (len(values) * energy)
    frequencies: Float64 = width * np.arange(len(power), dtype=np.float64)
    return frequencies, np.minimum(power, 1.0)


def _fit(times: Float64, periods: Sequence[float]) -> Float64:
    """Design of trend and two harmonics of every period."""
    scaled = (times - times[0]) / max(float(np.ptp(times)), 1e-300)
    return np.column_stack([np.ones(len(times)), scaled, harmonics(times, periods, 2)])


def _coefficients(times: Float64, values: Float64, periods: Sequence[float]) -> Float64:
    """Least squares of the design."""
    design = _fit(times, periods)
    return np.asarray(np.linalg.lstsq(design, values, rcond=None)[0])


def _residual(times: Float64, values: Float64, periods: Sequence[float]) -> float:
    """Squared error of the least squares."""
    rest = values - _fit(times, periods) @ _coefficients(times, values, periods)
    return float((rest**2).sum())


def _gain(series: Sequence[Series], kept: Sequence[float], period: float) -> float:
    """Relative reduction of the squared error on the last 30 % of the rows."""
    before = after = 0.0
    for times, values in series[:200]:
        cut = int(0.7 * len(times))
        if cut < 12:
            continue
        before += _ahead(times, values, cut, kept)
        after += _ahead(times, values, cut, [*kept, period])
    return 1 - after / before if before > 0 else 0.0


def _ahead(times: Float64, values: Float64, cut: int, periods: Sequence[float]) -> float:
    """Squared error on the rows from ``cut`` on of harmonics fitted on those before.

    The level of the later rows is free: what is judged is the shape, not the drift.
    """
    waves = harmonics(times - times[0], periods, 2)
    scaled = (times - times[0]) / (times[-1] - times[0])
    design = np.column_stack([np.ones(len(times)), scaled, waves])
    ridge = 1e-3 * cut * np.eye(design.shape[1])
    ridge[:2, :2] = 0.0
    gram = design[:cut].T @ design[:cut] + ridge
    weights = np.linalg.lstsq(gram, design[:cut].T @ values[:cut], rcond=None)[0]
    rest = values[cut:] - waves[cut:] @ weights[2:]
    trend = np.column_stack([np.ones(len(rest)), scaled[cut:]])
    rest = rest - trend @ np.linalg.lstsq(trend, rest, rcond=None)[0]
    return float((rest**2).sum())
