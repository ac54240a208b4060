"""The kit itself: every check fails on a subject that breaks its law, and reports say so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import odeseries as ode
from odeseries.dynamics import SDE, Linear, SecondOrder
from odeseries.solvers import RK4
from odeseries.testing import check_class, checks_of, conforms
from odeseries.testing.__main__ import main
from odeseries.testing.checks import Check, Subject
from odeseries.testing.dynamics import SUITE as DYNAMICS
from odeseries.testing.forecasters import SUITE as FORECASTERS
from odeseries.testing.solvers import SUITE as SOLVERS

pytestmark = pytest.mark.usefixtures("few_windows")

COUNTER = itertools.count(1)


class Field(ode.Dynamics):
    """A decay with a learned coupling: nothing is wrong with it."""

    def __init__(self, dim: int, *, gain: float = 0.3) -> None:
        super().__init__(dim)
        self.gain = gain
        self.net = nn.Linear(dim, dim)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Drift."""
        del t, inputs
        return self.gain * torch.tanh(self.net(state)) - 0.1 * state


def field(change: Callable[[Field, Tensor, Tensor], Tensor], **attributes: Any) -> type[Field]:
    """A field whose derivative is changed."""

    def forward(self: Any, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        return change(self, t, state)

    return type("Broken", (Field,), {"forward": forward, **attributes})


def plain(self: Field, t: Tensor, state: Tensor) -> Tensor:
    """The derivative of the field that is right."""
    return Field.forward(self, t, state)


class PositionalGain(Field):
    """Takes its hyperparameter by position."""

    def __init__(self, dim: int, gain: float = 0.3) -> None:
        super().__init__(dim, gain=gain)


class OnlyEven(Field):
    """Fails late where the dimension is odd."""

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Swap two halves."""
        a, b = state.chunk(2, -1)
        return torch.cat([b * 1.0, -a[..., : b.shape[-1]]], -1)[..., : 2 * b.shape[-1]] * self.gain


class Sparing(Field):
    """Takes no inputs."""

    def forward(self, t: Tensor, state: Tensor) -> Tensor:  # type: ignore[override]  # the fault
        """Drift."""
        return plain(self, t, state)


class SparingSDE(SDE):
    """Takes no inputs for its diffusion."""

    takes_inputs: ClassVar[bool] = False

    def diffusion(self, t: Tensor, state: Tensor) -> Tensor:  # type: ignore[override]  # as above
        """Diffusion."""
        return super().diffusion(t, state)


class Unmade(ode.Dynamics):
    """Forgets to make what it is based on."""

    def __init__(self, dim: int) -> None:
        self.size = dim

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Decay."""
        return -state


class Unlearnt(Field):
    """Has a parameter that does nothing."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.idle = nn.Parameter(torch.ones(dim))


class Loose(Field):
    """Holds a tensor that no state dict knows, drawn at random."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.offset = torch.randn(dim)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Add the offset."""
        return super().forward(t, state) + self.offset.to(state)


class Sharing(Field):
    """Copies that are the original."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Sharing:
        return self


class Numbered(Field):
    """Starts differently each time, whatever the seed."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        with torch.no_grad():
            self.net.bias.add_(next(COUNTER))


class Resized(Field):
    """Takes as many frequencies as it is given."""

    def start_at(self, frequencies: Tensor) -> None:
        """Store them."""
        self.net.bias = nn.Parameter(frequencies.new_zeros(len(frequencies)))


class Reshaped(SecondOrder):
    """Takes an acceleration for what it is not."""

    def start_acceleration(self, weight: Tensor, bias: Tensor) -> None:
        """Store it."""
        self.springs.weight = nn.Parameter(weight.T)


class Doubled(Field):
    """Reads something else than was lifted."""

    def read(self, state: Tensor) -> Tensor:
        """Double."""
        return 2 * state


class WrongFlow(Linear):
    """A flow that runs at double speed."""

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor) -> Tensor:
        """Flow for twice the time."""
        return super().flow(state, t0, t0 + 2 * (t1 - t0))


