"""Labels of rows: which of them belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def known_labels(labels: ArrayLike, what: str = "group") -> NDArray[Any]:
    """Labels as an array, where every row has one.

    An unknown label would make a group of rows that have nothing to do with each other.

    Parameters
    ----------
    labels
        Strings, numbers or both, one per row.
    what
        What they are, for the message.

    Raises
    ------
    UserError
        A label is None or NaN; the message names the first row.

    Examples
    --------
    >>> known_labels(["Fe-O", "Mn-O"]).tolist()
    ['Fe-O', 'Mn-O']
    """
    array = np.asarray(labels)
    if array.dtype.kind in "biu" or (array.dtype.kind in "SU" and isinstance(labels, np.ndarray)):
        return array
    # among strings NumPy makes the string "nan" of NaN: look at what was given
    given = array if isinstance(labels, np.ndarray) else np.asarray(labels, dtype=object)
    unknown = np.array([_is_unknown(label) for label in given.ravel().tolist()], dtype=bool)
    if unknown.any():
        raise UserError(
            f"{int(unknown.sum())} of {len(unknown)} rows have no {what} (None or NaN), the first is row "
            f"{int(unknown.argmax())}: give each a label, a different one where nothing is known"
        )
    return array


def _is_unknown(label: Any) -> bool:
    missing = type(label).__name__ in ("NAType", "NaTType")  # of pandas, whose NA is no truth value
    return label is None or missing or (isinstance(label, float) and label != label)  # noqa: PLR0124  NaN
