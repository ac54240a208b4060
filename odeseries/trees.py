"""A forest of random trees whose leaves hold distributions, as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import ExtraTreesRegressor
from torch import Tensor, nn

from odeseries.panel import Float64, Int64

__all__ = ["QuantileForest"]

LEAST_LEAF, MOST_LEAVES = 5, 1024
SHARE_OF_COLUMNS = 1 / 3
KEPT = 5
"""Quantiles that a leaf holds."""


class QuantileForest(nn.Module):
    """Extremely randomised trees; a prediction is the mixture of the leaves that a row falls into.

    The trees are grown by scikit-learn and kept as tensors, which files can hold.

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

    column: Tensor
    threshold: Tensor
    branches: Tensor
    leaf: Tensor
    kept: Tensor
    depth: Tensor

    def __init__(self, n_trees: int, seed: int) -> None:
        super().__init__()
        self.n_trees, self.seed = n_trees, seed
        self._hold(*_joined([_bare()] * n_trees), torch.zeros(n_trees, 1, KEPT), depth=0)

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

    @property
    def is_grown(self) -> bool:
        """Whether it has learned anything."""
        return int(self.depth) > 0

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
        columns, values = x.float().cpu().numpy(), y.double().cpu().numpy()
        forest.fit(columns, values)
        trees = [one.tree_ for one in forest.estimators_]
        reached = forest.apply(columns)
        arrays = _joined([_arrays(tree) for tree in trees])
        leaves = np.take_along_axis(arrays[-1].numpy().T, reached, 0)
        held = [_thinned(leaves[:, t], values, tree.n_leaves) for t, tree in enumerate(trees)]
        most = max(len(table) for table in held)
        padded = [_padded(table, most) for table in held]
        device = self.kept.device
        column, threshold, branches, leaf = (array.to(device) for array in arrays)
        kept = torch.from_numpy(np.stack(padded)).float().to(device)
        depth = max(tree.max_depth for tree in trees)
        self._hold(column, threshold, branches, leaf, kept, depth)

    def quantiles(self, x: Tensor, levels: Tensor) -> Tensor:
        """Quantiles at levels in (0, 1) of rows (n, n_columns), shape (n, n_levels)."""
        mixed = self.kept[torch.arange(self.n_trees, device=x.device), self._leaves(x.float())]
        values = mixed.flatten(1).double().sort(1).values
        n = values.shape[1]
        place = (levels.double() * n - 0.5).clamp(0, n - 1)
        low = place.floor().long()
        share = place - low
        out: Tensor = values[:, low] * (1 - share)
        return out + values[:, (low + 1).clamp(max=n - 1)] * share

    def _leaves(self, x: Tensor) -> Tensor:
        """The leaf of every tree that a row falls into, (n, n_trees)."""
        tree = torch.arange(self.n_trees, device=x.device)
        node = torch.zeros(len(x), self.n_trees, dtype=torch.long, device=x.device)
        for _ in range(int(self.depth)):
            goes_right = x.gather(1, self.column[tree, node].long()) > self.threshold[tree, node]
            node = self.branches[tree, node, goes_right.long()].long()
        return self.leaf[tree, node].long()

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *others: Any) -> None:
        """Take the sizes of the trees from what is read; torch asks this of every module."""
        for name in ("column", "threshold", "branches", "leaf", "kept"):
            if prefix + name in state:
                setattr(self, name, torch.empty_like(state[prefix + name], device=self.kept.device))
        super()._load_from_state_dict(state, prefix, *others)


Arrays = tuple[Int64, Float64, Int64, Int64]


def _bare() -> Arrays:
    """A tree of one leaf."""
    none = np.zeros(1, dtype=np.int64)
    return none, np.full(1, np.inf), np.zeros((1, 2), dtype=np.int64), none


def _arrays(tree: Any) -> Arrays:
    """Column, threshold, branches and number of the leaf of every node; a leaf leads to itself."""
    own = np.arange(tree.node_count)
    is_leaf = tree.children_left < 0
    branches = np.stack([tree.children_left, tree.children_right], 1)
    branches = np.where(is_leaf[:, None], own[:, None], branches)
    column = np.where(is_leaf, 0, tree.feature)
    threshold = np.where(is_leaf, np.inf, tree.threshold)
    return column, threshold, branches, np.where(is_leaf, is_leaf.cumsum() - 1, 0)


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
