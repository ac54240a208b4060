"""Rows that are unlikely: a density as an anomaly score, beside an isolation forest."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score, roc_curve

from odeseries import CNFDensityEstimator

# Two cultivars of wine are the usual; the third, which was never seen, is to be noticed.
X, cultivar = load_wine(return_X_y=True)
usual, strange = X[cultivar != 2], X[cultivar == 2]
order = np.random.default_rng(0).permutation(len(usual))
known, new = usual[order[:90]], usual[order[90:]]
shown = np.concatenate([new, strange])
is_strange = np.repeat([0, 1], [len(new), len(strange)])

density = CNFDensityEstimator(max_epochs=10, random_state=0).fit(known)
forest = IsolationForest(random_state=0).fit(known)
scores = {
    "log-density of the flow": -density.score_samples(shown),
    "isolation forest": -forest.score_samples(shown),
}

figure, axes = plt.subplots(1, 2, figsize=(10, 4))
for name, score in scores.items():
    area = roc_auc_score(is_strange, score)
    print(f"{name}: area under the curve {area:.3f}")
    axes[0].plot(*roc_curve(is_strange, score)[:2], label=f"{name}, area {area:.3f}")
axes[0].set(xlabel="false alarms", ylabel="strange rows noticed")
axes[0].legend()
surprise = scores["log-density of the flow"]
axes[1].hist([surprise[is_strange == 0], surprise[is_strange == 1]], 25, label=["usual", "strange"])
axes[1].set(xlabel="negative log-density in nats")
axes[1].legend()
figure.tight_layout()
figure.savefig("anomalies.png", dpi=110)
