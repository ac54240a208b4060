"""Memory of the three ways to the gradients, from few to many steps.

Run as ``python tests/benchmarks/solver/memory.py``. The tolerance sets the number of steps. Bytes
kept for the way back are those of distinct storages that pass the hooks of saved tensors, what
the package's own functions save among them. Peaks of the resident memory (``ru_maxrss``) are those
of a fresh process that solves and goes back, less that of one without the solve, the median of
three. Both first look up the method, evaluate the field and go back, so that what is loaded for
that is in both.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor

from odeseries import plugins, solve
from odeseries.dynamics import Hamiltonian
from odeseries.nets import seeded_weights

BATCH, DIM, HIDDEN, SHARPNESS, SPAN = 64, 8, 64, 4.0, 3.1
TOLERANCES = {"few": 1e-2, "some": 1e-9, "many": 1e-13}
WAYS = ("autograd", "checkpoint", "adjoint")
RUNS = 3


def problem() -> tuple[Hamiltonian, Tensor, Tensor]:
    """A conservative field sharp enough to need many steps, states and times."""
    with seeded_weights(0):
        dynamics = Hamiltonian(DIM, hidden=HIDDEN, springs=False).double()
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.mul_(SHARPNESS)
    generator = torch.Generator().manual_seed(0)
    y0 = torch.randn(BATCH, DIM, generator=generator, dtype=torch.float64)
    return dynamics, y0.requires_grad_(), torch.tensor([0.0, SPAN], dtype=torch.float64)


def measured(way: str, steps: str, *, hooks: bool) -> dict[str, float]:
    """One solve and its way back in this process."""
    dynamics, y0, times = problem()
    storages: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    begun = time.process_time()
    accepted = 0.0
    plugins.get("solver", "dopri5")
    slope = dynamics(times[:1], y0)
    torch.autograd.grad(slope, y0, torch.ones_like(slope))
    if way != "control":
        tolerance = TOLERANCES[steps]
        with torch.autograd.graph.saved_tensors_hooks(pack if hooks else _same, _same):
            solution = solve(
                dynamics, y0, times, solver="dopri5", rtol=tolerance, atol=tolerance, gradient=way
            )
        accepted = float(solution.stats.accepted.max())
        solution.ys[:, -1].sum().backward()
    return {
        "accepted": accepted,
        "kept": sum(storages.values()),
        "seconds": time.process_time() - begun,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _same(x: Tensor) -> Tensor:
    return x


def apart(way: str, steps: str, *, hooks: bool) -> dict[str, float]:
    """The same in a fresh process."""
    command = [sys.executable, __file__, "--way", way, "--steps", steps]
    ran = subprocess.run(
        [*command, "--hooks"] if hooks else command, check=True, capture_output=True, text=True
    )
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def table() -> None:
    """Print a row for every way and number of steps."""
    control = statistics.median(apart("control", "few", hooks=False)["peak"] for _ in range(RUNS))
    print(f"control: {control / 2**20:.1f} MiB")
    print("| gradient | accepted steps | kept, KiB | peak less control, MiB | CPU seconds |")
    print("|---|---|---|---|---|")
    for way in WAYS:
        for steps in TOLERANCES:
            kept = apart(way, steps, hooks=True)
            runs = [apart(way, steps, hooks=False) for _ in range(RUNS)]
            peak = statistics.median(run["peak"] for run in runs) - control
            seconds = statistics.median(run["seconds"] for run in runs)
            print(
                f"| {way} | {kept['accepted']:.0f} | {kept['kept'] / 2**10:,.0f} | "
                f"{peak / 2**20:,.1f} | {seconds:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--way", choices=[*WAYS, "control"])
    parser.add_argument("--steps", choices=list(TOLERANCES), default="few")
    parser.add_argument("--hooks", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.way is None:
        table()
    else:
        print(json.dumps(measured(arguments.way, arguments.steps, hooks=arguments.hooks)))
