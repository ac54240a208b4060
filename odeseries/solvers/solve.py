"""One entry to all methods of integration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

from odeseries import plugins
from odeseries.errors import CompileError, IntegrationError, SolverError
from odeseries.interfaces import (
    Dynamics,
    Noise,
    Solution,
    SolveOptions,
    Solver,
    VectorField,
    no_work,
)
from odeseries.nets import StateNetwork, unrolled
from odeseries.solvers.gradients import GRADIENTS
from odeseries.solvers.grids import over_budget
from odeseries.solvers.noise import check_method, noise_of
from odeseries.solvers.options import learned, options_of
from odeseries.solvers.rows import answered, apart, column, healed, status_of
from odeseries.solvers.whole_steps import PerceptronField

__all__ = ["solve"]

CAUSES = {
    Solver.NON_FINITE: "the state or its derivative became infinite or NaN",
    Solver.STEP_BUDGET: "max_steps were used up",
    Solver.STEP_UNDERFLOW: "the step became too small, as at a singularity",
    Solver.BLOW_UP: "the state grew without bound",
    Solver.STIFF: "max_steps were used up by steps kept short by stability (the problem is stiff)",
}
REMEDIES = {
    Solver.NON_FINITE: "Try a smaller step or tighter tolerances, and look at the field there",
    Solver.STEP_BUDGET: "Try looser tolerances, or raise max_steps",
    Solver.STEP_UNDERFLOW: "See whether the solution exists there, or use a fixed step",
    Solver.BLOW_UP: "See whether the solution exists there, bound the field, or learn more slowly",
    Solver.STIFF: 'Use an implicit method such as "torchdiffeq:scipy_radau", or bound the field',
}


def solve(
    dynamics: Dynamics | Callable[[Tensor, Tensor], Tensor],
    y0: Tensor,
    times: Tensor,
    *,
    solver: str | type[Solver] | Solver = "rk4",
    step: float | None = None,
    n_steps: int | None = None,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    max_steps: int = 10_000,
    mask: Tensor | None = None,
    seed: int | Tensor | torch.Generator | None = None,
    gradient: Literal["autograd", "checkpoint", "adjoint"] = "autograd",
    parameters: Iterable[Tensor] = (),
    compile: bool = False,
    on_failure: Literal["raise", "nan"] = "raise",
) -> Solution:
    """Integrate a batch, every row over its own times.

    Parameters
    ----------
    dynamics : Dynamics or callable
        A dynamics, or ``field(t, state)`` with ``t`` broadcasting against ``state[..., :1]``,
        where no row looks at another. A dynamics with a closed form is evaluated, not stepped.
    y0 : Tensor of shape (batch, ..., dim)
        States at the first time of each row, of a floating dtype, which the solution keeps.
    times : Tensor of shape (n_times,) or (batch, n_times)
        Shared or per row; monotone in either direction, repeats allowed. Time runs in their
        dtype, relative to each row's first one. A field is given ``t`` in the dtype of the
        states, and so are the flow and the inputs of a driven dynamics: far from zero, as with
        seconds since 1970 in float32, which are 128 s apart, it loses its digits. Subtract an
        origin from the times beforehand. Ordinary dynamics solved by the package's own
        methods have derivatives by them, first and second ones, whatever the steps: those of the
        exact solution, which are the slopes of the states found.
    solver : str, Solver class or Solver, default="rk4"
        Method. Those of torchdiffeq, such as ``"torchdiffeq:dopri5"``, are made for shared
        times, the package's own for private ones. A stochastic dynamics is integrated by
        ``"euler_maruyama"`` or ``"milstein"`` if it is meant in Ito's sense, by
        ``"stochastic_heun"`` if in Stratonovich's, or by those of torchsde.
    step : float, optional
        Length of a fixed step in the unit of ``times``; a row's answers then depend on no other
        time and no other row.
    n_steps : int, optional
        Number of fixed steps over each row's span; 20 if neither is given.
    rtol, atol : float
        Relative and absolute tolerance of adaptive methods.
    max_steps : int
        Most steps of a row.
    mask : Tensor of bool, shape (batch, n_times), optional
        False at padding, where times may be anything and the state is that of the row's next
        valid time, or of the last one where none follows. The first time of a row is no
        padding, unless the whole row is.
    seed : int, Tensor of int64 of shape (batch,), or torch.Generator, optional
        Randomness of a stochastic dynamics, which needs one. With an int a row's path depends
        on that and on the row's position; with a key for every row, such as ``row_seeds`` makes
        of ids, on the row's key only. A generator is asked for one number.
    gradient : {"autograd", "checkpoint", "adjoint"}, default="autograd"
        Way to the gradients. ``"autograd"`` keeps the graph of all steps. ``"checkpoint"`` gives
        the same gradients out of about the square root of the memory, for one more evaluation
        of every stage. ``"adjoint"`` solves the adjoint equation backward: its memory does not
        grow with the number of steps, its gradients are as accurate as the tolerances, and a
        `GradientWarning` is given where a state was not found again on the way back; as it takes
        a step or more between any two times of a row, it is slow where many are asked for. A
        dynamics with a closed form takes no steps, and always has the graph of its flow. Both
        others are differentiated through the steps' graph if they are to be differentiated
        twice; the adjoints of other libraries' methods refuse that. Both ask the field again, so
        that it may not draw random numbers as dropout does.
    parameters : iterable of Tensor, optional
        Tensors that a field has learned or is closed over, for ``"checkpoint"`` and
        ``"adjoint"``. Those of a module are known, and all that play a part at the initial
        states are found; what a field in plain Python first uses elsewhere has to be named.
    compile : bool, default=False
        Whether to have ``torch.compile`` make one function of a step of the package's own explicit
        Runge-Kutta methods. This takes some twenty seconds for every method and kind of field,
        once with and once without gradients, and on the CPU a C++ compiler; later solves of any
        number of rows above one use it again, and are faster where there are gradients. The
        numbers are those of other steps up to rounding. The field has to be made of tensor
        operations, and is differentiated once only; the way back of ``"adjoint"`` stays as it
        is, and a closed form takes no steps.
    on_failure : {"raise", "nan"}
        Whether a row that can't be solved raises, or is NaN and leaves the others right.

    Returns
    -------
    Solution
        ``ys`` of shape (batch, n_times, ..., dim).

    Raises
    ------
    IntegrationError
        If a row fails and ``on_failure="raise"``; a SolverError too.
    SolverError
        If what is asked for is impossible, or tensors are on different devices.
    CompileError
        If ``compile=True`` and method, field or machine don't allow it; a ValueError too.

    Examples
    --------
    >>> import torch
    >>> from odeseries import solve
    >>> times = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    >>> ys = solve(lambda t, y: -y, torch.ones(2, 1), times).ys
    >>> [round(float(y), 3) for y in ys[:, 1, 0]]
    [0.368, 0.135]
    """
    check_state(dynamics, y0, on_failure)
    options = replace(
        options_of(step, n_steps, rtol, atol, max_steps),
        gradient=gradient,
        parameters=learned(dynamics, parameters),
        compile=compile,
    )
    noise = noise_of(dynamics, y0, seed)
    return solved(dynamics, y0, per_row(times, y0, mask), solver, options, noise, on_failure)


def solved(
    dynamics: Dynamics | Callable[[Tensor, Tensor], Tensor],
    y0: Tensor,
    times: Tensor,
    solver: str | type[Solver] | Solver,
    options: SolveOptions,
    noise: Noise | None,
    on_failure: str,
) -> Solution:
    """Integrate over checked times of shape (batch, n_times), with options put together."""
    method = solver if isinstance(solver, Solver) else plugins.get("solver", solver)()
    if isinstance(dynamics, Dynamics) and dynamics.closed_form and noise is None:
        _check_known(options.gradient)
        solution = _closed(dynamics, y0, times)
    else:
        check_method(method, noise)
        _check_gradient(method, options.gradient)
        _check_times(method, times)
        _check_compiles(method, options)
        separable = isinstance(dynamics, Dynamics) and not dynamics.bound_to_rows
        options = replace(options, noise=noise, separable=separable)
        with _prepared(dynamics, options), untouched(y0):
            field = _field(dynamics, options)
            solution = _integrated(method, field, y0, times, options, on_failure)
    failed = solution.status != Solver.OK
    if not bool(failed.any()):
        return solution
    if on_failure == "raise":
        raise IntegrationError(explained(solution, times))
    return replace(solution, ys=solution.ys.masked_fill(column(failed, solution.ys), torch.nan))


def _integrated(
    method: Solver,
    field: VectorField,
    y0: Tensor,
    times: Tensor,
    options: SolveOptions,
    on_failure: str,
) -> Solution:
    """The solution; rows of more fixed steps than are allowed have failed, if none is to raise."""
    if on_failure == "raise" or method.adaptive:
        return method.integrate(field, y0, times, options)
    over = over_budget(times, options)
    kept = torch.where(over[:, None], times[:, :1], times)
    solution = method.integrate(field, y0, kept, options)
    return replace(solution, status=torch.where(over, Solver.STEP_BUDGET, solution.status))


@contextmanager
def untouched(y0: Tensor) -> Iterator[None]:
    """Refuse the field that has changed states in place, and with them the solution.

    Raises
    ------
    SolverError
        If it has; the initial states are changed then.
    """
    counted = not y0.is_inference()
    before = y0._version if counted else 0
    yield
    if counted and y0._version != before:
        raise SolverError(
            "The field changes its states in place, as by `state *= ...`: y0 is changed by it, and "
            "the solution would be wrong. Let it return a new tensor, and give y0 anew."
        )


def check_state(dynamics: object, y0: Tensor, on_failure: str) -> None:
    """Refuse what can't be a batch of states of the dynamics."""
    if on_failure not in ("raise", "nan"):
        raise SolverError(f"on_failure={on_failure!r} is unknown: use 'raise' or 'nan'.")
    if not isinstance(y0, Tensor):
        raise SolverError(f"y0 is of the type {type(y0).__name__}: give a tensor of states.")
    if y0.ndim < 2 or not y0.is_floating_point():
        raise SolverError(
            f"y0 has the shape {tuple(y0.shape)} and dtype {y0.dtype}: give floating-point states "
            f"of shape (batch, ..., dim)."
        )
    if 0 in y0.shape[1:]:
        raise SolverError(
            f"y0 has the shape {tuple(y0.shape)}, without a coordinate: there is nothing to solve."
        )
    if isinstance(dynamics, Dynamics) and y0.shape[-1] != dynamics.state_dim:
        raise SolverError(
            f"y0 has {y0.shape[-1]} coordinates, but the state of {type(dynamics).__name__} has "
            f"{dynamics.state_dim}: lift the vector to a state first, dynamics.lift(z)."
        )


