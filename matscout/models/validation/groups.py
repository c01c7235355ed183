"""Labels of rows that belong together, and parts of rows made of whole groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.models.labels import known_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def merge_groups(*labels: ArrayLike) -> NDArray[np.intp]:
    """Group rows that agree in any of several labels, directly or through other rows.

    Rows of one chemical system, say, with rows that the enumeration found to be duplicates of each other.

    Parameters
    ----------
    labels
        Each of shape (n,).

    Returns
    -------
    Shape (n,), groups numbered from 0 by their first row.

    Raises
    ------
    UserError
        No labels are given, they differ in length, or one is unknown.

    Examples
    --------
    >>> merge_groups(["Fe-O", "Fe-O", "Mn-O", "Ni-O"], [1, 2, 2, 3]).tolist()
    [0, 0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not labels:
        raise UserError("give at least one labelling of the rows to merge")
    n = len(np.asarray(labels[0]))
    columns = [numbered(label, n) for label in labels]
    # a graph of rows and labels: rows of one component are connected through what they share
    starts = np.cumsum([n, *(int(column.max(initial=-1)) + 1 for column in columns)])
    rows = np.tile(np.arange(n), len(columns))
    nodes = np.concatenate([column + start for column, start in zip(columns, starts, strict=False)])
    graph = coo_array((np.ones(len(rows)), (rows, nodes)), shape=(int(starts[-1]),) * 2)
    component = connected_components(graph, directed=False)[1][:n]
    _, first, number = np.unique(component, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.intp)


def numbered(labels: ArrayLike, n: int, what: str = "group") -> NDArray[np.intp]:
    """Labels of n rows as numbers from 0, or a `UserError` where there are not n of them, or one is unknown.

    Examples
    --------
    >>> numbered(["b", "a", "b"], 3).tolist()
    [1, 0, 1]
    """
    array = np.asarray(labels)
    if array.shape != (n,):
        raise UserError(f"expected one {what} per row, {n} of them, got the shape {array.shape}")
    return np.unique(known_labels(labels, what), return_inverse=True)[1].astype(np.intp)


def draw_part(groups: NDArray[np.intp], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw whole groups that hold about a share of the rows.

    Groups come in random order, and each is taken that brings the number of rows nearer to what is wanted; neither
    the part nor what is left is empty where there are two groups or more.

    Parameters
    ----------
    groups
        Shape (n,), numbered from 0.
    share
        Between 0 and 1.

    Returns
    -------
    Mask of the rows drawn, shape (n,).
    """
    sizes = np.bincount(groups)
    wanted = share * len(groups)
    chosen = np.zeros(len(sizes), dtype=bool)
    filled = 0
    for group in rng.permutation(len(sizes)).tolist():
        if 2 * (wanted - filled) <= 1:  # a single row would be too much
            break
        if sizes[group] < 2 * (wanted - filled) and filled + sizes[group] < len(groups):
            chosen[group] = True
            filled += int(sizes[group])
    if not filled:  # every group is more than twice what is wanted
        chosen[sizes.argmin()] = True
    return chosen[groups]


def deal_classes(
    groups: NDArray[np.intp], classes: NDArray[np.intp], folds: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Deal whole groups to parts so that each part holds about the same share of each class, and of all rows.

    Groups that hold most of a class come first, each to the part where the squares of the shares grow the least. Where
    a part then holds the whole of a class that is in several groups, one of these is moved: training without that part
    would never see the class.

    Parameters
    ----------
    groups, classes
        Shape (n,), numbered from 0.
    folds
        Parts, no more than groups.

    Returns
    -------
    Part of each row, shape (n,), numbered from 0; none is empty.
    """
    n_groups = int(groups.max()) + 1
    if n_groups == len(groups):  # rows one by one, class after class: numbers differ by one at most
        part_of_row, order = np.empty(n_groups, dtype=np.intp), rng.permutation(n_groups)
        part_of_row[order[np.argsort(classes[order], kind="stable")]] = np.arange(n_groups) % folds
        return part_of_row
    counts = np.zeros((n_groups, int(classes.max()) + 1))
    np.add.at(counts, (groups, classes), 1)
    in_class = counts > 0
    shares = np.column_stack([counts / counts.sum(axis=0), counts.sum(axis=1) / len(groups)])
    order = rng.permutation(n_groups)
    order = order[np.argsort(-shares[order].max(axis=1), kind="stable")]
    filled, part_of_group = np.zeros((folds, shares.shape[1])), np.empty(n_groups, dtype=np.intp)
    for group in order.tolist():
        part = int((filled @ shares[group]).argmin())  # an empty part grows the least, so that none is left over
        part_of_group[group] = part
        filled[part] += shares[group]
    return _spread(part_of_group, in_class, folds)[groups]


def _spread(part: NDArray[np.intp], in_class: NDArray[np.bool_], folds: int) -> NDArray[np.intp]:
    """Move groups while that lessens the number of classes which one part holds alone.

    Shapes (n_groups,) and (n_groups, n_classes).
    """

    def alone(parts: NDArray[np.intp]) -> list[int]:
        return [c for c in several if len(np.unique(parts[in_class[:, c]])) == 1]

    several = np.flatnonzero(in_class.sum(axis=0) > 1).tolist()
    held = alone(part)
    for one in list(held):
        if one not in held:
            continue
        moves = ((group, to) for group in np.flatnonzero(in_class[:, one]).tolist() for to in range(folds))
        for group, to in moves:
            moved = part.copy()
            moved[group] = to
            if len(left := alone(moved)) < len(held):
                part, held = moved, left
                break
    return part


def first_rows(groups: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows in random order, but rows of one group behind each other, shape (n,).

    The first rows of that order are whole groups, save for the last one.
    """
    place = rng.permutation(int(groups.max(initial=-1)) + 1)
    return np.lexsort((rng.permutation(len(groups)), place[groups]))
