"""The package's forecasters in the field benchmark.

Run from the folder of the benchmark, with this repository on the path:

    PYTHONPATH=$REPOSITORY OMP_NUM_THREADS=1 \
        python run.py --models last,tests.benchmarks.field:LatentODE --out results.csv
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch

import odeseries as ode

UNITS = {"s": "s", "min": "min", "h": "h", "day": "D"}
START = pd.Timestamp("1958-01-01")
STARS = ("asas_", "dotastro_", "macho_")
"""How the names of the parts of `variable_stars` begin."""

torch.set_num_threads(1)


class LatentODE:
    """The default forecaster: dates where the task's unit is one of dates, numbers elsewhere."""

    forecaster: ClassVar[type] = ode.LatentODEForecaster
    params: ClassVar[dict[str, Any]] = {}
    random_state: ClassVar[int] = 0

    def fit(self, train: pd.DataFrame, task: Any) -> LatentODE:
        """Fit one model on the long frame."""
        self.task = task
        self.unit = UNITS.get(task.unit)
        horizon = task.horizon if self.unit is None else pd.Timedelta(task.horizon, self.unit)
        given = {**self.params, **self.limits(train)}
        self.model = self.forecaster(horizon, random_state=self.random_state, **given)
        self.model.fit(self.framed(train))
        return self

    def limits(self, train: pd.DataFrame) -> dict[str, Any]:
        """What is changed by the size of the task."""
        del train
        return {}

    def framed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A frame of the targets, indexed by time, or by id and time in a panel."""
        times = pd.Index(self.stamps(frame[self.task.time]), name="time")
        out = frame[self.task.channels].set_axis(times)
        if self.task.shape == "panel":
            ids = frame[self.task.id].to_numpy()
            return out.set_axis(pd.MultiIndex.from_arrays([ids, times], names=["id", "time"]))
        return out

    def stamps(self, times: pd.Series) -> pd.Index:
        """Dates or numbers."""
        if self.unit is None:
            return pd.Index(times.to_numpy())
        return pd.DatetimeIndex(START + pd.to_timedelta(times.to_numpy(), self.unit))

    def forecast(self, history: pd.DataFrame, query: pd.DataFrame) -> np.ndarray:
        """The 99 quantiles of every row and channel."""
        levels = np.arange(1, 100) / 100
        seen = self.framed(history)
        asked = self.framed(query.assign(**dict.fromkeys(self.task.channels, np.nan)))
        out = self.model.predict_quantiles(asked.index, history=seen, alpha=levels)
        return out.to_numpy().reshape(len(query), len(self.task.channels), 99)


class ODERNN(LatentODE):
    """The ODE-RNN."""

    forecaster: ClassVar[type] = ode.ODERNNForecaster


class Auto(LatentODE):
    """The forecaster that combines all."""

    forecaster: ClassVar[type] = ode.AutoForecaster

    def limits(self, train: pd.DataFrame) -> dict[str, Any]:
        """Seconds, so that no task takes more than ten minutes, nor all 28 stars."""
        del train
        return {"max_time": 21.0 if self.task.name.startswith(STARS) else 540.0}


class LinearSDE(LatentODE):
    """The linear stochastic differential equation."""

    forecaster: ClassVar[type] = ode.LinearSDEForecaster


class Forest(LatentODE):
    """The forest of random trees."""

    forecaster: ClassVar[type] = ode.ForestForecaster


class Lags(LatentODE):
    """The regression on lags."""

    forecaster: ClassVar[type] = ode.BaselineForecaster


class Boosted(LatentODE):
    """Boosted trees on what a regression leaves."""

    forecaster: ClassVar[type] = ode.BoostedForecaster
