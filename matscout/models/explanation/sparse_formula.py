"""A law: a sum of few terms, chosen among very many that are made of the features.

The idea of SISSO: Ghiringhelli et al., Phys. Rev. Lett. 114, 105503 (2015), doi:10.1103/PhysRevLett.114.105503; Ouyang
et al., Phys. Rev. Mater. 2, 083802 (2018), doi:10.1103/PhysRevMaterials.2.083802. Terms that correlate with what is
not yet explained are screened out of all, the LASSO orders them, and of those first in its order every subset is tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from matscout.errors import UserError, nearest
from matscout.models.base import LARGEST
from matscout.models.explanation.laws import Law, cross_validated, find_laws
from matscout.models.explanation.screening import Terms, bounds_of
from matscout.models.explanation.terms import Term, Unit, read_unit
from matscout.models.inputs import as_inputs
from matscout.models.labels import known_labels
from matscout.models.options import check_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.inputs import FeatureInputs

    Floats = NDArray[np.float64]
    Rows = NDArray[np.intp]

FEWEST_ROWS = 10
"""With fewer rows any law fits."""


@dataclass(frozen=True, eq=False)
class SparseFormula:
    """A target as a constant and a few terms with coefficients.

    Attributes
    ----------
    names
        Names of the columns that it takes.
    terms, coefficients
        What is summed, each coefficient in the unit of the target by that of its term.
    intercept
        The constant.
    rmse, r2
        Root mean square error and explained share of the variance on the rows it was fitted to.
    cross_validated
        Root mean square error on rows held out, by number of terms, where each part chose terms of its own.
    n_rows, n_candidates
        Rows it was fitted to, and terms that there were to choose from, in all screenings.
    """

    names: tuple[str, ...]
    terms: tuple[Term, ...]
    coefficients: tuple[float, ...]
    intercept: float
    rmse: float
    r2: float
    cross_validated: Mapping[int, float] = field(default_factory=dict)
    n_rows: int = 0
    n_candidates: int = 0

    @classmethod
    def fit(
        cls,
        X: Any,
        y: ArrayLike,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        *,
        dimension: int | None = None,
        max_dimension: int = 3,
        groups: ArrayLike | None = None,
        folds: int = 5,
        nested: bool = True,
        seed: int = 0,
    ) -> Self:
        """Find the law of a target.

        Parameters
        ----------
        X, y
            Features, shape (n, n_features), and target, shape (n,), all finite, features also in single precision.
        names
            Of the columns, each once; a frame's own if left out. Their order does not count.
        units
            Of the columns, as ``eV/Å^3``, "" where there is none: only what has one unit is added, and only what has
            none becomes a logarithm. Left out, units do not count.
        dimension
            Number of terms. Left out, the smallest whose cross-validated error is within one standard error of the
            least (Breiman et al., Classification and Regression Trees (1984)), up to `max_dimension`.
        groups
            Label of each row, shape (n,): rows of one group are held out together. Left out, rows of the same features
            are, as polymorphs are to what knows compositions.
        folds
            Parts of the cross-validation.
        nested
            Whether terms may be made of terms, as in (a + b) / (c + d).
        seed
            Of the parts.

        Raises
        ------
        UserError
            There are fewer than `FEWEST_ROWS` rows, a feature is not finite, the target is constant, in all rows or
            in those that terms are screened by, or an option is out of bounds.
        ValueError
            Shapes do not match, or a target is not finite.

        Examples
        --------
        >>> X = np.random.default_rng(0).uniform(1, 2, (60, 3))
        >>> law = SparseFormula.fit(X, 2 * X[:, 0] * X[:, 1] - 1, ["a", "b", "c"])
        >>> law.expression
        '-1 + 2 * a * b'
        """
        columns, target, own = _checked(X, y, names)
        if dimension is not None:
            check_number("dimension", dimension, 1, integer=True)
        check_number("max_dimension", max_dimension, 1, integer=True)
        check_number("folds", folds, 2, integer=True)
        check_number("seed", seed, 0, integer=True)
        base = _base(columns, own, units)
        most = max_dimension if dimension is None else dimension
        parts = _parts(base.values.T, groups, folds, seed)
        errors = cross_validated(base, target, parts, most, nested=nested)
        chosen = _simplest(errors, parts, target) if dimension is None and errors else dimension or 1
        laws, n_candidates = find_laws(base, target, chosen, nested=nested)
        if not laws or not errors:
            raise UserError(
                "no term that is made of these columns changes from row to row with the target, which may be the same "
                "in nearly all rows: give other columns, or other rows"
            )
        law = laws[-1]
        error = target - law.values(columns)
        return cls(
            names=own,
            terms=law.terms,
            coefficients=law.coefficients,
            intercept=law.intercept,
            rmse=float(np.sqrt(np.mean(error**2))),
            r2=float(1 - (error**2).sum() / ((target - target.mean()) ** 2).sum()),
            cross_validated={number: float(np.sqrt(np.mean(e**2))) for number, e in errors.items()},
            n_rows=len(target),
            n_candidates=n_candidates,
        )

    @property
    def dimension(self) -> int:
        """Number of terms."""
        return len(self.terms)

    @property
    def expression(self) -> str:
        """The law as text, coefficients to six digits; names that are not one word stand in brackets."""
        text = f"{self.intercept:.6g}"
        for term, coefficient in zip(self.terms, self.coefficients, strict=True):
            written = term.text(self.names)
            if term.operation in ("sum", "difference"):
                written = f"({written})"
            text += f" {'-' if coefficient < 0 else '+'} {abs(coefficient):.6g} * {written}"
        return text

    def predict(self, X: Any) -> Floats:
        """Value of the law in each row, shape (n,); NaN where a term is not defined.

        Parameters
        ----------
        X
            Features, shape (n, n_features), in the order of `names`; where their columns have names, these count.

        Raises
        ------
        UserError
            A column is missing.
        """
        law = Law(self.terms, self.coefficients, self.intercept)
        return law.values(_columns_by_name(X, self.names, [c for term in self.terms for c in term.columns]))

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "expression": self.expression,
            "names": list(self.names),
            "terms": [term.as_list() for term in self.terms],
            "coefficients": list(self.coefficients),
            "intercept": self.intercept,
            "rmse": self.rmse,
            "r2": self.r2,
            "cross_validated": {str(number): error for number, error in self.cross_validated.items()},
            "n_rows": self.n_rows,
            "n_candidates": self.n_candidates,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """Take up what `as_dict` returned."""
        return cls(
            names=tuple(document["names"]),
            terms=tuple(Term.from_list(term) for term in document["terms"]),
            coefficients=tuple(document["coefficients"]),
            intercept=document["intercept"],
            rmse=document["rmse"],
            r2=document["r2"],
            cross_validated={int(number): error for number, error in document["cross_validated"].items()},
            n_rows=document["n_rows"],
            n_candidates=document["n_candidates"],
        )


def _checked(X: Any, y: ArrayLike, names: Sequence[str] | None) -> tuple[Floats, Floats, tuple[str, ...]]:
    inputs = cast("FeatureInputs", as_inputs("features", X))
    columns, target = inputs.values.astype(np.float64), np.asarray(y, dtype=float)
    width = columns.shape[1]
    own = tuple(names) if names is not None else inputs.names or tuple(f"x{column}" for column in range(width))
    if target.shape != (len(columns),):
        raise ValueError(f"expected one target per row, shape ({len(columns)},), got {target.shape}")
    if len(own) != width or len(set(own)) < width:
        raise UserError(
            f"expected {width} different names of columns, got {len(own)}, {len(set(own))} of them different"
        )
    if len(target) < FEWEST_ROWS:
        raise UserError(f"a law needs at least {FEWEST_ROWS} rows to be found, got {len(target)}: calculate more first")
    # larger ones have squares of products that no number holds
    bad = ~(np.abs(columns) <= LARGEST).all(axis=0)
    if bad.any():
        raise UserError(
            f"the column {own[int(bad.argmax())]} is unknown (NaN) or larger than {LARGEST:.2g} in some rows: leave it "
            "out"
        )
    if not np.isfinite(target).all():
        raise ValueError(f"y is not finite in row {int((~np.isfinite(target)).argmax())}")
    if (target == target[0]).all():
        raise UserError(f"all {len(target)} targets are {target[0]:g}: there is no law to find")
    return columns, target, own


def _base(columns: Floats, names: tuple[str, ...], units: Sequence[str] | None) -> Terms:
    """Give the columns as terms in the order of their names: the order in which they come does not count."""
    if units is not None and len(units) != len(names):
        raise UserError(f"expected a unit for each of {len(names)} columns, got {len(units)}")
    order = sorted(range(len(names)), key=lambda column: names[column])
    read: list[Unit | None] = [None if units is None else read_unit(units[column]) for column in order]
    values = np.ascontiguousarray(columns[:, order].T)
    return Terms([Term("column", column=column) for column in order], read, values, bounds_of(values))


def _parts(columns: Floats, groups: ArrayLike | None, folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Rows to learn from and to test on; a single group is no group."""
    from matscout.models.validation.splits import make_splits

    n = len(columns)
    # in single precision, as the way a formula is written leaves other last digits
    labels = _equal_rows(columns.astype(np.float32)) if groups is None else known_labels(groups)
    different = n if labels is None else len(np.unique(labels))
    if different < 2:
        labels, different = None, n
    return [
        (split.train, split.test) for split in make_splits("k-fold", n, labels, folds=min(folds, different), seed=seed)
    ]


