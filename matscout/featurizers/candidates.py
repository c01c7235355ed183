"""From a candidate table to one matrix with named columns, ready for a surrogate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from matscout.errors import UserError, nearest
from matscout.featurizers.composition import PRESETS, CompositionFeaturizer
from matscout.featurizers.sites import SiteFeaturizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable

FEATURE_SETS: tuple[str, ...] = (*PRESETS, "sites")
"""Names that `featurize_candidates` takes."""

CHUNK_ROWS = 16_384
"""Rows worked on at a time: bounds the memory beside the result."""


@dataclass(frozen=True, eq=False)
class FeatureMatrix:
    """Features of candidates.

    Attributes
    ----------
    values
        Shape (n, n_features); NaN where a feature is unknown or does not apply.
    names
        Names of the columns, each one once.
    sets
        The feature set that each column comes from.
    citations
        Sources to cite.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]
    sets: tuple[str, ...]
    citations: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.values)


class _TableFeaturizer(Protocol):
    """What every feature set of a candidate table can do."""

    citations: tuple[str, ...]

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    def fill(self, table: CandidateTable, out: NDArray[np.float64]) -> None: ...


def featurize_candidates(table: CandidateTable, names: Sequence[str]) -> FeatureMatrix:
    """Features of every candidate of a table, without building a crystal.

    Parameters
    ----------
    table
        n candidates.
    names
        Feature sets, out of `FEATURE_SETS`; their columns follow each other in this order.

    Returns
    -------
    All columns of all sets: none is dropped, constant or not. Beside the matrix (8 bytes a number) memory is bounded;
    `iterate_features` gives it in parts where it is too large itself.

    Raises
    ------
    UserError
        A feature set is unknown or named twice, or none is named.
    """
    parts = _Parts(table, names)
    values = np.empty((len(table), len(parts.names)))
    start = 0
    for part in table.chunks(CHUNK_ROWS):
        parts.fill(part, values[start : start + len(part)])
        start += len(part)
    return parts.matrix(values)


def iterate_features(table: CandidateTable, names: Sequence[str], size: int = CHUNK_ROWS) -> Iterator[FeatureMatrix]:
    """Features as `featurize_candidates` gives them, at most `size` candidates at a time."""
    parts = _Parts(table, names)
    for part in table.chunks(size):
        values = np.empty((len(part), len(parts.names)))
        parts.fill(part, values)
        yield parts.matrix(values)


class _Parts:
    """The featurizers of the named sets, and which columns are whose."""

    def __init__(self, table: CandidateTable, names: Sequence[str]) -> None:
        self._sets = _known_sets(names)
        self._featurizers = [_featurizer(name, table) for name in self._sets]
        self.names = tuple(name for featurizer in self._featurizers for name in featurizer.feature_names)

    def fill(self, table: CandidateTable, out: NDArray[np.float64]) -> None:
        column = 0
        for featurizer in self._featurizers:
            width = len(featurizer.feature_names)
            featurizer.fill(table, out[:, column : column + width])
            column += width

    def matrix(self, values: NDArray[np.float64]) -> FeatureMatrix:
        widths = [len(featurizer.feature_names) for featurizer in self._featurizers]
        sets = [name for name, width in zip(self._sets, widths, strict=True) for _ in range(width)]
        citations = dict.fromkeys(citation for featurizer in self._featurizers for citation in featurizer.citations)
        return FeatureMatrix(values, self.names, tuple(sets), tuple(citations))


def _featurizer(name: str, table: CandidateTable) -> _TableFeaturizer:
    return SiteFeaturizer(table.prototypes) if name == "sites" else CompositionFeaturizer(name)


def _known_sets(names: Sequence[str]) -> tuple[str, ...]:
    """Check the names of the feature sets."""
    sets = (names,) if isinstance(names, str) else tuple(names)
    if not sets:
        raise UserError(f"no feature set is named. Known: {', '.join(FEATURE_SETS)}.")
    for i, name in enumerate(sets):
        if name not in FEATURE_SETS:
            near = nearest(name, FEATURE_SETS)
            hint = f"Did you mean {near}? " if near else ""
            raise UserError(f'unknown feature set "{name}". {hint}Known: {", ".join(FEATURE_SETS)}.')
        if name in sets[:i]:
            raise UserError(f'feature set "{name}" is named twice')
    return sets
