"""Trees of scikit-learn as plain arrays: kept without pickle, and open to whoever explains them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.db.files import write_whole
from matscout.models.kept_files import read_arrays, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TreeArrays:
    """Binary regression trees, the nodes of one behind those of the other.

    Attributes
    ----------
    first
        Number of each tree's first node, its root, shape (n_trees + 1,); the last one is the number of all nodes.
    left, right
        Children of each node, counted within its tree, shape (n_nodes,); -1 at a leaf.
    feature
        Column that a node looks at, shape (n_nodes,); -1 at a leaf.
    threshold
        A row goes left where the feature, in single precision, is at most that; shape (n_nodes,).
    value
        Mean target of the training rows that came to the node, shape (n_nodes,).
    cover
        Number of these rows, shape (n_nodes,); a row drawn twice counts twice.
    """

    first: NDArray[np.int64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]
    cover: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.first) - 1

    @classmethod
    def of_trees(cls, trees: Sequence[Any]) -> Self:
        """Take the arrays of scikit-learn's ``Tree`` objects of one output."""
        left, right = _all(trees, "children_left", np.int32), _all(trees, "children_right", np.int32)
        leaf = left < 0
        return cls(
            first=np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])]).astype(np.int64),
            left=left,
            right=right,
            feature=np.where(leaf, np.int32(-1), _all(trees, "feature", np.int32)),
            threshold=_all(trees, "threshold", np.float64),
            value=np.concatenate([tree.value[:, 0, 0] for tree in trees]).astype(np.float64),
            cover=_all(trees, "weighted_n_node_samples", np.float32),
        )

    def trees(self, n_features: int) -> list[Any]:
        """Build scikit-learn's ``Tree`` objects again; they predict the same bits."""
        return [self._tree(start, stop, n_features) for start, stop in pairwise(self.first.tolist())]

    def _tree(self, start: int, stop: int, n_features: int) -> Any:
        from sklearn.tree._tree import Tree

        tree = Tree(n_features, np.array([1], dtype=np.intp), 1)
        nodes = np.zeros(stop - start, dtype=tree.__getstate__()["nodes"].dtype)
        nodes["left_child"], nodes["right_child"] = self.left[start:stop], self.right[start:stop]
        nodes["feature"], nodes["threshold"] = self.feature[start:stop], self.threshold[start:stop]
        nodes["weighted_n_node_samples"] = self.cover[start:stop]
        depth = _depth(self.left[start:stop], self.right[start:stop])
        values = self.value[start:stop].reshape(-1, 1, 1).copy()
        tree.__setstate__({"max_depth": depth, "node_count": stop - start, "nodes": nodes, "values": values})
        return tree

    def save(self, file: Path, **more: NDArray[Any]) -> None:
        """Write all arrays into one npz file, and others beside them."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        write_whole(file, lambda stream: np.savez(stream, **arrays, **more))  # type: ignore[arg-type]

    @classmethod
    def load(cls, file: Path) -> tuple[Self, dict[str, NDArray[Any]]]:
        """Read what `save` wrote: the trees, and the other arrays by name."""
        with reading(file):
            arrays = read_arrays(file)
            trees = cls(**{field.name: arrays.pop(field.name) for field in fields(cls)})
        return trees, arrays


def leaf_variance(tree: Any) -> NDArray[np.float64]:
    """Sample variance of the targets in each node of a scikit-learn ``Tree``, shape (n_nodes,); 0 of a single row."""
    n = tree.n_node_samples.astype(np.float64)
    return np.asarray(np.maximum(tree.impurity, 0.0) * n / np.maximum(n - 1, 1))


def _all(trees: Sequence[Any], attribute: str, dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([getattr(tree, attribute).astype(dtype) for tree in trees])


def _depth(left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    depth, level = 0, np.array([0], dtype=np.intp)
    while True:
        inner = level[left[level] >= 0]
        if not len(inner):
            return depth
        level = np.concatenate([left[inner], right[inner]]).astype(np.intp)
        depth += 1
