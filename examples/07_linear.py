"""Two tones in noise: linear dynamics find them and carry them far ahead, without any step."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import odeseries as ode
from odeseries.plotting import plot_forecast

rng = np.random.default_rng(0)
times = np.sort(rng.uniform(0.0, 120.0, 400))


def tones(t: np.ndarray) -> np.ndarray:
    """Periods of 7.3 and 2.9."""
    return np.sin(2 * np.pi * t / 7.3) + 0.5 * np.cos(2 * np.pi * t / 2.9)


y = pd.Series(
    tones(times) + 0.1 * rng.standard_normal(400), index=pd.Index(times, name="time"), name="y"
)
model = ode.LatentODEForecaster(
    10.0, dynamics="linear", latent_dim=8, hidden=32, max_epochs=8, random_state=0
).fit(y)
later = np.linspace(120.0, 150.0, 300)
median, intervals = model.predict(later), model.predict_interval(later)

print("periods found:", [round(p, 2) for p in model.periods_])
print("evaluations of a field for a forecast:", model.nfe_)
print("error on the noise-free truth:", round(float(np.std(median - tones(later))), 3))

ax = plot_forecast(y, median, intervals, last=100)
ax.plot(later, tones(later), ":", color="#c2410c", label="truth")
ax.legend(loc="upper left")
plt.savefig("linear.png", dpi=150)