def _equal_rows(columns: NDArray[np.float32]) -> Rows | None:
    """Give rows that are equal one number, shape (n,); None where no two are."""
    different, numbers = np.unique(columns, axis=0, return_inverse=True)
    return None if len(different) == len(columns) else numbers


def _simplest(errors: Mapping[int, Floats], parts: Sequence[tuple[Rows, Rows]], target: Floats) -> int:
    """Return the smallest number of terms that is within one standard error of the best."""
    squares = {number: float(np.mean(error**2)) for number, error in errors.items()}
    best = min(squares, key=lambda number: squares[number])
    of_parts = [float(np.mean(errors[best][test] ** 2)) for _, test in parts]
    allowed = squares[best] + float(np.std(of_parts, ddof=1)) / len(parts) ** 0.5
    # two laws without an error differ by rounding only
    allowed += 1e-20 * float(target @ target) / len(target)
    return min(number for number, square in squares.items() if square <= allowed)


def _columns_by_name(X: Any, names: tuple[str, ...], wanted: Sequence[int]) -> Floats:
    """Bring the columns of X into the order of the names; those that are not wanted may be missing."""
    inputs = cast("FeatureInputs", as_inputs("features", X))
    if inputs.names is None:
        if inputs.values.shape[1] != len(names):
            raise UserError(f"expected {len(names)} features in columns, got {inputs.values.shape[1]}")
        return inputs.values.astype(np.float64)
    place = {name: column for column, name in enumerate(inputs.names)}
    found = np.full((len(inputs), len(names)), np.nan)
    for column in sorted(set(wanted)):
        if names[column] not in place:
            near = nearest(names[column], place)
            raise UserError(f"no column {names[column]}" + (f": the nearest one is {near}" if near else ""))
        found[:, column] = inputs.values[:, place[names[column]]]
    return found
