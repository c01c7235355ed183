"""Features of crystals, as far as they are known before anything is calculated."""

from __future__ import annotations

import inspect
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError, nearest
from matscout.featurizers.base import CrystalFeaturizer, Descriptor
from matscout.featurizers.errors import RowErrors, row_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from pymatgen.core.structure import Structure

PRESETS: dict[str, str] = {
    "geometry": "geometry:Geometry",
    "sites": "sites:Orbits",
    "protostructure": "protostructure:Protostructure",
    "voronoi": "voronoi:Voronoi",
    "rdf": "distances:RadialDistribution",
    "orbital_field": "orbital_field:OrbitalField",
    "sine_coulomb": "sine_coulomb:SineCoulomb",
    "soap": "atomic_density:SmoothOverlap",
    "acsf": "atomic_density:SymmetryFunctions",
    "chgnet": "learned:ChgnetEmbedding",
}
"""Known presets: the module of `matscout.featurizers.descriptors` and the class in it that makes the numbers."""


class StructureFeaturizer(CrystalFeaturizer):
    """Numbers from crystals.

    They do not depend on how a crystal is turned, shifted, numbered, or its cell chosen, but where the descriptor says
    so.

    Parameters
    ----------
    preset
        geometry, sites, protostructure, voronoi, rdf, orbital_field, sine_coulomb, soap, acsf or chgnet: see the
        classes in `matscout.featurizers.descriptors`.
    options
        Options of the descriptor, by name.

    Raises
    ------
    UserError
        The preset or an option is unknown, or an option has a value it cannot take.
    """

    def __init__(self, preset: str = "geometry", **options: Any) -> None:
        if preset not in PRESETS:
            near = nearest(preset, PRESETS)
            hint = f"Did you mean {near}? " if near else ""
            raise UserError(f'unknown structure preset "{preset}". {hint}Known: {", ".join(PRESETS)}.')
        module, name = PRESETS[preset].split(":")
        kind: type[Descriptor] = getattr(import_module(f"matscout.featurizers.descriptors.{module}"), name)
        _refuse_unknown(preset, kind, options)
        self._descriptor = kind(**options)
        self.name = preset
        self.options = options
        self.feature_names = self._descriptor.names
        self.units = self._descriptor.units
        self.citations = self._descriptor.citations
        self.version = self._descriptor.version
        self.software = self._descriptor.software

    def prepare(self) -> None:
        """Load what the descriptor needs, by describing rock salt."""
        rock_salt = Crystal(2.82 * (1 - np.eye(3)), np.array([[0.0] * 3, [0.5] * 3]), np.array([11, 17]))
        with suppress(UserError):  # its options may exclude these elements
            self._descriptor.describe(rock_salt)

    def featurize(self, row: Crystal) -> NDArray[np.float64]:
        """Features of one crystal, shape (n_features,)."""
        return self._descriptor.describe(row)

    def transform(self, structures: Iterable[Structure], *, strict: bool = False) -> NDArray[np.float64]:
        """Features of each crystal, shape (n, n_features), one after the other in this process.

        A crystal that has none is a row of NaN and is named in a warning; `featurize` returns the errors with the
        numbers, and works on many crystals at a time.

        Parameters
        ----------
        structures
            pymatgen structures.
        strict
            Raise instead.

        Raises
        ------
        UserError
            With `strict`: some rows have no features; it names the first ten.
        """
        errors = RowErrors()
        rows = []
        for i, structure in enumerate(structures):
            try:
                rows.append(self.featurize(Crystal.from_structure(structure)))
            except Exception as error:  # noqa: BLE001  whatever it is belongs to this row, and is reported with it
                errors.add(i, row_error(error))
                rows.append(np.full(len(self), np.nan))
        errors.report(n_rows=len(rows), strict=strict)
        return np.array(rows, dtype=float).reshape(len(rows), len(self))


def _refuse_unknown(preset: str, kind: type[Descriptor], options: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(kind).parameters if name != "self"]
    for name in options:
        if name not in known:
            near = nearest(name, known)
            hint = f" Did you mean {near}?" if near else ""
            raise UserError(f'{preset} has no option "{name}".{hint} It has: {", ".join(known) or "none"}.')
