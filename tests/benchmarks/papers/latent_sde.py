"""Latent SDE on processes whose law is known: double Ornstein-Uhlenbeck, geometric Brownian motion.

Series are observed at private random times with a little noise. The forecaster is fitted on some
and forecasts others from their first observations; the truth comes from continuing the path
exactly. Printed are the histogram of the PIT of the truth, how far the forecast's quantiles are
from the exact ones, and the learned diffusion at the observed states against the true one.

    python -m tests.benchmarks.papers.latent_sde ou
    python -m tests.benchmarks.papers.latent_sde gbm
    python -m tests.benchmarks.papers.latent_sde gbm --logarithm
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy.special import ndtr
from sklearn.preprocessing import FunctionTransformer

import odeseries as ode
from odeseries.datasets import make_double_ou

Array = npt.NDArray[np.float64]

N_BINS = 10
LEVELS = np.linspace(0.025, 0.975, 39)
LEADS = (0.1, 0.25, 0.5, 1.0)
"""In horizons."""
GROWTH, SIZE = 0.1, 0.3
OU_RATES, OU_MEANS, OU_SIZES = np.array([0.5, 1.0]), np.array([1.0, -1.0]), np.array([0.4, 0.6])


@dataclass(frozen=True)
class Case:
    """A process.

    Attributes
    ----------
    horizon, cutoff : float
        Of the forecasts, and when they are made.
    noise : float
        Standard deviation of the observation noise.
    """

    horizon: float
    cutoff: float
    noise: float

    def make(self, n_series: int, seed: int) -> pd.DataFrame:
        """Observed series."""
        raise NotImplementedError

    def ahead(self, state: Array, lead: float, rng: np.random.Generator) -> Array:
        """Exact states after some time, from states (n, dim)."""
        raise NotImplementedError

    def exact_cdf(self, values: Array, state: Array, lead: float) -> Array:
        """Probability that what is observed after a lead is below values (n, dim, k)."""
        raise NotImplementedError

    def diffusion(self, state: Array) -> Array:
        """Standard deviation of every channel's disturbance per root of time, (n, dim)."""
        raise NotImplementedError


class DoubleOU(Case):
    """The generator of the package, its driving noise correlated by 0.9."""

    def make(self, n_series: int, seed: int) -> pd.DataFrame:
        """Stationary from the start."""
        return make_double_ou(n_series, 60, noise=self.noise, random_state=seed)

    def _law(self, state: Array, lead: float) -> tuple[Array, Array]:
        keep = np.exp(-OU_RATES * lead)
        mean = OU_MEANS + keep * (state - OU_MEANS)
        return mean, OU_SIZES * np.sqrt((1 - keep**2) / (2 * OU_RATES))

    def ahead(self, state: Array, lead: float, rng: np.random.Generator) -> Array:
        """Each coordinate by itself, as the marginals ask."""
        mean, std = self._law(state, lead)
        return mean + std * rng.standard_normal(state.shape)

    def exact_cdf(self, values: Array, state: Array, lead: float) -> Array:
        """Normal."""
        mean, std = self._law(state, lead)
        wide = np.hypot(std, self.noise)
        return np.asarray(ndtr((values - mean[..., None]) / wide[:, None]))

    def diffusion(self, state: Array) -> Array:
        """The same everywhere."""
        return np.broadcast_to(OU_SIZES, state.shape)


