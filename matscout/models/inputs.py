"""What surrogates learn from: rows of features, compositions or crystals, in one form each.

A row is known before any calculation: a crystal is the candidate at its predicted volume.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from matscout.crystals.crystal import Crystal
from matscout.db.candidates import CandidateTable
from matscout.errors import UserError, nearest
from matscout.featurizers.amounts import Amounts, amounts_of_table, read_amounts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.intp] | NDArray[np.bool_] | slice

InputKind = Literal["features", "compositions", "crystals"]


class Inputs(ABC):
    """Rows of one kind, in order."""

    kind: ClassVar[InputKind]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, rows: Rows) -> Self:
        """Return some of the rows: by mask, by number or by slice."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the content, in its order."""


@dataclass(frozen=True, eq=False)
class FeatureInputs(Inputs):
    """Rows of a feature matrix.

    Attributes
    ----------
    values
        Shape (n, n_features), a floating type; NaN where unknown.
    names
        Names of the columns; None where a bare array was given.
    versions
        Key of each featurizer that made columns, by its name; empty where not known.
    compositions
        Of the same rows, where they are known: a row with an element that no training row had is then outside of a
        model's domain, however near its features are.
    """

    kind: ClassVar[InputKind] = "features"

    values: NDArray[np.floating]
    names: tuple[str, ...] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    compositions: CompositionInputs | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Rows) -> Self:
        """Return some of the rows: by mask, by number or by slice."""
        compositions = None if self.compositions is None else self.compositions.take(rows)
        return type(self)(self.values[rows], self.names, self.versions, compositions)

    def fingerprint(self) -> str:
        """Hash of the values as float64, with the names of their columns."""
        digest = hashlib.sha256(repr((self.values.shape, self.names)).encode())
        digest.update(np.ascontiguousarray(self.values, dtype="<f8").tobytes())
        return digest.hexdigest()

    def check_same_columns(self, other: FeatureInputs) -> None:
        """Raise a `UserError` unless another matrix has these columns, in this order and of these versions."""
        width, others = self.values.shape[1], other.values.shape[1]
        if self.names is not None and other.names is not None and self.names != other.names:
            raise UserError(_difference(self.names, other.names))
        if width != others:
            raise UserError(f"expected {width} features in columns, as in training, got {others}")
        for name, version in self.versions.items():
            now = other.versions.get(name, version)
            if now != version:
                raise UserError(
                    f"the features {name} are of another version ({now}) than in training ({version}): "
                    "train again, or install the packages that the model's card names"
                )


