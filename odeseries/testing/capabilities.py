"""Laws of what a dynamics says that it can: a flow, a divergence, inputs, noise."""

from __future__ import annotations

import torch
from torch import Tensor

import odeseries as ode
from odeseries.testing.checks import Subject, Suite, require
from odeseries.testing.fields import (
    BATCH,
    clock,
    close,
    diffused,
    finite,
    random_states,
    stated,
    stirred,
    stochastic,
)

__all__ = ["SUITE"]

SUITE = Suite()
N_INPUTS = 2


def _closed_form(subject: Subject) -> bool:
    return bool(subject.cls.closed_form)


def _closed_divergence(subject: Subject) -> bool:
    return bool(stated(subject, "closed_divergence"))


def _driven(subject: Subject) -> bool:
    return bool(subject.cls.takes_inputs)


def _held_inputs(subject: Subject) -> bool:
    return _closed_form(subject) and _driven(subject)


@SUITE.law(_closed_form)
def flow_solves_the_field(subject: Subject) -> None:
    """The closed form starts at the state and its time derivative is the field along it."""
    for given in _inputs_to_try(subject):
        dynamics = stirred(subject, n_inputs=N_INPUTS if given else 0)
        states = random_states(dynamics, BATCH)
        t0 = clock(states)
        require(
            close(dynamics.flow(states, t0, t0, *given), states),
            "flow(state, t, t) differs from the state.",
        )
        t1, h = t0 + 0.6, 1e-5
        ahead, behind = (dynamics.flow(states, t0, t1 + s, *given) for s in (h, -h))
        right = dynamics(t1, dynamics.flow(states, t0, t1, *given), *given)
        require(
            close((ahead - behind) / (2 * h), right, 1e-5),
            "The time derivative of the flow is not the field.",
        )


