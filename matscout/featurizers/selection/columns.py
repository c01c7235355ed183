"""Drop columns that say nothing, or nothing that another one does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.selection.correlation import correlations
from matscout.featurizers.selection.scale import Scale, as_matrix, chunks, one_thread, refuse_infinite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

SHOWN = 10
"""Columns that a report names; the others are counted."""

_BLOCK = 1024  # columns: bounds the memory for their correlations


@dataclass(frozen=True)
class Dropped:
    """Why a column was dropped.

    Attributes
    ----------
    value
        Its only value, for a constant one; NaN where it is unknown in every row.
    because_of
        The column that says the same, for a correlated one.
    coefficient
        Pearson's correlation coefficient with that one, -1 to 1.
    """

    value: float = float("nan")
    because_of: str | None = None
    coefficient: float | None = None

    @property
    def reason(self) -> str:
        """unknown, constant or correlated."""
        if self.because_of is not None:
            return "correlated"
        return "unknown" if np.isnan(self.value) else "constant"

    def __str__(self) -> str:
        if self.because_of is not None:
            return f"correlated {self.coefficient:.4f} with {self.because_of}"
        return "unknown in every row" if np.isnan(self.value) else f"constant at {self.value:g}"


@dataclass(frozen=True, eq=False)
class Selection:
    """Columns that were kept, and why the others were not.

    Attributes
    ----------
    names
        Names of all columns that were there.
    kept
        Numbers of the columns that were kept, ascending.
    dropped
        The others by name, in the order in which they were dropped.
    """

    names: tuple[str, ...]
    kept: NDArray[np.intp]
    dropped: Mapping[str, Dropped]

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def kept_names(self) -> tuple[str, ...]:
        """Names of the columns that were kept."""
        return tuple(self.names[i] for i in self.kept.tolist())

    def apply(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the kept columns of a matrix of all columns, as a copy.

        Raises
        ------
        UserError
            It has another number of columns.
        """
        _check_names(values, self.names)
        return values[:, self.kept]

    def frame(self) -> pd.DataFrame:
        """One row for each column that was there: kept or not, why, because of which, and with which coefficient."""
        import pandas as pd

        whys = [self.dropped.get(name) for name in self.names]
        return pd.DataFrame(
            {
                "column": list(self.names),
                "kept": [why is None for why in whys],
                "reason": [why.reason if why else "" for why in whys],
                "because_of": [(why.because_of or "") if why else "" for why in whys],
                "coefficient": [np.nan if not why or why.coefficient is None else why.coefficient for why in whys],
            }
        )

    def __str__(self) -> str:
        reasons = [why.reason for why in self.dropped.values()]
        counts = [f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons)]
        head = f"{len(self)} of {len(self.names)} columns kept" + (f", dropped: {', '.join(counts)}" if counts else "")
        lines = [f"  {name}: {why}" for name, why in list(self.dropped.items())[:SHOWN]]
        more = [f"  and {len(self.dropped) - SHOWN} more"] if len(self.dropped) > SHOWN else []
        return "\n".join([head, *lines, *more])


def drop_constant(values: ArrayLike, names: Sequence[str], *, tolerance: float = 1e-9) -> Selection:
    """Drop columns that have one value in all rows in which they are known, or are known in none.

    Parameters
    ----------
    values
        Features, shape (n_rows, n_features); NaN where unknown. It is read in parts and not copied.
    names
        Names of the columns.
    tolerance
        Largest difference of two values, relative to the larger one, that is put down to rounding.

    Raises
    ------
    UserError
        The names are not one for each column, or a column is infinite somewhere.

    Examples
    --------
    >>> print(drop_constant([[1.0, 3.0], [2.0, 3.0]], ["density", "atoms"]))
    1 of 2 columns kept, dropped: 1 constant
      atoms: constant at 3
    """
    matrix, names = _checked(values, names)
    lowest, highest = np.full(len(names), np.nan), np.full(len(names), np.nan)
    for rows in chunks(matrix):
        np.fmin(lowest, np.fmin.reduce(matrix[rows], axis=0), out=lowest)
        np.fmax(highest, np.fmax.reduce(matrix[rows], axis=0), out=highest)
    refuse_infinite(np.isinf(lowest) | np.isinf(highest), names)
    with np.errstate(over="ignore"):
        varies = highest - lowest > tolerance * np.maximum(np.abs(lowest), np.abs(highest))
    dropped = {names[i]: Dropped(value=float(lowest[i])) for i in np.flatnonzero(~varies).tolist()}
    return Selection(names, np.flatnonzero(varies), dropped)


