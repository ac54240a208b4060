"""Curves of which few points are seen: what interpolates them, and what follows.

The tasks of Rubanova et al. (2019), section 4. Interpolation: of a stretch of a curve a share of
the points, chosen at random, is seen, and all its points are asked for. Extrapolation: a share of
the points of its first part is seen, and the rest is asked for. One forecaster serves both. It is
fitted on curves that are thinned in the same way, each several times with other points.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import odeseries as ode
from odeseries.metrics import LEVELS

Array = npt.NDArray[np.float64]
NAMES = ["curve", "time"]


@dataclass(frozen=True)
class Curves:
    """Fully known curves at common times.

    Attributes
    ----------
    times : ndarray of shape (n_times,)
    values : ndarray of shape (n, n_times, n_channels)
    """

    times: Array
    values: Array

    def take(self, curves: slice, points: slice = slice(None)) -> Curves:
        """Some of the curves, between some of the times."""
        return Curves(self.times[points], self.values[curves, points])

    def thinned(self, share: float, rng: np.random.Generator, copies: int = 1) -> pd.DataFrame:
        """A panel of a share of the points of every curve, so many times."""
        n_points = len(self.times)
        kept = [
            np.sort(rng.choice(n_points, round(share * n_points), replace=False))
            for _ in range(copies * len(self.values))
        ]
        curves = np.arange(copies * len(self.values)).repeat(len(kept[0]))
        points = np.concatenate(kept)
        index = pd.MultiIndex.from_arrays([curves, self.times[points]], names=NAMES)
        return pd.DataFrame(self.values[curves % len(self.values), points], index=index)

    def everywhere(self) -> pd.MultiIndex:
        """Every time of every curve."""
        return pd.MultiIndex.from_product([range(len(self.values)), self.times], names=NAMES)


@dataclass(frozen=True)
class Task:
    """What is seen and what is asked.

    Attributes
    ----------
    name : str
    seen, asked : Curves
    """

    name: str
    seen: Curves
    asked: Curves

    def errors(
        self, model: Any, share: float, rng: np.random.Generator, scale: Array
    ) -> tuple[float, float]:
        """Mean squared errors of the forecaster and of a plain guess, in units of a scale.

        The plain guess is the straight line between two seen points, and the last one beyond.
        """
        history = self.seen.thinned(share, rng)
        asked = self.asked.everywhere()
        table = model.predict_quantiles(asked, history=history, alpha=LEVELS.tolist())
        mean = table.to_numpy().reshape(*self.asked.values.shape, len(LEVELS)).mean(-1)
        return self._error(mean, scale), self._error(self._plain(history), scale)

    def _error(self, answer: Array, scale: Array) -> float:
        return float((((answer - self.asked.values) / scale) ** 2).mean())

    def _plain(self, history: pd.DataFrame) -> Array:
        """Straight lines."""
        return np.array(
            [
                np.stack([np.interp(self.asked.times, seen.index, seen[c]) for c in seen], -1)
                for _, seen in history.droplevel(0).groupby(history.index.get_level_values(0))
            ]
        )


class Budget:
    """Ends the choice of the length of a training after half of some CPU seconds.

    The training on all data is as long as the choice at most.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.process_time() + seconds / 2

    def __call__(self, record: Mapping[str, Any]) -> bool:
        """Whether the phase is to end."""
        return record["phase"] == "choosing the length" and time.process_time() > self.end


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of both experiments."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--seen", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5])
    made.add_argument("--seconds", type=float, default=120, help="CPU seconds of a fit, about")
    made.add_argument("--copies", type=int, default=4, help="thinnings of each training curve")
    made.add_argument("--latent", type=int, default=32)
    made.add_argument("--hidden", type=int, default=64)
    made.add_argument("--dynamics", default="linear")
    made.add_argument("--rate", type=float, default=5e-3)
    made.add_argument("--decay", type=float, default=1.0)
    made.add_argument("--seed", type=int, default=0)
    return made


def compare(
    args: argparse.Namespace, trained: Curves, tasks: list[Task], horizon: float, scale: Array
) -> None:
    """Fit for every share of points, and print the errors times 100."""
    for share in args.seen:
        rng = np.random.default_rng(args.seed)
        data = trained.thinned(share, rng, args.copies)
        began = time.process_time()
        model = ode.LatentODEForecaster(
            horizon,
            dynamics=args.dynamics,
            latent_dim=args.latent,
            hidden=args.hidden,
            seasonality=None,
            max_epochs=1000,
            learning_rate=args.rate,
            weight_decay=args.decay,
            callbacks=Budget(args.seconds),
            random_state=args.seed,
        ).fit(data)
        spent = time.process_time() - began
        print(f"seen {share:.0%} steps {model.n_steps_} CPU seconds of the fit {spent:.0f}")
        for task in tasks:
            ours, plain = task.errors(model, share, rng, scale)
            print(f"  {task.name}: error {100 * ours:.3f}, lines {100 * plain:.3f}", flush=True)
