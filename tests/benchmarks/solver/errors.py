"""Errors of the adaptive methods beside SciPy's RK45, for tolerances from 1e-3 to 1e-10.

    python -m tests.benchmarks.solver.errors

In float64, rtol = atol; the error is the largest difference from ``DOP853`` at 1e-12 at 13 times.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.ode_problems import IVPS
from tests.test_solvers_scipy import ADAPTIVE, RUNGS, errors


def told(logarithms: Tensor, digits: int) -> str:
    """Numbers of which the logarithms are given, side by side."""
    return " ".join(f"{x:.{digits}f}" for x in (10**logarithms).tolist())


def main() -> None:
    """Print a line for every method and problem."""
    print("| method | problem | error / that of RK45 | fall of the error | fall of RK45's |")
    print("|---|---|---|---|---|")
    for solver in ADAPTIVE:
        for problem in IVPS:
            ours, theirs = errors(solver, problem, RUNGS)
            falls = [told(-torch.diff(e), 1) for e in (ours, theirs)]
            cells = [solver, problem.name, told(ours - theirs, 2), *falls]
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
