"""Features of a candidate site by site: which element sits on which role of which prototype, before any relaxation.

A composition cannot tell ABX3 from BAX3; these columns can.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from matscout.featurizers.elements import site_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from matscout.db.candidates import CandidateTable
    from matscout.db.prototypes import Prototype

CHUNK_ROWS = 65_536
"""Rows worked on at a time: bounds the memory beside the result."""


class SiteFeaturizer:
    """Numbers from the elements on the roles of a prototype, and from the prototype.

    Columns, in order:

    - for each role that any of the prototypes has: the properties of its element (see
      `matscout.featurizers.elements.site_table`), as ``A.electronegativity``, and its multiplicity in the cell,
    - for each pair of roles the difference of electronegativity and the ratios of ionic and of covalent radius,
    - ``volume``, the predicted volume in Å^3/atom, and ``packing_fraction``, that of spheres of covalent radius in it,
    - with more than one prototype: space group number, number of sites, and a column per prototype, 1 in its rows.

    Roles of the same name share their columns: the X of a perovskite stands under the X of an elpasolite. NaN stands
    where a prototype has no such role, or an element no such property.

    Parameters
    ----------
    prototypes
        The prototypes of the table; they fix the columns. None takes those of the table at each transform.

    Attributes
    ----------
    citations
        Sources to cite.
    """

    def __init__(self, prototypes: Sequence[Prototype] | None = None) -> None:
        self._prototypes = None if prototypes is None else tuple(prototypes)
        self.citations = site_table().citations

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns; they depend on the prototypes."""
        if self._prototypes is None:
            raise ValueError("the columns depend on the prototypes: use SiteFeaturizer(table.prototypes)")
        roles = role_names(self._prototypes)
        properties = (*site_table().properties, "multiplicity")
        names = [f"{role}.{name}" for role in roles for name in properties]
        for first, second in combinations(roles, 2):
            names += [f"{first}-{second}.electronegativity"]
            names += [f"{first}/{second}.ionic_radius", f"{first}/{second}.covalent_radius"]
        names += ["volume", "packing_fraction"]
        if len(self._prototypes) > 1:
            names += ["prototype.space_group", "prototype.n_sites"]
            names += [f"prototype.{prototype.name}" for prototype in self._prototypes]
        return tuple(names)

    def transform(self, table: CandidateTable) -> NDArray[np.float64]:
        """Features of each candidate, shape (n, n_features); memory beside it is bounded."""
        bound = self if self._prototypes is not None else SiteFeaturizer(table.prototypes)
        out = np.empty((len(table), len(bound.feature_names)))
        start = 0
        for part in table.chunks(CHUNK_ROWS):
            bound.fill(part, out[start : start + len(part)])
            start += len(part)
        return out

    def fill(self, table: CandidateTable, out: NDArray[np.float64]) -> None:
        """Write the features of a (part of a) table into `out`, shape (n, n_features)."""
        prototypes = table.prototypes if self._prototypes is None else self._prototypes
        index = _prototype_rows(table, prototypes)
        place, multiplicity = _roles(prototypes)
        multiplicity = multiplicity[index]
        values = site_table().values
        sites = [values.take(_elements(table, place[index, role]), axis=0) for role in range(place.shape[1])]
        width = values.shape[1] + 1
        for role, site in enumerate(sites):
            out[:, role * width : (role + 1) * width - 1] = site
            out[:, (role + 1) * width - 1] = multiplicity[:, role]
        column = _fill_pairs(sites, out, len(sites) * width)
        out[:, column] = table.volume
        out[:, column + 1] = _packing_fraction(sites, multiplicity, table.volume)
        if len(prototypes) > 1:
            out[:, column + 2] = np.array([prototype.space_group for prototype in prototypes], dtype=float)[index]
            out[:, column + 3] = np.array([prototype.n_sites for prototype in prototypes], dtype=float)[index]
            out[:, column + 4 :] = np.eye(len(prototypes))[index]


def role_names(prototypes: Sequence[Prototype]) -> tuple[str, ...]:
    """Names of the roles of all prototypes, each once, in order of appearance."""
    return tuple(dict.fromkeys(role for prototype in prototypes for role in prototype.roles))


def _prototype_rows(table: CandidateTable, prototypes: Sequence[Prototype]) -> NDArray[np.intp]:
    """Place of each row's prototype among `prototypes`, shape (n,)."""
    place = {prototype.name: i for i, prototype in enumerate(prototypes)}
    unknown = [prototype.name for prototype in table.prototypes if prototype.name not in place]
    if unknown:
        raise ValueError(f"the featurizer was made without the prototype {unknown[0]}")
    places = np.array([place[prototype.name] for prototype in table.prototypes], dtype=np.intp)
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


def _fill_pairs(sites: list[NDArray[np.float64]], out: NDArray[np.float64], column: int) -> int:
    """Write differences and ratios of pairs of roles from `column` on; return the next free column."""
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


def _packing_fraction(
    sites: list[NDArray[np.float64]], multiplicity: NDArray[np.float64], volume: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of the predicted volume that spheres of covalent radius fill, shape (n,); NaN where a radius is unknown."""
    radius = site_table().properties.index("covalent_radius")
    filled = np.zeros(len(volume))
    for role, site in enumerate(sites):
        count = multiplicity[:, role]
        filled += np.where(np.isnan(count), 0.0, count * site[:, radius] ** 3)
    packed: NDArray[np.float64] = 4 / 3 * np.pi * filled / (np.nansum(multiplicity, axis=1) * volume)
    return packed
