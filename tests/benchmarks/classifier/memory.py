"""Bytes that a classifier keeps for backward, by accepted steps of an adaptive solver.

python tests/benchmarks/classifier/memory.py
"""

from __future__ import annotations

import torch
from torch import Tensor

import odeseries as ode

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def kept(net: torch.nn.Module) -> int:
    """Bytes of distinct tensors that backward needs."""
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        net(X)
    return sum(sizes.values())


def main() -> None:
    """Print a table; the tolerance sets the number of steps."""
    torch.set_num_threads(1)
    model = ode.ODENetClassifier(hidden=16, solver="dopri5", T=30.0, max_epochs=1, random_state=0)
    net = model.fit(X.numpy(), X[:, 0] > 0).network_.double()
    print("| tolerance | accepted steps | autograd, kB | checkpoint, kB | adjoint, kB |")
    print("|---|---|---|---|---|")
    for tolerance in (1e-2, 1e-6, 1e-10, 1e-13, 1e-15):
        # Absolute only: finer than the numbers resolve is still a number of steps.
        net.block.options = {"rtol": 0.0, "atol": tolerance}
        sizes = []
        for net.block.gradient in ("autograd", "checkpoint", "adjoint"):
            sizes.append(f"{kept(net) / 1000:.0f}")
        steps = (net.evaluations(X).double().mean() - 2) / 6
        print(f"| {tolerance:.0e} | {float(steps):.0f} | {' | '.join(sizes)} |", flush=True)


if __name__ == "__main__":
    main()
