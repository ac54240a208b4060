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

model.network_.block.options = {"rtol": 1e-6, "atol": 1e-7}
exact = model.predict_proba(X[new])
rows = []
for tolerance in (3.0, 1.0, 1e-1, 1e-2, 1e-3, 1e-4):
    model.network_.block.options = {"rtol": tolerance, "atol": tolerance / 10}
    nfe = model.nfe(X[new])
    started = time.perf_counter()
    p = model.predict_proba(X[new])
    seconds = time.perf_counter() - started
    error, loss = np.abs(p - exact).max(), log_loss(y[new], p)
    rows.append((tolerance, nfe.min(), nfe.mean(), nfe.max(), error))
    print(
        f"tolerance {tolerance:.0e}: {nfe.min()}-{nfe.max()} evaluations in "
        f"{1000 * seconds:.0f} ms, probabilities off by {error:.0e}, log-loss {loss:.4f}"
    )

tolerance, least, nfe, most, error = np.array(rows).T
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
left.fill_between(tolerance, least, most, alpha=0.3)
left.semilogx(tolerance, nfe, "o-")
left.set(xlabel="tolerance", ylabel="evaluations of the field, by row")
right.semilogy(nfe, error, "o-", color="tab:red")
right.set(xlabel="mean evaluations of the field", ylabel="largest error of a probability")
figure.tight_layout()
figure.savefig("adaptive_depth.png", dpi=120)