def per_row(times: Tensor, y0: Tensor, mask: Tensor | None) -> Tensor:
    """Check times and bring them to (batch, n_times), padding set to valid ones."""
    _check_places(y0, times=times, mask=mask)
    if times.is_complex() or times.dtype == torch.bool:
        raise SolverError(f"times has the dtype {times.dtype}: give real numbers.")
    exact = times.dtype if times.is_floating_point() else torch.float64
    times = times.to(torch.promote_types(exact, y0.dtype))
    shape = tuple(times.shape)
    if times.ndim == 1:
        times = times.expand(len(y0), -1)
    if times.ndim != 2 or len(times) != len(y0) or times.shape[1] == 0:
        raise SolverError(
            f"times has the shape {shape}: give (n_times,) or (batch, n_times) with the batch of "
            f"y0, {len(y0)}, and at least the time of y0."
        )
    if mask is not None:
        times = _filled(times, mask)
    broken = ~torch.isfinite(times).all(1)
    if bool(broken.any()):
        raise IntegrationError(
            f"The times of row {_first(broken)} are not finite: mask or drop them."
        )
    change = times.diff(dim=1)
    mixed = (change > 0).any(1) & (change < 0).any(1)
    if bool(mixed.any()):
        raise SolverError(f"The times of row {_first(mixed)} go back and forth: sort them.")
    return times


