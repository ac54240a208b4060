"""Forests of random trees whose leaves hold distributions, and boosted trees, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from odeseries.panel import Float64, Int64

__all__ = ["BoostedTrees", "QuantileForest"]

LEAST_LEAF, MOST_LEAVES = 5, 1024
SHARE_OF_COLUMNS = 1 / 3
KEPT = 5
"""Quantiles that a leaf holds."""
RATE, PENALTY = 0.05, 10.0
LEAST_BOOSTED_LEAF, MOST_BOOSTED_LEAVES, DEEPEST = 20, 15, 6
BINS = 64


class Trees(nn.Module):
    """Trees that scikit-learn has grown, as tensors, which files can hold.

    Parameters
    ----------
    n_trees : int
        Trees.
    n_kept : int
        Values that a leaf holds.
    """

    column: Tensor
    threshold: Tensor
    branches: Tensor
    leaf: Tensor
    kept: Tensor
    depth: Tensor

    def __init__(self, n_trees: int, n_kept: int) -> None:
        super().__init__()
        self.n_trees = n_trees
        self._hold(*_joined([_bare()] * n_trees), torch.zeros(n_trees, 1, n_kept), depth=0)

    def _hold(
        self,
        column: Tensor,
        threshold: Tensor,
        branches: Tensor,
        leaf: Tensor,
        kept: Tensor,
        depth: int,
    ) -> None:
        self.register_buffer("column", column)
        self.register_buffer("threshold", threshold)
        self.register_buffer("branches", branches)
        self.register_buffer("leaf", leaf)
        self.register_buffer("kept", kept)
        self.register_buffer("depth", torch.tensor(depth, device=kept.device))

    def _take(self, trees: list[Arrays], held: list[Float64], depth: int) -> None:
        """Become such trees, of which the leaves hold these values (n_leaves, n_kept)."""
        most = max(len(table) for table in held)
        padded = [_padded(table, most) for table in held]
        device = self.kept.device
        column, threshold, branches, leaf = (array.to(device) for array in _joined(trees))
        kept = torch.from_numpy(np.stack(padded)).float().to(device)
        self._hold(column, threshold, branches, leaf, kept, depth)

    @property
    def is_grown(self) -> bool:
        """Whether it has learned anything."""
        return int(self.depth) > 0

    def reached(self, x: Tensor) -> Tensor:
        """What the leaves hold that rows (n, n_columns) fall into, (n, n_trees, n_kept)."""
        tree = torch.arange(self.n_trees, device=x.device)
        return self.kept[tree, self._leaves(x.float())]

    def _leaves(self, x: Tensor) -> Tensor:
        """The leaf of every tree that a row falls into, (n, n_trees)."""
        n, n_columns = x.shape
        root = (torch.arange(self.n_trees, device=x.device) * self.column.shape[1]).repeat(n)
        start = (torch.arange(n, device=x.device) * n_columns).repeat_interleave(self.n_trees)
        values, column = x.flatten(), self.column.flatten()
        threshold, branches = self.threshold.flatten(), self.branches.flatten()
        node = root
        for _ in range(int(self.depth)):
            seen = values.index_select(0, start + column.index_select(0, node))
            goes_right = seen > threshold.index_select(0, node)
            node = root + branches.index_select(0, 2 * node + goes_right)
        return self.leaf.flatten().index_select(0, node).view(n, -1).long()

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Take the sizes of the trees from what is read; torch asks this of every module."""
        for name in ("column", "threshold", "branches", "leaf", "kept"):
            if prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name], device=self.kept.device))
        super()._load_from_state_dict(state, prefix, *others)


