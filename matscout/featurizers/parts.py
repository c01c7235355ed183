"""Rows to be featurized, part by part: formulas, crystals, or candidates of a table.

Only one part is held at a time, so that an input may be longer than memory.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from typing_extensions import override

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers._row_frames import written_species
from matscout.featurizers.amounts import Amounts, amounts_of_table, read_amounts
from matscout.featurizers.errors import RowErrors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pymatgen.core.composition import Composition
    from pymatgen.core.structure import Structure

    from matscout.db.candidates import CandidateTable
    from matscout.db.prototypes import Prototype

Kind = Literal["formulas", "crystals", "candidates"]

_LONGEST = 200  # characters of a formula that people are shown
_LOOKED_AT = 1000  # rows that may say of what kind all are
_FORMULA = re.compile(r"\s*[A-Z(\[]")


class Part(ABC):
    """Consecutive rows."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def ids(self) -> list[str]:
        """What the user knows each row by."""

    @property
    @abstractmethod
    def formulas(self) -> list[str]:
        """Formula of each row, for people; empty where there is none."""

    @property
    def columns(self) -> Mapping[str, Any]:
        """What else the input says of its rows, as arrays by name."""
        return {}

    @abstractmethod
    def amounts(self) -> tuple[Amounts, RowErrors]:
        """Compositions, with the errors of rows that have none."""

    @abstractmethod
    def crystal(self, row: int) -> Crystal:
        """Return the crystal of a row; a `UserError` where it is none."""

    @abstractmethod
    def composition(self, row: int) -> Composition:
        """Return the composition of a row; a `UserError` where it has none."""

    @abstractmethod
    def keys(self) -> list[str]:
        """Content of each row as a hash, empty where it has none: rows of the same one get the same numbers."""


@dataclass(frozen=True)
class _GivenPart(Part):
    """Rows as they were given.

    Attributes
    ----------
    given
        The rows.
    names
        What the user knows each by.
    extra
        What else the input says of them, as Arrow or NumPy arrays by name.
    """

    given: Sequence[Any]
    names: Sequence[str]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.given)

    @property
    @override
    def ids(self) -> list[str]:
        return list(self.names)

    @property
    @override
    def columns(self) -> Mapping[str, Any]:
        return self.extra


@dataclass(frozen=True)
class FormulaPart(_GivenPart):
    """Formulas or pymatgen compositions."""

    @property
    @override
    def formulas(self) -> list[str]:
        return [_written(formula) for formula in self.given]

    @override
    def amounts(self) -> tuple[Amounts, RowErrors]:
        return read_amounts(self.given)

    @override
    def crystal(self, row: int) -> Crystal:
        raise UserError(f"{_written(self.given[row])} is a formula, not a crystal")

    @override
    def composition(self, row: int) -> Composition:
        from pymatgen.core.composition import Composition

        errors = read_amounts(self.given[row : row + 1])[1]
        if errors:
            raise UserError(errors[0])
        return Composition(self.given[row])

    @override
    def keys(self) -> list[str]:
        return [_hashed(f"formula {row}") if isinstance(row, str) else _composition_key(row) for row in self.given]


@dataclass(frozen=True)
class CrystalPart(_GivenPart):
    """pymatgen structures; in the place of one that could not be read stands a `UserError`."""

    @property
    @override
    def formulas(self) -> list[str]:
        return [_reduced_formula(structure) for structure in self.given]

    def _structure(self, row: int) -> Structure:
        given = self.given[row]
        if isinstance(given, UserError):
            raise given
        structure: Structure = given
        return structure

    @override
    def amounts(self) -> tuple[Amounts, RowErrors]:
        amounts, errors = read_amounts([getattr(structure, "composition", None) for structure in self.given])
        for row, structure in enumerate(self.given):
            if isinstance(structure, UserError):
                errors[row] = str(structure)
        return amounts, errors

    @override
    def crystal(self, row: int) -> Crystal:
        return Crystal.from_structure(self._structure(row))

    @override
    def composition(self, row: int) -> Composition:
        return self._structure(row).composition

    @override
    def keys(self) -> list[str]:
        return [_structure_key(structure) for structure in self.given]


@dataclass(frozen=True)
class CandidatePart(Part):
    """Rows of a candidate table."""

    table: CandidateTable

    def __len__(self) -> int:
        return len(self.table)

    @property
    @override
    def ids(self) -> list[str]:
        return self.table.ids

    @property
    @override
    def formulas(self) -> list[str]:
        return self.table.formulas

    @property
    @override
    def columns(self) -> Mapping[str, Any]:
        names = np.array([prototype.name for prototype in self.table.prototypes])
        return {"prototype": names[self.table.prototype_index], **self.table.columns}

    @override
    def amounts(self) -> tuple[Amounts, RowErrors]:
        return amounts_of_table(self.table), RowErrors()

    @override
    def crystal(self, row: int) -> Crystal:
        return Crystal.of_candidate(self.table, row)

    @override
    def composition(self, row: int) -> Composition:
        from pymatgen.core.composition import Composition

        return Composition(self.table.formulas_at([row])[0])

    @override
    def keys(self) -> list[str]:
        table = self.table
        prototypes = [prototype.key for prototype in table.prototypes]
        return [
            _hashed(f"{prototypes[index]}|{decoration.hex()}|{volume.hex()}")
            for index, decoration, volume in zip(
                table.prototype_index.tolist(), map(bytes, table.decoration), table.volume.tolist(), strict=True
            )
        ]


