"""Laws of the stochastic methods: order, law of the paths, keys, rows, failures, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from odeseries.errors import SolverError
from odeseries.interfaces import Dynamics, SolveOptions
from odeseries.plugins import get
from odeseries.solvers import row_seeds, solve
from odeseries.solvers.philox import normals, philox
from odeseries.solvers.stochastic import EulerMaruyama
from tests.sde_problems import (
    Brownian,
    Circle,
    Doomed,
    Geometric,
    OrnsteinUhlenbeck,
    ScalarGeometric,
    StratonovichGeometric,
)

F64 = torch.float64
EM = {"solver": "euler_maruyama"}
IRREGULAR = torch.tensor([0.0, 0.013, 0.3, 0.31, 0.7777, 1.0], dtype=F64)


def test_philox_gives_the_published_words() -> None:
    """Three known answers of Philox4x32-10, from the authors' own test vectors."""
    ones, pi = [0xFFFFFFFF] * 4, [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    cases = [
        ([0, 0], [0] * 4, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (ones[:2], ones, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ([0xA4093822, 0x299F31D0], pi, "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ]
    for key, counter, known in cases:
        words = philox(torch.tensor(key)[:, None], torch.tensor(counter)[:, None])[:, 0]
        assert " ".join(f"{int(word):08x}" for word in words) == known


def test_normals_are_normal_and_unrelated() -> None:
    """Moments within 4 standard errors, across rows, places and sizes alike."""
    place = torch.stack([torch.arange(200), torch.zeros(200), torch.zeros(200)]).long()[:, None]
    z = normals(row_seeds(0, range(100)), place, 6, F64)
    n = z.numel()
    assert abs(float(z.mean())) < 4 / math.sqrt(n)
    assert abs(float(z.var()) - 1) < 4 * math.sqrt(2 / n)
    assert abs(float((z**4).mean()) - 3) < 4 * math.sqrt(96 / n)
    for dim in range(3):
        product = z.narrow(dim, 1, z.shape[dim] - 1) * z.narrow(dim, 0, z.shape[dim] - 1)
        assert abs(float(product.mean())) < 4 / math.sqrt(product.numel())


def strong_error(dynamics: Dynamics, drift: float, solver: str, n_steps: int) -> Tensor:
    """Root mean square error of a geometric Brownian motion at every irregular time."""
    y0 = torch.ones(4000, 1, dtype=F64)
    options = {"n_steps": n_steps, "seed": 5}
    w = solve(Brownian(1), 0 * y0, IRREGULAR, **EM, **options).ys
    found = solve(dynamics, y0, IRREGULAR, solver=solver, **options).ys
    exact = torch.exp(drift * IRREGULAR[:, None] + dynamics.sigma * w)
    return (found - exact).square().mean((0, 2)).sqrt()


STRONG = [
    ("euler_maruyama", Geometric(1), 0.5),
    ("milstein", Geometric(1), 1.0),
    ("milstein", ScalarGeometric(1), 1.0),
    ("stochastic_heun", StratonovichGeometric(1), 1.0),
]


def strong_orders(solver: str, dynamics: Geometric) -> Tensor:
    """Of the errors along one path, by 25 and by 100 steps, at irregular times."""
    ito = dynamics.sde_type == "ito"
    drift = dynamics.mu - (dynamics.sigma**2 / 2 if ito else 0)
    coarse, fine = (strong_error(dynamics, drift, solver, n) for n in (25, 100))
    # At 0.013 there is one side step, however long the base steps are.
    return torch.log2(coarse[2:] / fine[2:]) / 2


@pytest.mark.parametrize(("solver", "dynamics", "order"), STRONG)
def test_strong_order_on_geometric_brownian_motion(
    solver: str, dynamics: Geometric, order: float
) -> None:
    """Four times the steps divide the error along the same path by 4^order."""
    assert get("solver", solver).order == order
    assert strong_orders(solver, dynamics) == pytest.approx(order, abs=0.2)


def brownian_variances() -> Tensor:
    """Less the times, in standard errors, at times on, off and near the grid."""
    w = solve(Brownian(1), torch.zeros(20_000, 1), IRREGULAR, **EM, n_steps=3, seed=2).ys[..., 0]
    variance = w.var(0)[1:].double()
    return (variance - IRREGULAR[1:]) / (IRREGULAR[1:] * math.sqrt(2 / len(w)))


def test_variance_of_brownian_motion_between_the_steps() -> None:
    """The variance is the time within 3 standard errors."""
    assert (brownian_variances().abs() < 3).all()


def test_increments_of_brownian_motion_are_independent() -> None:
    """Two times within one step and one in the next have the covariances of the path."""
    times = torch.tensor([0.0, 0.1, 0.17, 0.6], dtype=F64)
    w = solve(Brownian(1), torch.zeros(20_000, 1, dtype=F64), times, **EM, step=0.5, seed=1).ys
    steps = w[..., 0].diff(dim=1)
    scaled = steps / times.diff().sqrt()
    covariance = torch.cov(scaled.T)
    assert ((covariance - torch.eye(3)).abs() < 4 * math.sqrt(2 / len(w))).all()


def stationary_variances() -> Tensor:
    """Less what they should be, in standard errors, at the start and at private irregular times."""
    n = 10_000
    dynamics = OrnsteinUhlenbeck(1, theta=1.0, sigma=0.5)
    generator = torch.Generator().manual_seed(0)
    times = torch.rand(n, 3, generator=generator, dtype=F64).sort(1).values * 3 + 3
    times = torch.cat([torch.zeros(n, 1, dtype=F64), times], 1)
    start = 0.5 / math.sqrt(2) * torch.randn(n, 1, generator=generator, dtype=F64)
    ys = solve(dynamics, start, times, **EM, step=0.01, seed=4).ys[..., 0]
    return (ys.var(0) / 0.125 - 1) / math.sqrt(2 / n)


def test_stationary_variance_of_ornstein_uhlenbeck() -> None:
    """The variance is sigma^2 / 2 theta within 3 standard errors."""
    # Of the step's own variance, sigma^2 / (2 theta - theta^2 h), a share of h theta / 2 is error.
    assert (stationary_variances().abs() < 3 + 0.005 / math.sqrt(2 / 10_000)).all()


def test_more_times_change_nothing() -> None:
    """With step, the states at some times are the same whatever else is asked for."""
    few = torch.tensor([0.0, 0.33, 0.9], dtype=F64)
    more = torch.cat([few, torch.linspace(0, 2, 41, dtype=F64)]).sort().values
    y0 = torch.ones(3, 2, dtype=F64)
    options = {**EM, "step": 0.1, "seed": 0}
    alone, among = (solve(Geometric(2), y0, t, **options).ys for t in (few, more))
    where = torch.searchsorted(more, few)
    torch.testing.assert_close(among[:, where], alone, rtol=0, atol=0)


def test_row_alone_equals_row_among_forty() -> None:
    """A row's key decides on its path: not its companions, their spans or its position."""
    keys = row_seeds(7, [f"series {i}" for i in range(40)])
    spans = torch.linspace(0.5, 9, 40, dtype=F64)[:, None]
    times = spans * IRREGULAR
    y0 = torch.linspace(-1, 1, 80, dtype=F64).reshape(40, 2)
    options = {**EM, "step": 0.05}
    together = solve(OrnsteinUhlenbeck(2), y0, times, seed=keys, **options).ys
    alone = solve(OrnsteinUhlenbeck(2), y0[17:18], times[17:18], seed=keys[17:18], **options).ys
    torch.testing.assert_close(alone[0], together[17], rtol=0, atol=1e-12)


def test_scalars_of_numpy_are_the_ids_that_they_stand_for() -> None:
    """However a frame's index keeps them, alone and in tuples; 3 and "3" stay apart."""
    plain = row_seeds(0, [3, "a", ("a", 2.5), True])
    numpy = [np.int64(3), np.str_("a"), (np.str_("a"), np.float64(2.5)), np.bool_(True)]
    assert torch.equal(row_seeds(0, numpy), plain)
    assert not torch.equal(row_seeds(0, ["3"]), plain[:1])


def test_seeds_of_more_bits_than_count_are_refused() -> None:
    """Others would give the same paths."""
    y0 = torch.zeros(1, 1)
    for seed in (2**64, -(2**63) - 1):
        with pytest.raises(SolverError, match=r"more than 64 bits: give an int from 0 to"):
            solve(Brownian(1), y0, IRREGULAR, **EM, seed=seed)
    assert torch.isfinite(solve(Brownian(1), y0, IRREGULAR, **EM, seed=2**64 - 1).ys).all()


def test_seed_as_a_number_keeps_rows_when_the_batch_grows() -> None:
    """Row i is the same in a batch of any size; other rows, other seeds, other paths."""
    y0 = torch.zeros(40, 1)
    many = solve(Brownian(1), y0, IRREGULAR, **EM, seed=3).ys
    few = solve(Brownian(1), y0[:3], IRREGULAR, **EM, seed=3).ys
    other = solve(Brownian(1), y0[:3], IRREGULAR, **EM, seed=4).ys
    torch.testing.assert_close(many[:3], few, rtol=0, atol=0)
    assert (few[0, 1:] != few[1, 1:]).all()
    assert (few[:, 1:] != other[:, 1:]).all()


def test_generator_is_asked_for_one_number() -> None:
    """Equal generators give equal paths, and the next solve's differ."""
    first, second = (torch.Generator().manual_seed(1) for _ in range(2))
    y0 = torch.zeros(5, 1)
    a, b = (solve(Brownian(1), y0, IRREGULAR, **EM, seed=g).ys for g in (first, second))
    again = solve(Brownian(1), y0, IRREGULAR, **EM, seed=first).ys
    assert torch.equal(a, b)
    assert (again[:, 1:] != a[:, 1:]).all()


def test_global_generator_is_left_alone() -> None:
    """Its state is the same after a solve, and does not decide on the path."""
    y0 = torch.zeros(5, 1)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    a = solve(Brownian(1), y0, IRREGULAR, **EM, seed=1).ys
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(solve(Brownian(1), y0, IRREGULAR, **EM, seed=1).ys, a)


def test_three_thousand_steps() -> None:
    """A long span is a loop, not a recursion, and ends with the right spread."""
    times = torch.tensor([0.0, 2999.5])
    ys = solve(Brownian(1), torch.zeros(500, 1), times, **EM, step=1.0, seed=0).ys
    assert float(ys[:, 1].std()) == pytest.approx(math.sqrt(2999.5), rel=4 / math.sqrt(1000))


class Buffered(Geometric):
    """The same, in one buffer for the drift and one for the diffusion."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.buffers = torch.empty(2, 3, dim, dtype=F64)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Fill the first."""
        return self.buffers[0].copy_(super().forward(t, state))

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Fill the second."""
        return self.buffers[1].copy_(super().diffusion(t, state))


@pytest.mark.parametrize("solver", ["euler_maruyama", "milstein", "stochastic_heun"])
def test_drift_and_diffusion_may_be_buffers(solver: str) -> None:
    """The same paths as where they are new each time."""
    sense = {"sde_type": next(iter(get("solver", solver).sde_types))}
    plain, buffered = (type("Made", (kind,), sense)(2) for kind in (Geometric, Buffered))
    y0 = torch.ones(3, 2, dtype=F64)
    found, right = (
        solve(one, y0, IRREGULAR, solver=solver, n_steps=9, seed=0).ys for one in (buffered, plain)
    )
    assert torch.equal(found, right)


def test_noise_of_every_shape() -> None:
    """General noise on the unit circle: Heun's method stays on it, Euler's leaves, on average."""
    y0 = torch.tensor([1.0, 0.0], dtype=F64).expand(200, 3, 2)
    ys = solve(Circle(2), y0, IRREGULAR, solver="stochastic_heun", n_steps=200, seed=0).ys
    assert ys.shape == (200, 6, 3, 2)
    assert float((ys.norm(dim=-1) - 1).abs().max()) < 0.01
    angle = torch.atan2(ys[..., 1], ys[..., 0])[:, -1].flatten()
    assert float(angle.var()) == pytest.approx(0.25, rel=4 * math.sqrt(2 / 600))


def test_backward_in_time_has_noise_of_its_own() -> None:
    """The path before the start is as wide as that after it, and independent of it."""
    y0 = torch.zeros(4000, 1, dtype=F64)
    after, before = (
        solve(Brownian(1), y0, sign * IRREGULAR, **EM, step=0.2, seed=0).ys[:, -1, 0]
        for sign in (1, -1)
    )
    assert float(before.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / 4000))
    assert abs(float((before * after).mean())) < 4 / math.sqrt(4000)


def test_repeats_and_rows_without_a_span() -> None:
    """A zero-length interval is a no-op, also where the grid is not reached."""
    times = torch.tensor([[0.0, 0.3, 0.3, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
    ys = solve(Geometric(1), torch.ones(2, 1), times, solver="milstein", step=0.25, seed=0).ys
    assert torch.equal(ys[0, 1], ys[0, 2])
    assert torch.equal(ys[0, 3], ys[0, 4])
    assert (ys[1] == 1).all()


def test_failed_row_leaves_the_others_right() -> None:
    """One of 64 rows blows up: it is NaN, the others are as alone, and gradients are finite."""
    dynamics = Doomed(1)
    y0 = torch.full((64, 1), 0.1, dtype=F64)
    y0[5] = 1e200
    options = {**EM, "step": 0.05, "on_failure": "nan"}
    keys = row_seeds(0, range(64))
    found = solve(dynamics, y0, IRREGULAR, seed=keys, **options)
    healthy = torch.arange(64) != 5
    alone = solve(dynamics, y0[healthy], IRREGULAR, seed=keys[healthy], **options)
    assert found.ys[5].isnan().all()
    torch.testing.assert_close(found.ys[healthy], alone.ys)
    found.ys[healthy].sum().backward()
    assert torch.isfinite(dynamics.rate.grad)
    with pytest.raises(SolverError, match=r"1 of 64 rows could not be integrated \(5\)"):
        solve(dynamics, y0, IRREGULAR, seed=keys, **EM, step=0.05)


@pytest.mark.parametrize("solver", ["euler_maruyama", "milstein"])
def test_rows_at_their_ends_are_not_asked_beyond(solver: str) -> None:
    """A bridge's drift is infinite at its end, as of a row that ends before its companions."""
    ends = torch.tensor([0.5, 1.0], dtype=F64)
    pull = torch.ones(2, dtype=F64, requires_grad=True)

    class Bridge(Dynamics):
        noise_type, autonomous = "additive", False

        def __init__(self, rows: list[int]) -> None:
            super().__init__(1)
            self.end, self.pull = ends[rows, None], pull[rows, None]

        def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            return self.pull * (1 - state) / (self.end - t)

        def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            return 0.1 * torch.ones_like(state)[..., None]

    def solved(rows: list[int]) -> Tensor:
        times = ends[rows, None] * torch.tensor([0.0, 0.45, 1.0], dtype=F64)
        keys = torch.tensor([5, 6])[rows]
        y0 = torch.zeros(len(rows), 1, dtype=F64)
        return solve(Bridge(rows), y0, times, solver=solver, seed=keys, step=0.1).ys

    both = solved([0, 1])
    for row in (0, 1):
        torch.testing.assert_close(both[row], solved([row])[0])
    (by_pull,) = torch.autograd.grad(both.sum(), pull)
    assert torch.isfinite(by_pull).all()


@pytest.mark.parametrize("solver", ["euler_maruyama", "milstein"])
def test_gradients_are_those_of_the_path(solver: str) -> None:
    """The derivative to drift, diffusion and start agrees with finite differences."""
    y0 = torch.tensor([[0.5], [1.5]], dtype=F64, requires_grad=True)
    rates = torch.tensor([0.3, 0.6], dtype=F64, requires_grad=True)

    def final(y0: Tensor, rates: Tensor) -> Tensor:
        dynamics = Geometric(1)
        dynamics.mu, dynamics.sigma = rates
        return solve(dynamics, y0, IRREGULAR, solver=solver, step=0.3, seed=1).ys

    assert torch.autograd.gradcheck(final, (y0, rates))


@pytest.mark.parametrize("solver", ["euler_maruyama", "milstein", "torchsde:euler"])
def test_derivatives_by_the_times_are_refused(solver: str) -> None:
    """A path has none; under no_grad nobody asks for them."""
    times = torch.tensor([0.0, 0.5, 1.0], dtype=F64, requires_grad=True)
    y0 = torch.ones(1, 1, dtype=F64)
    with pytest.raises(SolverError, match=r"no derivatives by the times.*times\.detach\(\)"):
        solve(Geometric(1), y0, times, solver=solver, seed=0)
    with torch.no_grad():
        assert solve(Geometric(1), y0, times, solver=solver, seed=0).ys.isfinite().all()


def test_steps_are_counted() -> None:
    """Base steps up to the last needed one, one more for every time off the grid."""
    times = torch.tensor([[0.0, 0.5, 0.6, 1.0], [0.0, 0.05, 0.05, 0.05]])
    stats = solve(Geometric(1), torch.ones(2, 1), times, solver="milstein", step=0.25, seed=0).stats
    assert stats.accepted.tolist() == [5, 3]
    assert stats.nfe.tolist() == [15, 9]


@pytest.mark.parametrize(
    ("solver", "dynamics"),
    [
        ("euler_maruyama", Geometric(1)),
        ("milstein", Geometric(1)),
        ("milstein", ScalarGeometric(1)),
        ("stochastic_heun", StratonovichGeometric(1)),
        ("stochastic_heun", Circle(2)),
    ],
)
def test_evaluations_are_those_that_are_made(
    solver: str, dynamics: Dynamics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of drift and diffusion together, for a row alone."""
    asked = []
    for name in ("forward", "diffusion"):
        function = getattr(dynamics, name)
        monkeypatch.setattr(dynamics, name, lambda *x, f=function: asked.append(0) or f(*x))
    y0, times = torch.ones(1, dynamics.dim), torch.tensor([0.0, 0.33, 1.0])
    stats = solve(dynamics, y0, times, solver=solver, n_steps=7, seed=0).stats
    assert stats.nfe.tolist() == [len(asked)]


def test_what_does_not_fit_is_refused() -> None:
    """Ordinary and stochastic methods and dynamics are not mixed up, and a seed is needed."""
    y0 = torch.ones(2, 1)
    cases = [
        (Geometric(1), "rk4", 0, "RK4 is a method for ordinary dynamics.*'milstein'"),
        (lambda t, y: y, "milstein", 0, "Milstein is a method for stochastic dynamics"),
        (StratonovichGeometric(1), "milstein", 0, "in the sense of stratonovich.*stochastic_heun"),
        (Geometric(1), "stochastic_heun", 0, "in the sense of ito: choose 'euler_maruyama'"),
        (Geometric(1), "milstein", None, "is stochastic and needs a seed"),
        (Geometric(1), "milstein", 1.5, "seed=1.5 is of the type float"),
        (Geometric(1), "milstein", torch.zeros(3).long(), r"seed has the shape \(3,\)"),
    ]
    for dynamics, solver, seed, message in cases:
        with pytest.raises(SolverError, match=message):
            solve(dynamics, y0, IRREGULAR, solver=solver, seed=seed)
    with pytest.raises(SolverError, match="EulerMaruyama needs the noise"):
        EulerMaruyama().integrate(
            lambda t, y: y, y0, IRREGULAR.expand(2, -1), SolveOptions(n_steps=1)
        )


def test_diffusion_of_a_wrong_shape_is_refused() -> None:
    """Broadcasting must not turn diagonal noise into one that rows share."""

    class Wrong(Geometric):
        def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
            return state[:1]

    with pytest.raises(SolverError, match=r"diffusion of Wrong has the shape \(1, 2\)"):
        solve(Wrong(2), torch.ones(3, 2), IRREGULAR, **EM, seed=0)


def test_seeds_of_any_library_are_the_same() -> None:
    """For the keys of rows and for a solve; what is no whole number is refused."""
    whole = (0, np.int64(0), torch.tensor(0))
    first, *others = (row_seeds(seed, ["a", 1]) for seed in whole)
    assert all(torch.equal(first, other) for other in others)
    with pytest.raises(SolverError, match=r"seed=0.5 is of the type float: give an int\."):
        row_seeds(0.5, ["a"])