def drop_correlated(
    values: ArrayLike,
    names: Sequence[str],
    threshold: float = 0.95,
    *,
    among: Selection | None = None,
    min_overlap: float = 0.5,
) -> Selection:
    """Drop columns that go with an earlier kept one, up or down.

    The columns are gone through from the first to the last. One is dropped where the absolute value of Pearson's
    correlation coefficient with a kept one is the threshold or more, over the rows in which both are known; the report
    names the kept one with the largest. A constant column is correlated with none: see `drop_constant`.

    Parameters
    ----------
    values
        Features, shape (n_rows, n_features); NaN where unknown. It is read in parts and not copied.
    names
        Names of the columns.
    threshold
        Above 0, at most 1.
    among
        Look only at the columns that this selection keeps; the result tells of both.
    min_overlap
        Two columns are compared where the earlier one is known in at least this share of the rows in which the later
        one is known, and in 3 of them: a column must not make room for one that is unknown where it is not.

    Raises
    ------
    UserError
        The names are not one for each column, a column is infinite somewhere, the threshold cannot be, or `among` is of
        other columns.

    Examples
    --------
    >>> print(drop_correlated([[1.0, 3.0, -2.0], [2.0, 3.1, -4.0], [3.0, 3.0, -6.0]], ["mass", "radius", "minus mass"]))
    2 of 3 columns kept, dropped: 1 correlated
      minus mass: correlated -1.0000 with mass
    """
    matrix, names = _checked(values, names)
    if not 0 < threshold <= 1:
        raise UserError(f"the threshold of a correlation lies above 0 and is at most 1, got {threshold:g}")
    if among is not None and among.names != names:
        raise UserError("the earlier selection is of other columns: give the same values and names")
    scale = Scale(matrix, names)
    left = np.arange(len(names)) if among is None else among.kept
    with one_thread():
        kept, reasons = _go_through(scale, left, threshold, min_overlap)
    dropped = dict(among.dropped) if among is not None else {}
    for column, (other, coefficient) in sorted(reasons.items()):
        dropped[names[column]] = Dropped(because_of=names[other], coefficient=coefficient)
    return Selection(names, np.array(kept, dtype=np.intp), dropped)


def _go_through(
    scale: Scale, left: NDArray[np.intp], threshold: float, min_overlap: float
) -> tuple[list[int], dict[int, tuple[int, float]]]:
    """Return the columns that stay, and of the others the one that each goes with and the coefficient."""
    kept: list[int] = []
    reasons: dict[int, tuple[int, float]] = {}
    for start in range(0, len(left), _BLOCK):
        block = left[start : start + _BLOCK]
        for before in range(0, len(kept), _BLOCK):
            earlier = np.array(kept[before : before + _BLOCK], dtype=np.intp)
            found = correlations(scale, earlier, block, min_overlap=min_overlap)
            _note(reasons, found, earlier, block, threshold)
        block = np.array([column for column in block.tolist() if column not in reasons], dtype=np.intp)
        kept += _greedy(reasons, correlations(scale, block, block, min_overlap=min_overlap), block, threshold)
    return kept, reasons


def _note(
    reasons: dict[int, tuple[int, float]],
    found: NDArray[np.float64],
    earlier: NDArray[np.intp],
    block: NDArray[np.intp],
    threshold: float,
) -> None:
    """Note for each column of a block the strongest correlation with an earlier one, where it reaches the threshold."""
    strongest = np.abs(found).argmax(axis=0)
    for i in np.flatnonzero(np.abs(found).max(axis=0) >= threshold).tolist():
        coefficient = float(found[strongest[i], i])
        column = int(block[i])
        if column not in reasons or abs(coefficient) > abs(reasons[column][1]):
            reasons[column] = (int(earlier[strongest[i]]), coefficient)


def _greedy(
    reasons: dict[int, tuple[int, float]], found: NDArray[np.float64], block: NDArray[np.intp], threshold: float
) -> list[int]:
    """Return the columns of a block that stay, one after the other, and note why the others do not."""
    kept: list[int] = []
    for i, column in enumerate(block.tolist()):
        size = np.abs(found[kept, i])
        if kept and size.max() >= threshold:
            other = kept[int(size.argmax())]
            reasons[column] = (int(block[other]), float(found[other, i]))
        else:
            kept.append(i)
    return [int(block[i]) for i in kept]


def _checked(values: ArrayLike, names: Sequence[str]) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    matrix, known = as_matrix(values), tuple(names)
    _check_names(matrix, known)
    if len(set(known)) < len(known):
        twice = next(name for i, name in enumerate(known) if name in known[:i])
        raise UserError(f"two columns are named {twice}")
    return matrix, known


def _check_names(values: NDArray[np.floating], names: Sequence[str]) -> None:
    if values.ndim != 2 or values.shape[1] != len(names):
        raise UserError(f"values of shape {values.shape} do not fit {len(names)} names of columns")
