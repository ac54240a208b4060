"""Forecasters of one's own: parameters are declared, scikit-learn's rules follow."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from torch import Tensor, nn

import odeseries as ode

pytestmark = pytest.mark.usefixtures("few_windows")


class Level(ode.Model):
    """Normal distribution around a learned level."""

    def __init__(self, n_channels: int, width: float) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(n_channels))
        self.width = width

    def start(self, batches: Any) -> None:
        """Need nothing."""

    def loss(self, batch: ode.Batch, generator: torch.Generator | None) -> Tensor:
        """Squared error."""
        return ((batch.targets - self.level) ** 2 * batch.observed).mean((1, 2))

    def quantiles(self, batch: ode.Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles of the normal distribution."""
        score = self.width * torch.special.ndtri(levels).float()
        out = self.level[:, None] + score
        return out.expand(*batch.targets.shape, -1), torch.ones_like(batch.targets)


class LevelForecaster(ode.BaseForecaster):
    """Declares one parameter."""

    width: float = 1.0

    def build(self, spec: ode.Spec) -> Level:
        """Make the network."""
        return Level(spec.n_channels, self.width)


class Narrow(LevelForecaster):
    """Declares another one, and a new default."""

    width: float = 0.1
    label: str = "narrow"


class Written(ode.BaseForecaster):
    """Writes its own ``__init__``, with what it wants to be set."""

    def __init__(self, horizon: Any = None, *, width: float = 1.0) -> None:
        self.horizon = horizon
        self.width = width

    def build(self, spec: ode.Spec) -> Level:
        """Make the network."""
        return Level(spec.n_channels, self.width)


class Heir(Written):
    """Inherits an ``__init__`` that was written."""


SHARED = set(inspect.signature(ode.BaseForecaster).parameters)


def test_declared_parameters_join_the_shared_ones() -> None:
    """In the signature, in get_params and in clones; defaults may be replaced."""
    assert set(LevelForecaster().get_params()) == SHARED | {"width"}
    assert set(Narrow().get_params()) == SHARED | {"width", "label"}
    assert (Narrow().width, LevelForecaster().width) == (0.1, 1.0)
    model = clone(Narrow("3D", width=0.3, patience=2))
    assert (model.horizon, model.width, model.patience, model.label) == ("3D", 0.3, 2, "narrow")
    assert repr(model) == "Narrow(horizon='3D', patience=2, width=0.3)"


def test_only_the_horizon_is_positional() -> None:
    """So that a parameter added later changes no call."""
    kinds = {p.name: p.kind for p in inspect.signature(Narrow).parameters.values()}
    assert kinds.pop("horizon") is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


def test_init_stores_the_very_objects() -> None:
    """And nothing else."""
    params = {name: object() for name in SHARED | {"width"}}
    assert vars(LevelForecaster(**params)) == params  # type: ignore[arg-type]


def test_estimators_are_told_apart_by_identity() -> None:
    """As scikit-learn's are: they can be keys, equal parameters make no equal estimators."""
    assert len({LevelForecaster(), LevelForecaster()}) == 2


@pytest.mark.parametrize("cls", [Written, Heir])
def test_a_written_init_is_left_alone(cls: type[Written]) -> None:
    """What it does not list takes the value of the class."""
    assert set(cls().get_params()) == {"horizon", "width"}
    assert cls(2.0, width=3.0).max_epochs == ode.BaseForecaster.max_epochs


@pytest.mark.parametrize("cls", [LevelForecaster, Written])
def test_build_is_enough(cls: type[Any]) -> None:
    """Fitting, forecasting, scoring and pickling come from the base."""
    y = pd.Series(7.0 + np.sin(np.arange(60.0)), name="y")
    model = cls(6.0, width=0.5).set_params(horizon=5.0)
    with torch.random.fork_rng():
        model.fit(y)
    asked = [60.5, 61.0]
    assert np.allclose(model.predict(asked), 7.0, atol=0.3)
    assert model.score(y) <= 1
    assert pickle.loads(pickle.dumps(model)).predict(asked).equals(model.predict(asked))  # noqa: S301
