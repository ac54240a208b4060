"""Everything that a fit learnt, from which a forecaster answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odeseries.frames import Schema
from odeseries.panel import Panel
from odeseries.recipe import Fitted, Recipe

__all__ = ["Learnt"]


@dataclass(frozen=True, eq=False)
class Learnt:
    """Result of a fit.

    Attributes
    ----------
    schema : Schema
        Form of the fitted object.
    panel : Panel
        The training data, in clock units.
    recipe : Recipe
        What steered the fit.
    fitted : Fitted
        The network and its units.
    seed : int
        Seed of the fit and of samples.
    parameters : dict
        Parameters of the estimator when it was fitted, with which its network was built.
    """

    schema: Schema
    panel: Panel
    recipe: Recipe
    fitted: Fitted
    seed: int
    parameters: dict[str, Any]
