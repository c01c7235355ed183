"""Features of compositions: formulas, pymatgen compositions, or the rows of a candidate table."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from matscout.db.candidates import CandidateTable
from matscout.errors import UserError, nearest
from matscout.featurizers.amounts import Amounts, amounts_of_table, read_amounts
from matscout.featurizers.base import MAGPIE_DATA, TableFeaturizer
from matscout.featurizers.blocks import ROWS_AT_ONCE
from matscout.featurizers.charges import ChargeBalance
from matscout.featurizers.element_tables import is_table, read_element_table, table_document
from matscout.featurizers.elements import ElementTable, Missing, magpie_table
from matscout.featurizers.encodings import ElementFractions, Encoding, Norms, PeriodAndGroup, PropertyStatistics
from matscout.featurizers.errors import RowErrors
from matscout.featurizers.ions import IonicCharacter
from matscout.featurizers.orbitals import ValenceOrbitals
from matscout.featurizers.ordered_elements import OrderedElements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.composition import Composition

    from matscout.featurizers.element_tables import TableSource


def _magpie(missing: Missing) -> Encoding:
    return PropertyStatistics(magpie_table(missing), prefix="MagpieData ", software=MAGPIE_DATA)


PRESETS: dict[str, Callable[[Missing], Encoding]] = {
    "magpie": _magpie,
    "period_group": lambda _: PeriodAndGroup(),
    "fractions": lambda _: ElementFractions(),
    "stoichiometry": lambda _: Norms(),
    "valence_orbital": ValenceOrbitals,
    "ionic": IonicCharacter,
    "ordered_elements": OrderedElements,
    "charge_balance": ChargeBalance,
}
"""Known presets, made with what stands for a property that an element has no value of."""


class CompositionFeaturizer(TableFeaturizer):
    """Numbers from compositions.

    Parameters
    ----------
    presets
        Names of presets, tables of element properties, or a list of both; their columns follow each other in this
        order. Several names may be written as one, ``"magpie+stoichiometry"``.

        magpie
            132 statistics of element properties: columns, names and values of matminer's
            ``ElementProperty.from_preset("magpie")``.
        period_group
            Statistics of period and group, and the atomic fraction in each period, each group and the f block.
        fractions
            Atomic fraction of each of the 118 elements.
        stoichiometry
            p-norms of the atomic fractions: columns and values of matminer's ``Stoichiometry``.
        valence_orbital
            Mean numbers and shares of s, p, d and f valence electrons: columns and values of matminer's
            ``ValenceOrbital``.
        ionic
            Whether charges can balance, and the ionic character of pairs of elements: columns and values of matminer's
            ``IonProperty(fast=True)``, but that oxidation states written into a `Composition` are not looked at.
        ordered_elements
            Properties of the element in each place, in the order of electronegativity: lowest, second lowest, middle,
            second highest, highest; and of the most abundant one. Fractions, and mean differences between two atoms.
        charge_balance
            How nearly common oxidation states balance, how much charge the anions ask of each cation, and how that
            compares with what the cations can give.
        a table of your own
            An `ElementTable`, a pandas frame with element symbols as its index, a mapping from symbol to the properties
            by name, or the path of a CSV file ``element,property,...``. It gives the six statistics of each property
            that magpie gives of its own: ``minimum hardness``, ``maximum hardness`` and so on.

        Deuterium and tritium count as hydrogen, species as their element.
    missing
        What stands for a property that an element has no value of.

        mean
            The mean of the property over all elements that have one: what matminer does by default, and the default of
            the presets. The element then looks like an ordinary one.
        nan
            NaN: every statistic that the element takes part in is NaN. The default of tables of your own.
    tables
        Tables of your own by name; `presets` may hold these names.

    Attributes
    ----------
    name
        The names of all presets and tables, with + between.
    feature_names
        Names of the columns.
    units
        Unit of each column, "" where it has none.
    citations
        Sources to cite.

    Raises
    ------
    UserError
        A preset is unknown, given twice or not there; a table has something wrong in it; two of them have a column of
        the same name.

    Examples
    --------
    >>> featurizer = CompositionFeaturizer("stoichiometry")
    >>> featurizer.transform(["Fe2O3", "SrTiO3"]).round(3)[:, :3]
    array([[2.   , 0.721, 0.654],
           [3.   , 0.663, 0.614]])
    >>> price = CompositionFeaturizer({"Fe": {"price": 0.4}, "Au": {"price": 58_000}})
    >>> price.feature_names[3], price.transform(["FeAu", "FeO"])[:, 3].tolist()
    ('mean price', [29000.2, nan])
    """

    version = 1

    def __init__(
        self,
        *presets: str | TableSource | Sequence[str | TableSource],
        missing: Missing | None = None,
        tables: Mapping[str, TableSource] | None = None,
    ) -> None:
        if missing is not None and missing not in get_args(Missing):
            raise UserError(f"missing: {' or '.join(get_args(Missing))} is expected, got {missing!r:.60}")
        own = {name: read_element_table(table) for name, table in (tables or {}).items()}
        if wrong := [name for name in own if "+" in name or name in PRESETS]:
            raise UserError(f'a table cannot have the name "{wrong[0]}": it has a + in it, or is that of a preset')
        names = _names(presets or tuple(own) or ("magpie",), own)
        if not names:
            raise UserError(f"no preset is named. Known: {', '.join(PRESETS)}.")
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise UserError(f'composition preset "{twice[0]}" is named twice')
        self._encodings = [_encoding(name, own, missing) for name in names]
        self._refuse_same_columns(names)
        self.name = "+".join(names)
        self.options = {} if missing is None else {"missing": missing}
        if tables_used := {name: table_document(own[name]) for name in names if name in own}:
            self.options["tables"] = tables_used
        self.feature_names = tuple(name for encoding in self._encodings for name in encoding.names)
        self.units = tuple(unit for encoding in self._encodings for unit in encoding.units)
        self.citations = tuple(dict.fromkeys(text for encoding in self._encodings for text in encoding.citations))
        self.software = tuple(sorted({package for encoding in self._encodings for package in encoding.software}))

    def __repr__(self) -> str:
        missing = f", missing={self.options['missing']!r}" if "missing" in self.options else ""
        return f"CompositionFeaturizer({self.name!r}{missing})"

    def _refuse_same_columns(self, names: Sequence[str]) -> None:
        home: dict[str, str] = {}
        for name, encoding in zip(names, self._encodings, strict=True):
            for column in encoding.names:
                if column in home:
                    raise UserError(f'{home[column]} and {name} both have a column "{column}": rename the property')
                home[column] = name

    def fill(self, amounts: Amounts, out: NDArray[np.floating[Any]]) -> None:
        """Write the features of n compositions into `out`.

        Parameters
        ----------
        amounts
            n compositions.
        out
            Shape (n, n_features), overwritten; its type is that of the result, while all arithmetic is in 64 bits.
        """
        column = 0
        for encoding in self._encodings:
            width = len(encoding.names)
            encoding.fill(amounts, out[:, column : column + width])
            column += width

    def transform(
        self, compositions: CandidateTable | Iterable[str | Composition], *, strict: bool = False
    ) -> NDArray[np.float64]:
        """Features of each composition.

        A row that is no composition is NaN and is named in a warning; `featurize` returns the errors with the numbers.

        Parameters
        ----------
        compositions
            Formulas, pymatgen compositions, or a `CandidateTable`, whose amounts are taken as they are.
        strict
            Raise instead of the warning.

        Returns
        -------
        Shape (n, n_features). Beside it, memory is bounded whatever n.

        Raises
        ------
        FeatureRowsError
            With `strict`: some rows are no compositions; it names the first ten.
        UserError
            It is no list at all.
        """
        rows = compositions if isinstance(compositions, CandidateTable) else _listed(compositions)
        out = np.empty((len(rows), len(self)))
        errors = RowErrors()
        start = 0
        for amounts, wrong in _parts(rows):
            part = out[start : start + len(amounts)]
            self.fill(amounts, part)
            part[list(wrong)] = np.nan
            for row, error in wrong.items():
                errors.add(start + row, error)
            start += len(amounts)
        errors.report(n_rows=len(rows), strict=strict)
        return out


def _names(presets: Iterable[Any], own: dict[str, ElementTable]) -> list[str]:
    """Name of each preset and table, in order; a table that comes without a name gets one and goes into `own`."""
    names: list[str] = []
    for given in presets:
        if isinstance(given, (list, tuple)):
            names += _names(given, own)
        elif isinstance(given, str) and not is_table(given):
            names += given.split("+")
        elif is_table(given):
            names.append(_free_name(given, own))
            own[names[-1]] = read_element_table(given)
        else:
            raise UserError(f"a preset or a table of element properties is expected, got {given!r:.60}")
    return names


def _free_name(table: Any, own: Mapping[str, ElementTable]) -> str:
    stem = Path(table).stem.replace("+", "-") if isinstance(table, (str, os.PathLike)) else "table"
    taken = {*own, *PRESETS}
    numbered = (stem if i == 1 else f"{stem} {i}" for i in count(1))
    return next(name for name in numbered if name not in taken)


def _encoding(name: str, own: Mapping[str, ElementTable], missing: Missing | None) -> Encoding:
    if name in own:
        return PropertyStatistics(own[name].filled(missing or "nan"))
    if name not in PRESETS:
        known = (*PRESETS, *own)
        near = nearest(name, known)
        hint = f"Did you mean {near}? " if near else ""
        raise UserError(f'unknown composition preset "{name}". {hint}Known: {", ".join(known)}.')
    return PRESETS[name](missing or "mean")


def _listed(compositions: Any) -> list[Any]:
    """Make a list of what is given row by row, and refuse what is not."""
    if isinstance(compositions, (str, bytes)):
        raise UserError(f"expected a list of formulas, got the single text {compositions!r:.60}; put it into a list")
    if isinstance(compositions, Mapping) or not hasattr(compositions, "__iter__"):
        raise UserError(f"expected a list of formulas, got a single {type(compositions).__name__}; put it into a list")
    if hasattr(compositions, "columns"):
        raise UserError("expected the formulas alone, got a table: name their column, as frame['formula']")
    return list(compositions)


def _parts(rows: CandidateTable | list[Any]) -> Iterator[tuple[Amounts, RowErrors]]:
    """Amounts of some rows at a time, with the errors of those that have none."""
    if isinstance(rows, CandidateTable):
        for part in rows.chunks(ROWS_AT_ONCE):
            yield amounts_of_table(part), RowErrors()
        return
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield read_amounts(rows[start : start + ROWS_AT_ONCE])
