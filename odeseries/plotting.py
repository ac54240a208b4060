"""Pictures of forecasts; matplotlib is optional."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_forecast", "pyplot"]

SEEN, AHEAD = "#3d4a57", "#0b7285"


def plot_forecast(
    history: pd.Series,
    median: pd.Series,
    intervals: pd.DataFrame,
    *,
    target: Hashable = None,
    last: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the history, the median and the intervals of one series.

    Parameters
    ----------
    history : Series
        What was observed; NaN is left out.
    median : Series
        From ``predict``.
    intervals : DataFrame
        From ``predict_interval``, columns (target, coverage, "lower" or "upper").
    target : hashable, optional
        Target in ``intervals``; the first by default.
    last : int, optional
        Show only the last observations.
    ax : matplotlib Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    if ax is None:
        ax = pyplot().subplots(figsize=(9, 4.5), layout="constrained")[1]
    label = intervals.columns[0][0] if target is None else target
    seen = history.dropna().sort_index()
    seen = seen if last is None else seen.iloc[-last:]
    bands = intervals[label].sort_index()
    centre = median.sort_index()
    coverages = sorted({c for c, _ in bands.columns}, reverse=True)
    for i, coverage in enumerate(coverages):
        ax.fill_between(
            bands.index,
            bands[coverage, "lower"],
            bands[coverage, "upper"],
            color=AHEAD,
            alpha=0.18 + 0.14 * i,
            linewidth=0,
            label=f"{100 * coverage:g}% interval",
        )
    ax.plot(seen.index, seen, ".", color=SEEN, markersize=3, label="observed")
    ax.plot(centre.index, centre, color=AHEAD, linewidth=1.6, label="median forecast")
    if len(seen) and len(centre) and centre.index[0] >= seen.index[-1]:
        ax.axvline(seen.index[-1], color=SEEN, linewidth=0.8, linestyle=":")
    ax.set_xlabel("time" if history.index.name is None else str(history.index.name))
    ax.set_ylabel("value" if history.name is None else str(history.name))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(loc="upper left", framealpha=0.85, edgecolor="none")
    return ax


def pyplot() -> Any:
    """Matplotlib's pyplot, or an error that names the extra."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'odeseries[plot]'.") from error
    return plt