class Geometric(Case):
    """``dX = 0.1 X dt + 0.3 X dW`` from 1."""

    def make(self, n_series: int, seed: int) -> pd.DataFrame:
        """60 observations up to time 5."""
        rng = np.random.default_rng(seed)
        parts = {}
        for i in range(n_series):
            times = np.sort(rng.uniform(0, 5, 60))
            path = self.path(times, rng)
            parts[i] = pd.DataFrame({"x": path + self.noise * rng.standard_normal(60)}, index=times)
        return pd.concat(parts, names=["series", "time"])

    def path(self, times: Array, rng: np.random.Generator) -> Array:
        """Exact states at rising times."""
        walk = np.cumsum(rng.standard_normal(len(times)) * np.sqrt(np.diff(times, prepend=0)))
        return np.exp((GROWTH - SIZE**2 / 2) * times + SIZE * walk)

    def ahead(self, state: Array, lead: float, rng: np.random.Generator) -> Array:
        """Log-normal."""
        drawn = rng.standard_normal(state.shape)
        return state * np.exp((GROWTH - SIZE**2 / 2) * lead + SIZE * np.sqrt(lead) * drawn)

    def exact_cdf(self, values: Array, state: Array, lead: float) -> Array:
        """Log-normal; the observation noise, which is much smaller, widens it in the logarithm."""
        mean = np.log(state) + (GROWTH - SIZE**2 / 2) * lead
        wide = np.sqrt(SIZE**2 * lead + (self.noise / state) ** 2)
        logs = np.log(np.maximum(values, 1e-12))
        return np.asarray(ndtr((logs - mean[..., None]) / wide[..., None]))

    def diffusion(self, state: Array) -> Array:
        """Proportional to the state."""
        return SIZE * state


CASES = {"ou": DoubleOU(2.0, 6.0, 0.02), "gbm": Geometric(1.0, 3.0, 0.01)}


def histories(case: Case, n_series: int, seed: int) -> tuple[pd.DataFrame, Array, list[float]]:
    """What is seen of new series, the true states at the last observations, and their times.

    The states are known to the noise: that of the last observation is taken off.
    """
    quiet, noisy = (
        type(case)(case.horizon, case.cutoff, noise).make(n_series, seed)
        for noise in (0.0, case.noise)
    )
    seen = noisy.index.get_level_values(1) <= case.cutoff
    last = quiet[seen].groupby(level=0).tail(1)
    return noisy[seen], last.to_numpy(), last.index.get_level_values(1).tolist()


@dataclass(frozen=True)
class Judged:
    """How calibrated forecasts are.

    Attributes
    ----------
    drawn : ndarray of shape (N_BINS,)
        Histogram of the PIT of one truth per forecast.
    expected : ndarray of shape (N_BINS,)
        The same of infinitely many truths, from their exact law.
    wrong : float
        Mean absolute error of the quantiles' probabilities.
    """

    drawn: Array
    expected: Array
    wrong: float

    @classmethod
    def of(cls, model: Any, case: Case, n_series: int, seed: int) -> Judged:
        """Forecast new series at all leads."""
        history, state, ends = histories(case, n_series, seed)
        names = history.index.get_level_values(0).unique()
        leads = np.multiply(LEADS, case.horizon)
        times = np.add.outer(ends, leads).ravel()
        asked = pd.MultiIndex.from_arrays(
            [names.repeat(len(leads)), times], names=history.index.names
        )
        table = model.predict_quantiles(asked, history=history, alpha=LEVELS.tolist())
        quantiles = table.to_numpy().reshape(n_series, len(leads), state.shape[1], len(LEVELS))
        rng = np.random.default_rng(seed)
        parts = [_compared(case, quantiles[:, k], state, leads[k], rng) for k in range(len(leads))]
        drawn, expected, wrong = (np.mean(part, 0) for part in zip(*parts, strict=True))
        return cls(drawn, expected, float(wrong))


def _compared(
    case: Case, quantiles: Array, state: Array, lead: float, rng: np.random.Generator
) -> tuple[Array, Array, float]:
    """Both histograms and the error of the probabilities at one lead."""
    truth = case.ahead(state, lead, rng)
    truth = truth + case.noise * rng.standard_normal(truth.shape)
    edges = np.searchsorted(LEVELS, np.arange(1, N_BINS) / N_BINS - 1e-9)
    above = (truth[..., None] > quantiles[..., edges]).sum(-1)
    drawn = np.bincount(above.ravel(), minlength=N_BINS) / above.size
    exact = case.exact_cdf(quantiles, state, lead)
    expected = np.diff(exact[..., edges].mean((0, 1)), prepend=0, append=1)
    return drawn, expected, float(np.abs(exact - LEVELS).mean())


