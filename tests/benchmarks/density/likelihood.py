"""Held-out log-likelihood of densities, and the time of a fit, beside scikit-learn and zuko.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.density.likelihood \
        --sets moons wine --models cnf kde mixture --seeds 0 1 2 --folds 5

zuko's models need ``pip install zuko``.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from torch import Tensor

import odeseries as ode
from tests.benchmarks.density.sets import PLANE, TABLES, Float64, splits, truth

ZUKO_LOOKS = 20
"""How often rows held out are looked at."""

Model = Callable[[Float64, int, float], Callable[[Float64], float]]
"""From rows, a seed and seconds, which bind zuko alone, to the mean log-density of rows."""


def _cnf(**params: Any) -> Model:
    def fit(X: Float64, seed: int, seconds: float) -> Callable[[Float64], float]:
        del seconds
        return ode.CNFDensityEstimator(random_state=seed, **params).fit(X).score

    return fit


def _kde(X: Float64, seed: int, seconds: float) -> Callable[[Float64], float]:
    """Kernels of the best width in cross-validation."""
    del seed, seconds
    widths = {"bandwidth": np.geomspace(0.03, 1.5, 25)}
    search = GridSearchCV(KernelDensity(), widths, cv=5).fit(X)
    return lambda held: search.best_estimator_.score(held) / len(held)


def _mixture(X: Float64, seed: int, seconds: float) -> Callable[[Float64], float]:
    """Components by the information criterion of Bayes, of twenty rows or more each."""
    del seconds
    counts = [k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24) if len(X) >= 20 * k]
    fitted = [GaussianMixture(k, random_state=seed).fit(X) for k in counts]
    best: Callable[[Float64], float] = min(fitted, key=lambda m: m.bic(X)).score
    return best


def _zuko(kind: str) -> Model:
    """A flow of zuko's with its own defaults, trained by Adam; the best by a tenth held out."""

    def fit(X: Float64, seed: int, seconds: float) -> Callable[[Float64], float]:
        import zuko

        torch.manual_seed(seed)
        dim = X.shape[1]
        hidden = {"hidden_features": (64, 64)}
        flow = zuko.flows.CNF(dim, **hidden) if kind == "cnf" else zuko.flows.NSF(dim, **hidden)
        order = torch.as_tensor(X, dtype=torch.float32)[torch.randperm(len(X))]
        held, known = order.tensor_split([len(X) // 10])
        flow.load_state_dict(_best_state(flow, known, held, seconds))
        return lambda new: float(_judged(flow, torch.as_tensor(new, dtype=torch.float32)))

    return fit


def _best_state(flow: Any, known: Tensor, held: Tensor, seconds: float) -> dict[str, Tensor]:
    """The weights that rows held out liked best, of those that were looked at."""
    optimizer = torch.optim.Adam(flow.parameters(), 1e-3)
    started, best, state = time.process_time(), -math.inf, copy.deepcopy(flow.state_dict())
    for look in range(1, ZUKO_LOOKS + 1):
        while time.process_time() < started + seconds * look / ZUKO_LOOKS:
            optimizer.zero_grad()
            loss = -flow().log_prob(known[torch.randint(len(known), (256,))]).mean()
            loss.backward()
            optimizer.step()
        score = float(_judged(flow, held))
        if score > best:
            best, state = score, copy.deepcopy(flow.state_dict())
    return state


@torch.no_grad()
def _judged(flow: Any, held: Tensor) -> Tensor:
    return torch.cat([flow().log_prob(part) for part in held.split(500)]).mean()


MODELS: dict[str, Model] = {
    "cnf": _cnf(),
    "cnf_matching": _cnf(objective="flow_matching"),
    "cnf_likelihood": _cnf(objective="likelihood"),
    "kde": _kde,
    "mixture": _mixture,
    "zuko_spline": _zuko("spline"),
    "zuko_cnf": _zuko("cnf"),
}


def main() -> None:
    """Print a line for every fit, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=[*PLANE, *TABLES])
    parser.add_argument("--models", nargs="+", default=["cnf", "kde", "mixture"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="CPU seconds of zuko's fits")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.sets:
        if name in PLANE:
            true = [truth(name, seed) for seed in args.seeds]
            print(f"{name:16s} {'truth':15s} mean {np.mean(true):8.3f} of {np.round(true, 3)}")
        for kind in args.models:
            scores, seconds = [], []
            for seed in args.seeds:
                for known, held in splits(name, seed, args.folds):
                    started = time.process_time()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        score = MODELS[kind](known, seed, args.seconds)
                    seconds.append(time.process_time() - started)
                    scores.append(score(held))
                    print(f"  {name} {kind} {seed}: {scores[-1]:.3f}, {seconds[-1]:.1f} s")
            print(
                f"{name:16s} {kind:15s} mean {np.mean(scores):8.3f} of {len(scores)} fits, "
                f"CPU seconds a fit {np.mean(seconds):.1f}, at most {max(seconds):.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
