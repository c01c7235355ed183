"""Labels of rows that belong together, and parts of rows made of whole groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError

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
        No labels are given, or they differ in length.

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
    """Labels of n rows as numbers from 0, or a `UserError` where there are not n of them.

    Examples
    --------
    >>> numbered(["b", "a", "b"], 3).tolist()
    [1, 0, 1]
    """
    array = np.asarray(labels)
    if array.shape != (n,):
        raise UserError(f"expected one {what} per row, {n} of them, got the shape {array.shape}")
    return np.unique(array, return_inverse=True)[1].astype(np.intp)


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


def first_rows(groups: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows in random order, but rows of one group behind each other, shape (n,).

    The first rows of that order are whole groups, save for the last one.
    """
    place = rng.permutation(int(groups.max(initial=-1)) + 1)
    return np.lexsort((rng.permutation(len(groups)), place[groups]))
