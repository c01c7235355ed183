"""Rows with a known result, read from where a user has them: what a model is trained on.

A row without a target, or that cannot be read, is left out and said, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from matscout.errors import UserError
from matscout.featurizers.parts import source_of
from matscout.models.inputs import CompositionInputs, CrystalInputs, FeatureInputs
from matscout.models.result_columns import as_numbers, beside_rows, column_of, named_row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.featurizers.base import Featurizer
    from matscout.featurizers.parts import Kind, Part, Source
    from matscout.models.inputs import InputKind, Inputs, Rows

PART_ROWS = 20_000
"""Rows read at a time."""


class LeftOut(NamedTuple):
    """A row that is not learnt from: its number in the input, counted from 0, what the user knows it by, and why."""

    row: int
    id: str
    reason: str


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Rows to learn from, and what was left out.

    Attributes
    ----------
    inputs
        What the surrogate takes, n rows.
    target
        Shape (n,), finite.
    compositions
        Of the same rows.
    ids, formulas
        What the user knows each row by, and its formula.
    columns
        What else the input says of the rows, arrays of shape (n,) by name.
    row_numbers
        Number of each row in the input, shape (n,).
    n_input
        Rows of the input.
    left_out
        Rows of the input that are not among these, in its order, and why.
    name
        What messages call the input.
    kind
        What its rows are.
    """

    inputs: Inputs
    target: NDArray[np.float64]
    compositions: CompositionInputs
    ids: tuple[str, ...]
    formulas: tuple[str, ...]
    columns: Mapping[str, NDArray[Any]]
    row_numbers: NDArray[np.intp]
    n_input: int
    left_out: tuple[LeftOut, ...] = ()
    name: str = "the input"
    kind: Kind = "formulas"

    def __len__(self) -> int:
        return len(self.target)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of the input.

        Raises
        ------
        UserError
            There is none of that name; the nearest one is named.
        """
        return column_of(self.columns, name, self.name)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, NaN where there is none.

        Raises
        ------
        UserError
            There is no such column, or it holds something else; the first such row is named.
        """
        return as_numbers(self.column(name), name, self.name, self.ids)

    def chemical_systems(self) -> NDArray[np.str_]:
        """Elements of each row in alphabetical order, as "Cs-I-Pb", shape (n,)."""
        return chemical_systems(self.compositions)


def read_training_data(
    data: Any,
    target: str | NDArray[np.float64] | None,
    takes: InputKind,
    features: Sequence[str | Featurizer] = (),
    client: Any = None,
    results: pd.DataFrame | None = None,
) -> TrainingData:
    """Read all rows that have a target.

    Parameters
    ----------
    data
        A `Source` (see `matscout.featurizers.sources.read_source`), formulas, structures, or a `CandidateTable`.
    target
        Column of the input, or its values, one per row; NaN, infinite or empty where there is no result. None keeps
        all rows, with a target of 0.
    takes
        What the surrogate learns from.
    features
        Feature sets, where it learns from features.
    client
        Where features are made: see `matscout.featurizers.featurize`.
    results
        More columns of the rows, the target among them, where the input carries none: see
        `matscout.models.result_columns.beside_rows`.

    Raises
    ------
    UserError
        There is no such column, or input and results both have it; it holds something else than numbers; there is no
        row, or none with a target; a surrogate of crystals gets formulas.
    """
    if not isinstance(data, list) and not hasattr(data, "__len__") and not hasattr(data, "parts"):
        data = list(data)
    source = source_of(data)
    if takes == "crystals" and source.kind == "formulas":
        raise UserError(
            f"{source.name} holds formulas, and the surrogate learns from crystals: give structures or candidates, or "
            "take composition_network or a surrogate of features"
        )
    read = _Reading(crystals=takes == "crystals")
    for part in source.parts(PART_ROWS):
        read.add(part)
    if not read.n_rows and (target is None or isinstance(target, str)):
        raise UserError(f"{source.name} holds no row to learn from, at most a header")
    if results is not None:
        read.join(results, target, source.name)
    if target is None:
        values = np.zeros(read.n_rows)
    elif isinstance(target, str):
        values = as_numbers(column_of(read.columns(), target, source.name), target, source.name, read.ids)
    else:
        values = np.asarray(target, dtype=float)
    if values.shape != (read.n_rows,):
        raise UserError(f"expected one target for each of {read.n_rows} rows, got {values.shape}")
    for row in np.flatnonzero(~np.isfinite(values)).tolist():
        read.refuse(row, "it has no target" if np.isnan(values[row]) else "its target is infinite")
    inputs = read.inputs(takes, source if takes != "features" else source_of(data), features, client)
    return read.data(inputs, values, source)


