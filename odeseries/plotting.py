"""Pictures of forecasts and of trainings; matplotlib is optional."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from odeseries.arguments import is_whole
from odeseries.frames.drawn import read_drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["phase_portrait", "plot_forecast", "plot_history", "pyplot"]

SEEN, AHEAD, HELD_OUT = "#3d4a57", "#0b7285", "#c2410c"
UNITS = {"days": "1D", "hours": "1h", "minutes": "1min", "seconds": "1s"}
FEWEST_UNITS = 3  # along an axis


def plot_forecast(
    history: pd.Series | pd.DataFrame,
    median: pd.Series | pd.DataFrame,
    intervals: pd.DataFrame,
    *,
    paths: pd.Series | pd.DataFrame | None = None,
    target: Hashable = None,
    last: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the history, the median, the intervals and sample paths of one series.

    Parameters
    ----------
    history : Series or DataFrame
        What was observed, in a frame the column of the target; NaN is left out. Time differences
        are drawn as numbers of days, hours, minutes or seconds; which, the label of the axis says.
        A long frame is drawn beside answers to a long frame, all with the rows of one id.
    median : Series or DataFrame
        From ``predict``.
    intervals : DataFrame
        From ``predict_interval``, columns (target, coverage, "lower" or "upper").
    paths : Series or DataFrame, optional
        From ``sample``; ten or twenty paths can be told apart.
    target : hashable, optional
        Target, a column of frames. By default that by whose name `history`, or `median`, is a
        Series, and of frames the first of ``intervals``.
    last : int, optional
        Show only so many last observations, at least one.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If there are several series, no such target, times in one place here and in another there,
        or `last` is below 1.
    """
    if last is not None and (not is_whole(last) or last < 1):
        raise ValueError(f"last={last!r} must be a whole number, at least 1, or None.")
    drawn = read_drawn(history, median, intervals, paths, target)
    seen, centre = drawn.history.dropna().sort_index(), drawn.median.sort_index()
    seen = seen if last is None else seen.iloc[-last:]
    ax = _axes() if ax is None else ax
    unit = _unit(ax, seen.index.append(centre.index))
    _draw_bands(ax, drawn.bands, unit)
    if drawn.paths is not None:
        _draw_paths(ax, drawn.paths, unit)
    before, ahead = _places(seen.index, unit), _places(centre.index, unit)
    ax.plot(before, seen, ".", color=SEEN, markersize=3, label="observed")
    ax.plot(ahead, centre, color=AHEAD, linewidth=1.6, label="median forecast")
    if len(seen) and len(centre) and ahead[0] >= before[-1]:
        ax.axvline(before[-1], color=SEEN, linewidth=0.8, linestyle=":")
    name = "time" if seen.index.name is None else str(seen.index.name)
    ax.set_xlabel(name if unit is None else f"{name} [{unit}]")
    ax.set_ylabel("value" if seen.name is None else str(seen.name))
    return _finished(ax)


def plot_history(estimator: Any, ax: Axes | None = None) -> Axes:
    """Draw the loss and the held-out loss of a fit, epoch after epoch, phase after phase.

    Parameters
    ----------
    estimator : fitted estimator
        With a ``history_``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If it was not trained in epochs.
    """
    check_is_fitted(estimator, "history_")
    if estimator.history_.empty:
        best = getattr(estimator, "best_", estimator)
        raise ValueError(
            f"There are no losses to draw: {type(best).__name__} was not trained in epochs. Draw "
            "the history of a trained forecaster, such as LatentODEForecaster."
        )
    records = estimator.history_.reset_index(drop=True)
    ax = _axes() if ax is None else ax
    epochs = np.arange(1, len(records) + 1)
    changes = np.flatnonzero(records["phase"].ne(records["phase"].shift()))
    for start, stop in zip(changes, [*changes[1:], len(records)], strict=True):
        label = "loss" if start == 0 else None
        marker = "." if stop == start + 1 else None
        part = slice(start, stop)
        ax.plot(epochs[part], records["loss"][part], color=AHEAD, marker=marker, label=label)
        _name_phase(ax, int(start), str(records["phase"][start]))
    held_out = records["held_out_loss"].to_numpy(dtype=np.float64)
    if np.isfinite(held_out).any():
        best = int(np.nanargmin(held_out))
        ax.plot(epochs, held_out, color=HELD_OUT, label="held-out loss")
        ax.plot(epochs[best], held_out[best], "o", color=HELD_OUT, label="best held-out loss")
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss")
    ax.locator_params(axis="x", integer=True)
    return _finished(ax)


