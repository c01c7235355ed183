"""Several candidates at once: high scores, but not all alike.

A batch of the highest scores alone holds near neighbours, and each says what the next one would have said. The other
methods weigh scores against distances between features. They do so on a shortlist of the highest scores: time and
memory grow with that, not with the number of candidates.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError
from matscout.models.acquisition import diversity
from matscout.models.options import check_choice, check_number, check_options

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

_DIVERSE: dict[str, Callable[..., list[int]]] = {
    "local_penalization": diversity.local_penalization,
    "determinantal": diversity.determinantal,
    "farthest_points": diversity.farthest,
}

BATCH_METHODS = ("top", *_DIVERSE)
"""Known methods of `choose_batch`."""

SHORTLIST = 4000
"""Rows of the highest scores among which a method that looks at distances chooses, unless said otherwise."""

SHORTLIST_FOR_EACH = 10
"""The same for ``farthest_points``, for each row of the batch: it takes whatever is far of what it is given."""


def choose_batch(
    score: ArrayLike,
    size: int,
    features: ArrayLike | None = None,
    method: str = "top",
    *,
    taken: ArrayLike | None = None,
    pending: ArrayLike = (),
    shortlist: int | None = None,
    **options: Any,
) -> NDArray[np.intp]:
    """Choose the rows of a batch by their scores, with diversity where it is asked for.

    Parameters
    ----------
    score
        Of an acquisition, shape (n,): the highest first. What is NaN or minus infinite is not chosen.
    size
        Rows to choose; all are chosen where there are fewer.
    features
        Shape (n, n_features), for all methods but ``top``. Distances are Euclidean between columns standardised over
        the shortlist, a NaN counting as the mean of its column.
    method
        ``top``: the highest scores. ``local_penalization``: the highest score, each divided where a row chosen before
        probably says the same (González et al., AISTATS 51, 648 (2016), arXiv:1505.08052). ``determinantal``: the
        most probable rows of a determinantal point process, by greedy steps (Chen, Zhang, Zhou, NeurIPS 31, 5622
        (2018), arXiv:1709.05135). ``farthest_points``: the highest score, then the farthest of the shortlist.
    taken
        Mask of the rows that cannot be chosen, shape (n,): those calculated, say.
    pending
        Numbers of rows that were chosen before and are not learnt from yet: they are not chosen, and the batch keeps
        away from them as from its own rows.
    shortlist
        Rows of the highest scores among which a method other than ``top`` chooses: `SHORTLIST`; for
        ``farthest_points`` `SHORTLIST_FOR_EACH` times the size.
    options
        Of the method, see `matscout.models.acquisition.diversity`. ``local_penalization``: ``mean`` and ``std`` of
        the objective, shape (n,), ``best`` and ``lipschitz``; ``determinantal``: ``weight`` and ``length``.

    Returns
    -------
    Row numbers in the order of choice, shape (at most size,). Of equal rows the first is chosen. There is no
    randomness in it.

    Raises
    ------
    UserError
        The method or an option is unknown or out of bounds, or features are missing.
    ValueError
        Shapes do not match.

    Examples
    --------
    >>> score = [1.0, 0.9, 0.8, 0.1]
    >>> features = [[0.0], [0.01], [1.0], [0.5]]
    >>> choose_batch(score, 2).tolist(), choose_batch(score, 2, features, "determinantal").tolist()
    ([0, 1], [0, 2])
    """
    scores = np.asarray(score, dtype=float)
    if scores.ndim != 1:
        raise ValueError(f"score must have the shape (n,), got {scores.shape}")
    check_choice("method", method, BATCH_METHODS)
    check_options(f"method {method}", tuple(options), batch_options(method))
    check_number("size", size, 0, integer=True)
    earlier = np.asarray(pending, dtype=np.intp)
    allowed = allowed_rows(scores, taken, earlier)
    if method == "top":
        return best_rows(scores, size, allowed)
    if shortlist is None:
        shortlist = SHORTLIST_FOR_EACH * max(size, 1) if method == "farthest_points" else SHORTLIST
    check_number("shortlist", shortlist, 1, integer=True)
    matrix = _matrix(features, len(scores), method)
    rows = best_rows(scores, max(shortlist, size), allowed)
    if min(size, len(rows)) == 0:
        return rows[:0]
    everyone = np.concatenate([rows, earlier])
    of_rows = {
        name: _of_rows(name, options.pop(name), scores, everyone) for name in diversity.OF_ROWS if name in options
    }
    chosen = _DIVERSE[method](
        scores[rows], min(size, len(rows)), diversity.standardised(matrix[everyone]), **of_rows, **options
    )
    return rows[chosen]


def batch_options(method: str) -> tuple[str, ...]:
    """Names of the options that a method of `choose_batch` takes.

    Examples
    --------
    >>> batch_options("determinantal")
    ('weight', 'length')
    """
    if method not in _DIVERSE:
        return ()
    parameters = inspect.signature(_DIVERSE[method]).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def best_rows(score: NDArray[np.float64], size: int, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Rows of the highest scores, highest first, of equal ones the first; in time that grows as their number."""
    rows = np.flatnonzero(allowed)
    if size < len(rows):
        values = score[rows]
        last = np.partition(values, len(rows) - size)[len(rows) - size] if size else np.inf
        above = rows[values > last]
        rows = np.concatenate([above, rows[values == last][: size - len(above)]])
    return rows[np.lexsort((rows, -score[rows]))]


def allowed_rows(score: NDArray[np.float64], taken: ArrayLike | None, pending: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the mask of the rows that may be chosen."""
    allowed = np.asarray(score > -np.inf)
    if taken is not None:
        mask = np.asarray(taken)
        if mask.dtype != bool or mask.shape != score.shape:
            raise ValueError(f"taken must be a mask of shape {score.shape}, got {mask.dtype} of shape {mask.shape}")
        allowed &= ~mask
    if pending.size and (pending.min() < 0 or pending.max() >= len(score)):
        raise ValueError(f"pending must be row numbers from 0 to {len(score) - 1}")
    allowed[pending] = False
    return allowed


def _matrix(features: ArrayLike | None, n: int, method: str) -> NDArray[np.floating]:
    if features is None:
        raise UserError(f"method {method} needs the features of the rows; only top goes without")
    matrix = np.asarray(features)
    if matrix.ndim != 2 or len(matrix) != n:
        raise ValueError(f"expected features of shape ({n}, n_features), got {matrix.shape}")
    return matrix


def _of_rows(name: str, value: ArrayLike, score: NDArray[np.float64], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    array = np.asarray(value, dtype=float)
    if array.shape != score.shape:
        raise ValueError(f"expected one {name} per row, shape {score.shape}, got {array.shape}")
    if not np.isfinite(array[rows]).all():
        raise ValueError(f"{name} is not finite in row {rows[~np.isfinite(array[rows])][0]}, which may be chosen")
    return array[rows]
