"""Latent SDE on the stochastic Lorenz attractor: matching against gradients through the solver.

Li et al. (2020), section 7.2: 41 observations of three coordinates up to time 1, standardised,
with noise of standard deviation 0.01. Both trainings have the same networks and the same CPU
seconds. Printed is the bound of the log-likelihood of held-out series, in nats per observed
number.

    python -m tests.benchmarks.papers.lorenz --seconds 60
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from odeseries.dynamics import SDE
from odeseries.encoders import GRUEncoder
from odeseries.forecasters.decoder import Decoder
from odeseries.forecasters.evidence import Evidence
from odeseries.forecasters.posteriors import Gaussian, Matched, Simulated
from odeseries.forecasters.sde_network import SDENetwork

N_TRAINED, N_HELD, N_OBS, BATCH = 1024, 128, 41, 64
FINE = 50
"""Steps of the truth between two observations."""
DISTURBANCE, NOISE = 0.15, 0.01
DIM, HIDDEN = 4, 64


def attractor(n: int, rng: np.random.Generator) -> Tensor:
    """Noisy, standardised paths (n, N_OBS, 3), by fine Euler-Maruyama steps."""
    state = rng.standard_normal((n, 3))
    h = 1.0 / (N_OBS - 1) / FINE
    path = [state]
    for k in range((N_OBS - 1) * FINE):
        x, y, z = state.T
        drift = np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)
        state = state + h * drift + DISTURBANCE * np.sqrt(h) * rng.standard_normal(state.shape)
        if (k + 1) % FINE == 0:
            path.append(state)
    paths = np.stack(path, 1)
    paths = (paths - paths.mean((0, 1))) / paths.std((0, 1))
    return torch.tensor(paths + NOISE * rng.standard_normal(paths.shape), dtype=torch.float32)


@dataclass(frozen=True)
class Experiment:
    """Data and one network.

    Attributes
    ----------
    values : Tensor of shape (n, N_OBS, 3)
        All series.
    start : nn.ParameterList
        Mean and logarithm of the standard deviation of the first state, for all series.
    """

    values: Tensor
    net: SDENetwork
    start: nn.ParameterList

    @classmethod
    def of(cls, training: str, values: Tensor) -> Experiment:
        """Fresh networks, the same for both trainings but for the posterior."""
        torch.manual_seed(0)
        options = ("euler_maruyama", {"step": 1.0 / (N_OBS - 1)})
        posterior = (
            Matched(3, DIM, HIDDEN)
            if training == "matching"
            else Simulated(3, DIM, HIDDEN, *options)
        )
        net = SDENetwork(
            GRUEncoder(1, 1),
            SDE(DIM, hidden=HIDDEN),
            posterior,
            Decoder(DIM, 3, HIDDEN),
            solver=options[0],
            solver_params=options[1],
            n_paths=1,
            warmup=0,
        )
        return cls(values, net, nn.ParameterList([torch.zeros(DIM), torch.zeros(DIM)]))

    def bound(self, chosen: Tensor, keys: Tensor, weight: float = 1.0) -> Tensor:
        """Bound in nats per observed number, (n,)."""
        values = self.values[chosen]
        # The path starts one gap before the first observation.
        times = torch.arange(1, N_OBS + 1) / (N_OBS - 1)
        seen = torch.ones_like(values, dtype=torch.bool)
        evidence = Evidence.sorted(times.expand(len(values), -1), values, seen)
        mean, log_std = (p.expand(len(values), -1) for p in self.start)
        found = self.net.bound(self.net.dynamics, Gaussian(mean, log_std), evidence, keys, weight)
        return found / seen[0].sum()

    def train(self, seconds: float, rate: float, warmup: int) -> int:
        """Follow gradients for so many CPU seconds; the number of steps."""
        parameters = [*self.net.parameters(), *self.start]
        optimiser = torch.optim.Adam(parameters, rate)
        generator, steps = torch.Generator().manual_seed(0), 0
        began = time.process_time()
        while (spent := (time.process_time() - began) / seconds) < 1:
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, 2 * (1 - spent))
            chosen = torch.randint(N_TRAINED, (BATCH,), generator=generator)
            keys = torch.randint(2**62, (BATCH,), generator=generator)
            optimiser.zero_grad()
            loss = -self.bound(chosen, keys, min(1.0, (steps + 1) / warmup)).mean()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            steps += 1
        return steps

    @torch.no_grad()
    def held_out(self) -> tuple[float, float]:
        """Mean bound of the held-out series over 8 draws, and its standard error."""
        chosen = torch.arange(N_TRAINED, N_TRAINED + N_HELD)
        draws = [self.bound(chosen, chosen + 10_000 * k) for k in range(8)]
        each = torch.stack(draws).mean(0)
        return float(each.mean()), float(each.std() / len(each) ** 0.5)


def main() -> None:
    """Train both for the same time, and print their bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=float, default=5e-3)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--only", choices=["matching", "solver"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    values = attractor(N_TRAINED + N_HELD, np.random.default_rng(0))
    for training in ("matching", "solver"):
        if args.only not in (None, training):
            continue
        experiment, wall = Experiment.of(training, values), time.perf_counter()
        steps = experiment.train(args.seconds, args.rate, args.warmup)
        bound, error = experiment.held_out()
        noise = experiment.net.decoder.noise().tolist()
        print(
            f"{training} CPU seconds {args.seconds:.0f} wall {time.perf_counter() - wall:.0f} "
            f"steps {steps} bound per observed number {bound:.3f} +- {error:.3f} "
            f"noise {[round(x, 4) for x in noise]}",
            flush=True,
        )


if __name__ == "__main__":
    main()
