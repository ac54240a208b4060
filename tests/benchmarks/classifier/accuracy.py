"""Accuracy, log-loss and seconds of the classifier beside its peers, in one run on one thread.

python tests/benchmarks/classifier/accuracy.py digits [--seeds 5] [--only SVC]
python tests/benchmarks/classifier/accuracy.py flat_digits
python tests/benchmarks/classifier/accuracy.py features
python tests/benchmarks/classifier/accuracy.py mnist --data FOLDER --seeds 3
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import odeseries as ode


class Still(ode.Dynamics):
    """No movement: the control without an ODE block."""

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Derivative."""
        return torch.zeros_like(state)


class Residual(ode.Dynamics):
    """Layers of weights of their own, one an Euler step: a residual network."""

    autonomous = False

    def __init__(self, dim: int, *, layers: int = 2) -> None:
        super().__init__(dim)
        convolutional = ode.plugins.get("dynamics", "convolutional")
        self.layers = torch.nn.ModuleList(convolutional(dim) for _ in range(layers))

    def forward(
        self, t: torch.Tensor, state: torch.Tensor, inputs: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Residual of the layer whose turn it is, times the number of layers."""
        count = len(self.layers)
        turn = min(int(t.flatten()[0] * count + 0.5), count - 1)
        return count * self.layers[turn](t, state)


class Flat(ClassifierMixin, BaseEstimator):
    """A classifier of flat rows, given images."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: Any, y: Any) -> Flat:
        """Fit."""
        self.model.fit(X.reshape(len(X), -1), y)
        self.classes_ = self.model.classes_
        return self

    def predict_proba(self, X: Any) -> Any:
        """Probabilities."""
        return self.model.predict_proba(X.reshape(len(X), -1))


def peers(seed: int, **settings: Any) -> dict[str, Callable[[], Any]]:
    """Models by name; the three networks differ in the block only."""
    steps = {"solver": "euler", "solver_params": {"n_steps": 2}}
    return {
        "ODENetClassifier": lambda: ode.ODENetClassifier(random_state=seed, **settings),
        "ResNet of 2 layers": lambda: ode.ODENetClassifier(
            random_state=seed, dynamics=Residual, **steps, **settings
        ),
        "no block": lambda: ode.ODENetClassifier(
            random_state=seed,
            dynamics=Still,
            solver="euler",
            solver_params={"n_steps": 1},
            **settings,
        ),
        **classical(seed),
    }


def classical(seed: int) -> dict[str, Callable[[], Any]]:
    """What a user of scikit-learn takes today, as it is by default."""
    mlp = {"max_iter": 300, "random_state": seed}
    return {
        "SVC": lambda: Flat(CalibratedClassifierCV(SVC(), ensemble=False)),
        "MLPClassifier": lambda: Flat(make_pipeline(StandardScaler(), MLPClassifier(**mlp))),
    }


def measured(model: Any, data: Any) -> tuple[float, float, float, float, int]:
    """Accuracy, log-loss, CPU seconds, seconds and parameters."""
    seen, new, y_seen, y_new = data
    cpu, wall = time.process_time(), time.perf_counter()
    model.fit(seen, y_seen)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    p = model.predict_proba(new)
    right = float((model.classes_[p.argmax(1)] == y_new).mean())
    size = 0
    if isinstance(model, ode.ODENetClassifier):
        size = sum(w.numel() for w in model.network_.parameters())
    return right, log_loss(y_new, p), cpu, wall, size


def report(name: str, results: list[tuple[float, float, float, float, int]]) -> None:
    """One line of the table."""
    right, loss, cpu, wall, size = np.array(results).T
    print(
        f"| {name} | {right.mean():.4f} | {right.min():.4f}-{right.max():.4f} | {loss.mean():.4f} "
        f"| {cpu.max():.1f} | {wall.max():.1f} | {int(size[0]) or ''} |",
        flush=True,
    )


def chosen(models: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Those whose name is asked for."""
    return {name: make for name, make in models.items() if args.only in name}


def digits(args: argparse.Namespace) -> None:
    """The fixed split; 450 rows are for the test."""
    X, y = load_digits(return_X_y=True)
    data = train_test_split(X.reshape(-1, 1, 8, 8), y, test_size=450, random_state=0, stratify=y)
    for name in chosen(peers(0), args):
        report(
            name,
            [
                measured(peers(seed, augmentation="shift")[name](), data)
                for seed in range(args.seeds)
            ],
        )


def flat_digits(args: argparse.Namespace) -> None:
    """Digits as plain features."""
    by_folds(*load_digits(return_X_y=True), "", args)


def features(args: argparse.Namespace) -> None:
    """Three other sets of plain features."""
    made = make_classification(
        1000, 20, n_informative=8, n_classes=4, class_sep=1.2, flip_y=0.03, random_state=0
    )
    by_folds(*load_wine(return_X_y=True), "wine: ", args)
    by_folds(*load_breast_cancer(return_X_y=True), "breast cancer: ", args)
    by_folds(*made, "made: ", args)


def by_folds(X: Any, y: Any, label: str, args: argparse.Namespace) -> None:
    """Five stratified folds of plain features."""
    folds = list(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y))
    models = {
        "ODENetClassifier": lambda: ode.ODENetClassifier(random_state=0),
        **classical(0),
        "LogisticRegression, scaled": lambda: Flat(
            make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
        ),
        "SVC, scaled": lambda: Flat(
            make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(), ensemble=False))
        ),
    }
    for name, make in chosen(models, args).items():
        report(label + name, [measured(make(), (X[a], X[b], y[a], y[b])) for a, b in folds])


def mnist(args: argparse.Namespace) -> None:
    """8,000 rows are seen, 2,000 are new."""
    with np.load(args.data / "mnist_10k.npz") as file:
        X, y = file["x"], file["y"]
    X = X.reshape(-1, 1, 28, 28).astype(float)
    data = train_test_split(X, y, test_size=2000, random_state=0, stratify=y)
    settings = {"augmentation": "shift", "dropout": 0.25, "weight_decay": 0.05}
    for name in chosen(peers(0), args):
        seeds = range(args.seeds)
        report(name, [measured(peers(seed, **settings)[name](), data) for seed in seeds])


def main() -> None:
    """Print a table."""
    shared = Path(os.environ.get("ODESERIES_SHARED", "../shared"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=["digits", "flat_digits", "features", "mnist"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="part of a model's name")
    parser.add_argument("--data", type=Path, default=shared / "data" / "mnist_10k")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | accuracy | range | log-loss | CPU s | s | parameters |")
    print("|---|---|---|---|---|---|---|")
    tasks = {"digits": digits, "flat_digits": flat_digits, "features": features, "mnist": mnist}
    tasks[args.task](args)


if __name__ == "__main__":
    main()
