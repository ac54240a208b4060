"""Laws that hold wherever the tensors are, on a device that is emulated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import odeseries as ode
from odeseries import dynamics
from odeseries.solvers import row_seeds
from tests.emulated_device import NAME, emulated

GRADIENTS = ("autograd", "checkpoint", "adjoint")
FIXED = ("euler", "midpoint", "heun", "rk4", "leapfrog")
ADAPTIVE = ("dopri5", "tsit5")
DIM = 4
pytestmark = [
    pytest.mark.filterwarnings("ignore::odeseries.GradientWarning"),
    pytest.mark.usefixtures("few_windows"),
]


@pytest.fixture
def waits() -> Iterator[list[str]]:
    """What the host waited for."""
    with emulated() as noted:
        yield noted


def problem(device: str, n_times: int = 5) -> tuple[Tensor, Tensor]:
    """Initial states and times of eight rows."""
    random = torch.Generator().manual_seed(0)
    y0 = torch.randn(8, DIM, generator=random, dtype=torch.float64)
    times = 2 * torch.rand(8, n_times, generator=random, dtype=torch.float64).sort(1).values
    return y0.to(device).requires_grad_(), times.to(device)


def on(device: str, make: Callable[[], ode.Dynamics]) -> ode.Dynamics:
    """A dynamics with the weights of seed 0."""
    torch.manual_seed(0)
    return make().double().to(device)


def solved(device: str, make: Callable[[], ode.Dynamics], **options: Any) -> list[Tensor]:
    """States and gradients, on the processor."""
    field, (y0, times) = on(device, make), problem(device)
    solution = ode.solve(field, field.lift(y0), times, **options)
    solution.ys.square().sum().backward()
    weights = [p.grad for p in field.parameters() if p.grad is not None]
    assert solution.ys.device.type == solution.status.device.type == device
    return [x.detach().cpu() for x in (solution.ys, solution.stats.nfe, y0.grad, *weights)]


def hamiltonian() -> ode.Dynamics:
    """One that differentiates inside, and that every method can take."""
    return dynamics.Hamiltonian(DIM, hidden=8, depth=1)


def assert_same(there: list[Tensor], here: list[Tensor]) -> None:
    """The same up to the order in which sums are taken."""
    for one, other in zip(there, here, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("solver", [*FIXED, *ADAPTIVE])
def test_every_solver_agrees_with_the_processor(
    waits: list[str], solver: str, gradient: str
) -> None:
    """States, work and gradients, through a field that differentiates inside."""
    length = {"rtol": 1e-5, "atol": 1e-7} if solver in ADAPTIVE else {"n_steps": 6}
    options = {"solver": solver, "gradient": gradient, **length}

    assert_same(solved(NAME, hamiltonian, **options), solved("cpu", hamiltonian, **options))


@pytest.mark.parametrize("name", ["linear", "mlp", "fourier", "augmented", "second_order"])
def test_every_dynamics_agrees_with_the_processor(waits: list[str], name: str) -> None:
    """With the sizes of the defaults."""
    kind = ode.plugins.get("dynamics", name)

    def make() -> ode.Dynamics:
        made: ode.Dynamics = kind(DIM)
        return made

    options = {"solver": "dopri5", "rtol": 1e-5, "atol": 1e-7}
    assert_same(solved(NAME, make, **options), solved("cpu", make, **options))


@pytest.mark.parametrize(
    ("solver", "noise"),
    [
        *itertools.product(["euler_maruyama", "stochastic_heun"], ["diagonal", "general"]),
        ("milstein", "diagonal"),
        ("milstein", "additive"),
    ],
)
def test_a_path_is_the_same_on_every_device(waits: list[str], solver: str, noise: str) -> None:
    """The noise depends on the seeds, wherever it is drawn."""

    def make() -> ode.Dynamics:
        sort = "stratonovich" if solver == "stochastic_heun" else "ito"
        return dynamics.SDE(DIM, hidden=8, depth=1, noise_type=noise, sde_type=sort)

    options = {"solver": solver, "step": 0.2, "seed": row_seeds(0, range(8))}
    there = solved(NAME, make, **options | {"seed": options["seed"].to(NAME)})
    assert_same(there, solved("cpu", make, **options))


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("solver", ["rk4", "leapfrog", *ADAPTIVE])
def test_the_host_waits_about_once_a_step(waits: list[str], solver: str, gradient: str) -> None:
    """To know whether steps were taken; less often to take states out of them, and to begin."""
    adaptive = solver in ADAPTIVE
    length = {"rtol": 1e-9, "atol": 1e-9} if adaptive else {"n_steps": 40}
    field, (y0, times) = on(NAME, hamiltonian), problem(NAME)
    waits.clear()
    solution = ode.solve(field, y0, times, solver=solver, gradient=gradient, **length)
    there = len(waits)
    solution.ys.square().sum().backward()
    back = len(waits) - there
    steps = int((solution.stats.accepted + solution.stats.rejected).cpu().max())
    assert steps >= 30
    assert there <= (adaptive + 0.25) * steps + 10
    # Four spans between five times; checkpoints are as many as the root of the steps.
    most = {"autograd": 0, "checkpoint": 8 * steps**0.5, "adjoint": (adaptive * 2.0) * steps + 36}
    assert back <= most[gradient]


def test_the_device_refuses_what_a_gpu_refuses(waits: list[str]) -> None:
    """What the other laws rest upon."""
    there = torch.ones(3, device=NAME)
    with pytest.raises(RuntimeError, match="are on the processor, others on 'emulated'"):
        there + torch.ones(3)
    with pytest.raises(TypeError, match=r"call \.cpu\(\) first"):
        there.numpy()
    waits.clear()
    assert bool((there[there > 0] * 2).sum() == 6)
    assert waits == ["aten.index.Tensor", "aten._local_scalar_dense.default"]


def test_crossings_agree_with_the_processor(waits: list[str]) -> None:
    """Times, states and gradients of events."""

    def crossing(device: str) -> list[Tensor]:
        field = on(device, lambda: dynamics.MLP(DIM, hidden=8, depth=1))
        y0, times = problem(device, 2)
        ends = torch.stack([times[:, 0], times[:, 0] + 3], 1)
        event = ode.solve_event(field, y0, ends, lambda t, y: y[:, 0] - 0.1)
        found = event.times.isfinite()
        event.times[found].sum().backward()
        return [x.detach().cpu().nan_to_num(-1.0) for x in (event.times, event.states, y0.grad)]

    assert_same(crossing(NAME), crossing("cpu"))


@pytest.mark.parametrize("solver", ["rk4", "dopri5", "torchdiffeq:dopri5"])
def test_tensors_apart_are_told_apart(waits: list[str], solver: str) -> None:
    """The message says which tensors are where."""
    field = on(NAME, lambda: dynamics.MLP(DIM, hidden=8, depth=1))
    y0, times = problem(NAME)
    with pytest.raises(ode.SolverError, match=r"times is on cpu, and y0 on emulated:0: .*\.to\(y0"):
        ode.solve(field, y0, times.cpu(), solver=solver)
    kept = torch.ones(times.shape, dtype=torch.bool)
    with pytest.raises(ode.SolverError, match="mask is on cpu, and y0 on emulated:0"):
        ode.solve(field, y0, times, solver=solver, mask=kept)


FIT: dict[str, Any] = {"max_epochs": 1, "random_state": 0}


def forecast(device: str, folder: Path) -> list[np.ndarray]:
    """By a model that was fitted on the device; by the same, saved and loaded elsewhere."""
    random = np.random.default_rng(0)
    times = np.sort(random.uniform(0, 40, 24))
    series = pd.Series(np.sin(times) + 0.1 * random.standard_normal(24), index=times)
    small = {"n_rows": 4, "n_lags": 2, "hidden": 8, "n_queries": 4}
    model = ode.LatentODEForecaster(3.0, device=device, **small, **FIT).fit(series)
    model.save(folder / device)
    asked = np.linspace(40.5, 43, 4)
    loaded = ode.load(folder / device, device="cpu")
    return [np.asarray(m.predict_interval(asked, coverage=0.5)) for m in (model, loaded)]


def classified(device: str, folder: Path) -> list[np.ndarray]:
    """The same for a classifier."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    model = ode.ODENetClassifier(device=device, **FIT).fit(X, X[:, 0] > 0)
    model.save(folder / device)
    return [m.predict_proba(X) for m in (model, ode.load(folder / device, device="cpu"))]


def densities(device: str, folder: Path) -> list[np.ndarray]:
    """The same for a density."""
    X = np.random.default_rng(0).normal(size=(16, 2))
    plain = {"preprocessing": "standard", "base": "normal", "dynamics_params": {"hidden": 8}}
    model = ode.CNFDensityEstimator(device=device, **plain, **FIT).fit(X)
    model.save(folder / device)
    return [m.score_samples(X) for m in (model, ode.load(folder / device, device="cpu"))]


@pytest.mark.parametrize("estimate", [forecast, classified, densities])
def test_estimators_agree_with_the_processor(
    waits: list[str], tmp_path: Path, estimate: Callable[[str, Path], list[np.ndarray]]
) -> None:
    """Fitted there or here, and loaded elsewhere."""
    there, loaded = estimate(NAME, tmp_path)
    here, _ = estimate("cpu", tmp_path)
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(there, loaded, rtol=1e-5, atol=1e-6)
