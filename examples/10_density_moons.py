"""A density of two moons: how the flow makes it out of noise, and what it draws."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import make_moons

from odeseries import CNFDensityEstimator, solve

X, _ = make_moons(1000, noise=0.1, random_state=0)
# All the way from a single normal distribution, so that there is something to see.
model = CNFDensityEstimator(
    objective="flow_matching", early_stopping=False, max_epochs=15, random_state=0
)
model.fit(X)
print("mean log-density:", round(model.score(X), 3))
print("error of the solution:", model.discretization_error_, "nats with", model.solver_params_)

samples = model.sample(1000, random_state=1)
x, y = np.meshgrid(np.linspace(-2, 3, 80), np.linspace(-1.5, 2, 60))
density = np.exp(model.score_samples(np.c_[x.ravel(), y.ravel()])).reshape(x.shape)

# The same draws on their way: the field of the fitted flow, solved to more times than the last.
times = torch.linspace(0, 1, 5)
start = torch.as_tensor(model.transform(samples), dtype=torch.float32)
none = start[:, :0]
with torch.no_grad():
    paths = solve(lambda t, s: model.flow_.velocity(t, s, none), start, times).ys

figure, axes = plt.subplots(1, 7, figsize=(19, 3))
for ax, time, state in zip(axes, times, paths.unbind(1), strict=False):
    ax.scatter(*state.T, s=2)
    ax.set(title=f"t = {time:.2f}", xlim=(-3, 3), ylim=(-3, 3))
axes[5].pcolormesh(x, y, density)
axes[5].set_title("density")
axes[6].scatter(*X.T, s=2, label="data")
axes[6].scatter(*samples.T, s=2, label="draws")
axes[6].legend()
figure.tight_layout()
figure.savefig("density_moons.png", dpi=110)
