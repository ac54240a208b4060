"""Latent ODE on sines of drifting frequency: the toy data of Rubanova et al. (2019), section 4.1.

All curves have 100 common times, uniform in [0, 5], amplitude 1, frequencies that move along a
straight line from one number in [0.4, 0.8] to another, a level of 1 on average with standard
deviation 0.1, phase 0 at time 0, and noise that is uniform in [0, 0.01]. That they begin alike a
forecaster knows only if it is given the time as a covariate. The last fifth is tested.
Interpolation is of all points; extrapolation from the first half of them to the other. Errors are
printed in hundredths.

    python -m tests.benchmarks.papers.periodic --curves 1000
"""

from __future__ import annotations

import numpy as np
import torch

from tests.benchmarks.papers.thinned import Curves, Task, compare, parser

N_TIMES, END, NOISE = 100, 5.0, 0.01


def sines(n: int, rng: np.random.Generator, *, clocked: bool) -> Curves:
    """Curves at common times."""
    times = np.sort(np.append(rng.uniform(0, END, N_TIMES - 1), 0.0))
    first, last = rng.uniform(0.4, 0.8, (2, n, 1))
    phase = 2 * np.pi * (first * times + (last - first) * times**2 / (2 * END))
    level = 1 + 0.1 * rng.standard_normal((n, 1))
    values = level + np.sin(phase) + NOISE * rng.uniform(size=phase.shape)
    return Curves(times, values[..., None], clocked)


def main() -> None:
    """Fit and print errors."""
    arguments = parser(__doc__)
    arguments.add_argument("--curves", type=int, default=1000)
    arguments.add_argument("--clock", action="store_true", help="give the time as a covariate")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    curves = sines(args.curves, np.random.default_rng(args.seed), clocked=args.clock)
    n_trained = args.curves * 4 // 5
    tested = curves.take(slice(n_trained, None))
    half = N_TIMES // 2
    seen, rest = (tested.take(slice(None), part) for part in (slice(half), slice(half, None)))
    tasks = [Task("interpolation", tested, tested), Task("extrapolation", seen, rest)]
    compare(args, curves.take(slice(n_trained)), tasks, END / 2, np.ones(1))


if __name__ == "__main__":
    main()
