from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.composition import Composition

from matscout.db._elements import electronegativities, symbols
from matscout.featurizers import CompositionFeaturizer
from matscout.featurizers.ordered_elements import PLACES


def featurized(*formulas, **options):
    featurizer = CompositionFeaturizer("ordered_elements", **options)
    return [dict(zip(featurizer.feature_names, row, strict=True)) for row in featurizer.transform(formulas)]


def standing(row):
    """Symbol of the element in each place."""
    return [symbols()[int(row[f"{place}.atomic_number"])] for place in PLACES]


def test_rock_salt_is_sodium_and_chlorine():
    (row,) = featurized("ClNa")
    assert standing(row) == ["Na", "Cl", "Cl", "Na", "Cl", "Na"]
    of_sodium = {
        "period": 3,
        "group": 1,
        "electronegativity": 0.93,
        "covalent_radius": 1.66,
        "ionization_energy": 5.139,
    }
    assert {name: row[f"lowest.{name}"] for name in of_sodium} == pytest.approx(of_sodium, rel=1e-3)
    assert (row["highest.max_oxidation_state"], row["highest.min_oxidation_state"]) == (7, -1)
    assert row["highest.melting_temperature"] == pytest.approx(171.6)
    assert row["mean_difference.group"] == 8
    assert row["mean_difference.electronegativity"] == pytest.approx((3.16 - 0.93) / 2)
    assert (row["n_elements"], row["largest_fraction"], row["third_fraction"]) == (2, 0.5, 0)


def test_strontium_titanate_has_an_element_in_each_place():
    (row,) = featurized("SrTiO3")
    assert standing(row) == ["Sr", "Ti", "Ti", "Ti", "O", "O"]
    assert [row[f"{place}.fraction"] for place in PLACES[:-1]] == pytest.approx([0.2, 0.2, 0.2, 0.2, 0.6])
    assert [row[f"{nth}_fraction"] for nth in ("largest", "second", "third", "fourth")] == pytest.approx(
        [0.6, 0.2, 0.2, 0]
    )
    # periods 5, 4, 2; pairs Sr-Ti once, Sr-O and Ti-O three times, of 25 ordered pairs of atoms
    assert row["mean_difference.period"] == pytest.approx(2 * (1 * 1 + 3 * 3 + 3 * 2) / 25)


def test_magnetite_and_an_alloy_of_five_are_in_order():
    magnetite, alloy = featurized("Fe3O4", "CrMnFeCoNi2")
    assert standing(magnetite) == ["Fe", "O", "O", "Fe", "O", "O"]
    assert magnetite["mean_difference.covalent_radius"] == pytest.approx(2 * 3 * 4 / 49 * (1.32 - 0.66))
    assert standing(alloy) == ["Mn", "Cr", "Fe", "Co", "Ni", "Ni"]  # Pauling: 1.55, 1.66, 1.83, 1.88, 1.91
    assert alloy["most_abundant.electron_affinity"] == pytest.approx(1.157, abs=1e-3)


def test_an_element_alone_stands_in_all_places():
    (row,) = featurized("Cu")
    assert standing(row) == ["Cu"] * 6
    assert [row[f"{place}.fraction"] for place in PLACES[:-1]] == [1] * 5
    assert not any(value for name, value in row.items() if name.startswith("mean_difference"))


def test_equal_electronegativities_are_ordered_by_atomic_number():
    carbon, selenium = electronegativities()[[6, 34]]
    assert carbon == selenium == 2.55
    rows = featurized("SeC", "CSe", "CSe2")
    assert [standing(row)[0] for row in rows] == ["C"] * 3
    assert [standing(row)[-1] for row in rows] == ["C", "C", "Se"]


@given(st.dictionaries(st.sampled_from(symbols()[1:]), st.integers(1, 9), min_size=1, max_size=7))
def test_mean_differences_are_those_of_all_pairs_of_atoms(amounts):
    (row,) = featurized(Composition(amounts))
    element = {symbol: featurized(symbol)[0]["lowest.mendeleev_number"] for symbol in amounts}
    numbers = [element[symbol] for symbol, amount in amounts.items() for _ in range(amount)]
    pairs = [abs(one - other) for one, other in product(numbers, repeat=2)]
    assert row["mean_difference.mendeleev_number"] == pytest.approx(np.mean(pairs))


@given(st.dictionaries(st.sampled_from(symbols()[1:95]), st.integers(1, 9), min_size=1, max_size=8))
def test_places_are_in_the_order_of_electronegativity(amounts):
    (row,) = featurized(Composition(amounts))
    in_order = [row[f"{place}.electronegativity"] for place in ("lowest", "middle", "highest")]
    assert in_order == sorted(in_order)
    assert row["second_lowest.electronegativity"] >= in_order[0]
    assert row["second_highest.electronegativity"] <= in_order[-1]
    assert amounts[standing(row)[-1]] == max(amounts.values())


def test_every_element_up_to_bismuth_and_a_composition_of_all_elements_is_known():
    values = CompositionFeaturizer("ordered_elements").transform([*symbols()[1:84], "".join(symbols()[1:])])
    assert np.isfinite(values).all()


def test_unknown_properties_of_an_element_are_unknown_where_that_is_asked_for():
    helium, salt = featurized("HeNaCl", "NaCl", missing="nan")
    assert np.isnan(helium["mean_difference.electronegativity"])
    assert standing(helium)[0] == "Na"
    assert helium["lowest.electronegativity"] == 0.93
    assert salt == featurized("NaCl")[0]
