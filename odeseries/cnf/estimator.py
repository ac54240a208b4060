"""The estimator."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    TransformerMixin,
)
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_n_features,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)
from torch import Tensor

from odeseries.checkpoints import begun, drawn_seed
from odeseries.cnf.bases import MixtureBase, NormalBase
from odeseries.cnf.conditions import Conditions
from odeseries.cnf.design import Design
from odeseries.cnf.fitting import Fit, Fitted, Recipe
from odeseries.cnf.flow import Flow
from odeseries.cnf.powers import Powers
from odeseries.cnf.routes import best_ground, routes
from odeseries.cnf.rows import Rows
from odeseries.cnf.spaces import Space
from odeseries.control import LIMITS, Budget, Callback, Control, Limit, as_callbacks
from odeseries.devices import find_device
from odeseries.errors import DataError
from odeseries.estimators import Saved, checked_weights
from odeseries.frames.plain import refuse_dates
from odeseries.interfaces import Dynamics, Solver
from odeseries.parameters import Declared
from odeseries.training import one_thread

__all__ = ["CNFDensityEstimator"]

Float64 = npt.NDArray[np.float64]
PREDICT_ROWS = 1000
AUTOMATIC = ("standard", "whiten", "power")


class CNFDensityEstimator(
    Saved, Declared, ClassNamePrefixFeaturesOutMixin, TransformerMixin, DensityMixin, BaseEstimator
):
    """Density of rows of numbers by a continuous normalizing flow.

    A learned vector field moves a normal distribution to that of the data; the density follows
    from the divergence along the way.

    Parameters
    ----------
    conditional : bool, default=False
        Whether the density is that of ``X`` given ``y``; otherwise ``y`` is ignored.
    objective : {"auto", "flow_matching", "likelihood"}, default="auto"
        What is minimised: the squared distance of the field from the velocities of paths between
        noise and data, which needs no integration, or the negative logarithm of the density.
        "auto" matches a normal base and maximises the likelihood from a mixture.
    base : {"auto", "normal", "mixture"}, default="auto"
        Distribution that the field moves: standard normal, or a mixture of normal distributions
        whose number and floor of variance are cross-validated, averaged over five fits from other
        starts. "auto" takes the mixture unless matching from the normal base is better on rows
        held out by more than a standard error; the mixture moves only where that gains 0.01 nats
        and more than a standard error there.
    dynamics : str or Dynamics class, default="fourier"
        Vector field, of a state of the dimension of the data.
    dynamics_params : dict, optional
        Hyperparameters of the field.
    divergence : {"auto", "exact", "hutchinson"}, default="auto"
        Exact by the field's own closed form or by rows of the Jacobian, or estimated with random
        signs; "auto" is exact in closed form or up to 16 dimensions.
    n_probes : int, default=1
        Random signs of an estimated divergence, drawn once a solution.
    preprocessing : {"auto", "none", "standard", "whiten", "power"}, default="auto"
        Map of the data before the flow: affine, or, for "power", the transformation of Yeo and
        Johnson of every feature before they are whitened. "auto" is standard or whiten, whichever
        lets a mixture of normal distributions do better in cross-validation, or power where that
        is better by more than a standard error.
    noise : "auto" or float, default="auto"
        Standard deviation of the noise that the data are taken to have, after preprocessing.
        Flow matching learns the density for any noise at once, and "auto" takes the best on rows
        held out; the likelihood is maximised of data with noise added, none by "auto".
    kinetic, jacobian : float, default=0.0
        Weights of the kinetic energy of the paths and of the norm of the field's Jacobian beside
        the likelihood, both integrals over the time; see `odeseries.Regularised`.
    solver : str or Solver class, default="rk4"
        Method of integration.
    solver_params : dict, optional
        Steps or tolerances of training and of the first solution that is audited, see
        `odeseries.solve`; by default 4 fixed steps to train.
    max_epochs : int, default=100
        Most epochs. An epoch is a pass over the data, or 100 batches of flow matching, 20 of the
        likelihood, where a pass has fewer.
    batch_size : int, default=256
        Most rows of a step.
    learning_rate : float, optional
        Peak of the learning rate; 0.01 for flow matching and 0.003 for the likelihood by default.
    weight_decay : float, default=0.0
        Decoupled weight decay of matrices.
    early_stopping : bool, default=True
        Whether to hold rows out, train until their likelihood has not risen for ``patience``
        epochs, and train as long again on all rows.
    validation_fraction : float, default=0.15
        Share held out for early stopping.
    patience : int, default=8
        Epochs to wait for a better held-out likelihood.
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
    flow_ : nn.Module
        Trained flow, in float32.
    discretization_error_ : float
        Mean absolute difference of the log-density of the training data, at most 200 of its rows
        taken at random, from that of the next finer solution, in nats.
    solver_params_ : dict
        Steps or tolerances of predictions: raised until that error is below 0.001.
    objective_, preprocessing_ : str
        What was chosen.
    noise_ : float
        The same of the noise.
    history_ : DataFrame
        One row an epoch: losses, steps skipped because their loss was not finite, seconds.
    n_epochs_ : int
        Epochs that were trained on all rows.

    References
    ----------
    Grathwohl, W., Chen, R. T. Q., Bettencourt, J., Sutskever, I., Duvenaud, D. (2019). FFJORD:
    Free-form Continuous Dynamics for Scalable Reversible Generative Models. ICLR.

    Lipman, Y., Chen, R. T. Q., Ben-Hamu, H., Nickel, M., Le, M. (2023). Flow Matching for
    Generative Modeling. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from odeseries import CNFDensityEstimator
    >>> X, _ = make_moons(40, noise=0.1, random_state=0)
    >>> model = CNFDensityEstimator(max_epochs=2, random_state=0).fit(X)
    >>> model.score_samples([[0.0, 1.0]]) > model.score_samples([[0.0, 3.0]])
    array([ True])
    >>> model.sample(3, random_state=0).shape
    (3, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "conditional": ["boolean"],
        "objective": [StrOptions({"auto", "flow_matching", "likelihood"})],
        "base": [StrOptions({"auto", "normal", "mixture"})],
        "dynamics": [str, type],
        "dynamics_params": [dict, None],
        "divergence": [StrOptions({"auto", "exact", "hutchinson"})],
        "n_probes": [Interval(Integral, 1, None, closed="left")],
        "preprocessing": [StrOptions({"auto", "none", "standard", "whiten", "power"})],
        "noise": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "kinetic": [Interval(Real, 0, None, closed="left")],
        "jacobian": [Interval(Real, 0, None, closed="left")],
        "solver": [str, type],
        "solver_params": [dict, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), None],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
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

    network_attribute: ClassVar[str] = "flow_"
    records: ClassVar[tuple[type, ...]] = (Space, Powers, Conditions)

    conditional: bool = False
    objective: str = "auto"
    base: str = "auto"
    dynamics: str | type[Dynamics] = "fourier"
    dynamics_params: Mapping[str, Any] | None = None
    divergence: str = "auto"
    n_probes: int = 1
    preprocessing: str = "auto"
    noise: float | str = "auto"
    kinetic: float = 0.0
    jacobian: float = 0.0
    solver: str | type[Solver] = "rk4"
    solver_params: Mapping[str, Any] | None = None
    max_epochs: int = 100
    batch_size: int = 256
    learning_rate: float | None = None
    weight_decay: float = 0.0
    early_stopping: bool = True
    validation_fraction: float = 0.15
    patience: int = 8
    max_time: Limit | None = None
    callbacks: Callback | Sequence[Callback] | None = None
    checkpoint_dir: str | os.PathLike[str] | None = None
    device: str = "auto"
    random_state: Any = None
    verbose: bool = False

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn from rows.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Data.
        y : array-like of shape (n,) or (n, n_numbers), optional
            Classes or numbers that the density is conditioned on, if ``conditional``: of shape
            (n,) texts, booleans and whole numbers are classes; of shape (n, 1) they are numbers.
        sample_weight : array-like of shape (n,), optional
            Weights of the rows.

        Returns
        -------
        self
        """
        self._validate_params()
        budget = Budget(self.max_time)
        X, weights = self._checked(X, y, sample_weight)
        self._conditions = Conditions.of(y, weights) if self.conditional else Conditions.none()
        seed, store = begun(self, lambda: [X, np.asarray(y, str), weights])
        self.device_ = find_device(self.device)
        kinds = AUTOMATIC if self.preprocessing == "auto" else (self.preprocessing,)
        mixed = any(route.mixed for route in routes(self.objective, self.base))
        ground = best_ground(kinds, mixed, X, weights, seed)
        self._space = ground.space
        control = Control(budget, as_callbacks(self.callbacks), store)
        fit = Fit(self._recipe(), ground, self._rows(X, y, weights), seed, control)
        with one_thread():
            fitted = fit.run()
        self._remember()
        self._finish(fit, fitted)
        if store is not None and not fitted.interrupted:
            store.remove()
        return self

    def score_samples(self, X: Any, y: Any = None) -> Float64:
        """Logarithm of the density at every row, in nats.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Data.
        y : array-like of shape (n,) or (n, n_numbers), optional
            What the density is conditioned on, if ``conditional``.

        Returns
        -------
        array of shape (n,)
        """
        return self._log_density(self._seen(X), y)

    def score(self, X: Any, y: Any = None) -> float:
        """Mean logarithm of the density over the rows, in nats."""
        return float(self.score_samples(X, y).mean())

    def transform(self, X: Any, y: Any = None) -> Float64:
        """Points of the base distribution that are moved to the rows, shape (n, n_features)."""
        x = self._space.inside(self._seen(X))
        return self._moved(x, y, lambda flow, x, c: flow.to_base(x, c, self._signs())[0])

    def inverse_transform(self, X: Any, y: Any = None) -> Float64:
        """Rows that points of the base distribution are moved to, shape (n, n_features)."""
        check_is_fitted(self)
        refuse_dates(X)
        z = check_array(X, dtype=np.float64, copy=True, input_name="X")
        # A frame of such points has the names of the base space, not those of the data.
        _check_n_features(self, z, reset=False)
        return self._from_base(z, y)

    def sample(self, n_samples: int = 1, y: Any = None, random_state: Any = None) -> Float64:
        """Draw from the density.

        Parameters
        ----------
        n_samples : int
            Number of rows; of a conditional density, those for each target.
        y : array-like of shape (m,) or (m, n_numbers), optional
            Targets, if ``conditional``.
        random_state : int, RandomState or None
            Seed; without one it comes from the system.

        Returns
        -------
        array of shape (n_samples, n_features) or (m * n_samples, n_features)
            The rows of the first target come first.
        """
        return self._from_base(*self._drawn(n_samples, y, random_state))

    def sample_with_log_density(
        self, n_samples: int = 1, y: Any = None, random_state: Any = None
    ) -> tuple[Float64, Float64]:
        """Draw from the density, with its logarithm at every draw.

        Parameters
        ----------
        n_samples, y, random_state
            As for ``sample``.

        Returns
        -------
        samples : array of shape (n, n_features)
        log_density : array of shape (n,)
        """
        z, y = self._drawn(n_samples, y, random_state)
        samples = self._from_base(z, y)
        return samples, self._log_density(samples, y)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is a flow."""
        return "flow_" in vars(self)

    @property
    def _n_features_out(self) -> int:
        """Dimension of the base space."""
        return int(self.n_features_in_)

    def _checked(self, X: Any, y: Any, sample_weight: Any) -> tuple[Float64, Float64]:
        """Finite numbers, and weights with a mean of 1."""
        refuse_dates(X)
        X = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        if self.conditional:
            if y is None:
                raise ValueError("conditional=True, but y is None: give a target for every row.")
            check_consistent_length(X, y)
        weights = checked_weights(X, sample_weight)
        weights /= weights.mean()
        if np.count_nonzero(weights) < 2:
            raise DataError(
                f"Only the row at position {weights.argmax()} has a positive weight: a density "
                "needs at least 2 such rows."
            )
        return X, weights

    def _design(self) -> Design:
        return Design(self.dynamics, self.dynamics_params or {}, self.divergence, self.solver)

    def _untrained(self, seed: int) -> Flow:
        """The flow before training."""
        dim = self.n_features_in_
        base = MixtureBase(self._n_components, dim) if self._n_components else NormalBase(dim)
        width = self._conditions.width
        return self._design().build(base, dim, width, self.solver_params_, seed)

    def _recipe(self) -> Recipe:
        named = [f.name for f in fields(Recipe) if f.name != "design"]
        return Recipe(design=self._design(), **{name: getattr(self, name) for name in named})

    def _finish(self, fit: Fit, fitted: Fitted) -> None:
        """Keep what was learnt, and what is told about it."""
        self.flow_ = fitted.flow
        self._probes = fit.probes
        self._n_components = fitted.n_components
        self.objective_, self.preprocessing_ = fitted.objective, self._space.kind
        self.noise_ = float(fitted.flow.noise)
        self.solver_params_ = dict(fitted.flow.options)
        self.discretization_error_ = fitted.error
        self.history_ = pd.DataFrame(fitted.records)
        self.n_epochs_ = fitted.n_epochs

    def _rows(self, X: Float64, y: Any, weights: Float64) -> Rows:
        weighty = weights > 0
        condition = self._conditions.encoded(y, len(X))
        return Rows(
            self._tensor(self._space.inside(X[weighty]), torch.float32),
            self._tensor(condition[weighty], torch.float32),
            self._tensor(weights[weighty] / weights[weighty].mean(), torch.float32),
        )

    def _tensor(self, values: Float64, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=self.device_)

    def _signs(self) -> Tensor:
        """Probes of an estimated divergence, the same for all rows and calls."""
        return self._probes.to(self.device_)

    def _drawn(self, n_samples: int, y: Any, random_state: Any) -> tuple[Float64, Any]:
        """Points of the base distribution, and the target of each."""
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples={n_samples!r} must be a whole number of at least 1.")
        if self.conditional and y is not None:
            y = np.repeat(self._conditions.targets(y), n_samples, axis=0)
            n_samples = len(y)
        rng = np.random.default_rng(drawn_seed(random_state))
        return self.flow_.base.sample(n_samples, rng), y

    def _seen(self, X: Any) -> Float64:
        """Rows as they were in the fit."""
        check_is_fitted(self)
        refuse_dates(X)
        return np.asarray(validate_data(self, X, reset=False, dtype=np.float64))

    def _from_base(self, z: Float64, y: Any) -> Float64:
        return self._space.outside(self._moved(z, y, lambda flow, x, c: flow.from_base(x, c)))

    def _log_density(self, X: Float64, y: Any) -> Float64:
        x = self._space.inside(X)
        out = self._moved(x, y, lambda flow, x, c: flow.log_density(x, c, self._signs()))
        return np.asarray(out + self._space.log_volumes(X))

    @torch.no_grad()
    def _moved(
        self, x: Float64, y: Any, function: Callable[[Flow, Tensor, Tensor], Tensor]
    ) -> Float64:
        """What a function of the flow answers in its own space.

        It is evaluated in float64, in which a row's answer does not depend on how many rows are
        evaluated together.
        """
        flow = copy.deepcopy(self.flow_).double()
        condition = self._tensor(self._conditions.encoded(y, len(x)))
        columns = (torch.split(column, PREDICT_ROWS) for column in (self._tensor(x), condition))
        with one_thread():
            answers = torch.cat([function(flow, *part) for part in zip(*columns, strict=True)])
        return np.asarray(answers.cpu().numpy())
