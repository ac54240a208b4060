"""Latent ODE on MuJoCo's hopper, thrown in random postures: Rubanova et al. (2019), section 4.2.

The file holds trajectories ``x`` (n, 200, 14) made by the generator beside the shared data, for
1,000 of them:

    python gen_hopper.py hopper.xml 1000 200 0 hopper.npz
    python -m tests.benchmarks.papers.hopper hopper.npz --seen 0.1 0.5

The last fifth is tested. Interpolation is of 100 consecutive points, from a random one on;
extrapolation is from the first 100 to the others, and once more as in the authors' program, from
the first third. As there, values are divided by the channel's largest one. Errors are printed in
the paper's unit, 0.01.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.benchmarks.papers.thinned import Curves, Task, compare, parser, parted

HALF, THIRD = 100, 66


def stretches(curves: Curves, rng: np.random.Generator) -> Curves:
    """Consecutive points of every curve, from a random one on, with times from 0."""
    starts = rng.integers(0, len(curves.times) - HALF + 1, len(curves.values))
    parts = [x[k : k + HALF] for x, k in zip(curves.values, starts, strict=True)]
    return Curves(curves.times[:HALF], np.stack(parts))


def main() -> None:
    """Fit and print errors."""
    arguments = parser(__doc__)
    arguments.add_argument("file")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    with np.load(args.file) as file:
        values = file["x"].astype(np.float64)
    curves = Curves(np.arange(values.shape[1]) / HALF, values)
    trained, tested = parted(args, curves)
    inner = stretches(tested, np.random.default_rng(args.seed))
    tasks = [Task("interpolation", inner, inner)]
    for first in (HALF, THIRD):
        seen, rest = (tested.take(slice(None), part) for part in (slice(first), slice(first, None)))
        tasks.append(Task(f"extrapolation from {first} points", seen, rest))
    compare(args, trained, tasks, 1.0, values.max((0, 1)))


if __name__ == "__main__":
    main()