class BentFlow(Linear):
    """A flow that does not compose: it forgets where it began."""

    def flow(self, state: Tensor, t0: Tensor, t1: Tensor) -> Tensor:
        """Bend the time."""
        return super().flow(state, t0, t0 + (t1 - t0) ** 2)


class Hurried(Linear):
    """Passes through successive times too fast."""

    def flow_through(self, state: Tensor, times: Tensor, inputs: Tensor) -> Tensor:
        """Flow for twice the times."""
        return super().flow_through(state, 2 * times, inputs)


class Crossed(SDE):
    """Diagonal noise in which coordinates see one another."""

    def diffusion(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Add the sum of all."""
        return super().diffusion(t, state) + state.sum(-1, keepdim=True)


class DrivenField(Field):
    """A field with inputs, and nothing wrong."""

    takes_inputs: ClassVar[bool] = True

    def __init__(self, dim: int, *, n_inputs: int = 0) -> None:
        super().__init__(dim)
        self.n_inputs = n_inputs
        self.dose = nn.Linear(dim + n_inputs, dim)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Add what the inputs do."""
        x = self.with_inputs(state, self.seen(inputs))
        return super().forward(t, state) + torch.tanh(self.dose(x))

    def seen(self, inputs: Tensor | None) -> Tensor | None:
        """What is made of the inputs."""
        return inputs


def driven(change: Callable[[Tensor], Tensor]) -> type[DrivenField]:
    """A field that sees something else than its inputs."""

    def seen(self: Any, inputs: Tensor | None) -> Tensor | None:
        return None if inputs is None else change(inputs)

    return type("BrokenDriven", (DrivenField,), {"seen": seen})


class Lenient(DrivenField):
    """Takes missing inputs for zeros."""

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Fill in."""
        zeros = state.new_zeros(*state.shape[:-1], self.n_inputs)
        return super().forward(t, state, zeros if inputs is None else inputs)


class WrongTrace(Field):
    """A closed divergence with a sign that is wrong."""

    closed_divergence = True

    def with_divergence(
        self, t: Tensor, state: Tensor, inputs: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Take 1 + tanh² for 1 - tanh²."""
        slopes = 1 + self.sign * torch.tanh(self.net(state)) ** 2
        trace = (self.gain * self.net.weight.diagonal() * slopes - 0.1).sum(-1)
        return self(t, state), trace

    sign: ClassVar[float] = 1.0


class RightTrace(WrongTrace):
    """With the right one."""

    sign: ClassVar[float] = -1.0


class Unpicklable(Field):
    """Fits, yet is lost in a pickle."""

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("this can't be pickled")


BROKEN_DYNAMICS: dict[str, type[ode.Dynamics]] = {
    "hyperparameters_are_keywords_with_defaults": PositionalGain,
    "every_dimension_works_or_is_refused": OnlyEven,
    "shapes_and_dtypes_are_kept": field(lambda self, t, s: plain(self, t, s).float()),
    "inputs_may_be_absent": Sparing,
    "time_broadcasts": field(lambda self, t, s: plain(self, t, s) + t.numel()),
    "rows_are_independent": field(lambda self, t, s: plain(self, t, s) - s.mean()),
    "equal_calls_give_equal_answers": field(
        lambda self, t, s: plain(self, t, s) + 0.1 * torch.randn_like(s)
    ),
    "read_inverts_lift": Doubled,
    "gradients_reach_every_parameter": Unlearnt,
    "gradients_are_those_of_the_field": field(lambda self, t, s: plain(self, t, s.detach()) + s),
    "tensors_are_registered": Loose,
    "state_dict_round_trip": Loose,
    "copies_are_equal_and_separate": Sharing,
    "same_seed_same_parameters": Numbered,
    "time_shift_is_irrelevant": field(lambda self, t, s: plain(self, t, s) * torch.cos(t)),
    "the_first_half_is_the_velocity": field(plain, order=2),
    "flow_solves_the_field": WrongFlow,
    "flow_composes_and_reverses": BentFlow,
    "flow_through_is_one_flow_after_another": Hurried,
    "starting_frequencies_are_harmless": Resized,
    "a_starting_acceleration_is_harmless": Reshaped,
    "diffusion_is_of_its_kind": Crossed,
    "the_divergence_is_the_trace": WrongTrace,
    "inputs_reach_the_field": driven(torch.zeros_like),
    "inputs_of_a_row_are_its_own": driven(lambda u: u.mean(0).expand_as(u)),
    "missing_inputs_are_refused": Lenient,
    "integrates_over_private_times": field(lambda self, t, s: s**3 * 1e9),
    "trains_in_a_forecaster": Unpicklable,
}


class Broken(RK4):
    """A solver that spoils what RK4 found."""

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Spoil."""
        return self.spoilt(super().integrate(field, y0, times, options), y0, times)

    def spoilt(self, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        """Change the solution."""
        raise NotImplementedError


def solver(
    change: Callable[[ode.Solution, Tensor, Tensor], Tensor], **attributes: Any
) -> type[ode.Solver]:
    """A solver whose states are changed."""

    def spoilt(self: Any, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        return replace(solution, ys=change(solution, y0, times))

    return type("BrokenSolver", (Broken,), {"spoilt": spoilt, **attributes})


class Demanding(RK4):
    """Needs an argument that nobody gives."""

    def __init__(self, safety: float) -> None:
        self.safety = safety


class Untimed(RK4):
    """Asks the field at times since the start only."""

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Shift the clock to 0."""
        return super().integrate(field, y0, times - times[:, :1], options)


class Single(RK4):
    """Rounds times to single precision."""

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Round."""
        return super().integrate(field, y0, times.float().double(), options)


class Rounded(RK4):
    """Shows the field a clock in single precision."""

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Round what the field sees."""
        return super().integrate(lambda t, y: field(t.float().double(), y), y0, times, options)


class Silent(Broken):
    """Says of no row that it failed."""

    def spoilt(self, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        """Clear the status."""
        return replace(solution, status=torch.zeros_like(solution.status))


class Lump(Broken):
    """Counts all rows' work together."""

    def spoilt(self, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        """Sum up."""
        stats = solution.stats
        return replace(solution, stats=replace(stats, nfe=stats.nfe.sum()[None]))


class Boundless(RK4):
    """Steps as often as it likes."""

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Lift the limit."""
        steps = {"step": None, "n_steps": 5, "max_steps": 10**9}
        return super().integrate(field, y0, times, replace(options, **steps))


class Doubled(RK4):
    """Gives twice the gradient by the adjoint equation."""

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Double what depends on anything."""
        solution = super().integrate(field, y0, times, options)
        if options.gradient != "adjoint":
            return solution
        return replace(solution, ys=2 * solution.ys - solution.ys.detach())


def shared_steps(solution: ode.Solution, y0: Tensor, times: Tensor) -> Tensor:
    """Let all rows feel how fast the others move."""
    travelled = (solution.ys[:, -1] - y0).detach().abs().mean()
    moved = (times != times[:, :1])[..., None]
    return solution.ys + torch.where(moved, 1e-3 * travelled, 0.0)


def counted(solution: ode.Solution, y0: Tensor, times: Tensor) -> Tensor:
    """Let the number of times count."""
    drift = 1e-3 * times.shape[1] * (times != times[:, :1])
    return solution.ys + drift.reshape(*drift.shape, *[1] * (y0.ndim - 1))


class Stochastic(ode.Solver):
    """Euler and Maruyama's method by a look-up, so that a part of it can be spoilt."""

    order: ClassVar[float] = 0.5
    adaptive: ClassVar[bool] = False
    noise_types: ClassVar[frozenset[str]] = frozenset({"diagonal"})
    sde_types: ClassVar[frozenset[str]] = frozenset({"ito"})

    def integrate(
        self, field: Any, y0: Tensor, times: Tensor, options: ode.SolveOptions
    ) -> ode.Solution:
        """Integrate."""
        from odeseries.plugins import get

        right = get("solver", "euler_maruyama")().integrate(field, y0, times, options)
        return self.spoilt(right, y0, times)

    def spoilt(self, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        """Change the solution."""
        return solution


class Detached(Stochastic):
    """Paths without gradients."""

    def spoilt(self, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        """Detach, with a gradient that is 0."""
        return replace(solution, ys=solution.ys.detach() + 0.0 * y0[:, None])


def stochastic(change: Callable[[Tensor, Tensor, Tensor], Tensor]) -> type[ode.Solver]:
    """A stochastic solver whose paths are changed."""

    def spoilt(self: Any, solution: ode.Solution, y0: Tensor, times: Tensor) -> ode.Solution:
        return replace(solution, ys=change(solution.ys, y0, times))

    return type("BrokenStochastic", (Stochastic,), {"spoilt": spoilt})


BROKEN_SOLVERS: dict[str, type[ode.Solver]] = {
    "is_made_without_arguments": Demanding,
    "shapes_and_dtypes_are_kept": solver(lambda s, y0, t: s.ys.double()),
    "observed_order_is_the_stated_one": type("Proud", (RK4,), {"order": 5}),
    "tolerances_govern_the_error": type("Deaf", (RK4,), {"adaptive": True}),
    "private_times_are_met": solver(lambda s, y0, t: s.ys[:1].expand_as(s.ys)),
    "the_clock_reaches_the_field": Untimed,
    "there_and_back_is_nowhere": solver(
        lambda s, y0, t: s.ys + 1e-2 * (t - t[:, :1])[..., None] ** 2
    ),
    "repeats_and_rests_change_nothing": solver(
        lambda s, y0, t: s.ys + 1e-2 * torch.arange(t.shape[1])[:, None]
    ),
    "rows_are_independent": solver(shared_steps),
    "more_times_change_nothing": solver(counted),
    "gradients_are_right": solver(lambda s, y0, t: s.ys.detach().requires_grad_()),
    "every_way_to_the_gradients_is_right": Doubled,
    "a_failing_row_is_told_and_harmless": Silent,
    "work_is_counted_per_row": Lump,
    "the_step_budget_is_kept": Boundless,
    "equal_calls_give_equal_answers": solver(lambda s, y0, t: s.ys + 1e-6 * next(COUNTER)),
    "time_shift_is_irrelevant": Single,
    "paths_keep_shape_and_dtype": stochastic(lambda ys, y0, t: ys.double()),
    "paths_follow_their_seeds": stochastic(lambda ys, y0, t: ys + 0.1 * torch.rand_like(ys)),
    "without_noise_the_drift_is_solved": stochastic(lambda ys, y0, t: ys * 1.02),
    "moments_are_right_at_any_time": stochastic(
        # What linear interpolation between the ends does to the times between.
        lambda ys, y0, t: ys[:, :1] + (t - t[:, :1])[..., None] * (ys[:, -1:] - ys[:, :1])
    ),
    "gradients_reach_the_initial_state": Detached,
}


class Net(ode.Model):
    """Normal distribution around a mean of what was seen; nothing is wrong with it."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.keep = nn.Parameter(torch.zeros(n_channels))
        self.log_width = nn.Parameter(torch.full((n_channels,), 0.5))

    def start(self, batches: Any) -> None:
        """Need nothing."""

    def centre(self, batch: ode.Batch) -> Tensor:
        """Shrunken mean of the values before the queries."""
        side = batch.left
        mean = (side.values * side.mask).sum(1) / side.mask.sum(1).clamp(min=1)
        return (torch.sigmoid(self.keep) * mean)[:, None].expand_as(batch.targets)

    def loss(self, batch: ode.Batch, generator: torch.Generator | None) -> Tensor:
        """Negative log-likelihood."""
        score = (batch.targets - self.centre(batch)) / self.log_width.exp()
        each = (score**2 / 2 + self.log_width) * batch.observed
        return each.sum((1, 2)) / batch.observed.sum((1, 2)).clamp(min=1)

    def quantiles(self, batch: ode.Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles of the normal distribution."""
        score = torch.special.ndtri(levels).float() * self.log_width.exp()[:, None]
        return self.centre(batch)[..., None] + score, torch.ones_like(batch.targets)


class Good(ode.BaseForecaster):
    """A forecaster with that network."""

    def build(self, spec: ode.Spec) -> ode.Model:
        """Make the network."""
        return Net(spec.n_channels)


ode.register(Good, name="good_for_the_kit")


def network(**methods: Any) -> type[Good]:
    """A forecaster whose network has other methods."""
    net = type("BrokenNet", (Net,), methods)

    def build(self: Any, spec: ode.Spec) -> ode.Model:
        made: ode.Model = net(spec.n_channels)
        return made

    return type("BrokenForecaster", (Good,), {"build": build})


def forecaster(method: str, change: Callable[..., Any]) -> type[Good]:
    """A forecaster one of whose methods is changed: ``change(self, original, ...)``."""
    original = getattr(Good, method)

    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        return change(self, original.__get__(self), *args, **kwargs)

    return type("BrokenForecaster", (Good,), {method: changed})


class Tidy(Good):
    """Rounds its horizon on arrival."""

    def __init__(self, horizon: Any = None, *, max_epochs: int = 40) -> None:
        self.horizon, self.max_epochs = str(horizon), max_epochs


def fit_in_place(self: Good, fit: Any, X: Any, y: Any = None) -> Good:
    """Fill the caller's gaps."""
    X.iloc[0, 0] = 0.0
    return fit(X, y)


def reversed_rows(self: Good, predict: Any, X: Any, history: Any = None) -> Any:
    """Answer in another order."""
    return predict(X, history).iloc[::-1]


def centred(self: Good, predict: Any, X: Any, history: Any = None) -> Any:
    """Answer relative to all that was asked."""
    forecast = predict(X, history)
    return forecast - forecast.mean()


def by_name(self: Good, predict: Any, X: Any, history: Any = None) -> Any:
    """Answer by the name of the series."""
    forecast = predict(X, history)
    ids = forecast.index.get_level_values(0).astype(str)
    return forecast + np.array([ord(i[0]) for i in ids])[:, None]


def by_clock(self: Good, predict: Any, X: Any, history: Any = None) -> Any:
    """Answer by the absolute time."""
    forecast = predict(X, history)
    return forecast + forecast.index.get_level_values(-1).to_numpy()[:, None]


def crossed(self: Good, ask: Any, X: Any, history: Any = None, alpha: Any = ()) -> Any:
    """Let quantiles fall."""
    return -ask(X, history, alpha)


def unsteady(self: Good, fit: Any, X: Any, y: Any = None) -> Good:
    """Fit with seeds of one's own."""
    return Good.fit(self.set_params(random_state=next(COUNTER)), X, y)


def shifted_net(change: Callable[[ode.Batch], Tensor]) -> type[Good]:
    """A network whose centre is shifted by something of the batch."""
    return network(centre=lambda self, batch: Net.centre(self, batch) + change(batch))


BROKEN_FORECASTERS: dict[str, type[ode.BaseForecaster]] = {
    "init_stores_its_arguments": Tidy,
    "not_fitted_is_said": forecaster("predict", lambda self, predict, X, history=None: X),
    "fit_leaves_parameters_and_data_alone": forecaster("fit", fit_in_place),
    "same_seed_same_forecast": network(
        start=lambda self, batches: self.keep.data.add_(0.1 * next(COUNTER))
    ),
    "rows_come_back_as_asked": forecaster("predict", reversed_rows),
    "companions_are_irrelevant": forecaster("predict", centred),
    "order_of_series_is_irrelevant": forecaster("predict", by_name),
    "time_shift_is_irrelevant": forecaster("predict", by_clock),
    "units_are_irrelevant": forecaster(
        "predict", lambda self, predict, X, history=None: predict(X, history) + 1.0
    ),
    "quantiles_do_not_cross": forecaster("predict_quantiles", crossed),
    "paths_follow_the_seed": forecaster(
        "sample",
        lambda self, sample, X, history=None, n_samples=100, random_state=None: sample(
            X, history, n_samples, 0
        ),
    ),
    "score_is_a_skill": forecaster("score", lambda self, score, X, y=None: 2.0),
    "pickling_keeps_the_forecast": type(
        "Lost", (Good,), {"__reduce__": lambda self: (Good, (self.horizon,))}
    ),
    # Nothing registers it.
    "saving_keeps_the_forecast": network(),
    "loss_is_one_number_per_window": network(
        loss=lambda self, batch, generator: Net.loss(self, batch, generator).mean()
    ),
    "the_truth_is_not_seen": shifted_net(lambda batch: batch.targets),
    "values_under_the_mask_are_irrelevant": shifted_net(
        lambda batch: batch.left.values.mean(1)[:, None]
    ),
    "windows_are_independent": shifted_net(lambda batch: batch.left.values.mean()),
    "training_lowers_the_loss": network(
        loss=lambda self, batch, generator: 0.0 * Net.loss(self, batch, generator)
    ),
}


def outcome(check: Check, cls: type[Any]) -> str:
    """What the check says of the class; empty if nothing."""
    assert check.applies(Subject(cls, {}, 4))
    try:
        check.run(Subject(cls, {}, 4))
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


@pytest.mark.parametrize("check", DYNAMICS.checks, ids=lambda check: check.name)
def test_every_check_of_dynamics_can_fail(check: Check) -> None:
    """On a dynamics that breaks this law."""
    assert outcome(check, BROKEN_DYNAMICS[check.name])


@pytest.mark.parametrize("check", SOLVERS.checks, ids=lambda check: check.name)
def test_every_check_of_solvers_can_fail(check: Check) -> None:
    """On a solver that breaks this law."""
    assert outcome(check, BROKEN_SOLVERS[check.name])


@pytest.mark.parametrize("check", FORECASTERS.checks, ids=lambda check: check.name)
def test_every_check_of_forecasters_can_fail(check: Check) -> None:
    """On a forecaster that breaks this law."""
    assert outcome(check, BROKEN_FORECASTERS[check.name])


@pytest.mark.parametrize("cls", [Field, DrivenField, RightTrace, Stochastic, Good])
def test_the_sound_subjects_pass(cls: type[Any]) -> None:
    """So that what fails above fails for its fault."""
    report = check_class(cls)
    assert report.ok, str(report)


@conforms(Field, params={"gain": 0.5}, dim=3)
def test_checks_become_tests(check: Callable[[], None]) -> None:
    """One for every check, with the hyperparameters and the dimension that are given."""
    check()


@pytest.mark.parametrize(("cls", "name"), [(Sparing, "forward"), (SparingSDE, "diffusion")])
def test_inputs_that_are_not_taken_are_reported(cls: type[Any], name: str) -> None:
    """With what to write; nothing else is wrong."""
    report = check_class(cls)
    (wrong,) = [outcome for outcome in report.outcomes if not outcome.ok]
    assert wrong.check.name == "inputs_may_be_absent"
    assert f"Write def {name}(self, t, state, inputs=None)." in wrong.reason


def test_what_is_not_made_is_reported() -> None:
    """A class that forgets ``super().__init__`` fails its checks, and is told why."""
    report = check_class(Unmade)
    assert not report.ok
    assert "Unmade.__init__ must call super().__init__(dim) first." in str(report)


REASON = {"gradients_reach_the_initial_state": "detached on purpose"}


def test_a_report_says_what_failed_and_why() -> None:
    """With the number of checks first."""
    report = check_class(Detached)
    assert not report.ok
    first, *others = str(report).splitlines()
    assert first == f"Detached: {len(checks_of(Detached))} checks"
    (wrong,) = [line for line in others if "passed" not in line]
    assert "failed" in wrong
    assert "gradients_reach_the_initial_state (The gradient is not" in wrong


def test_an_error_is_a_failure_with_its_type() -> None:
    """A check that can't be run was not passed."""
    report = check_class(Demanding)
    assert not report.ok
    assert "TypeError: Demanding.__init__() missing 1 required" in str(report)


def test_expected_failures_are_strict() -> None:
    """One that fails is well; one that passes is not."""
    assert check_class(Detached, expected_failures=REASON).ok
    report = check_class(Stochastic, expected_failures=REASON)
    assert not report.ok
    assert "passed unexpectedly gradients_reach_the_initial_state (take it from" in str(report)


def test_expected_failures_are_strict_in_pytest() -> None:
    """By pytest's own mark."""
    mark = conforms(Detached, expected_failures=REASON).mark
    (marked,) = [case for case in mark.args[1] if case.marks]
    assert marked.id == "Detached-gradients_reach_the_initial_state"
    assert marked.marks[0].kwargs == {"reason": "detached on purpose", "strict": True}


@pytest.mark.parametrize("run", [check_class, conforms])
def test_what_can_not_be_expected(run: Callable[..., Any]) -> None:
    """An unknown check, one that does not apply, and a failure without a reason."""
    with pytest.raises(ValueError, match=r"names 'flow', which is no check .*read_inverts_lift"):
        run(Field, expected_failures={"flow": "there is none"})
    with pytest.raises(ValueError, match="which is no check of this class"):
        run(Field, expected_failures={"flow_solves_the_field": "there is none"})
    with pytest.raises(ValueError, match="needs a reason"):
        run(Field, expected_failures={"read_inverts_lift": " "})


def test_nothing_checked_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """No class, no kind, an abstract class, or no check that applies."""
    with pytest.raises(TypeError, match="no class"):
        conforms()
    with pytest.raises(TypeError, match=r"no subclass of odeseries\.Dynamics"):
        check_class(int)
    with pytest.raises(TypeError, match="Solver is abstract: implement integrate"):
        check_class(ode.Solver)
    monkeypatch.setattr(DYNAMICS, "checks", [])
    with pytest.raises(TypeError, match="No check applies to Field"):
        check_class(Field)


def test_checks_leave_the_global_generator_alone() -> None:
    """And do not depend on it."""
    texts = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        texts.append(str(check_class(Crossed)))
        assert torch.equal(torch.get_rng_state(), before)
    assert texts[0] == texts[1]


def test_the_kit_at_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """By kind and name; the exit status says whether all is well."""
    assert main(["solver", "euler_maruyama"]) == 0
    assert capsys.readouterr().out.startswith("EulerMaruyama: 6 checks\n  passed ")
    ode.register(Crossed, name="crossed_for_the_kit")
    assert main(["dynamics", "local:crossed_for_the_kit", "--dim", "3"]) == 1
    assert "depends on another one" in capsys.readouterr().out


@pytest.mark.parametrize("seen", [lambda u: u[..., :1].expand_as(u), lambda u: 0 * u])
def test_inputs_that_change_nothing_are_named(seen: Callable[[Tensor], Tensor]) -> None:
    """The first that nothing depends on, with what to do."""
    (check,) = [c for c in DYNAMICS.checks if c.name == "inputs_reach_the_field"]
    said = outcome(check, driven(seen))
    assert "Nothing depends on input" in said
    assert "say takes_inputs = False" in said


def test_a_slope_beside_the_divergence_is_checked_too() -> None:
    """It has to be the derivative."""

    def doubled(self: Any, t: Tensor, state: Tensor, inputs: Any = None) -> tuple[Tensor, Tensor]:
        slope, trace = RightTrace.with_divergence(self, t, state)
        return 2 * slope, trace

    (check,) = [c for c in DYNAMICS.checks if c.name == "the_divergence_is_the_trace"]
    cls = type("DoubledSlope", (RightTrace,), {"with_divergence": doubled})
    assert "is not that of forward" in outcome(check, cls)


def test_a_clock_in_single_precision_is_found_where_it_shows_much() -> None:
    """By the one law that looks there; no other is broken."""
    report = check_class(Rounded)
    (wrong,) = [outcome for outcome in report.outcomes if not outcome.ok]
    assert wrong.check.name == "time_shift_is_irrelevant"
    assert "keep times in the dtype that they come in" in wrong.reason


def test_a_diffusion_that_is_not_finite_is_told_as_such() -> None:
    """Whatever law comes upon it."""

    def diffusion(self: Any, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        return SDE.diffusion(self, t, state, inputs) * torch.nan

    report = check_class(type("Undefined", (SDE,), {"diffusion": diffusion}))
    wrong = [outcome.reason for outcome in report.outcomes if not outcome.ok]
    assert len(wrong) > 5
    assert {reason.partition(" at ")[0] for reason in wrong} == {"The diffusion is NaN or infinite"}