@dataclass(frozen=True, eq=False)
class CompositionInputs(Inputs):
    """Rows of compositions.

    Attributes
    ----------
    numbers
        Atomic numbers in ascending order, shape (n, k); 0 behind the last element of a row.
    fractions
        Atomic fractions, shape (n, k), each row summing to 1; 0 behind the last element.
    """

    kind: ClassVar[InputKind] = "compositions"

    numbers: NDArray[np.uint8]
    fractions: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, rows: Rows) -> Self:
        """Return some of the rows: by mask, by number or by slice."""
        return type(self)(self.numbers[rows], self.fractions[rows])

    def fingerprint(self) -> str:
        """Hash of the compositions, whatever the number of columns."""
        rows, columns = np.nonzero(self.numbers)
        counts = np.bincount(rows, minlength=len(self))
        digest = hashlib.sha256(np.ascontiguousarray(counts, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.numbers[rows, columns]).tobytes())
        digest.update(np.ascontiguousarray(self.fractions[rows, columns].round(9), dtype="<f8").tobytes())
        return digest.hexdigest()

    @classmethod
    def of_amounts(cls, amounts: Amounts) -> Self:
        """Bring amounts into canonical form: elements in order, fractions instead of amounts.

        Examples
        --------
        >>> inputs = as_inputs("compositions", ["Fe2O3", "O6Fe4"])
        >>> inputs.numbers.tolist(), inputs.fractions.tolist()
        ([[8, 26], [8, 26]], [[0.6, 0.4], [0.6, 0.4]])
        """
        present = amounts.values > 0
        keys = np.where(present, amounts.elements, np.uint8(255))
        order = np.argsort(keys, axis=1, kind="stable")
        numbers = np.where(present, amounts.elements, np.uint8(0))
        numbers = np.take_along_axis(numbers, order, axis=1)
        values = np.take_along_axis(np.where(present, amounts.values, 0.0), order, axis=1)
        return cls(numbers, values / values.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class CrystalInputs(Inputs):
    """Rows of crystals: of a candidate table at their predicted volume, or as they were given.

    Attributes
    ----------
    source
        A table, whose crystals are made when asked for, or crystals.
    """

    kind: ClassVar[InputKind] = "crystals"

    source: CandidateTable | Sequence[Crystal]

    def __len__(self) -> int:
        return len(self.source)

    def take(self, rows: Rows) -> Self:
        """Return some of the rows: by mask, by number or by slice."""
        numbers = np.arange(len(self))[rows]
        if isinstance(self.source, CandidateTable):
            return type(self)(self.source.take(numbers))
        return type(self)([self.source[row] for row in numbers.tolist()])

    def crystals(self) -> Iterator[Crystal]:
        """Make the crystals one by one.

        Raises
        ------
        UserError
            A candidate has overlapping atoms; the message names its row.
        """
        if not isinstance(self.source, CandidateTable):
            yield from self.source
            return
        for row in range(len(self.source)):
            try:
                yield Crystal.of_candidate(self.source, row)
            except UserError as error:
                raise UserError(f"row {row}: {error}") from error

    def fingerprint(self) -> str:
        """Hash of the crystals' arrays, coordinates rounded to 1e-6."""
        digest = hashlib.sha256()
        for crystal in self.crystals():
            digest.update(np.ascontiguousarray(crystal.numbers, dtype="<i8").tobytes())
            for array in (crystal.lattice, crystal.frac_coords):
                digest.update((np.ascontiguousarray(array, dtype="<f8").round(6) + 0.0).tobytes())
        return digest.hexdigest()


def as_inputs(kind: InputKind, X: Any) -> Inputs:
    """Bring what a user has into rows of a kind.

    Parameters
    ----------
    kind
        ``features``: an array of shape (n, n_features), a frame or a `FeatureMatrix`. ``compositions``: formulas,
        pymatgen compositions or structures in a list or series, or a `CandidateTable`. ``crystals``: pymatgen
        structures or a `CandidateTable`. Inputs of the kind pass unchanged.

    Raises
    ------
    UserError
        `X` is none of that, or a row of it cannot be read; the message names the first one.
    ValueError
        A matrix is not of two dimensions.
    """
    if isinstance(X, Inputs):
        if X.kind != kind:
            raise UserError(f"the surrogate takes {kind}, got rows of {X.kind}")
        return X
    return {"features": _features, "compositions": _compositions, "crystals": _crystals}[kind](X)


def _features(X: Any) -> FeatureInputs:
    from matscout.featurizers.matrix import FeatureMatrix

    if isinstance(X, FeatureMatrix):
        return FeatureInputs(X.values, X.names, X.versions)
    if isinstance(X, CandidateTable):
        raise UserError(
            "the surrogate takes features, got a table of candidates: make them with matscout.featurizers.featurize"
        )
    names = tuple(str(name) for name in X.columns) if hasattr(X, "columns") else None
    values = np.asarray(X)
    if values.dtype.kind not in "fiub":
        raise UserError(f"features must be numbers, got {values.dtype}: {values.ravel()[:1].tolist()}")
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    if values.ndim != 2:
        raise ValueError(f"expected X of shape (n, n_features), got {values.shape}")
    return FeatureInputs(values, names)


def _compositions(X: Any) -> CompositionInputs:
    if isinstance(X, CandidateTable):
        return CompositionInputs.of_amounts(amounts_of_table(X))
    rows = [getattr(row, "composition", row) for row in _listed(X, "formulas or compositions")]
    if not rows:
        return CompositionInputs(np.empty((0, 1), dtype=np.uint8), np.empty((0, 1)))
    amounts, errors = read_amounts(rows)
    if errors:
        first = min(errors)
        raise UserError(f"row {first} is no composition: {errors[first]}")
    return CompositionInputs.of_amounts(amounts)


def _crystals(X: Any) -> CrystalInputs:
    if isinstance(X, CandidateTable):
        return CrystalInputs(X)
    crystals = []
    for row, one in enumerate(_listed(X, "structures or a CandidateTable")):
        try:
            crystals.append(one if isinstance(one, Crystal) else Crystal.from_structure(one))
        except UserError as error:
            raise UserError(f"row {row} is no crystal: {error}") from error
    return CrystalInputs(crystals)


def _listed(X: Any, wanted: str) -> list[Any]:
    if isinstance(X, (str, bytes, Mapping)) or not hasattr(X, "__iter__"):
        raise UserError(f"expected {wanted} in a list, got {X!r:.60}")
    return list(X)


def _difference(trained: tuple[str, ...], given: tuple[str, ...]) -> str:
    """Say how the columns given differ from those of training."""
    missing = [name for name in trained if name not in set(given)]
    if missing:
        near = nearest(missing[0], [name for name in given if name not in set(trained)])
        hint = f" (the nearest one given is {near})" if near else ""
        return f"{len(missing)} features of the training are missing, the first is {missing[0]}{hint}"
    extra = [name for name in given if name not in set(trained)]
    if extra:
        return f"{len(extra)} features were not there in training, the first is {extra[0]}"
    column = next(i for i, (first, second) in enumerate(zip(trained, given, strict=True)) if first != second)
    return (
        f"the features are in another order than in training: column {column} is {given[column]}, "
        f"in training {trained[column]}"
    )
