"""Other controls of the steps, tried on the ladder of tolerances by SciPy's own integrator.

Run from the root of the repository: ``python -m tests.benchmarks.agreement.control``. The pairs
and the control are put into SciPy's `RK45`, with fields in NumPy; with the package's own settings
the evaluations are those of its engine, one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import RK45, solve_ivp
from scipy.integrate._ivp.rk import rk_step

from odeseries.solvers.tableaux import DOPRI5, TSIT5, Tableau
from tests.ode_problems import IVP, IVPS, N_TIMES

Array = NDArray[np.float64]
TOLERANCES = tuple(10.0**-k for k in range(3, 11))
BETWEEN = tuple(10.0 ** (-k / 4) for k in range(12, 41) if k % 4)


def kepler(t: float, y: Array) -> Array:
    """Motion around a mass at the origin."""
    return np.concatenate([y[2:], -y[:2] / (y[:2] @ y[:2]) ** 1.5])


FIELDS: dict[str, Callable[[float, Array], Array]] = {
    "van der pol": lambda t, y: np.array([y[1], (1 - y[0] ** 2) * y[1] - y[0]]),
    "lorenz": lambda t, y: np.array(
        [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]
    ),
    "kepler": kepler,
    "damped": lambda t, y: np.array([y[1], -4 * y[0] - 0.2 * y[1]]),
    "lotka-volterra": lambda t, y: np.array([(1.5 - y[1]) * y[0], (y[0] - 3) * y[1]]),
    "exponential": lambda t, y: -y,
    "seasonal": lambda t, y: math.cos(t) * y,
    "nearly singular": lambda t, y: y**2,
}


@dataclass
class Control:
    """Constants of the control: exponents, safety, bounds, norm, and how it begins."""

    integral: float = 0.6
    proportional: float = 0.4
    safety: float = 0.89
    grow: float = 10.0
    largest: bool = False
    first: float = 1e-4
    longer: float = 2.0

    def factor(self, error: float, previous: float, grow: float) -> float:
        """Next length relative to the last."""
        damping = self.proportional / 5
        alpha = self.integral / 5 + damping
        raw = self.safety * max(error, 1e-300) ** -alpha * previous**damping
        return min(max(raw, 0.2), grow)


class Controlled(RK45):
    """SciPy's integrator with another pair and control."""

    control = Control()

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)
        self.previous, self.grow = self.control.first, self.control.grow
        self.h_abs *= self.control.longer

    def _error(self, h: float, y: Array, end: Array) -> float:
        scale = self.atol + np.maximum(abs(y), abs(end)) * self.rtol
        if self.control.largest:
            return float(abs(self._estimate_error(self.K, h) / scale).max())
        return float(self._estimate_error_norm(self.K, h, scale))

    def _step_impl(self) -> tuple[bool, str | None]:
        y, error = self.y, math.inf
        while error > 1:
            h = min(self.h_abs, self.t_bound - self.t)
            end, slope = rk_step(self.fun, self.t, y, self.f, h, self.A, self.B, self.C, self.K)
            error = self._error(h, y, end)
            self.h_abs = h * self.control.factor(error, self.previous, self.grow)
            self.grow = 1.0
        self.previous, self.grow = max(error, 1e-4), self.control.grow
        self.h_previous, self.y_old = h, y
        self.t, self.y, self.f = self.t + h, end, slope
        return True, None


def method(tableau: Tableau, control: Control, estimate: float = 1.0) -> type[Controlled]:
    """A pair under a control, its estimate of the error scaled."""
    n_stages = len(tableau.nodes) - 1
    weights = np.zeros((n_stages, n_stages))
    for i, row in enumerate(tableau.stages[:-1]):
        weights[i, : len(row)] = row
    parts = {
        "A": weights,
        "B": np.array(tableau.stages[-1]),
        "C": np.array(tableau.nodes[:-1]),
        "E": estimate * np.array(tableau.error),
        "P": np.array(tableau.dense),
        "control": control,
    }
    return type("Pair", (Controlled,), parts)


