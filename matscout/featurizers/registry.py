"""Featurizers by name, as a campaign file and the command line write them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.featurizers.base import Featurizer
from matscout.featurizers.composition import PRESETS as COMPOSITION_PRESETS
from matscout.featurizers.feature_files import OWN_COLUMNS
from matscout.featurizers.structures import PRESETS as STRUCTURE_PRESETS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matscout.featurizers.parts import Source

FEATURE_SETS: tuple[str, ...] = (*COMPOSITION_PRESETS, *STRUCTURE_PRESETS)
"""Names of feature sets: those of compositions, then those of crystals. ``matminer:CLASS`` names one of matminer's."""

ABOUT: dict[str, str] = {
    "magpie": "statistics of 22 properties of the elements, as matminer's preset",
    "period_group": "statistics of period and group, share of each period and group",
    "fractions": "atomic fraction of each element",
    "stoichiometry": "norms of the atomic fractions",
    "valence_orbital": "mean number of s, p, d and f valence electrons, and their shares",
    "ionic": "whether a neutral compound is possible, ionic character of pairs of elements",
    "ordered_elements": "properties of the elements in the order of electronegativity, fractions, mean differences",
    "charge_balance": "how nearly oxidation states balance, what anions ask of cations",
    "geometry": "density, volume and packing as they stand, space group",
    "sites": "which element sits where: properties, multiplicity and site symmetry of each role",
    "protostructure": "space group, occupied positions, stoichiometry, predicted volume: no element's name",
    "voronoi": "Ward's set of 2017: coordination, bonds, order and neighbours' properties, of any volume",
    "rdf": "how many atoms at which distance, and how electronegativities differ there",
    "orbital_field": "which valence orbitals face which, averaged over sites",
    "sine_coulomb": "spectrum of the sine Coulomb matrix",
    "soap": "smooth overlap of atomic positions, of any number of elements",
    "acsf": "atom-centred symmetry functions of distances and angles",
    "chgnet": "what CHGNet learned of crystal and atoms; it knows relaxed energies of known crystals",
    "chgnet_phonons": "frequencies of vibration and force constants, as CHGNet has them",
}
"""What each set tells, in a line."""

TABLE_ENDING = ".csv"
"""What a name ends in that is a file of element properties."""

MATMINER = "matminer:"
"""What a name of one of matminer's featurizers begins with."""


def make_featurizer(name: str, **options: Any) -> Featurizer:
    """Make a featurizer by its name.

    Parameters
    ----------
    name
        One of `FEATURE_SETS`, or several of compositions with + between; the path of a CSV table of element properties,
        ``element,property,...``; or
        ``matminer:CLASS`` or ``matminer:CLASS:PRESET`` for any featurizer of matminer.
    options
        Its options.

    Raises
    ------
    UserError
        There is no such featurizer, or it has no such option.

    Examples
    --------
    >>> make_featurizer("stoichiometry").takes, make_featurizer("geometry").takes
    ('compositions', 'crystals')
    """
    if name.endswith(TABLE_ENDING) or all(part in COMPOSITION_PRESETS for part in name.split("+")):
        return _of_compositions(name, options)
    if name in STRUCTURE_PRESETS:
        from matscout.featurizers.structures import StructureFeaturizer

        return StructureFeaturizer(name, **options)
    if name.startswith(MATMINER):
        from matscout.featurizers.matminer import parse_matminer

        return parse_matminer(name, **options)
    raise UserError(unknown_set(name))


def _of_compositions(name: str, options: Mapping[str, Any]) -> Featurizer:
    from matscout.featurizers.composition import CompositionFeaturizer

    if wrong := sorted(options.keys() - {"missing", "tables"}):
        raise UserError(f'{name} has no option "{wrong[0]}". It has: missing, tables.')
    return CompositionFeaturizer(Path(name) if name.endswith(TABLE_ENDING) else name, **options)


def unknown_set(name: str) -> str:
    """Say that there is no such feature set, and which are there."""
    near = nearest(name, FEATURE_SETS)
    hint = f"Did you mean {near}? " if near else ""
    return f'unknown feature set "{name}". {hint}Known: {", ".join(FEATURE_SETS)}, {MATMINER}CLASS, a CSV file.'


def resolve(featurizers: str | Featurizer | Sequence[str | Featurizer], source: Source) -> tuple[Featurizer, ...]:
    """Make all featurizers that are named, and check that they can take these rows.

    The set "sites" of candidates is that of their prototypes' roles, of crystals that of their orbits.

    Raises
    ------
    UserError
        One is unknown or given twice, or needs crystals where there are formulas, or there is none.
    """
    one = isinstance(featurizers, (str, Featurizer)) or not hasattr(featurizers, "__iter__")
    given: list[Any] = [featurizers] if one else list(featurizers)  # type: ignore[arg-type]
    if not given:
        raise UserError(f"no feature set is named. Known: {', '.join(FEATURE_SETS)}.")
    made = [_made(one, source) for one in given]
    for i, featurizer in enumerate(made):
        if any(featurizer.key == other.key for other in made[:i]):
            raise UserError(f'feature set "{featurizer.name}" is named twice')
        if featurizer.takes == "crystals" and source.kind == "formulas":
            raise UserError(
                f"{featurizer.name} is made of crystals (pymatgen Structures): {source.rows} do not have it"
            )
        if featurizer.takes == "candidates" and source.kind != "candidates":
            raise UserError(f"{featurizer.name} is made of a candidate table; of crystals there is the set sites")
    return tuple(made)


def _made(one: str | Featurizer, source: Source) -> Featurizer:
    if isinstance(one, Featurizer):
        return one
    if not isinstance(one, str):
        raise UserError(f"a featurizer or the name of a feature set is expected, got {one!r:.60}")
    if one == "sites" and source.kind == "candidates":
        from matscout.featurizers.sites import SiteFeaturizer

        return SiteFeaturizer(source.prototypes)
    return make_featurizer(one)


def column_names(featurizers: Sequence[Featurizer]) -> tuple[str, ...]:
    """Names of all columns; one that several featurizers have gets the featurizer's name in front.

    Of featurizers of one name, as with other options, the second is called so: "rdf 2".
    """
    seen = Counter([*OWN_COLUMNS, *(name for featurizer in featurizers for name in featurizer.feature_names)])
    names: list[str] = []
    before = Counter[str]()
    for featurizer in featurizers:
        before[featurizer.name] += 1
        number = f" {before[featurizer.name]}" if before[featurizer.name] > 1 else ""
        names += [name if seen[name] == 1 else f"{featurizer.name}{number} {name}" for name in featurizer.feature_names]
    return tuple(names)
