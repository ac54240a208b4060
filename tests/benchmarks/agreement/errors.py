"""Errors of the adaptive methods at equal tolerances, against SciPy's RK45, and energy's drift.

Run from the root of the repository: ``python -m tests.benchmarks.agreement.errors``
"""

from __future__ import annotations

import math
import time
from itertools import pairwise

import torch
from torch import Tensor

from odeseries.solvers import solve
from tests.ode_problems import IVP, IVPS
from tests.test_symplectic import CONSERVATIVE, drift, energy_errors

TOLERANCES = tuple(10.0**-k for k in range(3, 11))


def mean(values: list[float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def errors(problem: IVP, right: Tensor, solver: str) -> tuple[list[float], int]:
    """Largest error at each tolerance, and all evaluations."""
    found, work = [], 0
    for tolerance in TOLERANCES:
        if solver == "RK45":
            states = problem.scipy(solver, tolerance)
        else:
            options = {"solver": solver, "rtol": tolerance, "atol": tolerance}
            with torch.no_grad():
                solution = solve(problem.field, problem.y0, problem.times, **options)
            states, work = solution.ys[0], work + int(solution.stats.nfe)
        found.append(float((states - right).abs().max()))
    return found, work


def main() -> None:
    """Print both tables in Markdown."""
    start, total = time.process_time(), dict.fromkeys(("dopri5", "tsit5"), 0)
    print("| problem | method | ratio: mean | largest | fall: mean | least |")
    print("|---|---|---|---|---|---|")
    for problem in IVPS:
        right = problem.scipy("DOP853", 1e-13)
        theirs, _ = errors(problem, right, "RK45")
        for solver in total:
            ours, work = errors(problem, right, solver)
            total[solver] += work
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            falls = [a / b for a, b in pairwise(ours)]
            print(
                f"| {problem.name} | {solver} | {mean(ratios):.2f} | {max(ratios):.2f} | "
                f"{mean(falls):.1f} | {min(falls):.1f} |",
                flush=True,
            )
    print(f"\nEvaluations in all: {total}; {time.process_time() - start:.0f} CPU seconds.\n")
    print("| field | largest error of the energy | change of the fitted line |")
    print("|---|---|---|")
    for case in CONSERVATIVE:
        found = energy_errors(*case.values, 10_000)
        print(f"| {case.id} | {float(found.abs().max()):.2e} | {drift(found):.1e} |", flush=True)


if __name__ == "__main__":
    main()