class QuantileForest(Trees):
    """Extremely randomised trees; a prediction is the mixture of the leaves that a row falls into.

    Parameters
    ----------
    n_trees : int
        Trees.
    seed : int
        Of their splits.

    References
    ----------
    Geurts, P., Ernst, D., Wehenkel, L. (2006). Extremely randomized trees. Machine Learning 63, 3.
    Meinshausen, N. (2006). Quantile Regression Forests. JMLR 7, 983. Equation (6), with leaves
    thinned to a few quantiles.
    """

    def __init__(self, n_trees: int, seed: int) -> None:
        super().__init__(n_trees, KEPT)
        self.seed = seed

    def fit(self, x: Tensor, y: Tensor) -> None:
        """Grow the trees.

        Parameters
        ----------
        x : Tensor of shape (n, n_columns)
        y : Tensor of shape (n,)
        """
        least = max(LEAST_LEAF, -(-len(y) // MOST_LEAVES))
        forest = ExtraTreesRegressor(
            self.n_trees,
            min_samples_leaf=least,
            max_features=SHARE_OF_COLUMNS,
            random_state=self.seed,
        )
        columns, values = _as_arrays(x, y)
        forest.fit(columns, values)
        trees = [_of_sklearn(one.tree_) for one in forest.estimators_]
        reached = forest.apply(columns)
        held = [
            _thinned(tree[-1][reached[:, t]], values, int(tree[-1].max()) + 1)
            for t, tree in enumerate(trees)
        ]
        self._take(trees, held, max(one.tree_.max_depth for one in forest.estimators_))

    def quantiles(self, x: Tensor, levels: Tensor) -> Tensor:
        """Quantiles at levels in (0, 1) of rows (n, n_columns), shape (n, n_levels)."""
        values = self.reached(x).flatten(1).double().sort(1).values
        n = values.shape[1]
        place = (levels.double() * n - 0.5).clamp(0, n - 1)
        low = place.floor().long()
        share = place - low
        out: Tensor = values[:, low] * (1 - share)
        return out + values[:, (low + 1).clamp(max=n - 1)] * share


class BoostedTrees(Trees):
    """Gradient-boosted trees of least squares.

    Parameters
    ----------
    n_trees : int
        Trees, each grown on what those before it leave.
    seed : int
        Of the columns that they may split by, and of the halves.

    References
    ----------
    Friedman, J. H. (2001). Greedy Function Approximation: A Gradient Boosting Machine. Annals of
    Statistics 29, 1189. Algorithm 1, with a learning rate, and leaves penalised as in Chen, T.,
    Guestrin, C. (2016). XGBoost: A Scalable Tree Boosting System. KDD. Equation (5).
    """

    def __init__(self, n_trees: int, seed: int) -> None:
        super().__init__(n_trees, 1)
        self.seed = seed

    def fit(self, x: Tensor, y: Tensor) -> None:
        """Grow the trees.

        Parameters
        ----------
        x : Tensor of shape (n, n_columns)
        y : Tensor of shape (n,)
        """
        columns, values = _as_arrays(x, y)
        centre = values.mean()
        model = self._grown(columns, values - centre)
        nodes = [one[0].nodes for one in model._predictors]
        share = centre / self.n_trees
        held = [n["value"][n["is_leaf"] > 0, None] + share for n in nodes]
        depth = max(int(of_tree["depth"].max()) for of_tree in nodes)
        self._take([_of_boosted(of_tree) for of_tree in nodes], held, max(depth, 1))

    def cross_fitted(self, x: Tensor, y: Tensor, group: Tensor) -> Tensor:
        """What trees that have seen the other half of the rows foretell of each.

        Parameters
        ----------
        x, y : Tensor
            As for ``fit``.
        group : Tensor of int64, shape (n,)
            What belongs together, and so to one half.

        Returns
        -------
        Tensor of float64, shape (n,)
        """
        columns, values = _as_arrays(x, y)
        half = _halves(group.cpu().numpy(), self.seed)
        out = np.empty(len(values))
        for own in (half, ~half):
            model = self._grown(columns[~own], values[~own])
            out[own] = model.predict(columns[own])
        return torch.from_numpy(out).to(y.device)

    def predict(self, x: Tensor) -> Tensor:
        """Mean at rows (n, n_columns), shape (n,)."""
        return self.reached(x).double().sum((1, 2))

    def _grown(
        self, columns: npt.NDArray[np.float32], values: Float64
    ) -> HistGradientBoostingRegressor:
        """As many trees as there are to be, whatever they gain, by one thread."""
        model = HistGradientBoostingRegressor(
            learning_rate=RATE,
            max_iter=self.n_trees,
            max_leaf_nodes=MOST_BOOSTED_LEAVES,
            max_depth=DEEPEST,
            min_samples_leaf=LEAST_BOOSTED_LEAF,
            l2_regularization=PENALTY,
            max_features=SHARE_OF_COLUMNS,
            max_bins=BINS,
            early_stopping=False,
            random_state=self.seed,
        )
        with threadpool_limits(1, user_api="openmp"):
            return model.fit(columns, values)


def _as_arrays(x: Tensor, y: Tensor) -> tuple[npt.NDArray[np.float32], Float64]:
    """Columns and values as scikit-learn takes them."""
    return x.float().cpu().numpy(), y.double().cpu().numpy()


def _halves(group: Int64, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows are in the first half; all of a group are, or none."""
    apart, place = np.unique(group, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(apart)) < len(apart) / 2
    return np.asarray(drawn[place])


Arrays = tuple[Int64, Float64, Int64, Int64]


def _bare() -> Arrays:
    """A tree of one leaf."""
    none = np.zeros(1, dtype=np.int64)
    return none, np.full(1, np.inf), np.zeros((1, 2), dtype=np.int64), none


def _of_sklearn(tree: Any) -> Arrays:
    """Of a tree of a forest."""
    children = np.stack([tree.children_left, tree.children_right], 1)
    return _arrays(tree.feature, tree.threshold, children, tree.children_left < 0)


def _of_boosted(nodes: npt.NDArray[Any]) -> Arrays:
    """Of a boosted tree, by its table of nodes.

    Its thresholds lie between numbers of double precision, so that the next smaller ones of single
    precision tell numbers of single precision apart as they do.
    """
    exact = nodes["num_threshold"]
    near = exact.astype(np.float32)
    low = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
    children = np.stack([nodes["left"], nodes["right"]], 1).astype(np.int64)
    return _arrays(nodes["feature_idx"], low, children, nodes["is_leaf"] > 0)


def _arrays(
    feature: Int64, threshold: Float64, children: Int64, is_leaf: npt.NDArray[np.bool_]
) -> Arrays:
    """Column, threshold, branches and number of the leaf of every node; a leaf leads to itself."""
    own = np.arange(len(feature))
    branches = np.where(is_leaf[:, None], own[:, None], children)
    column = np.where(is_leaf, 0, feature)
    bound = np.where(is_leaf, np.inf, threshold)
    return column, bound, branches, np.where(is_leaf, is_leaf.cumsum() - 1, 0)


def _joined(trees: list[Arrays]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The arrays of all trees, padded to the largest one."""
    most = max(len(tree[0]) for tree in trees)

    def stacked(part: int, dtype: type) -> Tensor:
        rows = [_padded(tree[part], most) for tree in trees]
        return torch.from_numpy(np.stack(rows).astype(dtype))

    return (
        stacked(0, np.int32),
        stacked(1, np.float32),
        stacked(2, np.int16),
        stacked(3, np.int16),
    )


def _padded(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Zeros added along the first axis."""
    return np.pad(array, [(0, length - len(array)), *[(0, 0)] * (array.ndim - 1)])


def _thinned(leaf: Int64, values: Float64, n_leaves: int) -> Float64:
    """Equally likely quantiles of what fell into every leaf, (n_leaves, KEPT)."""
    ordered = values[np.lexsort((values, leaf))]
    count = np.bincount(leaf, minlength=n_leaves)
    first = count.cumsum() - count
    place = (np.arange(KEPT) + 0.5) / KEPT * count[:, None] - 0.5
    place = np.clip(place, 0, count[:, None] - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, count[:, None] - 1)
    share = place - low
    below, above = ordered[first[:, None] + low], ordered[first[:, None] + high]
    return np.asarray(below * (1 - share) + above * share)
