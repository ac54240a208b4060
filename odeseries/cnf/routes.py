"""Ways to a density, and the trial of each on rows held out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from odeseries.cnf.held_out import clearly_better
from odeseries.cnf.mixtures import SINGLE, Choice, best_mixture
from odeseries.cnf.spaces import Space

__all__ = ["Ground", "Route", "best_ground", "routes"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ground:
    """A space, and the mixture that fits the data best there.

    Attributes
    ----------
    space : Space
    mixture : Choice
        Its scores are in nats of the data as they are.
    """

    space: Space
    mixture: Choice


@dataclass(frozen=True)
class Route:
    """One way to a density.

    Attributes
    ----------
    objective : {"flow_matching", "likelihood"}
        What is minimised.
    mixed : bool
        Whether the base is a mixture rather than a standard normal distribution.
    """

    objective: str
    mixed: bool

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.objective} from a {'mixture' if self.mixed else 'normal'} base"


def routes(objective: str, base: str) -> list[Route]:
    """The ways that the parameters of the estimator leave open; the last is taken untried.

    Raises
    ------
    ValueError
        If flow matching is asked to begin at a mixture.
    """
    if objective == "flow_matching" and base == "mixture":
        raise ValueError(
            "objective='flow_matching' moves a normal base: set base='normal', or "
            "objective='likelihood'."
        )
    mixed, plain = Route("likelihood", True), Route("flow_matching", False)
    if objective == "likelihood":
        return [Route("likelihood", base != "normal")]
    if objective == "flow_matching":
        return [plain]
    return {"auto": [plain, mixed], "mixture": [mixed], "normal": [plain]}[base]


def best_ground(
    kinds: tuple[str, ...], mixed: bool, X: Float64, weights: Float64, seed: int
) -> Ground:
    """The space in which a mixture fits rows held out best.

    Powers are taken only where they are better by more than a standard error.

    Parameters
    ----------
    kinds : tuple of str
        Spaces to choose from, see `Space.of`.
    mixed : bool
        Whether the mixture is needed even where there is no choice of spaces.
    X : array of shape (n, dim)
        Data.
    weights : array of shape (n,)
        Weights of the rows; those without are left out.
    seed : int
        Of folds and mixtures.
    """
    X, weights = X[weights > 0], weights[weights > 0]
    if len(kinds) == 1 and not mixed:
        return Ground(Space.of(kinds[0], X, weights), SINGLE)
    best: Ground | None = None
    for kind in kinds:
        space = Space.of(kind, X, weights)
        mixture = best_mixture(space.inside(X), weights, seed, space.log_volumes(X))
        ground = Ground(space, mixture)
        if best is None or _is_better(ground, best):
            best = ground
    assert best is not None
    return best


def _is_better(one: Ground, other: Ground) -> bool:
    if one.space.powers is None:
        return one.mixture.score > other.mixture.score
    return clearly_better(*(torch.from_numpy(g.mixture.each) for g in (one, other)))
