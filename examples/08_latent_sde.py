"""A latent SDE: intervals that widen with the lead time, and joint paths of the equation itself.

Two correlated Ornstein-Uhlenbeck processes, observed at random times, whose law is known: the
forecast is drawn beside the exact one.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import odeseries as ode

data = ode.datasets.make_double_ou(60, 60, random_state=0)
known, new = data.loc[:58], data.loc[[59]]

model = ode.LatentSDEForecaster(
    3.0,
    latent_dim=2,
    dynamics_params={"hidden": 32},
    n_rows=8,
    validation_fraction=0,
    learning_rate=0.02,
    kl_warmup=20,
    random_state=0,
).fit(known)

seen = new[new.index.get_level_values("time") < 6.0]
last = seen.loc[59].iloc[-1]
end = float(seen.loc[59].index[-1])
times = end + np.linspace(0.02, 3.0, 60)
asked = pd.MultiIndex.from_product([[59], times], names=["series", "time"])
paths = model.sample(asked, history=seen, n_samples=20)
intervals = model.predict_interval(asked, history=seen, coverage=0.9)
width = intervals["x", 0.9, "upper"] - intervals["x", 0.9, "lower"]
print("width of the 90 % interval of x, first and last:", width.iloc[[0, -1]].round(2).tolist())
both = paths.groupby(["series", "time"]).corr().iloc[0::2]["y"].iloc[-1]
print("correlation of x and y on the paths at the end:", round(both, 2))

figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharex=True)
exact = {"x": (1.0, 0.5, 0.4), "y": (-1.0, 1.0, 0.6)}
for ax, (name, (mean, rate, size)) in zip(axes, exact.items(), strict=True):
    bounds = intervals[name, 0.9]
    ax.fill_between(times, bounds["lower"], bounds["upper"], alpha=0.3, label="90 % forecast")
    for _, path in paths[name].groupby("sample"):
        ax.plot(times, path.to_numpy(), color="C0", lw=0.5, alpha=0.6)
    keep = np.exp(-rate * (times - end))
    centre = mean + keep * (last[name] - mean)
    spread = 1.645 * size * np.sqrt((1 - keep**2) / (2 * rate))
    for bound in (centre - spread, centre + spread):
        ax.plot(times, bound, "k--", lw=1)
    ax.plot([], [], "k--", label="90 % exact")
    ax.plot(seen.loc[59].index, seen.loc[59][name], "k.", ms=4, label="observed")
    ax.set_title(name)
    ax.set_xlabel("time")
axes[0].legend(loc="upper left")
figure.tight_layout()
figure.savefig("latent_sde.png", dpi=120)
