"""Takes one training step of a latent ODE for every line that comes in; started by `peers.py`.

The answer to ``step`` are the seconds of the processor and of the clock.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

RATE = 1e-2


def trained_by_torch(module: ModuleType, data: list[Any], channels: int) -> Callable[[], None]:
    """A step of a PyTorch model, as ``torchdiffeq_latent_ode.py`` takes it."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = module.LatentODE(channels)
    optimizer = torch.optim.Adamax(model.parameters(), lr=RATE)

    def step() -> None:
        optimizer.zero_grad()
        loss = -torch.logsumexp(model(*data).mean(1), 0)
        loss.backward()
        optimizer.step()

    return step


def odeseries(case: str) -> Callable[[], None]:
    """The model on `odeseries.solve`."""
    import batches
    import latent_ode
    import torch

    data = [torch.from_numpy(a) for a in batches.make(case)]
    return trained_by_torch(latent_ode, data, data[1].shape[-1])


def torchdiffeq(case: str) -> Callable[[], None]:
    """The model over the union of the times."""
    import batches
    import torchdiffeq_latent_ode as peer

    data = peer.union(*batches.make(case))
    return trained_by_torch(peer, data, data[1].shape[-1])


def diffrax(case: str) -> Callable[[], None]:
    """The model under jit, as the main function of ``diffrax_latent_ode.py`` trains it."""
    import batches
    import diffrax_latent_ode as peer
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax

    data = tuple(jnp.asarray(a) for a in batches.make(case))
    model = peer.LatentODE(data[1].shape[-1], jax.random.PRNGKey(0))
    optimizer = optax.adamax(RATE)
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))
    count = 0

    @eqx.filter_jit
    def updated(model: Any, state: Any, key: Any) -> tuple[Any, Any]:
        gradient = eqx.filter_grad(peer.loss)(model, *data, key)
        updates, state = optimizer.update(gradient, state, model)
        return eqx.apply_updates(model, updates), state

    def step() -> None:
        nonlocal model, state, count
        model, state = updated(model, state, jax.random.PRNGKey(count))
        jax.block_until_ready(eqx.filter(model, eqx.is_array))
        count += 1

    return step


ENGINES = {"odeseries": odeseries, "torchdiffeq": torchdiffeq, "diffrax": diffrax}


def main() -> None:
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("case")
    parser.add_argument("--peers", required=True)
    arguments = parser.parse_args()
    sys.path.insert(0, arguments.peers)
    step = ENGINES[arguments.engine](arguments.case)
    for _ in sys.stdin:
        cpu, clock = time.process_time(), time.perf_counter()
        step()
        seconds = (time.process_time() - cpu, time.perf_counter() - clock)
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    main()