def phase_portrait(
    estimator: Any,
    bounds: tuple[tuple[float, float], tuple[float, float]],
    *,
    coordinates: tuple[int, int] = (0, 1),
    at: ArrayLike = (0.0, 0.0),
    inputs: ArrayLike | None = None,
    paths: pd.DataFrame | None = None,
    n_points: int = 25,
    ax: Axes | None = None,
) -> Axes:
    """Draw the streamlines of a learned vector field over two coordinates of its states.

    Parameters
    ----------
    estimator : fitted estimator
        With a ``vector_field``.
    bounds : pair of pairs of float
        Lowest and highest value of either coordinate.
    coordinates : pair of int
        Which coordinates of the states are drawn, to the right and up.
    at : array-like of shape (state_dim,)
        A state, which gives the values of the other coordinates.
    inputs : array-like of shape (n_inputs,), optional
        Known covariates; their training means by default.
    paths : DataFrame, optional
        States from ``latent``, drawn as a line.
    n_points : int
        Points along each coordinate at which the field is asked.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    NotFittedError
        If the estimator is not fitted.
    ValueError
        If bounds, coordinates, the state or the number of points can't be used together.
    """
    state = _numbers(at, "at", "a state: one number for each of its coordinates", (-1,))
    _require_coordinates(coordinates, len(state), paths)
    spans = _numbers(bounds, "bounds", "((lowest, highest), (lowest, highest))", (2, 2))
    if not (spans[:, 0] < spans[:, 1]).all():
        raise ValueError(f"bounds={bounds!r} must have the lowest value first, then the highest.")
    if not is_whole(n_points) or n_points < 2:
        raise ValueError(f"n_points={n_points!r} must be a whole number, at least 2.")
    right, up = coordinates
    x, y = (np.linspace(low, high, n_points) for low, high in spans)
    grid = np.tile(state, (n_points, n_points, 1))
    grid[..., right], grid[..., up] = np.meshgrid(x, y)
    slopes = estimator.vector_field(grid, inputs)
    ax = _axes() if ax is None else ax
    speed = np.hypot(slopes[..., right], slopes[..., up])
    lines = ax.streamplot(
        x, y, slopes[..., right], slopes[..., up], color=speed, cmap="viridis", linewidth=0.9
    )
    ax.figure.colorbar(lines.lines, ax=ax, label="speed")
    names = [f"coordinate {k}" for k in coordinates]
    if paths is not None:
        line = paths.iloc[:, list(coordinates)]
        names = [name if isinstance(name, str) else f"coordinate {name}" for name in line.columns]
        ax.plot(line.iloc[:, 0], line.iloc[:, 1], color=HELD_OUT, linewidth=1.6, label="path")
        _draw_legend(ax)
    ax.set(xlim=bounds[0], ylim=bounds[1], xlabel=names[0], ylabel=names[1])
    return ax


