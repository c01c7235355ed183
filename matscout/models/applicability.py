"""How far a row lies from the data that a surrogate was trained on.

The measure is the mean distance to the k nearest training rows, in units of what is usual among training rows that
are not of one group: Sahigara et al., Defining a novel k-nearest neighbours approach to assess the applicability domain
of a QSAR model for reliable predictions, J. Cheminform. 5, 27 (2013), doi:10.1186/1758-2946-5-27. That errors grow, and
stds fail, far from the training data of materials: Schultz et al., A general approach for determining applicability
domain of machine learning models, npj Comput. Mater. (2025), doi:10.1038/s41524-025-01573-x. What lies within
the domain can still be predicted badly in a part of it: Sutton et al., Identifying domains of applicability of machine
learning models for materials science, Nat. Commun. 11, 4428 (2020), doi:10.1038/s41467-020-17112-9.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from matscout.db._elements import N_ELEMENTS
from matscout.db.candidates import CandidateTable
from matscout.db.files import write_whole
from matscout.featurizers.amounts import amounts_of_table
from matscout.featurizers.elements import site_table
from matscout.featurizers.selection.scale import one_thread
from matscout.models.inputs import CompositionInputs, CrystalInputs, FeatureInputs
from matscout.models.kept_files import read_arrays, reading

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from matscout.models.inputs import Inputs

NEIGHBOURS = 5
"""Nearest training rows whose mean distance is taken."""

USUAL = 0.95
"""Share of the training rows that lie within the domain, each measured as if its group were new."""

COMPONENTS = 5
"""Principal components of the standardised columns; what lies outside of them counts by its length."""

MOST_REFERENCES = 2_000
"""Training rows that distances are measured to; of more, those are taken that lie farthest apart."""

_MOST_CHOSEN_FROM = 20_000
_MOST_MEASURED = 5_000
_CHUNK_ROWS = 8_192
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # so that features in single precision, or with another rounding, are the same
_DECIMALS = 6  # matrix products depend in their last bits on how many rows are multiplied at a time
_JUST_OUTSIDE = 1 + 10.0**-_DECIMALS
NEW = 1.0
"""Added where a row has what no training row had: an element, another value in a column that was constant, or an
unknown one in a column that was always known."""


@dataclass(frozen=True, eq=False)
class Domain:
    """Where the training data lie.

    Columns are standardised and projected onto their first principal components; the length of what these leave out is
    one more coordinate, so that a row that is odd in any column is far. Compositions stand by statistics of their
    elements' properties, crystals by these and their volume per atom.

    Attributes
    ----------
    centre, scale
        Mean and std of each column, shape (p,); the std is 0 where a column was constant.
    axes
        Principal components, shape (p, k), as columns; 0 where a column was constant.
    references
        Coordinates of training rows, shape (m, k + 1).
    unit
        Mean distance to the nearest neighbours that is usual, > 0.
    elements
        Which atomic numbers occurred, shape (119,); empty where features came without compositions.
    complete
        Which features were known in every training row, shape (p,); empty for compositions and crystals.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    axes: NDArray[np.float64]
    references: NDArray[np.float64]
    unit: float
    elements: NDArray[np.bool_]
    complete: NDArray[np.bool_]

    @classmethod
    def fit(cls, inputs: Inputs, groups: NDArray[np.intp] | None = None, *, seed: int = 0) -> Self:
        """Measure the training data.

        Parameters
        ----------
        inputs
            Two rows or more.
        groups
            Label of each row, shape (n,): what is usual is the distance to rows of other groups.
        seed
            Of the choice among many rows.
        """
        rng = np.random.default_rng(seed)
        matrix = _matrix(inputs)
        centre, scale = _centre_and_scale(matrix)
        with one_thread():
            axes = _principal_axes(matrix[_some(rng, len(matrix), MOST_REFERENCES)], centre, scale)
            coordinates = _coordinates(matrix, centre, scale, axes)
        labels = np.arange(len(matrix)) if groups is None or (groups == groups[0]).all() else groups
        chosen = _some(rng, len(matrix), _MOST_CHOSEN_FROM)
        chosen = chosen[_far_apart(coordinates[chosen], MOST_REFERENCES)]
        measured = _some(rng, len(matrix), _MOST_MEASURED)
        usual = _to_other_groups(coordinates[measured], labels[measured], coordinates[chosen], labels[chosen])
        unit = float(np.quantile(usual, USUAL)) or float(usual.max()) or 1.0
        return cls(centre, scale, axes, coordinates[chosen], unit, _elements(inputs), _complete(inputs))

    def distance(self, inputs: Inputs) -> NDArray[np.float64]:
        """Distance of each row to the training data, shape (n,); above 1 it is outside of the domain."""
        from scipy.spatial import cKDTree

        tree = cKDTree(self.references)
        neighbours = min(NEIGHBOURS, len(self.references) - 1) or 1
        found = np.empty(len(inputs))
        for start in range(0, len(inputs), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            part = inputs.take(rows)
            matrix = _matrix(part, self.centre)
            with one_thread():
                coordinates = _coordinates(matrix, self.centre, self.scale, self.axes)
            distances = np.asarray(tree.query(coordinates, k=[*range(1, neighbours + 1)])[0])
            nearest = (distances.mean(axis=1) / self.unit).round(_DECIMALS)
            found[rows] = np.where(self._is_new(part, matrix), np.maximum(nearest + NEW, _JUST_OUTSIDE), nearest)
        return found

    def _is_new(self, inputs: Inputs, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
        constant = self.scale == 0
        expected = self.centre[constant]
        differs = np.abs(matrix[:, constant] - expected) > _RELATIVE * np.abs(expected) + _ABSOLUTE
        new: NDArray[np.bool_] = differs.any(axis=1)
        if len(self.elements) and (compositions := _known_compositions(inputs)) is not None:
            new |= ~self.elements[compositions.numbers].all(axis=1)
        if isinstance(inputs, FeatureInputs):  # an element without properties, for instance
            new |= np.isnan(inputs.values[:, self.complete]).any(axis=1)
        return new

    def save(self, path: Path) -> None:
        """Keep it in an npz file."""
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        write_whole(path, partial(np.savez_compressed, allow_pickle=False, **arrays))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Take up what `save` kept; a `DamagedError` says where it cannot be read."""
        with reading(path):
            arrays = read_arrays(path)
            found: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
            return cls(**found | {"unit": float(found["unit"])})


def _some(rng: np.random.Generator, n: int, most: int) -> NDArray[np.intp]:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False)).astype(np.intp)


def _centre_and_scale(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    centre, scale = matrix.mean(axis=0), matrix.std(axis=0)
    constant = np.ptp(matrix, axis=0) <= _RELATIVE * np.abs(centre) + _ABSOLUTE
    return centre, np.where(constant, 0.0, scale)


def _standardised(
    matrix: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    return (matrix - centre) * np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)


def _principal_axes(
    matrix: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """First principal components as columns, shape (p, k)."""
    from scipy.linalg import eigh

    z = _standardised(matrix, centre, scale)
    n, p = z.shape
    gram = z.T @ z if p <= n else z @ z.T
    k = min(COMPONENTS, len(gram))
    values, vectors = eigh(gram, subset_by_index=[len(gram) - k, len(gram) - 1])
    kept = values > 1e-12 * max(float(values[-1]), 1e-300)
    axes = vectors[:, kept] if p <= n else z.T @ (vectors[:, kept] / np.sqrt(values[kept]))
    return np.ascontiguousarray(axes[:, ::-1])


def _coordinates(
    matrix: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    axes: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Principal components of each row, and the length of what they leave out, shape (n, k + 1)."""
    found = np.empty((len(matrix), axes.shape[1] + 1))
    for start in range(0, len(matrix), _CHUNK_ROWS):
        z = _standardised(matrix[start : start + _CHUNK_ROWS], centre, scale)
        inside = z @ axes
        left_out = (z**2).sum(axis=1) - (inside**2).sum(axis=1)
        found[start : start + _CHUNK_ROWS] = np.column_stack([inside, np.sqrt(np.maximum(left_out, 0.0))])
    return found


def _far_apart(coordinates: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Rows of which each next one lies farthest from those before it (Gonzalez' k-centre), all if they are few."""
    n = len(coordinates)
    if n <= most:
        return np.arange(n)
    chosen = np.empty(most, dtype=np.intp)
    chosen[0] = ((coordinates - coordinates.mean(axis=0)) ** 2).sum(axis=1).argmin()
    nearest = np.full(n, np.inf)
    for place in range(1, most):
        np.minimum(nearest, ((coordinates - coordinates[chosen[place - 1]]) ** 2).sum(axis=1), out=nearest)
        chosen[place] = nearest.argmax()
    return np.sort(chosen)


def _to_other_groups(
    coordinates: NDArray[np.float64],
    labels: NDArray[np.intp],
    references: NDArray[np.float64],
    labels_of_references: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Mean distance of each row to the nearest references of other groups, shape (n,)."""
    from scipy.spatial.distance import cdist

    found = np.empty(len(coordinates))
    neighbours = min(NEIGHBOURS, len(references) - 1) or 1
    for start in range(0, len(coordinates), 1_000):
        rows = slice(start, start + 1_000)
        distances = cdist(coordinates[rows], references)
        distances[labels[rows, None] == labels_of_references] = np.nan
        nearest = np.sort(distances, axis=1)[:, :neighbours]  # NaN last
        known = ~np.isnan(nearest)
        found[rows] = np.where(known, nearest, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return found


def _matrix(inputs: Inputs, fill: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Columns that rows are compared by, shape (n, p); an unknown feature stands at its mean."""
    if isinstance(inputs, FeatureInputs):
        values = inputs.values.astype(np.float64)
        unknown = np.isnan(values)
        if not unknown.any():
            return values
        if fill is None:
            known = np.maximum((~unknown).sum(axis=0), 1)
            fill = np.where(unknown, 0.0, values).sum(axis=0) / known
        return np.where(unknown, fill, values)
    statistics = _element_statistics(_compositions(inputs))
    if not isinstance(inputs, CrystalInputs):
        return statistics
    return np.column_stack([statistics, np.log(_volumes(inputs))])


def _compositions(inputs: Inputs) -> CompositionInputs:
    if isinstance(inputs, CompositionInputs):
        return inputs
    assert isinstance(inputs, CrystalInputs)
    if isinstance(inputs.source, CandidateTable):
        return CompositionInputs.of_amounts(amounts_of_table(inputs.source))
    counted = [np.unique(crystal.numbers, return_counts=True) for crystal in inputs.source]
    numbers = np.zeros((len(counted), max((len(found) for found, _ in counted), default=1)), dtype=np.uint8)
    fractions = np.zeros(numbers.shape)
    for row, (found, counts) in enumerate(counted):
        numbers[row, : len(found)], fractions[row, : len(found)] = found, counts / counts.sum()
    return CompositionInputs(numbers, fractions)


def _volumes(inputs: CrystalInputs) -> NDArray[np.float64]:
    """Volume of each crystal, Å³/atom."""
    if isinstance(inputs.source, CandidateTable):
        return inputs.source.volume
    return np.array([crystal.volume / len(crystal) for crystal in inputs.source], dtype=np.float64)


@cache
def _element_properties() -> NDArray[np.float64]:
    """Properties of the elements, shape (119, n_properties), each with its mean where unknown; 0 for no element."""
    return np.nan_to_num(site_table().filled("mean").values)


def _element_statistics(inputs: CompositionInputs) -> NDArray[np.float64]:
    """Mean, mean absolute deviation, smallest and largest value of each property in each composition."""
    properties = _element_properties()[inputs.numbers]
    present, weight = (inputs.numbers > 0)[:, :, None], inputs.fractions[:, :, None]
    mean = (properties * weight).sum(axis=1)
    deviation = (np.abs(properties - mean[:, None]) * weight).sum(axis=1)
    smallest = np.where(present, properties, np.inf).min(axis=1)
    largest = np.where(present, properties, -np.inf).max(axis=1)
    return np.concatenate([mean, deviation, smallest, largest], axis=1)


def _complete(inputs: Inputs) -> NDArray[np.bool_]:
    known = [] if not isinstance(inputs, FeatureInputs) else ~np.isnan(inputs.values).any(axis=0)
    return np.array(known, dtype=np.bool_)


def _elements(inputs: Inputs) -> NDArray[np.bool_]:
    """Atomic numbers that occur, and 0; empty where compositions are not known."""
    compositions = _known_compositions(inputs)
    if compositions is None:
        return np.empty(0, dtype=bool)
    occur = np.zeros(N_ELEMENTS, dtype=bool)
    occur[0] = True
    occur[np.unique(compositions.numbers)] = True
    return occur


def _known_compositions(inputs: Inputs) -> CompositionInputs | None:
    return inputs.compositions if isinstance(inputs, FeatureInputs) else _compositions(inputs)
