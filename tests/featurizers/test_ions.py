from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.periodic_table import Element

from matscout.db._elements import symbols
from matscout.featurizers import ions
from matscout.featurizers.amounts import read_amounts
from matscout.featurizers.ions import IonicCharacter, can_be_neutral

compositions = st.dictionaries(
    st.sampled_from(symbols()[1:]), st.sampled_from([1, 2, 3, 4, 0.5, 0.1, 0.3, 1.2]), min_size=1, max_size=6
)


def tried(composition):
    """Whether any combination of common oxidation states is neutral, by trying each."""
    states = [Element(symbol).common_oxidation_states for symbol in composition]
    return any(abs(np.dot(chosen, list(composition.values()))) < 1e-8 for chosen in product(*states))


def rows_of(compositions):
    formulas = ["".join(f"{symbol}{amount}" for symbol, amount in one.items()) for one in compositions]
    amounts, errors = read_amounts(formulas)
    assert not errors
    return amounts


@given(st.lists(compositions, min_size=1, max_size=8))
def test_a_composition_can_be_neutral_if_a_combination_of_states_is(compositions):
    for rows, elements, values in rows_of(compositions).blocks(100):
        expected = [tried(compositions[row]) for row in np.arange(len(compositions))[rows]]
        assert can_be_neutral(elements, values).tolist() == expected


@given(compositions)
def test_many_combinations_are_decided_as_few_are(composition):
    ((_, elements, values),) = rows_of([composition]).blocks(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ions, "_MOST_COMBINATIONS", 0)
        assert can_be_neutral(elements, values).tolist() == [tried(composition)]


def test_a_composition_of_all_elements_with_common_states_is_decided():
    charged = [symbol for symbol in symbols()[1:] if Element(symbol).common_oxidation_states]
    assert len(charged) == 100  # more combinations than could ever be tried
    oxide = dict.fromkeys(charged, 1) | {"O": 120}
    for rows, elements, values in rows_of([oxide, {**oxide, "O": 1}]).blocks(1):
        assert can_be_neutral(elements, values).tolist() == [rows.start == 0]


def test_what_would_take_too_long_to_tell_is_nan_and_the_rest_is_known(monkeypatch):
    monkeypatch.setattr(ions, "_MOST_CHARGES", 50)
    amounts = rows_of([{"C": 1.1, "N": 1.23, "S": 1.347, "Cl": 1.4589, "I": 1.56701}, {"Na": 1, "Cl": 1}])
    out = np.empty((2, 3))
    IonicCharacter().fill(amounts, out)
    assert np.isnan(out).tolist() == [[True, False, False], [False, False, False]]


def test_ionic_character_is_that_of_pauling():
    amounts, _ = read_amounts(["NaCl", "Fe3O4", "Si"])
    out = np.empty((3, 3))
    IonicCharacter().fill(amounts, out)
    salt = 1 - np.exp(-((3.16 - 0.93) ** 2) / 4)  # Pauling's electronegativities of Cl and Na
    np.testing.assert_allclose(out[0], [1, salt, salt / 4])
    assert out[1, 0] == 0  # iron has two oxidation states in it at once
    assert out[2].tolist() == [1, 0, 0]
