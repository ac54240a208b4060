"""Laws of a dynamics."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from torch import Tensor

import odeseries as ode
from odeseries.testing import capabilities
from odeseries.testing.checks import Subject, Suite, require
from odeseries.testing.fields import (
    BATCH,
    clock,
    close,
    diffused,
    finite,
    new,
    random_states,
    stirred,
    stochastic,
)

__all__ = ["SUITE"]

SUITE = Suite()


def _ordinary(subject: Subject) -> bool:
    return not stochastic(subject)


def _autonomous(subject: Subject) -> bool:
    return bool(subject.cls.autonomous)


def _second_order(subject: Subject) -> bool:
    return bool(subject.cls.order == 2)


@SUITE.law()
def hyperparameters_are_keywords_with_defaults(subject: Subject) -> None:
    """The dimension is the only positional argument, and the only one that must be given."""
    first, *others = inspect.signature(subject.cls).parameters.values()
    require(
        first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD,
        f"The first argument, '{first.name}', must be the dimension, given by position.",
    )
    for parameter in others:
        require(
            parameter.kind is inspect.Parameter.KEYWORD_ONLY
            and parameter.default is not inspect.Parameter.empty,
            f"'{parameter.name}' must be keyword-only and have a default, since users write "
            f"dynamics_params={{'{parameter.name}': ...}} or nothing.",
        )


@SUITE.law()
def every_dimension_works_or_is_refused(subject: Subject) -> None:
    """A dimension that can't be had is a ValueError when the dynamics is made, not later."""
    for dim in (1, 2, 3, 8):
        try:
            dynamics = new(subject, dim)
        except ValueError:
            continue
        require(dynamics.dim == dim, f"Made with dim={dim}, it says dim={dynamics.dim}.")
        state = dynamics.lift(torch.randn(BATCH, dim))
        slope = dynamics(torch.zeros(BATCH, 1), state)
        require(
            state.shape == slope.shape == (BATCH, dynamics.state_dim),
            f"With dim={dim} the state has the shape {tuple(state.shape)} and its derivative "
            f"{tuple(slope.shape)}, where {(BATCH, dynamics.state_dim)} is right: refuse the "
            f"dimension in __init__ by a ValueError if it can't be had.",
        )


@SUITE.law()
def shapes_and_dtypes_are_kept(subject: Subject) -> None:
    """A derivative has the shape and the dtype of its state, whatever the leading axes."""
    for dtype in (torch.float32, torch.float64):
        dynamics = stirred(subject, dtype)
        for shape in ((), (BATCH,), (BATCH, 3), (0,)):
            z = torch.randn(*shape, dynamics.dim, dtype=dtype)
            state = dynamics.lift(z)
            slope = dynamics(torch.zeros(*shape, 1, dtype=dtype), state)
            back = dynamics.read(state)
            require(
                slope.shape == state.shape == (*shape, dynamics.state_dim)
                and back.shape == z.shape,
                f"For vectors of the shape {tuple(z.shape)}: state {tuple(state.shape)}, "
                f"derivative {tuple(slope.shape)}, vector read {tuple(back.shape)}.",
            )
            require(
                slope.dtype == state.dtype == back.dtype == dtype,
                f"For {dtype}: state {state.dtype}, derivative {slope.dtype}, read {back.dtype}.",
            )


@SUITE.law()
def inputs_may_be_absent(subject: Subject) -> None:
    """A field takes known inputs as its third argument, and None where there are none."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    t = clock(states)
    for name in ("forward",) if dynamics.noise_type is None else ("forward", "diffusion"):
        function = getattr(dynamics, name)
        try:
            inspect.signature(function).bind(t, states, None)
        except TypeError as error:
            raise AssertionError(
                f"{name}(t, state, None) can't be called: {error}. Write "
                f"def {name}(self, t, state, inputs=None)."
            ) from error
        found = finite(function(t, states), "derivative" if name == "forward" else name)
        require(
            torch.equal(function(t, states, None), found),
            f"{name}(t, state, None) differs from {name}(t, state).",
        )


@SUITE.law()
def time_broadcasts(subject: Subject) -> None:
    """One time for all states gives what the same time repeated for each gives."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    shared = diffused(dynamics, torch.tensor(0.7, dtype=states.dtype), states)
    each = diffused(dynamics, torch.full((BATCH, 1), 0.7, dtype=states.dtype), states)
    require(close(shared, each), "A time of shape () and one of shape (batch, 1) differ.")


