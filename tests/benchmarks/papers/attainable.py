"""What can be foretold of the sines of `periodic` from a share of the points of their first half.

The best guess by the true family fits level and both frequencies of every curve to what is seen of
it, by least squares, with the law of the levels as a prior. The best linear guess weighs what is
seen by the exact covariance of the curves, as a Gaussian process would that knew it. Both know
what no forecaster is told. Errors are printed in hundredths.

    python -m tests.benchmarks.papers.attainable
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.optimize import least_squares

from tests.benchmarks.papers.periodic import N_TIMES, NOISE, phases, sines
from tests.benchmarks.papers.thinned import Array

LOW, HIGH, LEVEL_STD = 0.4, 0.8, 0.1
N_GRID, N_STARTS, N_DRAWN = 61, 8, 20_000
NOISE_STD = NOISE / 12**0.5


class Family:
    """Curves of the true family, fitted from the best cells of a grid of frequencies."""

    def __init__(self, times: Array) -> None:
        axis = np.linspace(LOW, HIGH, N_GRID)
        self.times = times
        self.grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        self.waves = np.sin(phases(times, *self.grid.T[..., None]))

    def guess(self, seen: Array, values: Array) -> Array:
        """The curve that fits best what is seen of it, at all times."""

        def misses(guess: Array) -> Array:
            curve = guess[2] + np.sin(phases(self.times[seen], guess[0], guess[1]))
            return np.append((curve - values) / NOISE_STD, (guess[2] - 1) / LEVEL_STD)

        left = values - self.waves[:, seen]
        best = np.argsort(left.var(1))[:N_STARTS]
        starts = np.column_stack([self.grid[best], left[best].mean(1)])
        edges = ([LOW, LOW, -np.inf], [HIGH, HIGH, np.inf])
        inner = np.clip(starts, LOW + 1e-6, [HIGH - 1e-6, HIGH - 1e-6, np.inf])
        found = min((least_squares(misses, x, bounds=edges) for x in inner), key=lambda f: f.cost)
        first, last, level = found.x
        return np.asarray(level + np.sin(phases(self.times, first, last)))


class Covariance:
    """The best linear guess, by the moments of many curves of the family at the same times."""

    def __init__(self, times: Array, rng: np.random.Generator) -> None:
        drawn = sines(N_DRAWN, rng, times=times).values[..., 0]
        self.mean = drawn.mean(0)
        self.covariance = np.cov(drawn.T) + 1e-6 * np.eye(len(times))

    def guess(self, seen: Array, values: Array) -> Array:
        """Expected values at all times."""
        among = self.covariance[np.ix_(seen, seen)]
        weights = np.linalg.solve(among, values - self.mean[seen])
        return np.asarray(self.mean + self.covariance[:, seen] @ weights)


def main() -> None:
    """Print the errors of both guesses."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seen", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5])
    arguments.add_argument("--curves", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=0)
    args = arguments.parse_args()
    curves = sines(args.curves, np.random.default_rng(args.seed))
    tested, half = curves.values[args.curves * 4 // 5 :, :, 0], N_TIMES // 2
    guessers = {
        "true family": Family(curves.times),
        "linear": Covariance(curves.times, np.random.default_rng(args.seed + 2)),
    }
    for share in args.seen:
        rng, errors = np.random.default_rng(args.seed + 1), dict.fromkeys(guessers, 0.0)
        for curve in tested:
            seen = np.sort(rng.choice(half, round(share * half), replace=False))
            for name, guesser in guessers.items():
                miss = guesser.guess(seen, curve[seen])[half:] - curve[half:]
                errors[name] += 100 * float((miss**2).mean()) / len(tested)
        text = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
        print(f"seen {share:.0%}: {text}", flush=True)


if __name__ == "__main__":
    main()