def solved(problem: IVP, integrator: object, tolerance: float) -> tuple[Array, int]:
    """States at some times, and evaluations."""
    times, field = np.linspace(0, problem.span, N_TIMES), FIELDS[problem.name]
    options = {"method": integrator, "rtol": tolerance, "atol": tolerance}
    found = solve_ivp(field, (0, problem.span), np.array(problem.start), t_eval=times, **options)
    return found.y, found.nfev


def ladder(
    integrator: object, right: dict[str, Array], tolerances: tuple[float, ...] = TOLERANCES
) -> tuple[list[list[float]], int]:
    """Largest errors of every problem and tolerance, and all evaluations."""
    table, work = [], 0
    for problem in IVPS:
        runs = [solved(problem, integrator, tolerance) for tolerance in tolerances]
        table.append([float(abs(states - right[problem.name]).max()) for states, _ in runs])
        work += sum(n for _, n in runs)
    return table, work


def mean(values: list[float]) -> float:
    """Geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


BEFORE = Control(0.65, 0.2, 0.9, longer=1.0)
CONTROLS = {
    "as it is": Control(),
    "0.65, 0.2, safety 0.9 (as it was)": BEFORE,
    "1, 0, safety 0.9 (SciPy's)": Control(1.0, 0.0, 0.9, longer=1.0),
    "0.8, 0.4": Control(0.8, 0.4),
    "0.3, 0.4": Control(0.3, 0.4),
    "safety 0.87": Control(safety=0.87),
    "safety 0.88": Control(safety=0.88),
    "safety 0.9": Control(safety=0.9),
    "first step as published": Control(longer=1.0),
    "growth at most 5": Control(grow=5.0),
    "error 1 before the first": Control(first=1.0),
    "largest coordinate's error": Control(largest=True),
}


def pair(name: str, control: Control) -> type[Controlled]:
    """A pair of the package under a control; the estimate of tsit5 was taken twice before."""
    estimate = 2 / 2.3 if control is BEFORE and name == "tsit5" else 1.0
    return method({"dopri5": DOPRI5, "tsit5": TSIT5}[name], control, estimate)


def between(right: dict[str, Array]) -> None:
    """Print a row for every pair, as it is and as it was, at the tolerances in between."""
    theirs, _ = ladder("RK45", right, BETWEEN)
    print("\n| pair | control | evaluations | ratio: mean | largest | above 2 |")
    print("|---|---|---|---|---|---|")
    for name in ("dopri5", "tsit5"):
        for what, control in {"as it is": Control(), "as it was": BEFORE}.items():
            table, work = ladder(pair(name, control), right, BETWEEN)
            every = [a / b for a, b in zip(chain(*table), chain(*theirs), strict=True)]
            print(
                f"| {name} | {what} | {work:,} | {mean(every):.2f} | {max(every):.2f} "
                f"| {sum(x > 2 for x in every)} |",
                flush=True,
            )


def main() -> None:
    """Print a row for every pair and control, and what is between the rungs."""
    right = {problem.name: solved(problem, "DOP853", 1e-13)[0] for problem in IVPS}
    theirs, _ = ladder("RK45", right)
    print(
        "| pair | control | evaluations | ratio: mean | worst problem | largest | above 2 |", end=""
    )
    print(" fall: least | below 4 |\n|---|---|---|---|---|---|---|---|---|")
    for name in ("dopri5", "tsit5"):
        for what, control in CONTROLS.items():
            table, work = ladder(pair(name, control), right)
            ratios = [
                [a / b for a, b in zip(*both, strict=True)]
                for both in zip(table, theirs, strict=True)
            ]
            every = [x for row in ratios for x in row]
            falls = [a / b for row in table for a, b in pairwise(row)]
            print(
                f"| {name} | {what} | {work:,} | {mean(every):.2f} | {max(map(mean, ratios)):.2f} "
                f"| {max(every):.2f} | {sum(x > 2 for x in every)} | {min(falls):.2f} "
                f"| {sum(x < 4 for x in falls)} |",
                flush=True,
            )
    between(right)


if __name__ == "__main__":
    main()
