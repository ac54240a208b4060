"""Curves of which few points are seen: what interpolates them, and what follows.

The tasks of Rubanova et al. (2019), section 4. Interpolation: of a stretch of a curve a share of
the points, chosen at random, is seen, and all its points are asked for. Extrapolation: a share of
the points of its first part is seen, and the rest is asked for. Each task has a forecaster of its
own, as there. It is fitted on curves that are thinned in the same way, each several times with
other points, or (``--fresh``) on complete curves that are thinned anew whenever one is trained on;
what is extrapolated is known in full.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

import odeseries as ode
from odeseries.metrics import LEVELS

Array = npt.NDArray[np.float64]
Data = tuple[pd.DataFrame, pd.DataFrame | None]
NAMES = ["curve", "time"]
CLOCK = "clock"


@dataclass(frozen=True)
class Curves:
    """Fully known curves at common times.

    Attributes
    ----------
    times : ndarray of shape (n_times,)
    values : ndarray of shape (n, n_times, n_channels)
    clock : {"", "seen", "known"}
        Where all curves begin alike, whether the time is a channel of what is seen, or a covariate,
        which is known at what is asked for as well and drives the dynamics.
    """

    times: Array
    values: Array
    clock: str = ""

    def take(self, curves: slice, points: slice = slice(None)) -> Curves:
        """Some of the curves, between some of the times."""
        return replace(self, times=self.times[points], values=self.values[curves, points])

    def thinned(
        self,
        share: float,
        rng: np.random.Generator,
        copies: int = 1,
        first: int | None = None,
    ) -> Data:
        """A share of the first points of every curve, so many times, and all later ones."""
        n_points = len(self.times) if first is None else first
        later = np.arange(n_points, len(self.times))
        kept = [
            np.append(np.sort(rng.choice(n_points, round(share * n_points), replace=False)), later)
            for _ in range(copies * len(self.values))
        ]
        curves = np.arange(copies * len(self.values)).repeat(len(kept[0]))
        points = np.concatenate(kept)
        index = pd.MultiIndex.from_arrays([curves, self.times[points]], names=NAMES)
        values = pd.DataFrame(self.values[curves % len(self.values), points], index=index)
        if self.clock == "known":
            return clock(index), values
        return values.assign(**{CLOCK: self.times[points]}) if self.clock else values, None

    @property
    def targets(self) -> list[int]:
        """The channels that are asked for."""
        return list(range(self.values.shape[-1]))

    def everywhere(self) -> pd.MultiIndex | pd.DataFrame:
        """Every time of every curve."""
        index = pd.MultiIndex.from_product([range(len(self.values)), self.times], names=NAMES)
        return clock(index) if self.clock == "known" else index


def clock(index: pd.MultiIndex) -> pd.DataFrame:
    """The time since the start as a covariate."""
    return pd.DataFrame({CLOCK: index.get_level_values("time")}, index=index)


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

    @property
    def ahead(self) -> bool:
        """Whether all that is asked for comes after what is seen."""
        return bool(self.asked.times[0] > self.seen.times[-1])

    def training(
        self, trained: Curves, share: float, rng: np.random.Generator, copies: int
    ) -> tuple[Data, dict[str, Any]]:
        """What a forecaster of this task is fitted on, and parameters that say what for.

        Without copies the curves are complete, and the forecaster thins them.
        """
        special: dict[str, Any] = {}
        first = None
        if self.ahead:
            first, cutoff = len(self.seen.times), float(self.seen.times[-1])
            special = {"cutoffs": cutoff, "horizon": float(self.asked.times[-1]) - cutoff}
        if copies == 0:
            return trained.thinned(1.0, rng), special | {"thinning": 1 - share}
        return trained.thinned(share, rng, copies, first), special

    def answer(self, model: Any, history: Data) -> Array:
        """Means of a forecaster's law, taken over its quantiles, of the shape of what is asked."""
        asked = self.asked.everywhere()
        table = model.predict_quantiles(asked, history=history, alpha=LEVELS.tolist())
        return table.to_numpy().reshape(*self.asked.values.shape, len(LEVELS)).mean(-1)

    def lines(self, history: Data) -> Array:
        """The straight line between two seen points, and the nearest one beyond."""
        seen = (history[0] if history[1] is None else history[1])[self.asked.targets]
        return np.array(
            [
                np.stack([np.interp(self.asked.times, curve.index, curve[c]) for c in curve], -1)
                for _, curve in seen.droplevel(0).groupby(seen.index.get_level_values(0))
            ]
        )

    def error(self, answer: Array, scale: Array) -> float:
        """Mean squared error in units of a scale, times 100."""
        return 100 * float((((answer - self.asked.values) / scale) ** 2).mean())


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
    made.add_argument("--fresh", action="store_true", help="thin whenever a curve is drawn")
    made.add_argument("--noise", type=float, default=0.1, help="on what is read in training")
    made.add_argument("--patience", type=int, default=10, help="epochs")
    made.add_argument("--steps", type=int, help="of training, instead of a choice by what is held")
    made.add_argument(
        "--validate", action="store_true", help="test the last trained curves instead"
    )
    made.add_argument("--queries", type=int, help="asked for at once in training")
    made.add_argument("--common", action="store_true", help="one unit of values for all windows")
    made.add_argument("--waves", type=float, nargs="+", help="periods that the encoder reads")
    made.add_argument("--latent", type=int, default=32)
    made.add_argument("--hidden", type=int, default=64)
    made.add_argument("--periods", type=float, nargs="+", help="whose phases are seen")
    made.add_argument("--dynamics", default="linear")
    made.add_argument("--rate", type=float, default=5e-3)
    made.add_argument("--decay", type=float, default=1.0)
    made.add_argument("--batch", type=int, default=32)
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--task", default="", help="only tasks whose names begin so")
    made.add_argument("--lines", action="store_true", help="fit nothing, answer by lines")
    return made