@SUITE.law(_closed_form)
def flow_composes_and_reverses(subject: Subject) -> None:
    """Flowing in two legs is flowing at once, and flowing back leads back."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    t0 = clock(states)
    middle = dynamics.flow(states, t0, t0 + 0.2)
    require(
        close(dynamics.flow(middle, t0 + 0.2, t0 + 0.5), dynamics.flow(states, t0, t0 + 0.5)),
        "The flow over two legs differs from the flow over both at once.",
    )
    require(close(dynamics.flow(middle, t0 + 0.2, t0), states, 1e-6), "The flow does not reverse.")


@SUITE.law(_held_inputs)
def flow_through_is_one_flow_after_another(subject: Subject) -> None:
    """States at successive times are those of the flow from each time to the next."""
    dynamics = stirred(subject, n_inputs=N_INPUTS)
    states = random_states(dynamics, BATCH)[:, None]
    times = torch.tensor([0.0, 0.3, 0.3, 1.0], dtype=states.dtype)
    times = clock(states) + times[:, None]
    inputs = torch.randn(BATCH, 3, N_INPUTS, dtype=states.dtype)
    require(
        close(
            dynamics.flow_through(states, times, inputs),
            ode.Dynamics.flow_through(dynamics, states, times, inputs),
        ),
        "flow_through differs from one flow after another: leave it out, or mend it.",
    )


@SUITE.law(_closed_divergence)
def the_divergence_is_the_trace(subject: Subject) -> None:
    """The closed form's derivative is the field's, its divergence the trace of the Jacobian."""
    for given in _inputs_to_try(subject):
        dynamics = stirred(subject, n_inputs=N_INPUTS if given else 0)
        states = random_states(dynamics, BATCH).requires_grad_()
        t = clock(states)
        right = dynamics(t, states, *given)
        trace = _trace(right, states)
        for differentiated in (True, False):
            with torch.set_grad_enabled(differentiated):
                slope, divergence = dynamics.with_divergence(t, states, *given)
            require(
                close(slope, right), "The derivative by with_divergence is not that of forward."
            )
            require(
                divergence.shape == states.shape[:-1],
                f"The divergence has the shape {tuple(divergence.shape)}, where "
                f"{tuple(states.shape[:-1])} is right.",
            )
            require(
                close(divergence, trace),
                "The divergence by with_divergence is not the trace of the Jacobian of forward: "
                "correct it, or say closed_divergence = False.",
            )


def _inputs_to_try(subject: Subject) -> list[tuple[Tensor, ...]]:
    """No inputs, and some of every row where the dynamics takes any."""
    inputs = torch.randn(BATCH, N_INPUTS, dtype=torch.float64)
    return [(), (inputs,)] if _driven(subject) else [()]


def _trace(slope: Tensor, states: Tensor) -> Tensor:
    """Trace of the Jacobian of every row, by autograd."""
    # A slope that does not depend on the state is no fault.
    slope = slope + 0.0 * states
    each = [
        torch.autograd.grad(slope[..., i].sum(), states, retain_graph=True)[0][..., i]
        for i in range(states.shape[-1])
    ]
    return torch.stack(each).sum(0)


@SUITE.law(_driven)
def inputs_reach_the_field(subject: Subject) -> None:
    """A dynamics made with ``n_inputs`` follows every one of them."""
    dynamics, states, t, inputs = _driven_case(subject)
    slope = diffused(dynamics, t, states, inputs)
    for k in range(N_INPUTS):
        changed = inputs.clone()
        changed[:, k] += 1
        require(
            not torch.equal(diffused(dynamics, t, states, changed), slope),
            f"Nothing depends on input {k} of {N_INPUTS}: use inputs in forward, or say "
            f"takes_inputs = False.",
        )


@SUITE.law(_driven)
def inputs_of_a_row_are_its_own(subject: Subject) -> None:
    """Row i of a batch equals row i alone, whatever the inputs of its companions."""
    dynamics, states, t, inputs = _driven_case(subject)
    inputs[0] *= 50
    together = diffused(dynamics, t, states, inputs, judged=slice(1, None))
    for i in range(1, BATCH):
        row = slice(i, i + 1)
        require(
            close(together[row], diffused(dynamics, t[row], states[row], inputs[row]), 1e-6),
            f"Row {i} depends on the inputs of the rows beside it.",
        )


@SUITE.law(_driven)
def missing_inputs_are_refused(subject: Subject) -> None:
    """A dynamics made with inputs raises a ValueError without them, or with one too many."""
    dynamics, states, t, inputs = _driven_case(subject)
    for given, what in ((None, "None"), (inputs[:, [0, 0, 1]], f"{N_INPUTS + 1} inputs")):
        try:
            dynamics(t, states, given)
        except ValueError:
            continue
        except Exception as error:
            raise AssertionError(
                f"Made with n_inputs={N_INPUTS} and given {what}, forward raises a "
                f"{type(error).__name__}: take inputs by self.with_inputs or "
                f"self.checked_inputs, which raise a ValueError that says what is needed."
            ) from error
        require(
            False,
            f"Made with n_inputs={N_INPUTS}, forward is content with {what}: take inputs by "
            f"self.with_inputs or self.checked_inputs.",
        )


def _driven_case(subject: Subject) -> tuple[ode.Dynamics, Tensor, Tensor, Tensor]:
    """A dynamics with inputs, and states, times and inputs to ask it at."""
    dynamics = stirred(subject, n_inputs=N_INPUTS)
    states = random_states(dynamics, BATCH)
    return dynamics, states, clock(states), torch.randn(BATCH, N_INPUTS, dtype=torch.float64)


@SUITE.law(stochastic)
def diffusion_is_of_its_kind(subject: Subject) -> None:
    """The diffusion has the shape and the dependence on the state that ``noise_type`` states."""
    dynamics = stirred(subject)
    states = random_states(dynamics, BATCH)
    t, kind = clock(states), dynamics.noise_type
    found = finite(dynamics.diffusion(t, states), "diffusion")
    columns = 1 if kind == "scalar" else found.shape[-1]
    right = states.shape if kind == "diagonal" else (*states.shape, columns)
    require(
        found.shape == right and found.dtype == states.dtype,
        f"The {kind} diffusion has the shape {tuple(found.shape)} and the dtype {found.dtype}, "
        f"where {tuple(right)} and {states.dtype} are right.",
    )
    moved = dynamics.diffusion(t, states + torch.eye(dynamics.state_dim, dtype=states.dtype)[0])
    if kind == "additive":
        require(torch.equal(moved, found), "An additive diffusion depends on the state.")
    if kind == "diagonal":
        require(
            torch.equal(moved[..., 1:], found[..., 1:]),
            "The diffusion of one coordinate depends on another one.",
        )
