from __future__ import annotations

import pytest

from matscout.workflows.stability import Hull
from matscout.workflows.stability.answers import Decomposition, in_whole_numbers


def test_whole_numbers_balance_to_the_last_atom():
    # 0.3140001 lies within 1e-6 of 157/500, which would leave 0.00005 formula units over.
    assert in_whole_numbers({"a": 0.3140001, "b": 0.6859999}) == (1.0, {"a": 0.3140001, "b": 0.6859999})
    assert in_whole_numbers({"a": 0.314, "b": 0.686}) == (500.0, {"a": 157.0, "b": 343.0})


def test_amounts_that_are_no_whole_numbers_keep_their_digits():
    made = Decomposition("Fe0.94713O", 1.0, {"x": 0.84139, "y": 0.05287}, {"x": "FeO", "y": "Fe2O3"}, 0.0)
    assert str(made) == "Fe0.94713O -> 0.84139 FeO + 0.05287 Fe2O3"


def test_polymorphs_compete_as_one_composition():
    formulas = ["Na", "Na", "Cl2", "NaCl", "Na2Cl2", "Na3Cl", "K", "KCl"]
    energies = [-1.3, -1.2, -1.8, -3.6, -3.5, -1.9, -1.0, -3.0]
    hull = Hull(formulas, energies, [f"e{n}" for n in range(len(formulas))])
    complete = hull.completeness("Na-Cl-K")
    assert complete.compositions == {1: 3, 2: 3, 3: 0}
    assert complete.by_size == {1: 4, 2: 4, 3: 0}
    assert str(complete) == "3 elements and 3 binaries alone, no ternaries"
    assert str(hull.completeness("Na-Cl", without=["e3"])) == "2 elements and 2 binaries"  # the other NaCl competes
    assert str(hull.completeness("Na-Cl", without=["e3", "e4", "e5"])) == "2 elements alone, no binaries"
    assert str(hull.completeness("K-Cl")) == "2 elements and 1 binary"


@pytest.mark.parametrize("listed", [[], ["Na"]])
def test_unlisted_elements_compete(listed):
    hull = Hull(["NaCl", *listed], [-2.0, *[0.0 for _ in listed]], formation_energies=True)
    assert str(hull.completeness("Na-Cl")) == "2 elements and 1 binary"


def test_a_trace_is_not_lost_in_a_reaction():
    """7 digits of a fraction are no whole numbers: what they leave over is said, not called 0."""
    hull = Hull(["LiCoO2"], [-2.0], formation_energies=True)
    reaction = hull.reaction({"Li": 0.3333333, "Co": 0.3333333, "O": 0.6666667})
    assert len(reaction.phases) == 2
    assert 0 < min(reaction.phases.values()) < 1e-6
    assert " 0 O2" not in str(reaction)
