"""How far predictions are sums over elements: the nearest function that is linear in the atomic fractions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db._elements import symbols
from matscout.models.inputs import CompositionInputs, as_inputs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class ElementContributions:
    """The sum over elements, contribution times atomic fraction, that is nearest to the predictions.

    Attributes
    ----------
    elements
        Symbols, lightest first.
    values
        Contribution of each element, shape (n_elements,), in the unit of the prediction: what is predicted for the
        element itself, were the sum exact. Where elements come in fixed ratios only, the smallest ones that do.
    rows
        Number of rows with each element, shape (n_elements,).
    r2
        Share of the predictions' variance that the sum explains; the rest is how elements act together.
    """

    elements: tuple[str, ...]
    values: NDArray[np.float64]
    rows: NDArray[np.intp]
    r2: float

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        columns = zip(self.elements, self.values.tolist(), self.rows.tolist(), strict=True)
        told = {element: {"contribution": value, "rows": rows} for element, value, rows in columns}
        return {"r2": None if np.isnan(self.r2) else self.r2, "elements": told}


def element_contributions(prediction: ArrayLike, compositions: Any) -> ElementContributions:
    """Fit predictions by a sum over elements, by least squares.

    Parameters
    ----------
    prediction
        Shape (n,).
    compositions
        Of the rows, as `as_inputs` takes them.

    Examples
    --------
    >>> found = element_contributions([1.0, 2.0, 1.5], ["Na", "Cl", "NaCl"])
    >>> dict(zip(found.elements, found.values.round(6).tolist())), round(found.r2, 6)
    ({'Na': 1.0, 'Cl': 2.0}, 1.0)
    """
    from matscout.models.report.measures import checked, r2

    inputs = as_inputs("compositions", compositions)
    assert isinstance(inputs, CompositionInputs)
    [target] = checked("contributions of elements", prediction)
    if len(target) != len(inputs):
        raise ValueError(f"expected one composition for each of {len(target)} predictions, got {len(inputs)}")
    rows, places = np.nonzero(inputs.numbers)
    present, columns = np.unique(inputs.numbers[rows, places], return_inverse=True)
    fractions = np.zeros((len(inputs), len(present)))
    fractions[rows, columns] = inputs.fractions[rows, places]
    values = np.asarray(np.linalg.lstsq(fractions, target)[0], dtype=np.float64)
    return ElementContributions(
        tuple(symbols()[number] for number in present.tolist()),
        values,
        np.bincount(columns, minlength=len(present)),
        r2(target, fractions @ values),
    )