def _check_places(y0: Tensor, **others: Tensor | None) -> None:
    """Refuse what is no tensor, or not on the device of the states."""
    for name, given in others.items():
        if given is None:
            continue
        if not isinstance(given, Tensor):
            raise SolverError(
                f"{name} is of the type {type(given).__name__}: give a tensor, "
                f"torch.as_tensor({name}, device=y0.device)."
            )
        if given.device != y0.device:
            raise SolverError(
                f"{name} is on {given.device}, and y0 on {y0.device}: bring both to one device, "
                f"{name}.to(y0.device)."
            )


def _filled(times: Tensor, mask: Tensor) -> Tensor:
    """Set padding to the next valid time of its row, or the last; a row of it stays at time 0."""
    if mask.shape != times.shape or mask.dtype != torch.bool:
        raise SolverError(
            f"mask has the shape {tuple(mask.shape)} and dtype {mask.dtype}: give booleans of the "
            f"shape of times, {tuple(times.shape)}."
        )
    used = mask.any(1)
    late = used & ~mask[:, 0]
    if bool(late.any()):
        raise SolverError(f"Row {_first(late)} begins with padding: its first time is that of y0.")
    places = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, places, 0).amax(1, keepdim=True)
    following = torch.where(mask, places, last).flip(1).cummin(1).values.flip(1)
    valid = torch.where(mask, times, 0)
    return torch.where(used[:, None], valid.gather(1, following), 0)


def refuse_forward(x: Tensor, which: str) -> None:
    """Refuse a tensor that carries a derivative in forward mode, as in ``torch.func.jvp``."""
    pair = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]  # torch
    if pair.tangent is not None:
        raise SolverError(
            f"There are no derivatives {which} in forward mode: take those in reverse mode, by "
            f"torch.autograd.grad or backward()."
        )


def _check_times(method: Solver, times: Tensor) -> None:
    """Refuse derivatives that a path of a Brownian motion does not have."""
    if method.noise_types and times.requires_grad and torch.is_grad_enabled():
        raise SolverError(
            f"{type(method).__name__} gives no derivatives by the times, which the path of a "
            f"stochastic dynamics does not have: give times.detach()."
        )
    refuse_forward(times, "by the times")


