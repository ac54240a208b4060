"""The estimator."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from odeseries.checkpoints import begun, drawn_seed
from odeseries.control import LIMITS, Budget, Callback, Control, Limit, as_callbacks
from odeseries.devices import find_device
from odeseries.estimators import Saved
from odeseries.frames.plain import plain_targets, refuse_dates
from odeseries.interfaces import Dynamics, Solver
from odeseries.odenet.inputs import Float64, Inputs, Shift, image_shape
from odeseries.odenet.network import Gradient, ODENet
from odeseries.odenet.parts import Design
from odeseries.odenet.rows import Rows, announced, weights_of
from odeseries.odenet.training import OF_FEATURES, OF_IMAGES, Schedule, Task
from odeseries.parameters import Declared
from odeseries.solvers.options import options_for_users
from odeseries.trained import Trained
from odeseries.training import one_thread

__all__ = ["ODENetClassifier"]

DEFAULT_STEPS = 2
PREDICT_ROWS = 1000


class ODENetClassifier(Saved, Declared, ClassifierMixin, BaseEstimator):
    r"""Classifier of features or images with an ODE block between a stem and a head.

    The stem maps a row to a state, which a learned vector field moves from time 0 to ``T`` [1]_;
    the logits are linear in where it arrives. A residual network is the Euler discretisation of the
    same: ``solver="euler"`` with one step a layer.

    Parameters
    ----------
    hidden : int, optional
        Dimension of the state: 64 features, or 32 channels of images by default.
    dynamics : str or Dynamics class, default="auto"
        Vector field; "auto" is "mlp" for features and "convolutional" for images, whose channels
        are the last axis of the state.
    dynamics_params : dict, optional
        Hyperparameters of the field.
    stem : {"auto", "identity"}, default="auto"
        A layer for features, convolutions for images, or nothing.
    T : float, default=1.0
        End of the time.
    learn_T : bool, default=False
        Whether ``T`` is learnt, beginning with that value.
    solver : str or Solver class, default="midpoint"
        Method of integration.
    solver_params : dict, optional
        Steps or tolerances, see `odeseries.solve`; 2 steps by default.
    gradient : {"autograd", "checkpoint", "adjoint"}, default="autograd"
        Way to the gradients, see `odeseries.solve`: the adjoint's memory does not grow with the
        number of steps.
    image_shape : tuple of int, optional
        (height, width) or (channels, height, width) of images that come as flat rows.
    augmentation : {"shift"}, optional
        "shift" moves training images by up to a fourteenth of their side, at least one pixel,
        and averages the probabilities of an image over itself and its four neighbours, moved by
        one pixel.
    class_weight : dict, "balanced" or None
        Weights of the classes, not negative; 1 for those that a dict leaves out.
    max_epochs : int, optional
        Epochs; by default 40 of features and 25 of images for up to 1,500 rows, fewer of more
        rows, by the cube root of their number. Without early stopping the learning rate rises
        and falls once over them.
    batch_size : int, default=64
        Most rows of a step.
    learning_rate : float, default=5e-3
        Peak of the learning rate.
    weight_decay : float, default=1e-2
        Decoupled weight decay of matrices.
    input_noise : float, optional
        Standard deviation of the normal noise that is added to the scaled inputs in a step of the
        training, drawn anew for every row, which smooths the classes' borders [2]_: 0.3 of
        features, 0 of images by default.
    dropout : float, default=0.0
        Share of the numbers that the head does not see in a step of the training, drawn anew for
        every row [3]_; 0.25 serves images of more than 8 pixels a side.
    early_stopping : bool, default=False
        Whether to hold rows out, class by class, train at a constant rate until their log-loss
        has not fallen for ``patience`` epochs, and keep the best weights.
    validation_fraction : float, default=0.1
        Share held out for early stopping.
    patience : int, default=10
        Epochs to wait for a better held-out loss.
    max_time : float, str or timedelta, optional
        Most time that a fit takes: seconds, or a length such as "10min".
    callbacks : callable or list of callables, optional
        Called after every epoch with a read-only mapping, the epoch's row of ``history_``; one
        that returns something true ends the fit.
    checkpoint_dir : path, optional
        Where progress is kept after every epoch, so that the same fit goes on after its process
        was killed; deleted at the end.
    device : str, default="auto"
        "cpu", "cuda" or "auto".
    random_state : int, RandomState or None
        Seed; without one it comes from the system. Global generators are not touched.
    verbose : bool, default=False
        Whether to show progress.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        Labels, sorted.
    network_ : nn.Module
        Trained network, in float32.
    nfe_ : float
        Mean number of evaluations of the field, over the first thousand rows of the training data.
    T_ : float
        End of the time.
    history_ : DataFrame
        One row an epoch: losses, steps skipped because their loss was not finite, seconds.
    n_epochs_ : int
        Epochs that were trained.

    Notes
    -----
    Methods of fixed steps, and the package's own adaptive ones, treat every row by itself. Those
    of torchdiffeq share their steps among the rows that are predicted together, so that a row's
    probabilities depend on its companions within the tolerances.

    References
    ----------
    .. [1] Chen, R. T. Q., Rubanova, Y., Bettencourt, J., Duvenaud, D. (2018). Neural Ordinary
       Differential Equations. NeurIPS. Section 3.
    .. [2] Bishop, C. M. (1995). Training with Noise is Equivalent to Tikhonov Regularization.
       Neural Computation 7(1). Section 2.
    .. [3] Srivastava, N., Hinton, G., Krizhevsky, A., Sutskever, I., Salakhutdinov, R. (2014).
       Dropout: A Simple Way to Prevent Neural Networks from Overfitting. Journal of Machine
       Learning Research 15. Section 4.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from odeseries import ODENetClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = ODENetClassifier(max_epochs=20, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden": [Interval(Integral, 1, None, closed="left"), None],
        "dynamics": [str, type],
        "dynamics_params": [dict, None],
        "stem": [StrOptions({"auto", "identity"})],
        "T": [Interval(Real, 0, None, closed="neither")],
        "learn_T": ["boolean"],
        "solver": [str, type],
        "solver_params": [dict, None],
        "gradient": [StrOptions({"autograd", "checkpoint", "adjoint"})],
        "image_shape": [tuple, list, None],
        "augmentation": [StrOptions({"shift"}), None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "input_noise": [Interval(Real, 0, None, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "max_time": LIMITS,
        "callbacks": [callable, list, tuple, None],
        "checkpoint_dir": [str, os.PathLike, None],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["boolean"],
    }

    network_attribute: ClassVar[str] = "network_"
    records: ClassVar[tuple[type, ...]] = (Inputs, Shift)

    hidden: int | None = None
    dynamics: str | type[Dynamics] = "auto"
    dynamics_params: Mapping[str, Any] | None = None
    stem: str = "auto"
    T: float = 1.0
    learn_T: bool = False
    solver: str | type[Solver] = "midpoint"
    solver_params: Mapping[str, Any] | None = None
    gradient: Gradient = "autograd"
    image_shape: Sequence[int] | None = None
    augmentation: str | None = None
    class_weight: Mapping[Any, float] | str | None = None
    max_epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-2
    input_noise: float | None = None
    dropout: float = 0.0
    early_stopping: bool = False
    validation_fraction: float = 0.1
    patience: int = 10
    max_time: Limit | None = None
    callbacks: Callback | Sequence[Callback] | None = None
    checkpoint_dir: str | os.PathLike[str] | None = None
    device: str = "auto"
    random_state: Any = None
    verbose: bool = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows.

        Parameters
        ----------
        X : array-like of shape (n, n_features) or (n, channels, height, width)
            Features or images.
        y : array-like of shape (n,)
            Classes, of any type that sorts.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows. One of weight 0 adds nothing but its class to ``classes_``.

        Returns
        -------
        self
        """
        self._validate_params()
        budget = Budget(self.max_time)
        X, y = self._checked(X, y)
        self.classes_ = np.unique(y)
        X, y, weights = self._weighty(X, y, sample_weight)
        seed, store = begun(self, lambda: [X, np.asarray(y, str), weights])
        self._start(X, seed)
        self._inputs.learn(X, weights)
        rows = self._rows(X, y, weights)
        control = Control(budget, as_callbacks(self.callbacks), store)
        task = Task(self.network_, rows, self._schedule(len(rows)), seed, control)
        with self._threads():
            # A single class needs no training: its probability is one.
            trained = task.fit() if len(self.classes_) > 1 else task.loop.trained
            self._finish(X, trained)
        if store is not None and not trained.interrupted:
            store.remove()
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Learn one epoch more, on these rows.

        Parameters
        ----------
        X, y, sample_weight
            As for ``fit``; weights count in units of the mean weight of the first rows.
        classes : array-like of shape (n_classes,), optional
            All classes that there will be; needed in the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If ``y`` has classes that were not announced.
        """
        self._validate_params()
        first = not self.__sklearn_is_fitted__()
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all rows at once: give partial_fit a dict of "
                "weights, or a sample_weight."
            )
        X, y = self._checked(X, y, reset=first)
        self.classes_ = announced(y, classes, None if first else self.classes_)
        X, y, weights = self._weighty(X, y, sample_weight, reset=first)
        seed = drawn_seed(self.random_state)
        if first:
            self._start(X, seed)
        self._inputs.learn(X, weights)
        rows = self._rows(X, y, weights)
        control = Control(Budget(self.max_time), as_callbacks(self.callbacks))
        task = Task(self.network_, rows, self._schedule(len(rows)), seed, control)
        with self._threads():
            self._progress: dict[str, Any] | None = task.epoch(self._progress)
            self._finish(X, task.loop.trained)
        return self

    def predict(self, X: Any) -> Any:
        """Most probable classes, shape (n,)."""
        best = self._logits(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> Float64:
        """Probabilities of the classes, float64 of shape (n, n_classes), rows summing to one."""
        logits = self._logits(X)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(shares / shares.sum(1, keepdims=True))

    def predict_log_proba(self, X: Any) -> Float64:
        """Logarithms of the probabilities, finite where the probability rounds to zero."""
        logits = self._logits(X)
        shifted = logits - logits.max(1, keepdims=True)
        out: Float64 = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
        return out

    def decision_function(self, X: Any) -> Float64:
        """Logits, shape (n, n_classes); of two classes the log-odds of the second, shape (n,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of the rows whose class is predicted, by weight."""
        return float(super().score(X, plain_targets(y), sample_weight))

    def nfe(self, X: Any) -> Any:
        """Evaluations of the field that each row needs, shape (n,)."""
        return self._evaluations(self._known(X))

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a network."""
        return "network_" in vars(self)

    def _checked(self, X: Any, y: Any, *, reset: bool = True) -> tuple[Any, Any]:
        """Finite numbers of two or four axes, and classes."""
        refuse_dates(X)
        y = plain_targets(y)
        X, y = validate_data(self, X, y, reset=reset, dtype=np.float64, allow_nd=True)
        check_classification_targets(y)
        return X, y

    def _weighty(
        self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True
    ) -> tuple[Any, Any, Float64]:
        """Rows with a weight, and it in units of the first rows' mean."""
        weights = weights_of(X, y, sample_weight, self.class_weight, self.classes_)
        kept = weights > 0
        if reset:
            self._weight_unit = float(weights[kept].mean())
        return X[kept], y[kept], weights[kept] / self._weight_unit

    def _start(self, X: Any, seed: int) -> None:
        """Make an untrained network for rows like these."""
        shape = image_shape(X, self.image_shape)
        if self.augmentation is not None and shape is None:
            raise ValueError('augmentation="shift" moves images: give image_shape, or 4 axes.')
        self._inputs = Inputs(shape)
        self._shift: Shift | None = None
        self._progress = None
        self.device_ = find_device(self.device)
        self._remember()
        self.network_: ODENet = self._untrained(seed).to(self.device_)

    def _untrained(self, seed: int) -> ODENet:
        """The network before training."""
        shape = self._inputs.shape
        return self._design().build(self.n_features_in_, shape, len(self.classes_), seed)

    def _design(self) -> Design:
        return Design(
            hidden=self.hidden,
            dynamics=self.dynamics,
            dynamics_params=self.dynamics_params or {},
            stem=self.stem,
            T=self.T,
            learn_T=self.learn_T,
            solver=self.solver,
            gradient=self.gradient,
            options={"n_steps": DEFAULT_STEPS}
            if self.solver_params is None
            else options_for_users(self.solver_params),
        )

    def _schedule(self, n: int) -> Schedule:
        usual = OF_FEATURES if self._inputs.shape is None else OF_IMAGES
        return Schedule(
            max_epochs=self.max_epochs or usual.epochs_of(n),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            noise=usual.noise if self.input_noise is None else self.input_noise,
            dropout=self.dropout,
            early_stopping=self.early_stopping,
            validation_fraction=self.validation_fraction,
            patience=self.patience,
            shift=self._shift,
            verbose=self.verbose,
        )

    def _rows(self, X: Any, y: Any, weights: Float64) -> Rows:
        x = self._inputs.tensor(X, self.device_, torch.float32)
        if self.augmentation == "shift" and self._shift is None:
            self._shift = Shift.of(x)
        return Rows(
            x,
            torch.as_tensor(np.searchsorted(self.classes_, y), device=self.device_),
            torch.as_tensor(weights, dtype=torch.float32, device=self.device_),
        )

    def _threads(self) -> AbstractContextManager[None]:
        """One thread for features; convolutions gain from more."""
        return one_thread() if self._inputs.shape is None else nullcontext()

    def _finish(self, X: Any, trained: Trained) -> None:
        """Keep what is told about a fit."""
        self.history_ = pd.DataFrame(trained.records)
        self.n_epochs_ = trained.epoch
        self.T_ = self.network_.block.T
        self.nfe_ = float(self._evaluations(X[:PREDICT_ROWS]).mean())

    def _known(self, X: Any) -> Any:
        """Rows like those of the fit."""
        check_is_fitted(self)
        refuse_dates(X)
        X = validate_data(self, X, reset=False, dtype=np.float64, allow_nd=True)
        image_shape(X, self._inputs.shape)
        return X

    def _logits(self, X: Any) -> Float64:
        """Those of a row; where images are moved, logarithms of their mean probabilities."""
        X = self._known(X)
        shift = self._shift
        if shift is None:
            return self._batched(X, lambda net, x: net(x))
        return self._batched(X, lambda net, x: _averaged(net, shift.around(x)))

    def _evaluations(self, X: Any) -> Any:
        return self._batched(X, lambda net, x: net.evaluations(x)).astype(np.int64)

    @torch.no_grad()
    def _batched(self, X: Any, function: Callable[[ODENet, Tensor], Tensor]) -> Float64:
        """What a function of the network answers for every row.

        Features are evaluated in float64, in which a row's answer does not depend on how many
        rows are evaluated together; images in float32, which is faster.
        """
        net, dtype = self.network_, torch.float32
        if self._inputs.shape is None:
            net, dtype = copy.deepcopy(net).double(), torch.float64
        x = self._inputs.tensor(X, self.device_, dtype)
        with self._threads():
            answers = torch.cat([function(net, part) for part in torch.split(x, PREDICT_ROWS)])
        return np.asarray(answers.double().cpu().numpy())


def _averaged(net: ODENet, views: Iterable[Tensor]) -> Tensor:
    """Logarithms of the probabilities' means over several views of the same rows."""
    logs = [torch.log_softmax(net(view).double(), 1) for view in views]
    return torch.stack(logs).logsumexp(0) - math.log(len(logs))
