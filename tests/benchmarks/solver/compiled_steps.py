"""CPU seconds of solves with and without compiled steps, and of compiling them.

Run as ``python tests/benchmarks/solver/compiled_steps.py``. Least CPU seconds of some solves, those
with and without compiled steps in turn. What compiling takes is the first solve less the later
ones, the processes of the C++ compiler among it; nothing is found compiled on disk. The larger
number of rows is served by what was compiled for the smaller.
"""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Callable

import torch
from torch import Tensor

from odeseries import solve
from odeseries.dynamics import MLP
from odeseries.nets import seeded_weights

ROUNDS = 15
DIM, HIDDEN, SIZES = 20, 50, (50, 1000)
METHODS = {"dopri5": {"rtol": 1e-4, "atol": 1e-5}, "rk4": {"n_steps": 20}}


def seconds() -> float:
    """CPU seconds of this process and of those that it has started."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(x.ru_utime + x.ru_stime for x in spent)


def taken(run: Callable[[], object]) -> float:
    """CPU seconds of one run."""
    begun = seconds()
    run()
    return seconds() - begun


def once(field: MLP, y0: Tensor, solver: str, *, learning: bool, compiled: bool) -> None:
    """Solve, and go back if the field learns."""
    ends = torch.linspace(1.0, 3.0, len(y0))[:, None]
    with torch.set_grad_enabled(learning):
        options = {"solver": solver, "compile": compiled, **METHODS[solver]}
        ys = solve(field, y0, ends * torch.tensor([0.0, 0.5, 1.0]), **options).ys
        if learning:
            ys.square().sum().backward()


def row(solver: str, n_rows: int, *, learning: bool) -> str:
    """Compiling, and a solve with and without."""
    with seeded_weights(0):
        field = MLP(DIM, hidden=HIDDEN)
    y0 = torch.randn(n_rows, DIM, generator=torch.Generator().manual_seed(0))
    best = {True: float("inf"), False: float("inf")}
    first = taken(lambda: once(field, y0, solver, learning=learning, compiled=True))
    for _ in range(ROUNDS):
        for compiled in best:
            spent = taken(lambda c=compiled: once(field, y0, solver, learning=learning, compiled=c))
            best[compiled] = min(best[compiled], spent)
    return (
        f"{1e3 * best[False]:.1f} | {1e3 * best[True]:.1f} | {best[False] / best[True]:.2f} | "
        f"{first - best[True]:.1f}"
    )


def main() -> None:
    """Print a row for every method, size and purpose."""
    print("| method | gradients | rows | plain, ms | compiled, ms | ratio | compiling, s |")
    print("|---|---|---|---|---|---|---|")
    for solver in METHODS:
        for learning in (False, True):
            for n_rows in SIZES:
                found = row(solver, n_rows, learning=learning)
                print(f"| {solver} | {learning} | {n_rows} | {found} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as empty:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = empty
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
        main()