def parted(args: argparse.Namespace, curves: Curves) -> tuple[Curves, Curves]:
    """Four fifths to be trained on, and the last fifth; or both of those four fifths alone."""
    for _ in range(1 + args.validate):
        whole, n_trained = curves, len(curves.values) * 4 // 5
        curves = whole.take(slice(n_trained))
    return curves, whole.take(slice(n_trained, None))


def length(args: argparse.Namespace) -> dict[str, Any]:
    """Parameters that name the length of the training, or have it chosen."""
    if args.steps is not None:
        return {"n_steps": args.steps, "validation_fraction": 0}
    return {"patience": args.patience, "max_epochs": 1000, "callbacks": Budget(args.seconds)}


def fitted(
    args: argparse.Namespace, trained: Curves, task: Task, share: float, horizon: float
) -> Any:
    """A forecaster of curves of which a share of the points is seen."""
    rng = np.random.default_rng(args.seed)
    data, special = task.training(trained, share, rng, 0 if args.fresh else args.copies)
    began = time.process_time()
    model = ode.LatentODEForecaster(
        horizon,
        dynamics=args.dynamics,
        latent_dim=args.latent,
        window_scale=not args.common,
        hidden=args.hidden,
        seasonality=args.periods,
        encoder_periods=args.waves,
        input_noise=args.noise,
        n_queries=args.queries,
        batch_size=args.batch,
        learning_rate=args.rate,
        weight_decay=args.decay,
        targets=None if trained.clock == "known" else trained.targets,
        random_state=args.seed,
    ).set_params(**special, **length(args))
    model.fit(*data)
    print(
        f"steps {model.n_steps_} CPU seconds of the fit {time.process_time() - began:.0f} "
        f"held-out loss {model.history_['held_out_loss'].min():.4f}",
        flush=True,
    )
    return model


def compare(
    args: argparse.Namespace, trained: Curves, tasks: list[Task], horizon: float, scale: Array
) -> None:
    """Fit for every share of points and task, and print errors beside those of straight lines."""
    for share in args.seen:
        print(f"seen {share:.0%}", flush=True)
        for task in (t for t in tasks if t.name.startswith(args.task)):
            history = task.seen.thinned(share, np.random.default_rng(args.seed + 1))
            text = f"  {task.name}: lines {task.error(task.lines(history), scale):.3f}"
            if not args.lines:
                model = fitted(args, trained, task, share, horizon)
                text += f" forecaster {task.error(task.answer(model, history), scale):.3f}"
            print(text, flush=True)
