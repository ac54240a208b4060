"""Neural controlled differential equations as a forecaster for odeseries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import odeseries as ode

__all__ = ["CDEEncoder", "ControlledField", "NeuralCDEForecaster", "odeseries_forecasters"]

EARLY = 1e-3
"""Share of a piece by which its number is found, whatever the rounding of its bounds."""


class ControlledField(ode.Dynamics):
    r"""Response :math:`F(z)` of the state to a control: :math:`dz = F(z) \, dX`.

    The first control is time. A field of its own accord, as a dynamics, it lets time alone pass
    while all other controls rest: :math:`\dot z = F(z) e_1`.

    Parameters
    ----------
    dim : int
        Dimension of the state.
    n_controls : int, default=1
        Controls, time among them.
    width : int, default=32
        Width of the hidden layer.

    References
    ----------
    Kidger, P., Morrill, J., Foster, J., Lyons, T. (2020). Neural Controlled Differential
    Equations for Irregular Time Series. NeurIPS. Equations (4) and (5).
    """

    def __init__(self, dim: int, *, n_controls: int = 1, width: int = 32) -> None:
        super().__init__(dim)
        self.n_controls = n_controls
        self.hidden = nn.Linear(dim, width)
        self.out = nn.Linear(width, dim * n_controls)

    def response(self, state: Tensor) -> Tensor:
        """Bounded derivatives by each control, (..., dim, n_controls)."""
        raw = torch.tanh(self.out(torch.nn.functional.silu(self.hidden(state))))
        return raw.unflatten(-1, (self.dim, self.n_controls))

    def forward(self, t: Tensor, state: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Derivative of the state by time while nothing is observed."""
        return self.response(state)[..., 0]


class CDEEncoder(ode.Encoder):
    """State driven by the rows along a rectilinear control.

    Between two rows time passes while the values stay as they were last observed; at a row they
    jump to the new ones while time rests. What is read at any moment therefore depends on no
    later row, and the flow after the last one goes on as if nothing had been observed since.

    Parameters
    ----------
    n_features, n_channels : int
        Features of a row, of which the first are the channels' values, then their masks.
    field : ControlledField
        Response to the controls, ``n_controls(n_features)`` many.
    solver, steps : Any, int
        Method of integration, and its steps on each piece of the control.

    References
    ----------
    Morrill, J., Kidger, P., Yang, L., Lyons, T. (2021). Neural Controlled Differential Equations
    for Online Prediction Tasks. Section 3, rectilinear control.
    """

    def __init__(
        self, n_features: int, n_channels: int, field: ControlledField, *, solver: Any, steps: int
    ) -> None:
        super().__init__(n_features, field.dim)
        self.n_channels, self.field = n_channels, field
        self.solver, self.steps = solver, steps
        self.first = nn.Linear(field.n_controls, field.dim)

    @staticmethod
    def n_controls(n_features: int) -> int:
        """Controls that rows of so many features make: time and all features."""
        return 1 + n_features

    def forward(self, rows: Tensor, gaps: Tensor, length: Tensor, path: Any = None) -> Tensor:
        """State after the last row, (batch, hidden)."""
        controls = self.controls(rows, gaps)
        # The last piece, along which nothing changes, is for the end of the time.
        pieces = controls.diff(dim=1, append=controls[:, -1:])

        def field(t: Tensor, state: Tensor) -> Tensor:
            number = (t[:, 0] + EARLY).long().clamp(0, pieces.shape[1] - 1)
            change = pieces[torch.arange(len(pieces), device=t.device), number]
            return torch.einsum("bdc,bc->bd", self.field.response(state), change)

        end = 2.0 * (length - 1)
        solution = ode.solve(
            field,
            torch.tanh(self.first(controls[:, 0])),
            torch.stack([torch.zeros_like(end), end], 1),
            solver=self.solver,
            step=1 / self.steps,
            on_failure="raise" if self.training else "nan",
        )
        return solution.ys[:, -1]

    def controls(self, rows: Tensor, gaps: Tensor) -> Tensor:
        """Corners of the control, (batch, 2 n_rows, n_controls): each row before and after it."""
        c = self.n_channels
        mask = rows[..., c : 2 * c]
        seen = torch.where(mask > 0, torch.arange(rows.shape[1], device=rows.device)[:, None], 0)
        values = rows[..., :c].gather(1, seen.cummax(1).values)
        counts = torch.log1p(mask.cumsum(1))
        held = torch.cat([values, counts, rows[..., 2 * c :]], -1)
        before = torch.cat([held[:, :1], held[:, :-1]], 1)
        time = gaps.cumsum(1)[..., None]
        corners = torch.stack([torch.cat([time, x], -1) for x in (before, held)], 2)
        return corners.flatten(1, 2)[:, 1:]


class NeuralCDEForecaster(ode.BaseForecaster):
    """State driven by what was observed, and by time alone from the last observation on.

    Parameters
    ----------
    horizon : str, Timedelta or float, optional
        How far ahead forecasts are trained; 10 % of the longest series by default.
    latent_dim, hidden : int
        Dimension of the state, width of its field and of the decoder.
    head : {"quantile", "gaussian", "student"}, default="quantile"
        Predictive distribution.
    solver : str or Solver class, default="midpoint"
        Method of integration, which must ask within a step, not beyond its piece of the control.
    steps : int, default=1
        Steps on each piece of the control.
    n_rows : int, default=16
        Rows that are read on each side of a query, one after another.
    n_lags, seasonality, max_epochs, batch_size, learning_rate, weight_decay, patience, \
validation_fraction, n_steps, n_members, targets, target_transformer, duplicates, time_col, \
id_col, device, random_state, verbose, max_time, callbacks, checkpoint_dir
        As in `odeseries.BaseForecaster`.

    References
    ----------
    Kidger, P., Morrill, J., Foster, J., Lyons, T. (2020). Neural Controlled Differential
    Equations for Irregular Time Series. NeurIPS.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from odeseries_cde import NeuralCDEForecaster
    >>> times = np.sort(np.random.default_rng(0).uniform(0, 20, 60))
    >>> y = pd.Series(np.sin(times), index=times)
    >>> model = NeuralCDEForecaster(2.0, n_rows=4, max_epochs=1, random_state=0).fit(y)
    >>> model.predict([20.5, 21.0]).shape
    (2,)
    """

    latent_dim: int = 16
    hidden: int = 32
    head: str = "quantile"
    solver: Any = "midpoint"
    steps: int = 1
    n_rows: int = 16

    def build(self, spec: ode.Spec) -> ode.Model:
        """Make an untrained network."""
        n_features = ode.n_row_features(spec)
        n_controls = CDEEncoder.n_controls(n_features)
        field = ControlledField(self.latent_dim, n_controls=n_controls, width=self.hidden)
        encoder = CDEEncoder(
            n_features, spec.n_channels, field, solver=self.solver, steps=self.steps
        )
        return ode.flow_network(
            spec, encoder, field, hidden=self.hidden, n_lags=self.n_lags, head=self.head
        )


@ode.hookimpl
def odeseries_forecasters() -> dict[str, type[ode.BaseForecaster]]:
    """Forecasters that this distribution offers, by name."""
    return {"cde": NeuralCDEForecaster}
