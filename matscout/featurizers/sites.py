"""Features of a candidate site by site: which element sits on which role of which prototype, before any relaxation.

A composition cannot tell ABX3 from BAX3; these columns can.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.crystals._wyckoff import site_symmetry_orders
from matscout.errors import UserError
from matscout.featurizers.base import ELEMENT_DATA, MAGPIE_DATA, SYMMETRY, WYCKOFF_DATA, CandidateFeaturizer
from matscout.featurizers.elements import site_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable
    from matscout.db.prototypes import Prototype

CHUNK_ROWS = 65_536
"""Rows worked on at a time: bounds the memory beside the result."""


class SiteFeaturizer(CandidateFeaturizer):
    """Numbers from the elements on the roles of a prototype, and from the prototype.

    Columns, in order:

    - for each role that any of the prototypes has: the properties of its element (see
      `matscout.featurizers.elements.site_table`), as ``A.electronegativity``, and its multiplicity in the cell,
    - for each pair of roles the difference of electronegativity and the ratios of ionic and of covalent radius,
    - ``volume``, the predicted volume in Å^3/atom, and ``packing_fraction``, that of spheres of covalent radius in it,
    - with more than one prototype: space group number, number of sites, for each role the order of the site symmetry
      group, the mean over its sites, and a column per prototype, 1 in its rows. With one prototype they are constant.

    Roles of the same name share their columns: the X of a perovskite stands under the X of an elpasolite. NaN stands
    where a prototype has no such role, or an element no such property.

    Parameters
    ----------
    prototypes
        Those of the tables to come, as in ``SiteFeaturizer(table.prototypes)``; they fix the columns.

    Attributes
    ----------
    feature_names, units, citations, version, software, options
        See `Featurizer`.
    """

    name = "sites"
    version = 2
    software = (*ELEMENT_DATA, *MAGPIE_DATA, *SYMMETRY, *WYCKOFF_DATA)

    def __init__(self, prototypes: Sequence[Prototype]) -> None:
        self._prototypes = tuple(prototypes)
        columns = _columns(self._prototypes)
        self.feature_names = tuple(columns)
        self.units = tuple(columns.values())
        self.citations = site_table().citations
        self.options = {"prototypes": [prototype.key for prototype in self._prototypes]}

    def __repr__(self) -> str:
        return f"SiteFeaturizer({', '.join(prototype.name for prototype in self._prototypes)})"

    def recipe(self) -> dict[str, Any]:
        """Refuse to be made again by name: the keys of prototypes identify them, and do not hold them.

        Raises
        ------
        UserError
            Always.
        """
        raise UserError("this set is made from the prototypes of a table: SiteFeaturizer(table.prototypes)")

    def transform(self, table: CandidateTable) -> NDArray[np.float64]:
        """Features of each candidate, shape (n, n_features); memory beside it is bounded."""
        out = np.empty((len(table), len(self)))
        start = 0
        for part in table.chunks(CHUNK_ROWS):
            self.fill(part, out[start : start + len(part)])
            start += len(part)
        return out

    def fill(self, table: CandidateTable, out: NDArray[np.floating[Any]]) -> None:
        """Write the features of a (part of a) table into `out`, shape (n, n_features), rounded to its precision."""
        index = _prototype_rows(table, self._prototypes)
        place, multiplicity = _roles(self._prototypes)
        multiplicity = multiplicity[index]
        values = site_table().values
        sites = [values.take(_elements(table, place[index, role]), axis=0) for role in range(place.shape[1])]
        width = values.shape[1] + 1
        for role, site in enumerate(sites):
            out[:, role * width : (role + 1) * width - 1] = site
            out[:, (role + 1) * width - 1] = multiplicity[:, role]
        column = fill_pairs(sites, out, len(sites) * width)
        out[:, column] = table.volume
        out[:, column + 1] = packing_fraction(sites, multiplicity, table.volume)
        if len(self._prototypes) > 1:
            out[:, column + 2 :] = _prototype_columns(self._prototypes)[index]


def _columns(prototypes: Sequence[Prototype]) -> dict[str, str]:
    """Names of the columns with their units."""
    roles = role_names(prototypes)
    properties = {**dict(zip(site_table().properties, site_table().units, strict=True)), "multiplicity": ""}
    columns = {f"{role}.{name}": unit for role in roles for name, unit in properties.items()}
    columns |= pair_columns(roles)
    columns |= {"volume": "Å^3/atom", "packing_fraction": ""}
    if len(prototypes) > 1:
        columns |= {"prototype.space_group": "", "prototype.n_sites": ""}
        columns |= {f"{role}.site_symmetry_order": "" for role in roles}
        columns |= {f"prototype.{prototype.name}": "" for prototype in prototypes}
    return columns


def role_names(prototypes: Sequence[Prototype]) -> tuple[str, ...]:
    """Names of the roles of all prototypes, each once, in order of appearance."""
    return tuple(dict.fromkeys(role for prototype in prototypes for role in prototype.roles))


def _prototype_rows(table: CandidateTable, prototypes: Sequence[Prototype]) -> NDArray[np.intp]:
    """Place of each row's prototype among `prototypes`, shape (n,)."""
    place = {prototype.key: i for i, prototype in enumerate(prototypes)}
    unknown = [prototype.name for prototype in table.prototypes if prototype.key not in place]
    if unknown:
        raise UserError(f"the features of sites were made for tables without this prototype {unknown[0]}")
    places = np.array([place[prototype.key] for prototype in table.prototypes], dtype=np.intp)
    return places[table.prototype_index]


