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

from tests.benchmarks.papers.thinned import Array, Curves, Task, compare, parser, parted

N_TIMES, END, NOISE = 100, 5.0, 0.01


def phases(times: Array, first: Array, last: Array) -> Array:
    """Angles of sines whose frequencies move from the first to the last over all the time."""
    return 2 * np.pi * (first * times + (last - first) * times**2 / (2 * END))


def sines(
    n: int, rng: np.random.Generator, *, times: Array | None = None, clock: str = ""
) -> Curves:
    """Curves at common times, drawn unless they are given."""
    if times is None:
        times = np.sort(np.append(rng.uniform(0, END, N_TIMES - 1), 0.0))
    angles = phases(times, *rng.uniform(0.4, 0.8, (2, n, 1)))
    level = 1 + 0.1 * rng.standard_normal((n, 1))
    values = level + np.sin(angles) + NOISE * rng.uniform(size=angles.shape)
    return Curves(times, values[..., None], clock)


def main() -> None:
    """Fit and print errors."""
    arguments = parser(__doc__)
    arguments.add_argument("--curves", type=int, default=1000)
    arguments.add_argument("--clock", default="", choices=["", "seen", "known"], help="the time")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    curves = sines(args.curves, np.random.default_rng(args.seed), clock=args.clock)
    trained, tested = parted(args, curves)
    half = N_TIMES // 2
    seen, rest = (tested.take(slice(None), part) for part in (slice(half), slice(half, None)))
    tasks = [Task("interpolation", tested, tested), Task("extrapolation", seen, rest)]
    compare(args, trained, tasks, END / 2, np.ones(1))


if __name__ == "__main__":
    main()