def chemical_systems(compositions: CompositionInputs) -> NDArray[np.str_]:
    """Elements of each row in alphabetical order, shape (n,).

    Examples
    --------
    >>> from matscout.models.inputs import as_inputs
    >>> chemical_systems(as_inputs("compositions", ["PbCsI3", "NaCl"])).tolist()
    ['Cs-I-Pb', 'Cl-Na']
    """
    from matscout.db._elements import symbols

    if not len(compositions):
        return np.array([], dtype=np.str_)
    distinct, row = np.unique(compositions.numbers, axis=0, return_inverse=True)
    names = ["-".join(sorted(symbols()[number] for number in numbers if number)) for numbers in distinct.tolist()]
    return np.array(names)[row.ravel()]


class _Reading:
    """Gathers parts as they are read."""

    def __init__(self, *, crystals: bool) -> None:
        self.n_rows = 0
        self._wants_crystals = crystals
        self.ids: list[str] = []
        self._formulas: list[str] = []
        self._columns: list[Mapping[str, Any]] = []
        self._compositions: list[CompositionInputs] = []
        self._crystals: list[Crystal | None] = []
        self._errors: dict[int, str] = {}
        self._joined: dict[str, NDArray[Any]] = {}

    def add(self, part: Part) -> None:
        amounts, errors = part.amounts()
        for row, error in errors.items():
            self.refuse(self.n_rows + row, error)
        self.ids += part.ids
        self._formulas += part.formulas
        self._columns.append(part.columns)
        self._compositions.append(CompositionInputs.of_amounts(amounts))
        if self._wants_crystals:
            for row in range(len(part)):
                self._crystals.append(self._crystal(part, row))
        self.n_rows += len(part)

    def _crystal(self, part: Part, row: int) -> Crystal | None:
        try:
            return part.crystal(row)
        except UserError as error:
            self.refuse(self.n_rows + row, str(error))
            return None

    def refuse(self, row: int, error: str) -> None:
        self._errors.setdefault(row, error)

    def join(self, results: pd.DataFrame, target: Any, name: str) -> None:
        """Take up columns from beside the input; where both have one that is no target, the input's stands."""
        own = self.columns()
        if isinstance(target, str) and target in own and target in results.columns:
            raise UserError(f'{name} and the results beside it both have a column "{target}": rename one')
        self._joined = beside_rows(results, self.ids, name)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns that all parts have, each in one array, and those from beside the input."""
        first = self._columns[0] if self._columns else {}
        own = {
            name: np.concatenate([np.asarray(columns[name]) for columns in self._columns])
            for name in first
            if all(name in columns for columns in self._columns)
        }
        return self._joined | own

    def inputs(self, takes: InputKind, source: Source, features: Sequence[str | Featurizer], client: Any) -> Inputs:
        """All rows as the surrogate takes them, those that will be left out included."""
        if takes == "compositions":
            return self._all_compositions()
        if takes == "crystals":
            filler = next((one for one in self._crystals if one is not None), None)
            if filler is None:
                raise UserError(f"{source.name} holds no crystal that can be read: {self._first_error()}")
            return CrystalInputs([filler if one is None else one for one in self._crystals])
        from matscout.featurizers.matrix import featurize

        matrix = featurize(source, list(features), client)
        for row, error in matrix.errors.items():
            self.refuse(row, error)
        return FeatureInputs(matrix.values, matrix.names, matrix.versions, self._all_compositions())

    def _all_compositions(self) -> CompositionInputs:
        width = max((part.numbers.shape[1] for part in self._compositions), default=1)
        numbers = np.zeros((self.n_rows, width), dtype=np.uint8)
        fractions = np.zeros((self.n_rows, width))
        start = 0
        for part in self._compositions:
            rows = slice(start, start + len(part))
            numbers[rows, : part.numbers.shape[1]] = part.numbers
            fractions[rows, : part.numbers.shape[1]] = part.fractions
            start += len(part)
        return CompositionInputs(numbers, fractions)

    def data(self, inputs: Inputs, values: NDArray[np.float64], source: Source) -> TrainingData:
        """Rows that nothing speaks against."""
        kept = np.ones(self.n_rows, dtype=bool)
        kept[list(self._errors)] = False
        if not kept.any():
            raise UserError(f"{source.name} holds no row to learn from: {self._first_error()}")
        rows = np.flatnonzero(kept)
        return TrainingData(
            inputs=inputs.take(rows),
            target=values[rows],
            compositions=self._all_compositions().take(rows),
            ids=tuple(self.ids[row] for row in rows.tolist()),
            formulas=tuple(self._formulas[row] for row in rows.tolist()),
            columns=_taken(self.columns(), rows),
            row_numbers=rows,
            n_input=self.n_rows,
            left_out=tuple(LeftOut(row, self.ids[row], error) for row, error in sorted(self._errors.items())),
            name=source.name,
            kind=source.kind,
        )

    def _first_error(self) -> str:
        if not self._errors:
            return "it is empty"
        row = min(self._errors)
        return f"{named_row(row, self.ids[row])}: {self._errors[row]}"


def _taken(columns: Mapping[str, NDArray[Any]], rows: Rows) -> dict[str, NDArray[Any]]:
    return {name: values[rows] for name, values in columns.items()}