def described(histogram: Array) -> str:
    """The histogram, and its mean absolute difference from equal shares."""
    error = np.abs(histogram - 1 / N_BINS).mean()
    return f"{histogram.round(3)} mean absolute error {error:.4f}"


def by_chance(n: int) -> float:
    """Expected error of a perfect forecaster's histogram from so many independent draws."""
    return float(np.sqrt(2 / np.pi / n * (1 / N_BINS) * (1 - 1 / N_BINS)))


@torch.no_grad()
def learned_diffusion(model: Any, data: pd.DataFrame) -> tuple[Array, Array]:
    """Covariance of the disturbances of the channels per unit of time, at observed states."""
    net, scaling = model._fitted.net, model._fitted.scaling
    values = torch.tensor((data.to_numpy() - scaling.mean) / scaling.std, dtype=torch.float32)
    z = net.decoder.encode(values, torch.ones_like(values))
    noise = net.dynamics.diffusion(torch.zeros(1), z)
    slope = torch.func.vmap(torch.func.jacrev(net.decoder))(z)
    root = slope * noise[:, None] * torch.tensor(scaling.std)[:, None] / model.horizon_**0.5
    state = net.decoder(z).numpy() * scaling.std + scaling.mean
    return (root @ root.mT).numpy(), state


def fitted(case: Case, data: pd.DataFrame, args: argparse.Namespace) -> Any:
    """The forecaster; its paths are then as many as it is judged by."""
    model = ode.LatentSDEForecaster(
        case.horizon,
        latent_dim=data.shape[1],
        dynamics_params={"hidden": 32},
        training=args.training,
        n_rows=8,
        max_epochs=args.epochs,
        learning_rate=args.rate,
        target_transformer=FunctionTransformer(np.log, np.exp) if args.logarithm else None,
        random_state=args.seed,
    ).fit(data)
    model._fitted.net.n_paths = args.paths
    return model


def main() -> None:
    """Fit, and print what was learned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=22)
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--judged", type=int, default=400, help="series that are forecast")
    parser.add_argument("--paths", type=int, default=4000, help="paths of which quantiles are")
    parser.add_argument("--training", default="matching")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logarithm", action="store_true", help="of the values of gbm")
    args = parser.parse_args()
    torch.set_num_threads(1)
    case = CASES[args.case]
    data = case.make(args.series, args.seed)
    began, worked = time.perf_counter(), time.process_time()
    model = fitted(case, data, args)
    spent = time.process_time() - worked, time.perf_counter() - began
    print(model.history_.iloc[::6].to_string(), flush=True)
    found = Judged.of(model, case, args.judged, args.seed + 1000)
    n_targets = args.judged * len(LEADS) * data.shape[1]
    shown = data.iloc[::7]
    covariance, state = learned_diffusion(model, np.log(shown) if args.logarithm else shown)
    size = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    ratio = size / (SIZE if args.logarithm else case.diffusion(state))
    scaling = model._fitted.scaling
    print(
        f"{args.case} {args.training} {'logarithm ' if args.logarithm else ''}"
        f"seed {args.seed} series {args.series} "
        f"steps {model.n_steps_} CPU seconds {spent[0]:.0f} wall {spent[1]:.0f}\n"
        f"PIT histogram, exact law {described(found.expected)}, of them by the chance of "
        f"{args.paths} common paths {by_chance(args.paths):.4f}\n"
        f"PIT histogram, one truth each {described(found.drawn)}, of them by the chance of "
        f"{n_targets} truths {by_chance(n_targets):.4f}\n"
        f"mean absolute error of the quantiles' probabilities {found.wrong:.4f}\n"
        f"learned diffusion over the true one: mean {ratio.mean(0).round(3)}, "
        f"5 % {np.quantile(ratio, 0.05, 0).round(3)}, 95 % {np.quantile(ratio, 0.95, 0).round(3)}\n"
        f"learned noise {model._fitted.net.decoder.noise().detach().numpy() * scaling.std}"
    )
    if args.case == "ou":
        print("learned correlation", (covariance[:, 0, 1] / size.prod(1)).mean().round(3))


if __name__ == "__main__":
    main()
