"""A disc inside a ring: no plain field can part them, an augmented one goes around.

Without a stem the state is the data. The flow of a plain field deforms the plane and never tears
it, so the disc stays enclosed by the ring, whatever is learned; one more coordinate frees it.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

import odeseries as ode

rng = np.random.default_rng(0)
radius = np.r_[rng.uniform(0, 0.5, 250), rng.uniform(1.0, 1.5, 250)]
angle = rng.uniform(0, 2 * np.pi, 500)
X = np.c_[radius * np.cos(angle), radius * np.sin(angle)]
y = np.repeat(["disc", "ring"], 250)

common = {
    "stem": "identity",
    "solver": "dopri5",
    "solver_params": {"rtol": 1e-3, "atol": 1e-4},
    "max_epochs": 20,
    "learning_rate": 1e-2,
    "random_state": 0,
}
plain = ode.ODENetClassifier(dynamics="mlp", **common).fit(X, y)
augmented = ode.ODENetClassifier(
    dynamics="augmented", dynamics_params={"extra_dims": 1}, **common
).fit(X, y)

figure = plt.figure(figsize=(11, 3.6))
colours = np.where(y == "disc", "tab:blue", "tab:orange")
start = figure.add_subplot(1, 3, 1)
start.scatter(*X.T, c=colours, s=6)
start.set_title("data")
for place, (name, model) in enumerate([("plain", plain), ("augmented", augmented)], 2):
    z = torch.as_tensor(model._inputs.scaled(X), dtype=torch.float32)
    block = model.network_.block
    with torch.no_grad():
        times = torch.tensor([0.0, 1.0])
        end = ode.solve(block.dynamics, block.dynamics.lift(z), times, solver="dopri5").ys[:, -1]
    space = "3d" if end.shape[1] == 3 else None
    ax = figure.add_subplot(1, 3, place, projection=space)
    ax.scatter(*end.numpy().T, c=colours, s=6)
    accuracy = model.score(X, y)
    ax.set_title(f"{name}, at T\naccuracy {accuracy:.3f}, {model.nfe_:.0f} evaluations")
    print(
        f"{name}: accuracy {accuracy:.3f}, loss {model.history_.loss.iloc[-1]:.4f}, "
        f"{model.nfe_:.1f} evaluations a row"
    )
figure.tight_layout()
figure.savefig("concentric_circles.png", dpi=120)
