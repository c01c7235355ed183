"""Formation energy or distance to the hull: the two targets of stability in one report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from matscout.errors import UserError
from matscout.models.report.documents import Document
from matscout.models.report.report_card import ReportCard, make_report_card
from matscout.models.validation.cross_validation import cross_validate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from matscout.models.report.card_rows import Row
    from matscout.models.validation.splits import Split


class TargetComparison(Document):
    """One surrogate that learnt two targets, on the same splits, judged by the same decisions."""

    formation: ReportCard = Field(description="Of the surrogate that learnt the formation energy")
    distance: ReportCard = Field(description="Of the surrogate that learnt the distance to the hull")

    def rows(self) -> tuple[tuple[Row, Row], ...]:
        """Return the scores that both have, that of the formation energy first, for a table."""
        other = {row.name: row for row in self.distance.rows()}
        return tuple((row, other[row.name]) for row in self.formation.rows() if row.name in other)


def compare_targets(
    make: str | Callable[[], Any],
    X: Any,
    formation_energy: ArrayLike,
    hull_energy: ArrayLike,
    splits: Sequence[Split],
    *,
    threshold: float = 0.0,
    groups: ArrayLike | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    **of_card: Any,
) -> TargetComparison:
    """Let one surrogate learn the formation energy, another one the distance to the hull, and judge the decisions.

    A predicted formation energy becomes a distance by the true energy of the hull. The distance learnt directly varies
    less from row to row, but also holds what competes with the row.

    Parameters
    ----------
    make, X, splits, groups, options
        As in `cross_validate`, for both.
    formation_energy
        In eV/atom, shape (n,).
    hull_energy
        Of the hull at each row's composition in eV/atom, shape (n,).
    threshold
        Distance that counts as stable, in eV/atom.
    progress
        Called with the number of trainings done and of all, after each.
    of_card
        What else `make_report_card` takes of the rows: compositions, prototypes, features, grouped_by.

    Raises
    ------
    UserError
        As from `cross_validate` and `make_report_card`.
    """
    energy, hull = np.asarray(formation_energy, dtype=float), np.asarray(hull_energy, dtype=float)
    if energy.shape != hull.shape:
        raise UserError(f"expected a hull energy for each of {len(energy)} rows, got the shape {hull.shape}")
    distance = energy - hull
    cards = []
    for number, (target, y, zero) in enumerate(
        (("formation energy", energy, hull), ("distance to the hull", distance, None))
    ):
        validation = cross_validate(
            make, X, y, splits, groups=groups, options=options, progress=_counted(progress, number)
        )
        cards.append(
            make_report_card(
                validation, y, target=target, unit="eV/atom", threshold=threshold, hull_energy=zero, **of_card
            )
        )
    return TargetComparison(formation=cards[0], distance=cards[1])


def _counted(progress: Callable[[int, int], None] | None, number: int) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, n: progress(number * n + done, 2 * n)
