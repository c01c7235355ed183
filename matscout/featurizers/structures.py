"""Features of crystals, as far as they are known before anything is calculated."""

from __future__ import annotations

import inspect
import json
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError, nearest
from matscout.featurizers.base import CrystalFeaturizer, Descriptor

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    "chgnet_phonons": "phonons:ChgnetPhonons",
}
"""Known presets: the module of `matscout.featurizers.descriptors` and the class in it that makes the numbers."""


class StructureFeaturizer(CrystalFeaturizer):
    """Numbers from crystals.

    They do not depend on how a crystal is turned, shifted, numbered, or its cell chosen, but where the descriptor says
    so.

    Parameters
    ----------
    preset
        geometry, sites, protostructure, voronoi, rdf, orbital_field, sine_coulomb, soap, acsf, chgnet or
        chgnet_phonons: see the classes in `matscout.featurizers.descriptors`.
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
        self.options = _unlike_default(kind, options)
        self.feature_names = self._descriptor.names
        self.units = self._descriptor.units
        self.citations = self._descriptor.citations
        self.version = self._descriptor.version
        self.software = self._descriptor.software

    def prepare(self) -> None:
        """Load what the descriptor needs, by describing rock salt.

        Raises
        ------
        UserError
            What the descriptor needs is not installed.
        """
        self._descriptor.check_installed()
        rock_salt = Crystal(2.82 * (1 - np.eye(3)), np.array([[0.0] * 3, [0.5] * 3]), np.array([11, 17]))
        with suppress(Exception):  # its options may exclude these elements; what fails for every row, each row says
            self._descriptor.describe(rock_salt)

    def featurize(self, row: Crystal) -> NDArray[np.float64]:
        """Features of one crystal, shape (n_features,)."""
        return self._descriptor.describe(row)


def _refuse_unknown(preset: str, kind: type[Descriptor], options: dict[str, Any]) -> None:
    known = [name for name in inspect.signature(kind).parameters if name != "self"]
    for name in options:
        if name not in known:
            near = nearest(name, known)
            hint = f" Did you mean {near}?" if near else ""
            raise UserError(f'{preset} has no option "{name}".{hint} It has: {", ".join(known) or "none"}.')


def _unlike_default(kind: type[Descriptor], options: dict[str, Any]) -> dict[str, Any]:
    """Options without those that say what holds anyway, as JSON gives them back: they are part of the key."""
    parameters = inspect.signature(kind).parameters
    return {name: value for name, value in options.items() if not _same(value, parameters[name].default)}


def _same(value: Any, default: Any) -> bool:
    """Whether an option says the same as its default; JSON knows no tuples."""
    try:
        return bool(json.loads(json.dumps(value)) == json.loads(json.dumps(default)))
    except (TypeError, ValueError):
        return False
