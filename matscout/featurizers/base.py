"""What every featurizer is: named columns of fixed number, with units and sources, and a key that says which numbers.

They are of three kinds: of many compositions at a time, of many candidates at a time, and of one row at a time, which
is a crystal or a composition.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from functools import cached_property
from importlib import import_module, metadata
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from matscout.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from matscout.crystals.crystal import Crystal
    from matscout.db.candidates import CandidateTable
    from matscout.featurizers.amounts import Amounts

ELEMENT_DATA = ("pymatgen-core",)
"""Package with pymatgen's properties of the elements, and its lattices."""

MAGPIE_DATA = ("matminer",)
"""Package with Magpie's properties of the elements."""

SYMMETRY = ("spglib",)
"""Package that finds symmetries and reduces cells."""

WYCKOFF_DATA = ("pymatgen",)
"""Package with the tables of Wyckoff positions; the rest of pymatgen that features need is in `ELEMENT_DATA`."""


class Featurizer(ABC):
    """Numbers from compositions, candidates or crystals.

    Attributes
    ----------
    takes
        What it needs to know of a row.
    name
        Name of the preset, or another one that tells it from others beside it.
    options
        What it was made with beside its name, as JSON takes it.
    feature_names
        Names of the columns, each one once; their number does not depend on the rows.
    units
        Unit of each column, "" where it has none.
    citations
        Sources to cite.
    version
        Grows whenever the same row gets other numbers, so that nothing old is taken for new.
    software
        Packages whose release changes the numbers.
    """

    takes: Literal["compositions", "crystals", "candidates"]
    name: str
    options: dict[str, Any]
    feature_names: tuple[str, ...]
    units: tuple[str, ...]
    citations: tuple[str, ...]
    version: int
    software: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.feature_names)

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self.options.items())
        return f"{type(self).__name__}({self.name!r}{options})"

    def recipe(self) -> dict[str, Any]:
        """How to make it again, as JSON takes it: its class is made as ``cls(name, **options)``."""
        return self._named()

    def _named(self) -> dict[str, Any]:
        kind = type(self)
        return {
            "featurizer": f"{kind.__module__}:{kind.__qualname__}",
            "name": self.name,
            "options": self.options,
        }

    @staticmethod
    def from_recipe(recipe: dict[str, Any]) -> Featurizer:
        """Make a featurizer as its recipe says, in whatever process this is.

        Raises
        ------
        UserError
            The recipe names no class of featurizers that can be imported.
        """
        module, _, name = recipe["featurizer"].partition(":")
        if module == "__main__" or "<locals>" in name:
            raise UserError(
                f"{name} is defined in a script, a notebook or a function, where no other process finds it: "
                "put the class into a module and import it from there"
            )
        try:
            kind = attrgetter(name)(import_module(module))
        except (ImportError, AttributeError) as error:
            raise UserError(f"{name} cannot be imported from {module}: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, Featurizer)):
            raise UserError(f"{name} of {module} is no class of featurizers")
        make: Any = kind  # each has a constructor of its own
        featurizer: Featurizer = make(recipe["name"], **recipe["options"])
        return featurizer

    def identity(self) -> dict[str, Any]:
        """Everything that its numbers depend on beside the rows, as JSON takes it."""
        return {
            **self._named(),
            "version": self.version,
            "software": {package: _release(package) for package in self.software},
        }

    @cached_property
    def key(self) -> str:
        """Hash of its identity: two featurizers of the same key give the same numbers."""
        text = json.dumps(self.identity(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _release(package: str) -> str | None:
    """Release of a package; None where it is not installed, so that a featurizer can be named and looked at."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


class TableFeaturizer(Featurizer):
    """A featurizer of compositions, many at a time."""

    takes = "compositions"

    @abstractmethod
    def fill(self, amounts: Amounts, out: NDArray[np.float64]) -> None:
        """Write the features of n compositions into `out`, shape (n, n_features), NaN where there is none."""


class CandidateFeaturizer(Featurizer):
    """A featurizer of candidates, many at a time."""

    takes = "candidates"

    @abstractmethod
    def fill(self, table: CandidateTable, out: NDArray[np.floating[Any]]) -> None:
        """Write the features of n candidates into `out`, shape (n, n_features), NaN where there is none."""


class RowFeaturizer(Featurizer):
    """A featurizer of crystals or compositions, one at a time: slow enough to be kept, limited in time, distributed.

    Attributes
    ----------
    time_limit
        Longest time for one row, s; None leaves that to who calls.
    """

    time_limit: float | None = None

    def prepare(self) -> None:
        """Load what the first row would else wait for: it is called before the time of rows counts.

        Raises
        ------
        UserError
            What every row needs is not there.
        """

    @abstractmethod
    def featurize(self, row: Any) -> NDArray[np.float64]:
        """Features of one `Crystal`, or of one pymatgen `Composition`, as `takes` says; shape (n_features,).

        Raises
        ------
        UserError
            This row has no such features; the message says why.
        """

    def transform(self, rows: CandidateTable | Iterable[Any], *, strict: bool = False) -> NDArray[np.float64]:
        """Features of each row, shape (n, n_features), one after the other, each within its time.

        A row that has none is a row of NaN and is named in a warning; `matscout.featurizers.featurize` returns the
        errors with the numbers, keeps what was made, and works on many rows at a time.

        Parameters
        ----------
        rows
            A `CandidateTable`; or pymatgen structures, or, where `takes` says compositions, formulas or pymatgen
            compositions.
        strict
            Raise instead of the warning.

        Raises
        ------
        FeatureRowsError
            With `strict`: some rows have no features; it names the first ten.
        UserError
            It cannot be made of such rows, or what every row needs is not installed.
        """
        from matscout.featurizers.errors import RowErrors
        from matscout.featurizers.matrix import featurize

        given: Any = rows if hasattr(rows, "__len__") or not hasattr(rows, "__iter__") else list(rows)
        if hasattr(given, "__len__") and len(given) == 0:  # of which nobody could tell what they are
            return np.empty((0, len(self)))
        matrix = featurize(given, self, cache=False, strict=strict)
        RowErrors(matrix.errors).report(n_rows=len(matrix), strict=False)
        return matrix.values


class CrystalFeaturizer(RowFeaturizer):
    """A featurizer of crystals, one at a time."""

    takes = "crystals"

    @abstractmethod
    def featurize(self, row: Crystal) -> NDArray[np.float64]:
        """Features of one crystal, shape (n_features,)."""


class Descriptor(ABC):
    """Numbers of one crystal: the inside of a preset of `StructureFeaturizer`.

    A subclass takes its options as keyword arguments that JSON can write, all with defaults, and sets the attributes
    when it is made. It refuses bad options by a `UserError`.

    Attributes
    ----------
    names
        Names of the columns, each one once.
    units
        Unit of each column, "" where it has none.
    citations
        Sources to cite.
    version
        See `Featurizer`.
    software
        See `Featurizer`.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    citations: tuple[str, ...]
    version: ClassVar[int] = 1
    software: ClassVar[tuple[str, ...]] = ()

    def check_installed(self) -> None:  # noqa: B027  most need no more
        """Refuse to work without a package that is not installed with every matscout; names and units need none.

        Raises
        ------
        UserError
            It is not there; the message says how to install it.
        """

    @abstractmethod
    def describe(self, crystal: Crystal) -> NDArray[np.float64]:
        """Numbers of one crystal, shape (len(names),); NaN where a number does not exist for it.

        Raises
        ------
        UserError
            This crystal cannot be described at all; the message says why, without naming the crystal.
        """
