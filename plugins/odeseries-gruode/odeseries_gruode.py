"""GRU-ODE-Bayes for odeseries: the gated recurrent unit in continuous time, and its forecaster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import odeseries as ode

__all__ = ["GRUBayes", "GRUField", "GRUODEForecaster", "odeseries_dynamics"]

N_PREPARED = 4
"""Features that each channel's observation becomes before it reaches the unit."""


class GRUField(ode.Dynamics):
    r"""Gated recurrent unit in continuous time: :math:`\dot h = (1 - z)(g - h)`.

    With the reset gate :math:`r = \sigma(W_r h + b_r)`, the update gate
    :math:`z = \sigma(W_z h + b_z)` and the candidate :math:`g = \tanh(W_g (r h) + b_g)`. A state
    within :math:`[-1, 1]` stays there, one outside falls back into it, and the field's Lipschitz
    constant is bounded: no solution ever blows up.

    Parameters
    ----------
    dim : int
        Dimension of the state.

    References
    ----------
    De Brouwer, E., Simm, J., Arany, A., Moreau, Y. (2019). GRU-ODE-Bayes: Continuous Modeling of
    Sporadically-Observed Time Series. NeurIPS. Section 2, GRU-ODE without an input.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.gates = nn.Linear(dim, 2 * dim)
        self.candidate = nn.Linear(dim, dim)

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state, the same at every time."""
        reset, update = torch.sigmoid(self.gates(state)).chunk(2, -1)
        slope: Tensor = (1 - update) * (torch.tanh(self.candidate(reset * state)) - state)
        return slope


