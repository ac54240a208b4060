"""Depth on demand: one trained network, evaluated more or less often, for speed or accuracy."""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.metrics import log_loss

import odeseries as ode

X, y = make_moons(600, noise=0.15, random_state=0)
seen, new = slice(300), slice(300, None)
model = ode.ODENetClassifier(
    T=5.0,
    solver="dopri5",
    solver_params={"rtol": 1e-3, "atol": 1e-4},
    max_epochs=20,
    random_state=0,
).fit(X[seen], y[seen])

rows = []
for tolerance in (1.0, 3e-1, 1e-1, 3e-2, 1e-2, 1e-3, 1e-4, 1e-5):
    model.network_.block.options = {"rtol": tolerance, "atol": tolerance / 10}
    nfe = model.nfe(X[new])
    started = time.perf_counter()
    loss = log_loss(y[new], model.predict_proba(X[new]))
    seconds = time.perf_counter() - started
    rows.append((tolerance, nfe.mean(), model.score(X[new], y[new]), loss, 1000 * seconds))
    print(
        f"tolerance {tolerance:.0e}: {nfe.min()}-{nfe.max()} evaluations, "
        f"accuracy {rows[-1][2]:.3f}, log-loss {loss:.4f}, {1000 * seconds:.0f} ms"
    )

tolerance, nfe, accuracy, loss, _ = np.array(rows).T
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
left.loglog(tolerance, nfe, "o-")
left.set(xlabel="tolerance", ylabel="evaluations of the field per row")
right.plot(nfe, loss, "o-", color="tab:red")
right.set(xlabel="evaluations of the field per row", ylabel="log-loss of new rows")
figure.tight_layout()
figure.savefig("adaptive_depth.png", dpi=120)
