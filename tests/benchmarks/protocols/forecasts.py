"""What the protocols share: where data lie, point forecasts of the package, what a run tells."""

from __future__ import annotations

import argparse
import ast
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import odeseries as ode
from tests.benchmarks.papers.thinned import Budget

__all__ = ["DATA", "Timer", "made", "mean_forecast", "params", "parser", "summary"]

DATA = Path(os.environ.get("ODESERIES_SHARED", "../shared")) / "data"

MIDDLES = tuple((np.arange(20) + 0.5) / 20)

FORECASTERS: dict[str, type[Any]] = {
    "latent_ode": ode.LatentODEForecaster,
    "ode_rnn": ode.ODERNNForecaster,
    "neural_ode": ode.NeuralODEForecaster,
    "latent_sde": ode.LatentSDEForecaster,
    "linear_sde": ode.LinearSDEForecaster,
    "baseline": ode.BaselineForecaster,
    "forest": ode.ForestForecaster,
    "boosted": ode.BoostedForecaster,
}


class Timer:
    """Seconds of the clock and of the processor since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return f"{wall:.0f} s ({cpu:.0f} s of processor)"


def parser(description: str | None, more: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Arguments that all protocols take; more names of forecasters are a protocol's own."""
    out = argparse.ArgumentParser(description=description)
    out.add_argument("--forecaster", choices=[*FORECASTERS, *more], default="latent_ode")
    out.add_argument("--params", default="", help="such as dynamics=mlp,n_members=2")
    out.add_argument("--seed", type=int, default=0)
    out.add_argument("--seconds", type=float, default=None, help="most seconds of a fit")
    out.add_argument("--processor", type=float, help="seconds of processor of a fit, about")
    out.add_argument(
        "--part",
        choices=("valid", "test"),
        default="test",
        help="valid: fit without the validation part and score it; test: fit with it, score test",
    )
    return out


def made(given: argparse.Namespace, horizon: Any, defaults: dict[str, Any], **more: Any) -> Any:
    """The forecaster that the arguments name, by a protocol's defaults unless they say else."""
    torch.set_num_threads(1)
    chosen = {} if given.forecaster == "baseline" else dict(defaults)
    chosen.update(params(given.params))
    cls = FORECASTERS[given.forecaster]
    if given.processor is not None:
        chosen["callbacks"] = Budget(given.processor)
    out = cls(horizon, random_state=given.seed, max_time=given.seconds, **more)
    return out.set_params(**chosen)


def mean_forecast(
    model: Any, asked: pd.MultiIndex, history: pd.DataFrame, most: int = 250
) -> pd.DataFrame:
    """Mean of the predictive distribution, that of its quantiles at equally spaced levels.

    The squared error is least at the mean; ``predict`` gives the median. Rows of series without
    any history are NaN.

    Parameters
    ----------
    most : int
        Series that are asked for at once.
    """
    known = history.index.get_level_values(0).unique()
    series = asked.get_level_values(0)
    parts = []
    for start in range(0, len(known), most):
        chosen = known[start : start + most]
        times = asked[series.isin(chosen)]
        if len(times):
            seen = history[history.index.get_level_values(0).isin(chosen)]
            parts.append(_means(model, times, seen))
    return pd.concat(parts).reindex(asked)


def _means(model: Any, asked: pd.MultiIndex, history: pd.DataFrame) -> pd.DataFrame:
    """Means at the rows asked."""
    found = model.predict_quantiles(asked, history=history, alpha=MIDDLES)
    return found.T.groupby(level=0, sort=False).mean().T


def summary(figures: Sequence[float]) -> str:
    """Mean and standard deviation."""
    spread = f" ± {np.std(figures, ddof=1):.3f}" if len(figures) > 1 else ""
    return f"{np.mean(figures):.3f}{spread}"


def params(text: str) -> dict[str, Any]:
    """Parameters from ``name=value,name=value``; a value that is no literal is a text."""
    out: dict[str, Any] = {}
    for item in filter(None, text.split(",")):
        name, value = item.split("=", 1)
        try:
            out[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            out[name] = value
    return out