class GRUBayes(ode.Encoder):
    """Filters rows: flows between them, jumps at each, and is judged before and after the jump.

    Before a jump a normal distribution of every channel is read off the state. The observation,
    its expectation, the expected spread and the standardised error are what the jump sees. Its
    own loss is the likelihood of the observations before the jump, plus the divergence of what is
    read off after it from the Bayesian update of what was read off before it.

    Parameters
    ----------
    n_features, n_channels : int
        Features of a row, of which the first are the channels' values, then their masks.
    field : Dynamics
        Of the state between the rows.
    solver, solver_params
        Integration of the field; the unit of time is the horizon.
    noise : float
        Standard deviation of an observation, in standardised units.
    mixing : float
        Weight of the divergence.
    """

    def __init__(
        self,
        n_features: int,
        n_channels: int,
        field: ode.Dynamics,
        *,
        solver: Any,
        solver_params: dict[str, Any],
        noise: float,
        mixing: float,
    ) -> None:
        super().__init__(n_features, field.dim)
        self.n_channels, self.field = n_channels, field
        self.solver, self.solver_params = solver, solver_params
        self.noise, self.mixing = noise, mixing
        self.expect = nn.Sequential(
            nn.Linear(field.dim, field.dim), nn.ReLU(), nn.Linear(field.dim, 2 * n_channels)
        )
        self.prepare = nn.Parameter(0.5 * torch.randn(n_channels, 4, N_PREPARED))
        self.offset = nn.Parameter(torch.zeros(n_channels, N_PREPARED))
        n_jump = N_PREPARED * n_channels + n_features - 2 * n_channels
        self.cell = nn.GRUCell(n_jump, field.dim)
        self._losses: list[Tensor] | None = None

    @contextmanager
    def listening(self) -> Iterator[list[Tensor]]:
        """Collect the own loss of every window, shape (batch,), of each call inside."""
        self._losses = []
        try:
            yield self._losses
        finally:
            self._losses = None

    def forward(self, rows: Tensor, gaps: Tensor, length: Tensor, path: Any = None) -> Tensor:
        """State after the last row, (batch, hidden)."""
        state = rows.new_zeros(len(rows), self.hidden)
        losses = []
        for i in range(rows.shape[1]):
            before = self._flow(state, gaps[:, i])
            values, mask, rest = rows[:, i].tensor_split((self.n_channels, 2 * self.n_channels), -1)
            expected = self._expected(before)
            seen = self._prepared(values, mask, *expected)
            after = self.cell(torch.cat([seen, rest], -1), before)
            state = torch.where((i < length)[:, None], after, state)
            if self._losses is not None:
                losses.append(self._loss(values, expected, self._expected(after)) * mask)
        if self._losses is not None:
            count = rows[..., self.n_channels : 2 * self.n_channels].sum((1, 2)).clamp(min=1)
            self._losses.append(torch.stack(losses, 1).sum((1, 2)) / count)
        return state

    def _flow(self, state: Tensor, gap: Tensor) -> Tensor:
        """The state after a gap of each row's own."""
        solution = ode.solve(
            self.field,
            state,
            torch.stack([torch.zeros_like(gap), gap], 1),
            solver=self.solver,
            on_failure="raise" if self.training else "nan",
            **self.solver_params,
        )
        return solution.ys[:, -1]

    def _expected(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the standard deviation of every channel."""
        mean, log_std = self.expect(state).chunk(2, -1)
        return mean, log_std.clamp(-5, 3)

    def _prepared(self, values: Tensor, mask: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
        """What the jump sees of the observed channels, zeros of the others."""
        error = ((values - mean) * torch.exp(-log_std)).clamp(-10, 10)
        features = torch.stack([values, mean, log_std, error], -1)
        linear = torch.einsum("bcf,cfp->bcp", features, self.prepare) + self.offset
        return (torch.relu(linear) * mask[..., None]).flatten(1)

    def _loss(
        self, values: Tensor, before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Negative log-likelihood before the jump and the divergence after it, per channel."""
        mean, log_std = before
        surprise = log_std + 0.5 * ((values - mean) * torch.exp(-log_std)) ** 2
        weight = 1 / (1 + self.noise**2 * torch.exp(-2 * log_std))
        target = mean + weight * (values - mean)
        log_target = log_std + 0.5 * torch.log1p(-weight * (1 - 1e-6))
        shift = ((target - after[0]) * torch.exp(-after[1])) ** 2
        log_ratio = log_target - after[1]
        divergence = 0.5 * (torch.exp(2 * log_ratio) + shift - 1) - log_ratio
        return surprise + self.mixing * divergence


class BayesNetwork(ode.Model):
    """A network whose training also hears the own loss of its encoder.

    Parameters
    ----------
    net : Model
        Forecasts.
    encoder : GRUBayes
        A part of it.
    weight : float
        Of the encoder's loss.
    """

    def __init__(self, net: ode.Model, encoder: GRUBayes, weight: float) -> None:
        super().__init__()
        self.net, self.encoder, self.weight = net, encoder, weight

    def start(self, batches: Sequence[ode.Batch]) -> None:
        """Let the network take its statistics."""
        self.net.start(batches)

    def loss(self, batch: ode.Batch, generator: torch.Generator | None) -> Tensor:
        """Loss of every window; that of the forecast alone where nothing is trained."""
        if generator is None:
            return self.net.loss(batch, None)
        with self.encoder.listening() as losses:
            loss = self.net.loss(batch, generator)
        return loss + self.weight * torch.stack(losses).mean(0)

    def quantiles(self, batch: ode.Batch, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Quantiles and ages of the network."""
        return self.net.quantiles(batch, levels)


class GRUODEForecaster(ode.BaseForecaster):
    """State that follows a continuous gated recurrent unit and is updated like a Bayesian filter.

    Made for channels that are observed at times of their own: each observation is weighed against
    what was expected of its channel.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    hidden : int, default=32
        Dimension of the state and width of the decoder.
    noise : float, default=0.1
        Standard deviation of an observation, in units of the window's spread.
    mixing : float, default=0.1
        Weight of the divergence from the Bayesian update in the encoder's own loss.
    filter_weight : float, default=0.1
        Weight of the encoder's own loss beside the loss of the forecast.
    head : {"quantile", "gaussian", "student"}, default="quantile"
        Predictive distribution.
    solver, solver_params
        Integration of the field; the unit of time is the horizon.
    n_rows : int, default=24
        Rows that are read on each side of a query, one after another.
    n_lags, seasonality, max_epochs, batch_size, learning_rate, weight_decay, patience, \
validation_fraction, n_steps, n_members, targets, target_transformer, duplicates, time_col, \
id_col, device, random_state, verbose, max_time, callbacks, checkpoint_dir
        As in `odeseries.BaseForecaster`.

    References
    ----------
    De Brouwer, E., Simm, J., Arany, A., Moreau, Y. (2019). GRU-ODE-Bayes: Continuous Modeling of
    Sporadically-Observed Time Series. NeurIPS. Section 2.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from odeseries_gruode import GRUODEForecaster
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 20, 60))
    >>> y = pd.Series(np.sin(times), index=times)
    >>> model = GRUODEForecaster(2.0, n_rows=4, max_epochs=1, random_state=0).fit(y)
    >>> model.predict([20.5, 21.0]).shape
    (2,)
    """

    hidden: int = 32
    noise: float = 0.1
    mixing: float = 0.1
    filter_weight: float = 0.1
    head: str = "quantile"
    solver: Any = "midpoint"
    solver_params: dict[str, Any] | None = None
    n_rows: int = 24

    def build(self, spec: ode.Spec) -> ode.Model:
        """Make an untrained network; the flow to the query is the one between the rows."""
        field = GRUField(self.hidden)
        params = {"step": 0.25} if self.solver_params is None else self.solver_params
        encoder = GRUBayes(
            ode.n_row_features(spec),
            spec.n_channels,
            field,
            solver=self.solver,
            solver_params=params,
            noise=self.noise,
            mixing=self.mixing,
        )
        net = ode.flow_network(
            spec,
            encoder,
            field,
            hidden=self.hidden,
            n_lags=self.n_lags,
            head=self.head,
            solver=self.solver,
            solver_params=params,
        )
        return BayesNetwork(net, encoder, self.filter_weight)


@ode.hookimpl
def odeseries_dynamics() -> dict[str, type[ode.Dynamics]]:
    """Dynamics that this distribution offers, by name."""
    return {"gru": GRUField}


@ode.hookimpl
def odeseries_forecasters() -> dict[str, type[ode.BaseForecaster]]:
    """Forecasters that this distribution offers, by name."""
    return {"gruode": GRUODEForecaster}
