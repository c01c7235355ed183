"""Probabilities with which one ion stands in for another, mined from the ICSD, and the search for probable sets.

The model of Hautier et al., Inorg. Chem. 50, 656 (2011), doi:10.1021/ic102031h, with the weights lambda that pymatgen
ships. With w(x, y) = exp(lambda(x, y)), which is symmetric, and lambda = alpha = -5 for pairs never seen,

    P(y | x) = w(x, y) / sum over all ions y' of w(x, y')

is the probability that the ion x of a known crystal becomes y; over all y, x included, it adds up to 1. The ions of a
crystal are replaced independently of each other: the probability of a substitution is the product over its ions, those
that stay included. An ion counts once, however many atoms it has.

pymatgen's two classes turn this round in different ways, which their documentation calls "slightly different".
`Substitutor` divides by the sum of the known crystal's ion, as above. `SubstitutionPredictor.list_prediction` always
divides by the sum of the ions that it is to arrive at: it gives P(x | y), how probably the new ion came from the known.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from matscout.db._elements import atomic_numbers
from matscout.errors import UserError
from matscout.workflows.enumeration.choices import Ion, parse_choice
from matscout.workflows.enumeration.filters.oxidation import common_oxidation_states

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

Given = Literal["known", "candidate"]

#: More probable sets than this for one set of known ions are refused: they would take gigabytes.
LIMIT = 20_000_000


class IonTable(NamedTuple):
    """The ions that the model knows.

    Parameters
    ----------
    names
        `Na+`, `O2-`, `Fe3+`, in alphabetical order.
    numbers, charges
        Atomic number and charge of each, shape (n,).
    weights
        exp(lambda) of each pair, shape (n, n).
    """

    names: tuple[str, ...]
    numbers: NDArray[np.uint8]
    charges: NDArray[np.int64]
    weights: Floats

    @property
    def places(self) -> dict[str, int]:
        """Place of each ion."""
        return {name: place for place, name in enumerate(self.names)}


@cache
def ion_table() -> IonTable:
    """Read pymatgen's table, in about two seconds; then it is kept.

    Examples
    --------
    >>> table = ion_table()
    >>> len(table.names), table.names[:3]
    (230, ('Ac3+', 'Ag+', 'Ag2+'))
    """
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    model: Any = SubstitutionProbability()  # type: ignore[no-untyped-call]
    ions = sorted(model.species, key=str)
    first, second = np.triu_indices(len(ions))
    weights = np.empty((len(ions), len(ions)))
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    weights[first, second] = np.exp([model.get_lambda(ions[i], ions[j]) for i, j in pairs])
    weights[second, first] = weights[first, second]
    return IonTable(
        tuple(str(ion) for ion in ions),
        np.array([ion.Z for ion in ions], dtype=np.uint8),
        np.array([int(ion.oxi_state) for ion in ions], dtype=np.int64),
        weights,
    )


def replacement_probabilities(given: Given = "known") -> Floats:
    """Probability of each ion (column) in the place of each known ion (row), shape (n, n).

    Parameters
    ----------
    given
        `known`: P(new | known), rows add up to 1. `candidate`: P(known | new), columns add up to 1.

    Examples
    --------
    >>> places = ion_table().places
    >>> replacement_probabilities()[places["Li+"], places["Na+"]].round(4).item()
    0.095
    """
    weights = ion_table().weights
    return np.asarray(weights / weights.sum(axis=1 if given == "known" else 0, keepdims=True))


def ion_name(symbol: str, charge: int) -> str:
    """Write an ion as the table does.

    Examples
    --------
    >>> ion_name("Na", 1), ion_name("O", -2)
    ('Na+', 'O2-')
    """
    return f"{symbol}{abs(charge) if abs(charge) > 1 else ''}{'+' if charge > 0 else '-'}"


def ions_of(species: Iterable[str] | None) -> Ints:
    """Return the places in the table of the ions that candidates may be made of, ascending.

    Parameters
    ----------
    species
        Ions such as `Na+`; elements stand for their common ions that the table has. All ions when None.

    Raises
    ------
    UserError
        An unknown element or ion, or one that the table lacks; an ion listed twice.
    """
    table = ion_table()
    if species is None:
        return np.arange(len(table.names))
    given = [species] if isinstance(species, str) else list(species)
    if not given:
        raise UserError("species: name at least one ion or element")
    found: dict[int, str] = {}
    for text in given:
        for place in _places(text, table):
            if place in found:
                raise UserError(f"species: {table.names[place]} is listed twice, as {found[place]} and as {text}")
            found[place] = text
    return np.array(sorted(found))


def _places(text: str, table: IonTable) -> list[int]:
    choice = parse_choice(text)
    if isinstance(choice, Ion):
        name = ion_name(choice.symbol, choice.state)
        if name in table.places:
            return [table.places[name]]
        same = _of_element(choice.symbol, table)
        raise UserError(
            f"species: {name} is not in the table of substitution probabilities, which has "
            f"{', '.join(same) if same else f'no ion of {choice.symbol}'}"
        )
    if choice not in atomic_numbers():
        raise UserError(f"species: {text} is neither an ion nor an element")
    names = [ion_name(str(choice), state) for state in common_oxidation_states(str(choice))]
    places = [table.places[name] for name in names if name in table.places]
    if not places:
        same = _of_element(str(choice), table)
        raise UserError(
            f"species: no common ion of {choice} is in the table of substitution probabilities"
            + (f"; it has {', '.join(same)}" if same else "")
        )
    return places


def _of_element(symbol: str, table: IonTable) -> list[str]:
    number = atomic_numbers()[symbol]
    return [name for name, other in zip(table.names, table.numbers.tolist(), strict=True) if other == number]


class Replacements(NamedTuple):
    """Probable sets of ions: their places in the table, shape (n, n_roles), and probabilities, shape (n,)."""

    ions: Ints
    probability: Floats


def probable_replacements(
    known: Sequence[int], allowed: Ints, threshold: float, given: Given = "known"
) -> Replacements:
    """Find all sets of different ions that replace the known ones with more than a given probability.

    Branch and bound, one role after the other, all branches at once: a branch ends where the most probable ions for
    all roles that follow cannot bring it over the threshold. As the probabilities of all sets add up to 1, at most
    1/threshold of them are found when the known crystal is what is given.

    Parameters
    ----------
    known
        Place in the table of each role's ion.
    allowed
        Places of the ions that may replace them.
    threshold
        Sets at or below it are left out.
    given
        See `replacement_probabilities`.

    Examples
    --------
    >>> places = ion_table().places
    >>> allowed = ions_of(["Na+", "K+", "Ag+", "O2-", "S2-"])
    >>> found = probable_replacements([places["Li+"], places["O2-"]], allowed, 0.02)
    >>> [[ion_table().names[ion] for ion in ions] for ions in found.ions]
    [['K+', 'O2-'], ['Na+', 'O2-']]
    """
    choices = replacement_probabilities(given)[np.ix_(np.asarray(known, dtype=np.intp), allowed)]
    best = choices.max(axis=1)
    ions = np.zeros((1, 0), dtype=np.intp)
    probability = np.ones(1)
    for role, row in enumerate(choices):
        after = float(np.prod(best[role + 1 :]))
        products = probability[:, None] * row[None]
        branch, ion = np.nonzero(products * after > threshold)
        chosen = allowed[ion]
        fresh = (ions[branch] != chosen[:, None]).all(axis=1)
        if fresh.sum() > LIMIT:
            names = ", ".join(ion_table().names[place] for place in known)
            raise UserError(
                f"more than {LIMIT:.0e} probable substitutions of {names}: raise the threshold above {threshold:g}, or "
                "name the species"
            )
        ions = np.concatenate([ions[branch[fresh]], chosen[fresh, None]], axis=1)
        probability = products[branch[fresh], ion[fresh]]
    return Replacements(ions, probability)


def charges_of(ions: Ints, amounts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Charge of a formula unit of each set of ions, shape (n,), from the amounts by role, shape (n_roles,)."""
    return np.asarray(ion_table().charges[ions] @ amounts)
