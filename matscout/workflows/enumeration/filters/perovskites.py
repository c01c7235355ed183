"""Which prototypes are perovskites, and the radii of their sites."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from matscout.errors import UserError
from matscout.workflows.enumeration.filters.shannon import MAX_CHARGE, radii

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from matscout.db.prototypes import Prototype

#: Neighbours of each site, as Goldschmidt and Bartel et al. count them.
COORDINATION = {"A": 12, "B": 6, "X": 6}
_FORMULA = {"A": 1, "B": 1, "X": 3}


class Perovskite(NamedTuple):
    """The roles of a perovskite prototype.

    Parameters
    ----------
    columns
        Roles that share each site, A, B and X, as their places in the decoration.
    amounts
        Atoms of each role in a formula unit, shape (n_roles,).
    """

    columns: Mapping[str, tuple[int, ...]]
    amounts: NDArray[np.int64]

    @property
    def is_single(self) -> bool:
        """Whether each site has one role, as in ABX3."""
        return len(self.amounts) == len(_FORMULA)

    def site_radii(self, decoration: NDArray[np.uint8], charges: NDArray[np.int8]) -> dict[str, NDArray[np.float64]]:
        """Radius of each site in Å, shape (n,): the mean of the ions on it, weighted by their amounts.

        Shannon's radii with 12 neighbours on A and with 6 on B and X, see `shannon.shannon_radius`; NaN where one is
        unknown.
        """
        places = charges.astype(np.intp) + MAX_CHARGE
        found = {}
        for site, columns in self.columns.items():
            table = radii(COORDINATION[site])
            total = sum(self.amounts[column] * table[decoration[:, column], places[:, column]] for column in columns)
            found[site] = np.asarray(total) / self.amounts[list(columns)].sum()
        return found


def perovskite_of(prototype: Prototype, filter_name: str) -> Perovskite:
    """Recognise a perovskite by its roles.

    Roles are named A, B and X, with primes for a second one (A2BB'X6 has A, B, B' and X) and with a dot and a number
    for the parts of a mixed one (O2N on X gives X.1 and X.2). Together A, B and X stand 1 to 1 to 3.

    Raises
    ------
    UserError
        The prototype has other roles or amounts.
    """
    amounts = prototype.reduced_multiplicity
    columns: dict[str, tuple[int, ...]] = dict.fromkeys(_FORMULA, ())
    for column, role in enumerate(prototype.roles):
        site = role.split(".")[0].rstrip("'")
        columns[site] = (*columns.get(site, ()), column)
    totals = {site: int(amounts[list(of_site)].sum()) for site, of_site in columns.items() if of_site}
    if {site: total / totals.get("A", 1) for site, total in totals.items()} != _FORMULA:
        raise UserError(
            f"{filter_name} needs ABX3 or A2BB'X6 prototypes with the roles A, B, X or A, B, B', X, such as "
            f"cubic-perovskite and elpasolite: {prototype.name} has {', '.join(prototype.roles)}"
        )
    return Perovskite(columns, amounts)
