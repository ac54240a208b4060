"""A residual network is Euler's method: the same weights, with more and more steps.

Two classifiers learn two moons: one with five Euler steps, a residual network whose five layers
share their weights, and one with twenty steps of a fine method. Each is then asked with other
numbers of Euler steps. More steps bring both closer to the solution of their equation: the
continuous one to what it has learned, the discrete one away from it.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import make_moons

import odeseries as ode

X, y = make_moons(300, noise=0.1, random_state=0)
shared = {"T": 5.0, "stem": "identity", "dynamics": "augmented", "max_epochs": 60}
discrete = ode.ODENetClassifier(
    solver="euler", solver_params={"n_steps": 5}, random_state=0, **shared
).fit(X, y)
continuous = ode.ODENetClassifier(
    solver="rk4", solver_params={"n_steps": 20}, random_state=0, **shared
).fit(X, y)

# One step by hand: a residual layer, z + h f(z).
block = discrete.network_.block
z = block.dynamics.lift(torch.randn(4, 2))
layer = z + 1.0 * block.dynamics(torch.zeros(1), z)
solved = ode.solve(block.dynamics, z, torch.tensor([0.0, 1.0]), solver="euler", n_steps=1)
print("a layer is an Euler step:", bool(torch.allclose(layer, solved.ys[:, -1], atol=1e-6)))

sides = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 80), np.linspace(-1.1, 1.6, 60)), -1)
steps = [5, 6, 8, 12, 40]
figure, axes = plt.subplots(2, len(steps), figsize=(13, 5), sharex=True, sharey=True)
for row, (name, model) in enumerate([("discrete", discrete), ("continuous", continuous)]):
    for ax, n_steps in zip(axes[row], steps, strict=True):
        model.network_.block.solver = "euler"
        model.network_.block.options = {"n_steps": n_steps}
        p = model.predict_proba(sides.reshape(-1, 2))[:, 1].reshape(60, 80)
        ax.contourf(sides[..., 0], sides[..., 1], p, levels=20, cmap="coolwarm", vmin=0, vmax=1)
        ax.scatter(*X.T, c=y, cmap="coolwarm", edgecolor="k", s=8, linewidth=0.3)
        ax.set_title(f"{name}, {n_steps} steps: {model.score(X, y):.2f}", fontsize=9)
        print(f"{name}, asked with {n_steps} Euler steps: accuracy {model.score(X, y):.3f}")
figure.tight_layout()
figure.savefig("resnet_is_euler.png", dpi=110)