def pyplot() -> Any:
    """Matplotlib's pyplot, or an error that names the extra."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Plots need matplotlib: pip install 'odeseries[plot]'.") from error
    return plt


def _axes() -> Axes:
    """Axes of a new figure."""
    ax: Axes = pyplot().subplots(figsize=(9, 4.5), layout="constrained")[1]
    return ax


def _numbers(
    values: Any, name: str, wanted: str, shape: tuple[int, ...]
) -> npt.NDArray[np.float64]:
    """Finite numbers of a shape, in which -1 is any length."""
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array(np.nan)
    lengths = zip(numbers.shape, shape, strict=False)
    fits = numbers.ndim == len(shape) and all(wish in (n, -1) for n, wish in lengths)
    if not fits or not np.isfinite(numbers).all():
        raise ValueError(f"{name}={values!r} must be {wanted}, all finite.")
    return numbers


def _require_coordinates(coordinates: Any, n_known: int, paths: pd.DataFrame | None) -> None:
    """Refuse what are not two coordinates that there are."""
    two = isinstance(coordinates, (tuple, list, np.ndarray)) and len(coordinates) == 2
    if not two or not all(is_whole(k) and k >= 0 for k in coordinates):
        raise ValueError(f"coordinates={coordinates!r} must be two whole numbers, from 0 on.")
    if coordinates[0] == coordinates[1]:
        raise ValueError(f"coordinates={coordinates!r} must be different.")
    if max(coordinates) >= n_known:
        raise ValueError(
            f"coordinates={coordinates!r} are counted from 0, but at is a state of {n_known} "
            "coordinates: choose others, or give all coordinates of a state with at=."
        )
    if paths is not None and max(coordinates) >= paths.shape[1]:
        raise ValueError(
            f"coordinates={coordinates!r} are counted from 0, but paths have {paths.shape[1]} "
            "columns: give states as latent returned them."
        )


def _unit(ax: Axes, times: pd.Index) -> str | None:
    """Unit of time differences on the axis; the one that is there, if it was drawn on before."""
    if not isinstance(times, pd.TimedeltaIndex):
        return None
    span = times.max() - times.min()
    large = [u for u, length in UNITS.items() if span >= FEWEST_UNITS * pd.Timedelta(length)]
    there = [u for u in UNITS if ax.get_xlabel().endswith(f"[{u}]")]
    return [*there, *large, "seconds"][0]


def _places(times: pd.Index, unit: str | None) -> pd.Index:
    """Times as matplotlib draws them: time differences as numbers of a unit."""
    return times if unit is None else pd.TimedeltaIndex(times) / pd.Timedelta(UNITS[unit])


def _draw_bands(ax: Axes, bands: pd.DataFrame, unit: str | None) -> None:
    """Intervals, the widest below."""
    coverages = bands.columns.unique(0).sort_values(ascending=False)
    for i, coverage in enumerate(coverages):
        ax.fill_between(
            _places(bands.index, unit),
            bands[coverage, "lower"],
            bands[coverage, "upper"],
            color=AHEAD,
            alpha=0.18 + 0.14 * i,
            linewidth=0,
            label=f"{100 * coverage:g}% interval",
        )


def _draw_paths(ax: Axes, paths: pd.Series, unit: str | None) -> None:
    """Thin lines, one a sample."""
    label: str | None = "sample paths"
    for _, path in paths.groupby(level=0):
        line = path.droplevel(0).sort_index()
        where = _places(line.index, unit)
        ax.plot(where, line, color=SEEN, linewidth=0.6, alpha=0.4, label=label)
        label = None


def _name_phase(ax: Axes, start: int, phase: str) -> None:
    """A phase's name at its top, and a line before it."""
    if start:
        ax.axvline(start + 0.5, color=SEEN, linewidth=0.8, linestyle=":")
    ax.annotate(
        phase,
        (start + 0.5, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, 3),
        textcoords="offset points",
        color=SEEN,
        fontsize="small",
    )


def _finished(ax: Axes) -> Axes:
    """With a legend and without a box."""
    ax.spines[["top", "right"]].set_visible(False)
    _draw_legend(ax)
    return ax


def _draw_legend(ax: Axes) -> None:
    """Every label once, however often it was drawn, where it hides least."""
    handles, labels = ax.get_legend_handles_labels()
    entries = dict(zip(labels, handles, strict=True))
    ax.legend(entries.values(), entries.keys(), loc="best", framealpha=0.85, edgecolor="none")