@dataclass(frozen=True)
class Source:
    """An input: of what kind its rows are, how many they are if that is known, and how to read them part by part.

    Attributes
    ----------
    kind
        Formulas, crystals or candidates.
    read
        Called with the most rows of a part; yields the parts in order. Once only, where rows come from an iterator.
    n_rows
        None where only reading to the end would tell.
    about
        How many there may be then.
    prototypes
        Those of candidates, which fix the columns of their sites.
    name
        What messages call it.
    rows
        What messages call its rows.
    """

    kind: Kind
    read: Callable[[int], Iterator[Part]]
    n_rows: int | None = None
    about: int | None = None
    prototypes: tuple[Prototype, ...] = ()
    name: str = "the input"
    rows: str = "formulas"

    def parts(self, size: int) -> Iterator[Part]:
        """Parts of at most `size` rows, in order."""
        return self.read(size)

    def as_crystals(self) -> Source:
        """Take candidates as the crystals that they are: their sites are then told as those of any other crystal."""
        return replace(self, kind="crystals", prototypes=())


def source_of(data: Any) -> Source:
    """Find out what rows are given.

    Parameters
    ----------
    data
        A `CandidateTable`, or an iterable of tables of the same prototypes; a `Source`; formulas, pymatgen compositions
        or structures in a list, a pandas series or any other iterable, which is read as it is needed. Rows of a series
        are known by its index, others by their number.

    Raises
    ------
    UserError
        It is none of these.
    """
    from matscout.db.candidates import CandidateTable

    if isinstance(data, Source):
        return data
    if isinstance(data, CandidateTable):
        return Source(
            "candidates", lambda size: map(CandidatePart, data.chunks(size)), len(data), prototypes=data.prototypes
        )
    _refuse_single(data)
    names = map(str, data.index) if hasattr(data, "index") and hasattr(data, "iloc") else None
    n_rows = len(data) if hasattr(data, "__len__") else None
    rows = iter(data)
    seen = list(_up_to_a_row(islice(rows, _LOOKED_AT)))
    first = seen[-1] if seen else None
    if isinstance(first, CandidateTable):
        tables = chain(seen, rows)
        return Source("candidates", lambda size: _parts_of(tables, size), prototypes=first.prototypes)
    # of nothing at all every featurizer has its columns
    kind: Kind = "crystals" if _is_structure(first) or isinstance(first, UserError) or not seen else "formulas"
    part = CrystalPart if kind == "crystals" else FormulaPart
    everything = chain(seen, rows)
    called = "formulas" if first is None or isinstance(first, str) else f"rows of the type {type(first).__name__}"
    return Source(kind, lambda size: (part(*given) for given in _batches(everything, names, size)), n_rows, rows=called)


def _refuse_single(data: Any) -> None:
    """Refuse what is no list of rows."""
    single = isinstance(data, (str, bytes, Mapping)) or hasattr(data, "get_el_amt_dict") or _is_structure(data)
    if single or not hasattr(data, "__iter__") or getattr(data, "shape", None) == ():
        raise UserError(
            f"a list of formulas, a list of structures or a CandidateTable is expected, got a {type(data).__name__}; "
            "put a single one into a list"
        )
    if hasattr(data, "columns"):
        raise UserError(f"a table with the columns {', '.join(map(str, data.columns))}: name one, as frame['formula']")


def _up_to_a_row(rows: Iterable[Any]) -> Iterator[Any]:
    """Take rows up to the first one that says of what kind they are, that one included."""
    for row in rows:
        yield row
        if _is_structure(row) or isinstance(row, UserError) or hasattr(row, "prototype_index"):
            return
        if hasattr(row, "get_el_amt_dict") or (isinstance(row, str) and _FORMULA.match(row)):
            return


def _parts_of(tables: Iterable[CandidateTable], size: int) -> Iterator[Part]:
    for table in tables:
        if not hasattr(table, "prototype_index"):
            raise UserError(f"a {type(table).__name__} among tables of candidates")
        yield from map(CandidatePart, table.chunks(size))


def _batches(rows: Iterable[Any], names: Iterator[str] | None, size: int) -> Iterator[tuple[list[Any], list[str]]]:
    known_by = map(str, count()) if names is None else names
    rows = iter(rows)
    while batch := list(islice(rows, size)):
        yield batch, list(islice(known_by, len(batch)))


def _is_structure(row: Any) -> bool:
    return hasattr(row, "lattice") and hasattr(row, "frac_coords")


def _reduced_formula(structure: Any) -> str:
    if not _is_structure(structure):
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of elements without an electronegativity
            formula: str = structure.composition.reduced_formula
    except (ValueError, TypeError, ZeroDivisionError):  # dummy species and nothing at all; the row has its own error
        return ""
    return formula


def _structure_key(structure: Any) -> str:
    """Hash of a structure as it was given, oxidation states and occupancies included."""
    if not _is_structure(structure):
        return ""
    content = hashlib.sha256(np.ascontiguousarray(structure.lattice.matrix, dtype="<f8").tobytes())
    content.update(np.ascontiguousarray(structure.frac_coords, dtype="<f8").tobytes())
    species = [[[*written_species(kind), amount] for kind, amount in site.species.items()] for site in structure]
    content.update(repr(species).encode())
    return content.hexdigest()


def _composition_key(composition: Any) -> str:
    """Hash of a composition in its order, oxidation states included; empty of what is none."""
    if not hasattr(composition, "get_el_amt_dict"):
        return ""
    return _hashed(repr([[*written_species(kind), amount] for kind, amount in composition.items()]))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _written(row: Any) -> str:
    """Write a formula for people; empty of what cannot be written, such as an infinite amount."""
    if row is None:
        return ""
    try:
        text = str(row)
    except (ArithmeticError, ValueError, TypeError):
        return ""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
