"""Formation energy or distance to the hull: the two targets of stability in one report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from matscout.errors import UserError
from matscout.models.report.documents import Document
from matscout.models.report.report_card import ReportCard, make_report_card
from matscout.models.validation.cross_validation import cross_validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from matscout.models.report.card_rows import Row
    from matscout.models.validation.splits import Split


HullEnergyOf = Callable[["NDArray[np.intp]", "NDArray[np.intp]"], "ArrayLike"]
"""Energy of the hull of some rows, known, at the compositions of others, asked: of their numbers, in eV/atom."""

CAVEATS = {
    "given": (
        "The energies of the hull were given for all rows at once. Where the hull holds tested rows, the model of "
        "formation energies was told of their energies, and the other one was not: the comparison then favours it."
    ),
    "training rows": (
        "Both models know the hull of the training rows alone; decisions are judged by the hull of all rows."
    ),
}
"""What a reader must know of the hull, by what it was known from."""


class TargetComparison(Document):
    """One surrogate that learnt two targets, on the same splits, judged by the same decisions."""

    formation: ReportCard = Field(description="Of the surrogate that learnt the formation energy")
    distance: ReportCard = Field(description="Of the surrogate that learnt the distance to the hull")
    hull_known_from: Literal["given", "training rows"] = Field(
        default="given",
        description="Hull by which a predicted formation energy became a distance: as given for all rows, or of the "
        "training rows of each split alone",
    )

    @property
    def caveat(self) -> str:
        """What a reader of the scores must know of the hull, in a sentence or two."""
        return CAVEATS[self.hull_known_from]

    def rows(self) -> tuple[tuple[Row, Row], ...]:
        """Return the scores that both have, that of the formation energy first, for a table; print `caveat` with it."""
        other = {row.name: row for row in self.distance.rows()}
        return tuple((row, other[row.name]) for row in self.formation.rows() if row.name in other)


def compare_targets(
    make: str | Callable[[], Any],
    X: Any,
    formation_energy: ArrayLike,
    hull_energy: ArrayLike | HullEnergyOf,
    splits: Sequence[Split],
    *,
    threshold: float = 0.0,
    groups: ArrayLike | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **of_card: Any,
) -> TargetComparison:
    """Let one surrogate learn the formation energy, another one the distance to the hull, and judge the decisions.

    A predicted formation energy becomes a distance by the energy of the hull. The distance learnt directly varies less
    from row to row, but also holds what competes with the row.

    Which hull makes a difference. One that tested rows are part of holds their energies: the model of formation
    energies would be told what it is to predict, the other one would not. Give `hull_energy` as an array only where the
    hull is that of reference phases none of which is a row. Else give a function: the hull that predictions are taken
    from, and the distances that are learnt, are then those of the training rows of each split alone, as in a search.
    What is true is still told by the hull of all rows.

    Parameters
    ----------
    make, X, splits, groups, options
        As in `cross_validate`, for both.
    formation_energy
        In eV/atom, shape (n,).
    hull_energy
        Of the hull at each row's composition in eV/atom, shape (n,). Or ``hull_energy_of(known, asked)``, which gives
        that of the hull of the rows `known` (and of references, if there are any) at the compositions of the rows
        `asked`, shape (n_asked,); both are numbers of rows.
    threshold
        Distance that counts as stable, in eV/atom.
    progress
        Called with the number of trainings done and of all, after each.
    of_card
        What else `make_report_card` takes of the rows: compositions, prototypes, features, grouped_by.

    Raises
    ------
    UserError
        Hull energies are not one for each row, or not finite; or as from `cross_validate` and `make_report_card`.
    """
    energy, all_rows = np.asarray(formation_energy, dtype=float), np.arange(len(np.asarray(formation_energy)))
    hull_of: HullEnergyOf | None = None
    if callable(hull_energy):
        hull_of = partial(_asked, hull_energy)
        hull = np.asarray(hull_of(all_rows, all_rows))
    else:
        hull = np.asarray(hull_energy, dtype=float)
    if energy.shape != hull.shape:
        raise UserError(f"expected a hull energy for each of {len(energy)} rows, got the shape {hull.shape}")
    told: dict[str, Any] = {"groups": groups, "options": options}
    judged: dict[str, Any] = {"unit": "eV/atom", "threshold": threshold, **of_card}
    first = cross_validate(make, X, energy, splits, progress=_counted(progress, 0), **told)
    known = None if hull_of is None else np.concatenate([hull_of(split.train, split.test) for split in splits])
    formation = make_report_card(
        first, energy, target="formation energy", hull_energy=hull, known_hull_energy=known, **judged
    )
    distance = energy - hull
    learnt = None if hull_of is None else lambda rows: energy[rows] - hull_of(rows, rows)
    second = cross_validate(make, X, distance, splits, learnt=learnt, progress=_counted(progress, 1), **told)
    return TargetComparison(
        formation=formation,
        distance=make_report_card(second, distance, target="distance to the hull", **judged),
        hull_known_from="given" if hull_of is None else "training rows",
    )


def _asked(hull_energy_of: HullEnergyOf, known: NDArray[np.intp], asked: NDArray[np.intp]) -> NDArray[np.float64]:
    """Energies of the hull of known rows at others, shape (n_asked,), checked."""
    energies = np.asarray(hull_energy_of(known, asked), dtype=float)
    if energies.shape != asked.shape:
        raise UserError(f"expected a hull energy for each of {len(asked)} rows, got the shape {energies.shape}")
    if not np.isfinite(energies).all():
        row = int(asked[(~np.isfinite(energies)).argmax()])
        raise UserError(
            f"the hull of {len(known)} known rows has no energy at row {row}: add references, such as the elements"
        )
    return energies


def _counted(progress: Callable[[int, int], None] | None, number: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, n: progress(number * n + done, 2 * n)
