"""Features of crystals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.errors import UserError, nearest
from matscout.featurizers.elements import MAGPIE_CITATION, PYMATGEN_CITATION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

SYMMETRY_TOLERANCE = 0.01
"""Å; how far an atom may stand off its symmetric place."""


def geometry(structure: Structure) -> list[float]:
    """Density in g/cm^3, volume per atom in Å^3, packing fraction, atoms in the primitive cell, space group number."""
    from matscout.db._symmetry import spglib_call

    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    symmetry = spglib_call("get_symmetry_dataset", cell, symprec=SYMMETRY_TOLERANCE)
    if symmetry is None:
        raise UserError("no symmetry found; do atoms overlap?")
    # None and NaN alike become NaN: pymatgen has no atomic radius for noble gases and some actinides
    radii = np.array([_radius(site.specie) for site in structure])
    return [
        float(structure.density),
        structure.volume / len(structure),
        float(4 / 3 * np.pi * (radii**3).sum() / structure.volume),
        len(np.unique(symmetry.mapping_to_primitive)),
        symmetry.number,
    ]


def _radius(specie: Any) -> float:
    radius = specie.atomic_radius
    return np.nan if radius is None else float(radius)


GEOMETRY_NAMES = ("density", "vpa", "packing fraction", "primitive sites", "space group number")

PRESETS: dict[str, tuple[tuple[str, ...], Callable[[Structure], list[float]], tuple[str, ...]]] = {
    "geometry": (GEOMETRY_NAMES, geometry, (MAGPIE_CITATION, PYMATGEN_CITATION)),
}
"""Names of the columns, the function of one crystal, and citations, by preset."""


class StructureFeaturizer:
    """Numbers from crystals, the same however the crystal is turned, shifted, numbered, or its cell chosen.

    Parameters
    ----------
    preset
        geometry
            density (g/cm^3), volume per atom ("vpa", Å^3), packing fraction of spheres of atomic radius (NaN where an
            element has none), all three as matminer's ``DensityFeatures``; the number of atoms in the primitive cell;
            the space group number, both within 0.01 Å.

    Attributes
    ----------
    feature_names
        Names of the columns.
    citations
        Sources to cite.

    Raises
    ------
    UserError
        The preset is unknown.
    """

    def __init__(self, preset: str = "geometry") -> None:
        if preset not in PRESETS:
            near = nearest(preset, PRESETS)
            hint = f"Did you mean {near}? " if near else ""
            raise UserError(f'unknown structure preset "{preset}". {hint}Known: {", ".join(PRESETS)}.')
        self.preset = preset
        self.feature_names, self._function, self.citations = PRESETS[preset]

    def transform(self, structures: Iterable[Structure]) -> NDArray[np.float64]:
        """Features of each crystal, shape (n, n_features).

        Raises
        ------
        UserError
            A crystal has partly occupied sites, or no symmetry can be found (atoms on top of each other); the message
            names its row.
        """
        rows = [self._row(i, structure) for i, structure in enumerate(structures)]
        return np.array(rows, dtype=float).reshape(len(rows), len(self.feature_names))

    def _row(self, i: int, structure: Structure) -> list[float]:
        if not structure.is_ordered:
            raise UserError(f"row {i}: {structure.formula}: has partly occupied sites; order it first")
        try:
            return self._function(structure)
        except UserError as error:
            raise UserError(f"row {i}: {structure.formula}: {error}") from error
