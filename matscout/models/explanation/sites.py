"""What each site of a crystal gives to its prediction, by a network over sites whose answer is their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

import numpy as np

from matscout.db._elements import symbols
from matscout.errors import UserError
from matscout.models.explanation.contributions import LOG_ODDS, PREDICTION
from matscout.models.inputs import as_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from matscout.models.base import Surrogate
    from matscout.models.inputs import CrystalInputs


@runtime_checkable
class TellsSites(Protocol):
    """A surrogate of crystals whose prediction is the mean of what its sites contribute."""

    def site_contributions(self, X: Any) -> Sequence[NDArray[np.floating]]:
        """Contributions of each crystal's sites, in their order, each array of shape (n_sites,)."""


@dataclass(frozen=True, eq=False)
class SiteContributions:
    """What sites contribute; the mean over the sites of a crystal is what is explained.

    Of an energy per atom it is the energy of the atom on the site, as the model sees it, in eV. How a network parts an
    energy among sites is not fixed by the data: it is one way of many to come to the same sums.

    Attributes
    ----------
    values
        Contribution of each site, shape (n_sites,), one crystal behind the other.
    crystals
        Row of the crystal that each site belongs to, shape (n_sites,).
    numbers
        Atomic number on each site, shape (n_sites,).
    of
        What is explained: the ``prediction``, or the ``log odds`` of a classification, averaged over networks.
    """

    values: NDArray[np.float64]
    crystals: NDArray[np.intp]
    numbers: NDArray[np.intp]
    of: str = PREDICTION

    def __len__(self) -> int:
        return len(self.values)

    @property
    def totals(self) -> NDArray[np.float64]:
        """What is explained, of each crystal: the mean over its sites."""
        counts = np.bincount(self.crystals)
        return np.asarray(np.bincount(self.crystals, weights=self.values) / counts)

    def by_element(self) -> dict[str, dict[str, float]]:
        """Mean, std and number of the contributions of each element's sites, by symbol, lightest first."""
        found = {}
        for number in np.unique(self.numbers).tolist():
            own = self.values[self.numbers == number]
            found[symbols()[number]] = {"mean": float(own.mean()), "std": float(own.std()), "sites": len(own)}
        return found

    def frame(self) -> pd.DataFrame:
        """Return a frame with a row for each site: row of its crystal, element, contribution."""
        import pandas as pd

        columns = {"row": self.crystals, "element": [symbols()[number] for number in self.numbers.tolist()]}
        return pd.DataFrame(columns | {"contribution": self.values})

    def as_dict(self) -> dict[str, Any]:
        """Summarise them for JSON, by element."""
        return {"of": self.of, "crystals": len(np.unique(self.crystals)), "elements": self.by_element()}


def site_contributions(surrogate: Surrogate, X: Any) -> SiteContributions:
    """Contributions of the sites of crystals to a surrogate's predictions.

    Parameters
    ----------
    surrogate
        Trained, such as ``crystal_graph``.
    X
        Crystals, as it was trained on.

    Raises
    ------
    UserError
        The surrogate does not tell what sites contribute.
    """
    if not isinstance(surrogate, TellsSites):
        raise UserError(f"{surrogate.name} does not tell what sites contribute: crystal_graph does")
    inputs = cast("CrystalInputs", as_inputs("crystals", X))
    parts = [np.asarray(part, dtype=np.float64) for part in surrogate.site_contributions(inputs)]
    numbers = [crystal.numbers for crystal in inputs.crystals()]
    if [len(part) for part in parts] != [len(own) for own in numbers]:
        raise ValueError(f"{surrogate.name} told of other sites than the crystals have")
    of = LOG_ODDS if surrogate.task == "classification" else PREDICTION
    if not parts:
        return SiteContributions(np.empty(0), np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp), of)
    rows = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return SiteContributions(np.concatenate(parts), rows, np.concatenate(numbers).astype(np.intp), of)
