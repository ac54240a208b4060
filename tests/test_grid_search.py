"""Forecasters in scikit-learn's search: dynamics and their hyperparameters, by several workers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import parallel_config
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

import odeseries as ode
from odeseries import plugins
from odeseries.plugins import Registry
from tests.fake_plugins import GOOD, registry_of, write_distribution

pytestmark = pytest.mark.usefixtures("few_windows")

TINY: dict[str, Any] = {
    "max_epochs": 1,
    "batch_size": 32,
    "validation_fraction": 0.0,
    "n_steps": 3,
    "n_rows": 2,
    "n_lags": 1,
    "hidden": 4,
    "latent_dim": 2,
    "seasonality": None,
    "random_state": 0,
}
Y = pd.Series(np.sin(np.arange(40.0)))


class Decay(ode.Dynamics):
    """Exponential decay at a given rate."""

    def __init__(self, dim: int, *, rate: float = 1.0) -> None:
        super().__init__(dim)
        self.rate = rate

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Derivative of the state."""
        return -self.rate * state


def search(grid: Any, **options: Any) -> GridSearchCV:
    """A search over one split."""
    splits = list(TimeSeriesSplit(2, test_size=5).split(Y))[-1:]
    model = ode.LatentODEForecaster(5.0, **TINY)
    return GridSearchCV(model, grid, cv=splits, refit=False, error_score="raise", **options).fit(Y)


def scores(found: GridSearchCV) -> list[float]:
    """Mean scores of the candidates."""
    values: list[float] = found.cv_results_["mean_test_score"].tolist()
    return values


def test_case_41_dynamics_of_plugins_and_their_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, by class and by registration; in threads the scores are those of one worker."""
    write_distribution(tmp_path, "swing", GOOD)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_registry", registry_of(tmp_path))
    ode.register(Decay, name="decay")
    grid = [
        {"dynamics": ["swing:pendulum", "local:decay"]},
        {"dynamics": [Decay], "dynamics_params": [{"rate": 0.1}, {"rate": 1.0}]},
    ]
    threads = torch.get_num_threads()
    alone = scores(search(grid))
    assert np.isfinite(alone).all()
    assert alone[1] == alone[3]
    assert alone[2] != alone[3]
    with parallel_config("threading"):
        assert scores(search(grid, n_jobs=2)) == alone
    assert torch.get_num_threads() == threads


def test_a_name_that_a_worker_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says where to register it, and what does without."""
    monkeypatch.setattr(plugins, "_registry", Registry(list))
    with pytest.raises(ode.PluginError) as caught:
        search({"dynamics": ["local:decay"]})
    assert str(caught.value).endswith(
        "Classes are registered per process: call odeseries.register(TheClass, name='decay') in "
        "this one too, be it a worker of the one where you did, or give the class itself."
    )


SCRIPT = f"""
import numpy as np, pandas as pd, torch, odeseries as ode
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

class Decay(ode.Dynamics):
    def __init__(self, dim, *, rate=1.0):
        super().__init__(dim)
        self.rate = rate
    def forward(self, t, state, inputs=None):
        return -self.rate * state

ode.register(Decay, name="decay")
y = pd.Series(np.sin(np.arange(40.0)))
cv = list(TimeSeriesSplit(2, test_size=5).split(y))
model = ode.LatentODEForecaster(5.0, **{TINY})
grid = {{"dynamics": [Decay], "dynamics_params": [{{"rate": 0.1}}, {{"rate": 1.0}}]}}

def run(grid, n_jobs):
    search = GridSearchCV(model, grid, cv=cv, refit=False, n_jobs=n_jobs, error_score="raise")
    return search.fit(y).cv_results_["mean_test_score"].tolist()

if __name__ == "__main__":
    threads = torch.get_num_threads()
    assert run(grid, 2) == run(grid, 1)
    assert torch.get_num_threads() == threads
    names = {{"dynamics": ["mlp", "swing:pendulum"]}}
    assert run(names, 2) == run(names, 1)
    try:
        run({{"dynamics": ["local:decay"]}}, 2)
    except ode.PluginError as error:
        print(error)
"""


@pytest.mark.slow
def test_case_41_two_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default backend, from a plain script whose class is defined in ``__main__``."""
    write_distribution(tmp_path, "swing", GOOD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    monkeypatch.delenv(plugins.SWITCH, raising=False)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, str(script)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "be it a worker of the one where you did, or give the class itself." in done.stdout
