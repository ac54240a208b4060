"""A vector field of one's own: damped oscillators with a learned force."""

import torch

import odeseries as ode


class Oscillators(ode.Dynamics):
    """Pairs (position, velocity); the force is learned, the damping is given."""

    def __init__(self, dim: int, *, damping: float = 0.5) -> None:
        super().__init__(dim)
        self.damping = damping
        self.force = torch.nn.Linear(dim // 2, dim // 2)

    def forward(self, t, state, inputs=None):
        """Return d state / dt, [..., dim]."""
        position, velocity = state.chunk(2, -1)
        return torch.cat([velocity, self.force(position) - self.damping * velocity], -1)


star = ode.datasets.load_variable_stars("asas_243412_V")
model = ode.LatentODEForecaster(
    30.0, dynamics=Oscillators, dynamics_params={"damping": 0.2}, max_epochs=5, random_state=0
)
model.fit(star)
times = ode.future_times(star, 30.0, n=5)
print(model.predict_interval(times, coverage=0.8))
