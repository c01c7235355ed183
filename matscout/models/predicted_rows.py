"""Rows of an input with their predictions, those that cannot be predicted among them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from matscout.models.prediction import Prediction

INTERVAL = 90
"""Percentage of the interval that predictions are written with."""


@dataclass(frozen=True)
class PredictedRows:
    """Some rows of an input with their prediction; NaN, with its error, where a row cannot be predicted.

    Attributes
    ----------
    ids, formulas
        What the user knows each row by, and its formula.
    prediction
        For each row.
    errors
        What was wrong, by row.
    """

    ids: tuple[str, ...]
    formulas: tuple[str, ...]
    prediction: Prediction
    errors: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def frame(self, percent: int = INTERVAL) -> pd.DataFrame:
        """Return a frame with id, formula, mean, std, interval, distance to the training data, and errors."""
        import pandas as pd

        lower, upper = self.prediction.interval(percent)
        unknown = np.isnan(self.prediction.mean)
        columns: dict[str, Any] = {
            "id": list(self.ids),
            "formula": list(self.formulas),
            "mean": self.prediction.mean,
            "std": self.prediction.std,
            f"lower_{percent}": lower,
            f"upper_{percent}": upper,
        }
        for part in ("aleatoric", "epistemic", "distance"):
            if getattr(self.prediction, part) is not None:
                columns[part] = getattr(self.prediction, part)
        if self.prediction.distance is not None:
            outside = pd.array(self.prediction.outside, dtype="boolean")
            outside[unknown] = pd.NA
            columns["outside"] = outside
        columns["error"] = pd.Series([self.errors.get(row) for row in range(len(self))], dtype=object)
        return pd.DataFrame(columns)


def spread(found: Prediction, good: NDArray[np.bool_]) -> Prediction:
    """Put predictions into the rows that are good; the others are NaN."""

    def placed(values: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        if values is None:
            return None
        out = np.full(len(good), np.nan)
        out[good] = values
        return out

    mean, std = placed(found.mean), placed(found.std)
    assert mean is not None
    assert std is not None
    return replace(
        found,
        mean=mean,
        std=std,
        aleatoric=placed(found.aleatoric),
        epistemic=placed(found.epistemic),
        distance=placed(found.distance),
    )
