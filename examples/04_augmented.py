"""Prey whose predators nobody counted: a hidden coordinate makes cycles possible.

A path along one line can't turn back where it came from; with one more dimension it can.
"""

import matplotlib.pyplot as plt
import numpy as np

import odeseries as ode

prey = ode.datasets.make_lotka_volterra(12, 80, duration=30.0, random_state=1)[["prey"]]
known, new = prey.loc[:10], prey.loc[[11]]
seen = new[new.index.get_level_values(1) < 20.0]
times = np.linspace(20.0, 29.0, 60)

fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
for dynamics, color in [("mlp", "#c2410c"), ("augmented", "#0b7285")]:
    model = ode.NeuralODEForecaster(
        6.0,
        dynamics=dynamics,
        dynamics_params={"hidden": 32, "depth": 1},
        solver="midpoint",
        seasonality=None,
        n_rows=16,
        learning_rate=2e-2,
        validation_fraction=0.0,
        random_state=0,
    ).fit(known)
    forecast = model.predict(times, history=seen)["prey"]
    later = new[new.index.get_level_values(1) >= 20.0]
    error = (model.predict(later.index, history=seen) - later)["prey"].abs().mean()
    print(f"{dynamics}: mean absolute error {error:.3f}")
    ax.plot(times, forecast, color=color, label=f"{dynamics}, from t = 20 on")
ax.plot(new.index.get_level_values(1), new["prey"], ".", color="#3d4a57", label="observed")
ax.axvline(20.0, color="#3d4a57", linewidth=0.8, linestyle=":")
ax.set(xlabel="time", ylabel="prey")
ax.legend()
plt.savefig("augmented.png", dpi=150)
