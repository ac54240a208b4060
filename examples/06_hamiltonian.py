"""Pendulums: a learned energy, its phase portrait, and forecasts that do not lose it."""

import matplotlib.pyplot as plt
import numpy as np

import odeseries as ode
from odeseries.plotting import phase_portrait

swings = ode.datasets.make_pendulum(16, 60, noise=0.02, duration=20.0, random_state=0)
known = swings.loc[:14]
seen = swings.loc[[15]]

fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
later = np.linspace(20.0, 60.0, 200)
for dynamics, color in [("mlp", "#c2410c"), ("hamiltonian", "#0b7285")]:
    model = ode.NeuralODEForecaster(
        3.0,
        dynamics=dynamics,
        dynamics_params={"hidden": 32, "depth": 1},
        solver="rk4",
        seasonality=None,
        n_rows=8,
        batch_size=64,
        learning_rate=3e-2,
        validation_fraction=0.0,
        random_state=0,
    ).fit(known)
    path = model.latent(later, history=seen)
    energy = path["velocity"] ** 2 / 2 + 1 - np.cos(path["angle"])
    print(f"{dynamics}: energy from {energy.iloc[0]:.3f} to {energy.iloc[-1]:.3f}")
    right.plot(later, energy, color=color, label=dynamics)
right.set(xlabel="time", ylabel="true energy of the forecast", ylim=(0, None))
right.legend()

phase_portrait(model, ((-3, 3), (-2.2, 2.2)), paths=path, ax=left)
angles, velocities = np.meshgrid(np.linspace(-3, 3, 60), np.linspace(-2.2, 2.2, 60))
levels = model.energy(np.stack([angles, velocities], -1))
left.contour(angles, velocities, levels, colors="#3d4a57", linewidths=0.5)
left.set_title("learned field and energy")
plt.savefig("hamiltonian.png", dpi=150)
