"""Featurizers by name, as a campaign file and the command line write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.featurizers.base import Featurizer
from matscout.featurizers.composition import PRESETS as COMPOSITION_PRESETS
from matscout.featurizers.structures import PRESETS as STRUCTURE_PRESETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matscout.featurizers.parts import Source

FEATURE_SETS: tuple[str, ...] = (*COMPOSITION_PRESETS, *STRUCTURE_PRESETS)
"""Names of feature sets: those of compositions, then those of crystals. ``matminer:CLASS`` names one of matminer's."""

MATMINER = "matminer:"
"""What a name of one of matminer's featurizers begins with."""


def make_featurizer(name: str, **options: Any) -> Featurizer:
    """Make a featurizer by its name.

    Parameters
    ----------
    name
        One of `FEATURE_SETS`, or ``matminer:CLASS`` or ``matminer:CLASS:PRESET`` for any featurizer of matminer.
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
    if name in COMPOSITION_PRESETS:
        from matscout.featurizers.composition import CompositionFeaturizer

        return CompositionFeaturizer(name, **options)
    if name in STRUCTURE_PRESETS:
        from matscout.featurizers.structures import StructureFeaturizer

        return StructureFeaturizer(name, **options)
    if name.startswith(MATMINER):
        from matscout.featurizers.matminer import parse_matminer

        return parse_matminer(name, **options)
    raise UserError(unknown_set(name))


def unknown_set(name: str) -> str:
    """Say that there is no such feature set, and which are there."""
    near = nearest(name, FEATURE_SETS)
    hint = f"Did you mean {near}? " if near else ""
    return f'unknown feature set "{name}". {hint}Known: {", ".join(FEATURE_SETS)}, {MATMINER}CLASS.'


def resolve(featurizers: str | Featurizer | Sequence[str | Featurizer], source: Source) -> tuple[Featurizer, ...]:
    """Make all featurizers that are named, and check that they can take these rows.

    The set "sites" of candidates is that of their prototypes' roles, of crystals that of their orbits.

    Raises
    ------
    UserError
        One is unknown or given twice, or needs crystals where there are formulas, or there is none.
    """
    given = [featurizers] if isinstance(featurizers, (str, Featurizer)) else list(featurizers)
    if not given:
        raise UserError(f"no feature set is named. Known: {', '.join(FEATURE_SETS)}.")
    made = [_made(one, source) for one in given]
    for i, featurizer in enumerate(made):
        if any(featurizer.key == other.key for other in made[:i]):
            raise UserError(f'feature set "{featurizer.name}" is named twice')
        if featurizer.takes == "crystals" and source.kind == "formulas":
            raise UserError(f"{featurizer.name} is made of crystals: formulas alone do not have it")
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
    """Names of all columns; one that several featurizers have gets the featurizer's name in front."""
    seen: dict[str, int] = {}
    for featurizer in featurizers:
        for name in featurizer.feature_names:
            seen[name] = seen.get(name, 0) + 1
    return tuple(
        name if seen[name] == 1 else f"{featurizer.name} {name}"
        for featurizer in featurizers
        for name in featurizer.feature_names
    )
