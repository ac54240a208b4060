"""A driven oscillator with a hardening spring, forecast under a force that it never saw."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.integrate import solve_ivp

import odeseries as ode

times = np.arange(0.0, 150.0, 0.25)
rng = np.random.default_rng(0)


def response(force: np.ndarray) -> np.ndarray:
    """Position of x'' = -x - x^3 / 4 - x' / 5 + force."""

    def field(t: float, state: np.ndarray) -> list[float]:
        x, v = state
        return [v, -x - 0.25 * x**3 - 0.2 * v + np.interp(t, times, force)]

    return solve_ivp(field, (0.0, times[-1]), [0.0, 0.0], t_eval=times, max_step=0.1).y[0]


def smooth_noise() -> np.ndarray:
    """A random force that changes within about a second."""
    return np.convolve(rng.standard_normal(len(times)), np.hanning(12) / 2, "same")


force = smooth_noise()
X = pd.DataFrame({"force": force}, index=pd.Index(times, name="time"))
y = pd.Series(response(force), index=X.index, name="position")

model = ode.NeuralODEForecaster(
    6.0,
    dynamics="second_order",
    dynamics_params={"hidden": 16, "depth": 1},
    solver="midpoint",
    seasonality=None,
    n_rows=12,
    batch_size=64,
    learning_rate=4e-2,
    validation_fraction=0.0,
    random_state=0,
).fit(X[:400], y[:400])

other = np.where(times < times[400], force, 1.5 * np.sin(0.8 * times))
truth = pd.Series(response(other), index=X.index)[400:]
forecast = model.predict(pd.DataFrame({"force": other[400:]}, index=X.index[400:]))
print(f"error {np.std(forecast - truth):.3f} of a spread of {truth.std():.3f}")

fig, ax = plt.subplots(figsize=(9, 4), layout="constrained")
ax.plot(y[300:401], color="#3d4a57", label="seen, under a random force")
ax.plot(truth, color="#3d4a57", linestyle=":", label="truth under a sine")
ax.plot(forecast, color="#0b7285", label="forecast under the sine")
ax.set(xlabel="time", ylabel="position")
ax.legend(loc="upper left")
plt.savefig("second_order.png", dpi=150)
