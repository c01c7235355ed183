"""Valence electrons of a composition by kind of orbital."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from matscout.featurizers.amounts import row_sums
from matscout.featurizers.base import MAGPIE_DATA
from matscout.featurizers.elements import MAGPIE_CITATION, magpie_table
from matscout.featurizers.encodings import BLOCK_ROWS, Encoding

if TYPE_CHECKING:
    from matscout.featurizers.amounts import Amounts
    from matscout.featurizers.elements import Missing
    from matscout.featurizers.encodings import Out

DEML_CITATION = (
    "Deml, O'Hayre, Wolverton, Stevanovic, Predicting density functional theory total energies and enthalpies of "
    "formation of metal-nonmetal compounds by linear regression, Phys. Rev. B 93, 085142 (2016), "
    "doi:10.1103/PhysRevB.93.085142"
)

_ORBITALS = "spdf"


class ValenceOrbitals(Encoding):
    """Mean number of s, p, d and f valence electrons per atom, and their shares in all of them, as matminer has them.

    Parameters
    ----------
    missing
        What an element beyond Magpie's tables gets.
    """

    citations = (MAGPIE_CITATION, DEML_CITATION)
    software = MAGPIE_DATA

    def __init__(self, missing: Missing = "mean") -> None:
        properties = (*(f"N{orbital}Valence" for orbital in _ORBITALS), "NValence")
        self._values = magpie_table(missing, properties).values
        self.names = tuple(f"{kind} {orbital} valence electrons" for kind in ("avg", "frac") for orbital in _ORBITALS)
        self.units = ("",) * len(self.names)

    def fill(self, amounts: Amounts, out: Out) -> None:
        """Write mean numbers, then shares."""
        for rows, elements, values in amounts.blocks(BLOCK_ROWS):
            mean = np.zeros((len(elements), self._values.shape[1]))
            for j in range(elements.shape[1]):
                mean += self._values[elements[:, j]] * values[:, j, None]
            mean /= row_sums(values)[:, None]
            out[rows, :4] = mean[:, :4]
            out[rows, 4:] = mean[:, :4] / mean[:, 4:]