def _roles(prototypes: Sequence[Prototype]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where each prototype has each of `role_names`, and how often.

    Returns
    -------
    Place among the prototype's own roles, -1 where it has none such, and multiplicity, NaN where it has none such; both
    of shape (n_prototypes, n_roles).
    """
    names = role_names(prototypes)
    place = np.full((len(prototypes), len(names)), -1, dtype=np.intp)
    multiplicity = np.full(place.shape, np.nan)
    for i, prototype in enumerate(prototypes):
        columns = [names.index(role) for role in prototype.roles]
        place[i, columns] = np.arange(len(columns))
        multiplicity[i, columns] = prototype.multiplicity
    return place, multiplicity


def _elements(table: CandidateTable, place: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Atomic number on the role that each row has at `place`, shape (n,); 0 where it has no such role (-1)."""
    numbers = table.decoration[np.arange(len(table)), np.maximum(place, 0)]
    return np.where(place < 0, 0, numbers).astype(np.uint8)


def _prototype_columns(prototypes: Sequence[Prototype]) -> NDArray[np.float64]:
    """Write what is the same for all candidates of a prototype, shape (n_prototypes, 2 + n_roles + n_prototypes)."""
    place, _ = _roles(prototypes)
    general = [[prototype.space_group, prototype.n_sites] for prototype in prototypes]
    orders = np.full(place.shape, np.nan)
    for i, prototype in enumerate(prototypes):
        has = place[i] >= 0
        orders[i, has] = _site_symmetry_orders(prototype)[place[i, has]]
    return np.column_stack([np.array(general, dtype=float), orders, np.eye(len(prototypes))])


def _site_symmetry_orders(prototype: Prototype) -> NDArray[np.float64]:
    """Order of the site symmetry group of each role, the mean over its sites, shape (n_roles,)."""
    orders = site_symmetry_orders(prototype.space_group)
    found = []
    for positions in prototype.wyckoff_positions:
        sites = [int(position[:-1]) for position in positions]
        found.append(np.average([orders[position[-1]] for position in positions], weights=sites))
    return np.array(found)


def pair_columns(roles: Sequence[str]) -> dict[str, str]:
    """Names of the columns that `fill_pairs` writes, with their units."""
    columns = {}
    for first, second in combinations(roles, 2):
        columns[f"{first}-{second}.electronegativity"] = "Pauling"
        columns |= {f"{first}/{second}.ionic_radius": "", f"{first}/{second}.covalent_radius": ""}
    return columns


def fill_pairs(sites: Sequence[NDArray[np.float64]], out: NDArray[np.floating[Any]], column: int) -> int:
    """Write differences and ratios of pairs of roles from `column` on; return the next free column.

    Parameters
    ----------
    sites
        Properties of the elements on each role, as in `site_table`, shape (n, n_properties) each.
    out
        Shape (n, n_features).
    """
    names = site_table().properties
    electronegativity, ionic, covalent = (
        names.index(name) for name in ("electronegativity", "ionic_radius", "covalent_radius")
    )
    for first, second in combinations(sites, 2):
        out[:, column] = first[:, electronegativity] - second[:, electronegativity]
        out[:, column + 1] = first[:, ionic] / second[:, ionic]
        out[:, column + 2] = first[:, covalent] / second[:, covalent]
        column += 3
    return column


def packing_fraction(
    sites: Sequence[NDArray[np.float64]], multiplicity: NDArray[np.float64], volume: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of a volume that spheres of covalent radius fill.

    Parameters
    ----------
    sites
        Properties of the elements on each role, as in `site_table`, shape (n, n_properties) each.
    multiplicity
        Sites of each role, NaN where a crystal has no such role, shape (n, n_roles).
    volume
        Å^3/atom, shape (n,).

    Returns
    -------
    Shape (n,); NaN where a radius is unknown.
    """
    radius = site_table().properties.index("covalent_radius")
    filled = np.zeros(len(volume))
    for role, site in enumerate(sites):
        count = multiplicity[:, role]
        filled += np.where(np.isnan(count), 0.0, count * site[:, radius] ** 3)
    packed: NDArray[np.float64] = 4 / 3 * np.pi * filled / (np.nansum(multiplicity, axis=1) * volume)
    return packed