@SUITE.law()
def rows_are_independent(subject: Subject) -> None:
    """Row i of a batch equals row i alone, whatever its companions."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    states[0] *= 50
    t = clock(states)
    together = diffused(dynamics, t, states, judged=slice(1, None))
    for i in range(1, BATCH):
        alone = diffused(dynamics, t[i : i + 1], states[i : i + 1])
        require(
            close(together[i : i + 1], alone, 1e-6),
            f"Row {i} depends on the rows beside it: statistics over a batch have no place in a "
            f"vector field.",
        )


@SUITE.law()
def equal_calls_give_equal_answers(subject: Subject) -> None:
    """The field is a function: no noise, no counter, no change of the states it is given."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    t, before = clock(states), states.clone()
    generator = torch.get_rng_state()
    first, second = diffused(dynamics, t, states), diffused(dynamics, t, states)
    require(torch.equal(first, second), "Two calls with the same arguments differ.")
    require(torch.equal(states, before), "The states given were changed in place.")
    require(
        torch.equal(torch.get_rng_state(), generator), "The field draws from the global generator."
    )


@SUITE.law()
def read_inverts_lift(subject: Subject) -> None:
    """Reading a lifted vector gives the vector back, exactly."""
    dynamics = stirred(subject)
    z = torch.randn(BATCH, dynamics.dim, dtype=torch.float64)
    require(torch.equal(dynamics.read(dynamics.lift(z)), z), "read(lift(z)) differs from z.")


@SUITE.law()
def gradients_reach_every_parameter(subject: Subject) -> None:
    """Every parameter moves the derivative or the state somewhere, so that it can be learned."""
    dynamics = stirred(subject)
    states = dynamics.lift(torch.randn(20, dynamics.dim, dtype=torch.float64))
    slope = diffused(dynamics, clock(states), states)
    total = sum((torch.randn_like(part) * part).sum() for part in (slope, states))
    if isinstance(total, Tensor) and total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
    for name, parameter in dynamics.named_parameters():
        grad = parameter.grad
        require(
            not parameter.requires_grad or (grad is not None and bool((grad != 0).any())),
            f"No gradient reaches '{name}'.",
        )


@SUITE.law()
def gradients_are_those_of_the_field(subject: Subject) -> None:
    """Derivatives with respect to the state agree with finite differences."""
    dynamics = stirred(subject)
    states = random_states(dynamics, 2).requires_grad_()
    t = clock(states)
    torch.autograd.gradcheck(lambda s: diffused(dynamics, t, s), (states,), atol=1e-5, rtol=1e-3)


@SUITE.law()
def tensors_are_registered(subject: Subject) -> None:
    """Every tensor is a parameter or a buffer, so that it follows to a GPU and into a file."""
    for path, tensor in _loose_tensors(stirred(subject)):
        require(
            not isinstance(tensor, Tensor),
            f"The tensor '{path}' is neither a parameter nor a buffer: use register_buffer.",
        )


def _loose_tensors(dynamics: ode.Dynamics) -> Iterator[tuple[str, object]]:
    """Plain attributes of a module and of what is in it, with their names."""
    for prefix, module in dynamics.named_modules():
        for name, value in vars(module).items():
            if not name.startswith("_"):
                yield f"{prefix}.{name}".lstrip("."), value


@SUITE.law()
def state_dict_round_trip(subject: Subject) -> None:
    """A new instance with the state dict of another one is the same field."""
    dynamics = stirred(subject)
    other = stirred(subject)
    other.load_state_dict(dynamics.state_dict())
    states = random_states(dynamics, BATCH)
    t = clock(states)
    require(
        torch.equal(diffused(dynamics, t, states), diffused(other, t, states)),
        "What load_state_dict restores is another field: something that matters is neither a "
        "parameter nor a buffer.",
    )


@SUITE.law()
def copies_are_equal_and_separate(subject: Subject) -> None:
    """Pickling and deep copies keep the field and share nothing with it."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    t = clock(states)
    right = diffused(dynamics, t, states)
    copies = [copy.deepcopy(dynamics), pickle.loads(pickle.dumps(dynamics))]  # noqa: S301
    with torch.no_grad():
        for parameter in dynamics.parameters():
            parameter.fill_(0.3)
    for other in copies:
        require(torch.equal(diffused(other, t, states), right), "A copy is another field.")


@SUITE.law()
def same_seed_same_parameters(subject: Subject) -> None:
    """The initial parameters follow from torch's generator alone."""
    made = []
    for _ in range(2):
        torch.manual_seed(1)
        made.append(new(subject, subject.dim).state_dict())
    for name, value in made[0].items():
        require(torch.equal(value, made[1][name]), f"'{name}' differs under the same seed.")


