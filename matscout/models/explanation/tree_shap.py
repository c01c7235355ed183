"""Shapley values of one regression tree, exact, for many rows at once and to float64 precision.

The value of a set of features is the path-dependent one of Lundberg et al., From local explanations to global
understanding with explainable AI for trees, Nat. Mach. Intell. 2, 56 (2020), doi:10.1038/s42256-019-0138-9: a split on
a feature of the set sends the row its way, any other split sends it both ways in the ratio of the training rows.

A Shapley value is the integral over t from 0 to 1 of the derivative of the game's multilinear extension (Owen, Manage.
Sci. 18, P-64 (1972), doi:10.1287/mnsc.18.5.64). In a leaf whose path tests d features this extension is a product of d
factors, t o + (1 - t) z, where o is 1 if the row passes all tests of the feature and z is the share of the training
rows that do. So Gauss-Legendre quadrature with ceil(d / 2) nodes is exact, and all factors are positive: nothing
cancels, as it does where polynomials are unwound. Running products down the tree and sums up it serve all features,
as in Yu et al., Linear TreeSHAP, NeurIPS 35, 25818 (2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

BLOCK = 4_000_000
"""Numbers in the largest array of a block of rows: 32 MB."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary regression tree of m nodes, the root first.

    Attributes
    ----------
    left, right
        Children of each node, shape (m,); negative in leaves.
    feature, threshold
        A row goes left where this feature is at most the threshold, shape (m,); of no meaning in leaves.
    value
        What a leaf predicts, shape (m,); of no meaning in other nodes.
    cover
        Weight of the training rows that came through each node, shape (m,), > 0.
    """

    left: NDArray[np.integer]
    right: NDArray[np.integer]
    feature: NDArray[np.integer]
    threshold: Floats
    value: Floats
    cover: Floats

    def __post_init__(self) -> None:
        if not (self.cover > 0).all():
            raise ValueError(f"no training row came through node {int((self.cover <= 0).argmax())} of a tree")

    @property
    def mean(self) -> float:
        """Mean prediction of the training rows: what is predicted where no feature is known."""
        leaf = self.left < 0
        return float(np.average(self.value[leaf], weights=self.cover[leaf]))

    @cached_property
    def _edges(self) -> _Edges:
        return _Edges.of_tree(self)

    def contributions(self, X: NDArray[np.floating]) -> Floats:
        """Shapley values of the features of X, shape (n, n_features), for each row; the same shape.

        Row sums are prediction less `mean`.
        """
        found = np.zeros((X.shape[1], len(X)))
        edges = self._edges
        if len(edges) > 1:
            rows = max(1, BLOCK // (len(edges) * len(edges.nodes)))
            for start in range(0, len(X), rows):
                block = slice(start, start + rows)
                _add_contributions(edges, np.ascontiguousarray(X[block].T), found[:, block])
        return found.T


@dataclass(frozen=True, eq=False)
class _Edges:
    """The edges of a tree by their lower ends, breadth first and the root first, as an edge without a test.

    `before` is the nearest edge above that tests the same feature, -1 if there is none. An edge carries the factor of
    its feature along the path so far, and stands for it in place of the one before.
    """

    levels: list[slice]
    parent: Rows
    before: Rows
    left: Rows
    right: Rows
    leaf: NDArray[np.bool_]
    feature: Rows
    threshold: Floats
    goes_left: NDArray[np.bool_]
    value: Floats
    nodes: Floats  # of the quadrature
    scale_dead: Floats  # factor over the factor before, where the row failed before, (m, 1)
    scale_alive: Floats  # where it had passed and fails now, (m, q)
    scale_step: Floats  # what is added to it where it passes, (m, q)
    share: Floats  # quadrature weight times what the edge gives its feature where the row fails, or passes: (m, 2, q)

    def __len__(self) -> int:
        return len(self.parent)

    @classmethod
    def of_tree(cls, tree: Tree) -> _Edges:
        order, levels = _breadth_first(tree)
        rank = np.empty(len(order), dtype=np.intp)
        rank[order] = np.arange(len(order))
        leaf = tree.left[order] < 0
        left, right = (np.where(leaf, -1, rank[side[order]]) for side in (tree.left, tree.right))
        parent = np.zeros(len(order), dtype=np.intp)
        goes_left = np.zeros(len(order), dtype=bool)
        inner = np.flatnonzero(~leaf)
        parent[left[inner]] = parent[right[inner]] = inner
        goes_left[left[inner]] = True
        feature = tree.feature[order][parent].astype(np.intp)
        cover = tree.cover[order].astype(np.float64)

        before = _same_feature_above(parent, feature)
        passed = cover / cover[parent]  # z of the feature along the path
        tested = np.zeros(len(order), dtype=np.intp)  # features along the path
        for level in levels[1:]:
            known = before[level] >= 0
            passed[level] *= np.where(known, passed[before[level]], 1.0)
            tested[level] = tested[parent[level]] + ~known
        return cls(
            levels=levels,
            parent=parent,
            before=before,
            left=left,
            right=right,
            leaf=leaf,
            feature=feature,
            threshold=tree.threshold[order][parent].astype(np.float64),
            goes_left=goes_left,
            value=tree.value[order].astype(np.float64),
            **_factors(passed, before, int(tested.max())),
        )


def _breadth_first(tree: Tree) -> tuple[Rows, list[slice]]:
    """Nodes level by level, and where each level lies among them."""
    found, levels, start = [np.zeros(1, dtype=np.intp)], [slice(0, 1)], 1
    while True:
        inner = found[-1][tree.left[found[-1]] >= 0]
        if not len(inner):
            return np.concatenate(found), levels
        children = np.concatenate([tree.left[inner], tree.right[inner]]).astype(np.intp)
        found.append(children)
        levels.append(slice(start, start + len(children)))
        start += len(children)


def _same_feature_above(parent: Rows, feature: Rows) -> Rows:
    """Nearest edge above each edge that tests the same feature, -1 where there is none: all edges climb together."""
    before = np.full(len(parent), -1, dtype=np.intp)
    climbing = np.flatnonzero(parent > 0)
    above = parent[climbing]
    while len(climbing):
        same = feature[above] == feature[climbing]
        before[climbing[same]] = above[same]
        above = parent[above]
        on = ~same & (above > 0)
        climbing, above = climbing[on], above[on]
    return before


def _factors(passed: Floats, before: Rows, most_tested: int) -> dict[str, Floats]:
    """Tables of the factors t o + (1 - t) z at the nodes t of the quadrature."""
    t, weights = np.polynomial.legendre.leggauss(max(1, (most_tested + 1) // 2))
    t, weights = (t + 1) / 2, weights / 2
    z = passed[:, None]
    z_before = np.where(before >= 0, passed[before], 1.0)[:, None]
    alive_before = t + (1 - t) * z_before
    fails, passes = (1 - t) * z, t + (1 - t) * z
    # the edge's own term (o - z) / factor, less the one that it replaces for the leaves below it
    replaced = (1 - z_before) / alive_before
    share = np.stack([-1 / (1 - t) - replaced, (1 - z) / passes - replaced], axis=1)
    return {
        "nodes": t,
        "scale_dead": z / z_before,
        "scale_alive": fails / alive_before,
        "scale_step": t / alive_before,
        "share": share * weights,
    }


def _add_contributions(edges: _Edges, columns: NDArray[np.floating], found: Floats) -> None:
    """Add the Shapley values of some rows, given and wanted as columns of features."""
    n = columns.shape[1]
    alive = np.ones((len(edges), n), dtype=bool)  # the row passes all tests of the feature so far
    fell = np.zeros((len(edges), n), dtype=bool)  # it fails here for the first time
    product = np.empty((len(edges), len(edges.nodes), n))
    product[0] = 1.0
    for level in edges.levels[1:]:
        passes = columns[edges.feature[level]] <= edges.threshold[level, None]
        passes ^= ~edges.goes_left[level, None]
        again = np.flatnonzero(edges.before[level] >= 0)
        scale = edges.scale_step[level, :, None] * passes[:, None, :]
        scale += edges.scale_alive[level, :, None]
        fell[level] = ~passes
        if len(again):
            was = alive[edges.before[level][again]]
            fell[level][again] &= was
            passes[again] &= was
            dead, ever = edges.scale_dead[level][again][:, :, None], was[:, None, :]
            scale[again] = np.where(ever, scale[again], dead)
        alive[level] = passes
        np.multiply(product[edges.parent[level]], scale, out=product[level])
    _add_upwards(edges, product, alive, fell, found)


def _add_upwards(
    edges: _Edges, product: Floats, alive: NDArray[np.bool_], fell: NDArray[np.bool_], found: Floats
) -> None:
    """Sum leaf values times products below each edge, and give each edge's feature its share of the sum.

    An edge at which the row had failed before gives nothing: its own term and the one that it replaces are equal.
    """
    for level in reversed(edges.levels[1:]):
        below = product[level]
        leaf = edges.leaf[level]
        below[leaf] *= edges.value[level][leaf][:, None, None]
        inner = np.flatnonzero(~leaf)
        if len(inner):
            below[inner] = product[edges.left[level][inner]] + product[edges.right[level][inner]]
        shares = np.matmul(edges.share[level], below)
        given = shares[:, 0] * fell[level] + shares[:, 1] * alive[level]
        np.add.at(found, edges.feature[level], given)