def _check_gradient(method: Solver, gradient: str) -> None:
    """Refuse a way to the gradients that the method does not have.

    A method without autograd refuses by itself, where there is a graph that it would cut.
    """
    if gradient in method.gradients or gradient == "autograd":
        return
    name = type(method).__name__
    _check_known(gradient)
    if method.noise_types:
        raise SolverError(
            f"{name} has no gradient={gradient!r}. Take gradient='autograd', or the adjoint of a "
            f"method of torchsde, such as 'torchsde:reversible_heun'."
        )
    raise SolverError(
        f"{name} has no gradient={gradient!r}: take one of {', '.join(sorted(method.gradients))}, "
        f"or a method of the package's own, such as 'dopri5' or 'rk4'."
    )


def _check_known(gradient: str) -> None:
    """Refuse a way to the gradients that there is not."""
    if gradient not in GRADIENTS:
        raise SolverError(f"gradient={gradient!r} is unknown: use one of {', '.join(GRADIENTS)}.")


def _check_compiles(method: Solver, options: SolveOptions) -> None:
    """Refuse to compile where there is nothing that could be."""
    if options.compile and not method.compiles:
        raise CompileError(
            f"{type(method).__name__} has no step that can be compiled: take compile=False, or an "
            f"explicit Runge-Kutta method of the package's own, such as 'dopri5' or 'rk4'."
        )


def _prepared(dynamics: object, options: SolveOptions) -> AbstractContextManager[None]:
    """Make the dynamics cheap to evaluate many times, where one graph holds all evaluations."""
    alone = options.gradient == "autograd" and not options.compile
    if isinstance(dynamics, Dynamics) and alone:
        return unrolled(dynamics)
    return nullcontext()


def _field(dynamics: Callable[[Tensor, Tensor], Tensor], options: SolveOptions) -> VectorField:
    """The field as methods are given it; a perceptron says so, unless it is to be compiled."""
    field = checked_field(dynamics)
    if options.compile or not isinstance(dynamics, StateNetwork):
        return field
    net = dynamics.network_of_state()
    return field if net is None else PerceptronField(net, field)


def checked_field(field: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Let a field of a wrong shape fail, where broadcasting would hide it."""

    def checked(t: Tensor, state: Tensor) -> Tensor:
        slope = field(t, state)
        if not isinstance(slope, Tensor):
            raise SolverError(
                f"The field returned {type(slope).__name__}: return the derivative of the state, a "
                f"tensor of its shape."
            )
        if slope.shape != state.shape:
            raise SolverError(
                f"The field returned the shape {tuple(slope.shape)} for states of the shape "
                f"{tuple(state.shape)}: a derivative has the shape of its state."
            )
        return answered(slope, state)

    return checked


def _closed(dynamics: Dynamics, y0: Tensor, times: Tensor) -> Solution:
    """Take the states from the exact flow."""
    # Where only differences count, they are taken before they are rounded to the states' dtype.
    clock = times - times[:, :1] if dynamics.autonomous else times
    ys = _flow(dynamics, y0, clock)
    status = status_of(ys)
    failed = status != Solver.OK
    if bool(failed.any()):

        def again() -> Tensor:
            return _flow(dynamics, *apart(failed, y0, clock))

        ys = healed(failed, ys, y0, again)
    return Solution(ys, no_work(len(y0), y0.device), status)


def _flow(dynamics: Dynamics, y0: Tensor, clock: Tensor) -> Tensor:
    t = clock.to(y0.dtype).reshape(*clock.shape, *[1] * (y0.ndim - 1))
    return dynamics.flow(y0[:, None], t[:, :1], t)


def _first(flags: Tensor) -> int:
    return int(flags.int().argmax())


def explained(solution: Solution, times: Tensor) -> str:
    """Say which rows failed, why, how far they got, and what to try."""
    rows = (solution.status != Solver.OK).nonzero()[:, 0].tolist()
    shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    first, row = rows[0], times[rows[0]]
    known = torch.isfinite(solution.ys[first].detach().flatten(1)).all(1)
    last = float(row[max(int(known.long().cumprod(0).sum()) - 1, 0)])
    code = int(solution.status[first])
    cause = CAUSES.get(code, f"the method stopped with its code {code}")
    remedy = REMEDIES.get(code, "See what the method's documentation says of it")
    return (
        f"{len(rows)} of {len(times)} rows could not be integrated ({shown}): in row {first} "
        f"{cause}, and no state after t={last:.6g} of {float(row[-1]):.6g} is known. {remedy}; "
        f'on_failure="nan" keeps the other rows.'
    )
