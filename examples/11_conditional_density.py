"""The distribution of one number given another: not a mean, the whole density."""

import matplotlib.pyplot as plt
import numpy as np

from odeseries import CNFDensityEstimator

rng = np.random.default_rng(0)
x = rng.uniform(0, 4, size=1000)
branch = rng.integers(2, size=1000) * 2 - 1
y = branch * np.sqrt(x) + (0.1 + 0.1 * x) * rng.normal(size=1000)

model = CNFDensityEstimator(
    conditional=True, objective="flow_matching", early_stopping=False, max_epochs=20, random_state=0
)
model.fit(y[:, None], x)  # the density of y given x

values = np.linspace(-4, 4, 160)
asked = [0.2, 1.5, 3.8]
figure, axes = plt.subplots(1, 2, figsize=(11, 4))
axes[0].scatter(x, y, s=3)
axes[0].set(xlabel="x", ylabel="y", title="data: two branches that part")
for at in asked:
    density = np.exp(model.score_samples(values[:, None], np.full(len(values), at)))
    axes[1].plot(values, density, label=f"x = {at}")
    print(f"x = {at}: the density of y sums to {np.trapezoid(density, values):.3f}")
axes[1].set(xlabel="y", title="density of y given x")
axes[1].legend()
figure.tight_layout()
figure.savefig("conditional_density.png", dpi=110)

draws = model.sample(500, y=asked, random_state=0).reshape(3, 500)
print("share of draws above zero:", (draws > 0).mean(1).round(2))