@SUITE.law(_autonomous)
def time_shift_is_irrelevant(subject: Subject) -> None:
    """An autonomous field is the same at every time."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    t = clock(states)
    require(
        torch.equal(diffused(dynamics, t, states), diffused(dynamics, t + 3.5, states)),
        "The field depends on time: say so on the class by autonomous = False.",
    )


@SUITE.law(_second_order)
def the_first_half_is_the_velocity(subject: Subject) -> None:
    """The state of a second-order field is (position, velocity), and position' = velocity."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    slope = dynamics(clock(states), states)
    half = dynamics.state_dim // 2
    require(
        torch.equal(slope[..., :half], states[..., half:]),
        "The derivative of the state's first half is not its second half.",
    )


@SUITE.law()
def starting_frequencies_are_harmless(subject: Subject) -> None:
    """Any number of starting frequencies leaves parameters of the same shapes, all finite."""
    for count in (0, 1, 50):
        dynamics = stirred(subject)
        before = {name: value.shape for name, value in dynamics.state_dict().items()}
        dynamics.start_at(torch.linspace(1.0, 9.0, count))
        after = dynamics.state_dict()
        require(
            before == {name: value.shape for name, value in after.items()}
            and all(bool(torch.isfinite(value).all()) for value in after.values()),
            f"start_at with {count} frequencies leaves the wrong shapes, or numbers that are not "
            f"finite.",
        )


@SUITE.law(_second_order)
def a_starting_acceleration_is_harmless(subject: Subject) -> None:
    """A linear equation to begin with leaves parameters of the same shapes, all finite."""
    dynamics = stirred(subject)
    before = {name: value.shape for name, value in dynamics.state_dict().items()}
    n = dynamics.state_dim // 2
    weight = torch.linspace(-1, 1, n * (2 * n + dynamics.n_inputs))
    dynamics.start_acceleration(weight.reshape(n, -1), torch.ones(n))
    after = dynamics.state_dict()
    require(
        before == {name: value.shape for name, value in after.items()}
        and all(bool(torch.isfinite(value).all()) for value in after.values()),
        "start_acceleration leaves the wrong shapes, or numbers that are not finite.",
    )


SUITE.checks += capabilities.SUITE.checks


@SUITE.law(_ordinary)
def integrates_over_private_times(subject: Subject) -> None:
    """Solved over times of its own, a row is finite, and the same alone and among others."""
    dynamics = stirred(subject)
    states = dynamics.lift(0.5 * torch.randn(3, dynamics.dim, dtype=torch.float64))
    times = torch.tensor([[0.0, 0.3, 1.0], [0.5, 0.5, 0.6], [2.0, 1.0, 0.5]], dtype=torch.float64)
    path = ode.solve(dynamics, states, times, step=0.05).ys
    require(torch.isfinite(path).all(), "A solution over one unit of time is not finite.")
    for i in range(3):
        alone = ode.solve(dynamics, states[i : i + 1], times[i : i + 1], step=0.05).ys
        require(close(path[i : i + 1], alone, 1e-6), f"Row {i} is solved differently alone.")


@SUITE.law(_ordinary)
def trains_in_a_forecaster(subject: Subject) -> None:
    """A forecaster with this dynamics fits, forecasts finite numbers, and survives pickling."""
    times = np.linspace(0, 10, 40) ** 1.1
    y = pd.Series(np.sin(times), index=times)
    model = ode.LatentODEForecaster(
        1.0,
        dynamics=subject.cls,
        dynamics_params=dict(subject.params),
        latent_dim=subject.dim,
        hidden=8,
        n_rows=6,
        n_lags=2,
        seasonality=[6.28],
        max_epochs=1,
        batch_size=8,
        random_state=0,
    ).fit(y)
    asked = [12.7, 13.0, 5.0]
    forecast = np.asarray(model.predict(asked))
    require(np.isfinite(forecast).all(), "A forecast is not finite.")
    again = pickle.loads(pickle.dumps(model)).predict(asked)  # noqa: S301
    require(np.array_equal(again, forecast), "A pickled forecaster forecasts something else.")
