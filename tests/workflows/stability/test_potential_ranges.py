from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Element

from matscout.errors import UserError
from matscout.workflows.stability import Hull
from matscout.workflows.stability.open_systems import open_hull
from matscout.workflows.stability.potential_ranges import stable_phases_over

SYMBOLS = ("Fe", "Li", "O", "P")
unhurried = settings(deadline=None)  # the first hull imports Qhull, and machines are shared
amounts = st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(lambda row: sum(x > 0 for x in row) > 1)
coarse = st.integers(-20, 4).map(lambda tenth: tenth / 10)
systems = st.lists(st.tuples(amounts, coarse), min_size=1, max_size=9)


def hull_of(points):
    table = np.vstack([np.eye(4), *(row for row, _ in points)])
    energies = [0.0, 0.0, 0.0, 0.0, *(energy for _, energy in points)]
    names = [*SYMBOLS, *(f"e{i}" for i in range(len(points)))]
    return Hull((table, SYMBOLS), energies, names, formation_energies=True)


@pytest.fixture(scope="module")
def phosphates(iron_phosphates):
    return Hull.from_entries(iron_phosphates)


@pytest.fixture
def rust():
    return Hull(["Fe", "O2", "FeO", "Fe2O3"], [-8.4, -4.9, -8.2, -8.0], ["bcc", "gas", "wuestite", "haematite"])


def assert_as_open_hulls(ranges, hull, element, others, seed=0):
    """In each range the stable phases are those of the hull opened at a chemical potential within."""
    rng = np.random.default_rng(seed)
    for part in ranges.itertuples():
        mu = rng.uniform(part.low + 0.05 * (part.high - part.low), part.high - 0.05 * (part.high - part.low))
        assert set(open_hull(hull, {element: mu, **others}).stable_ids) == set(part.ids)
    assert ranges["low"].tolist()[1:] == ranges["high"].tolist()[:-1]
    for (_, lower), (_, upper) in zip(ranges[:-1].iterrows(), ranges[1:].iterrows(), strict=True):
        assert set(upper["ids"]) - set(lower["ids"]) == set(upper["appearing"])
        assert set(lower["ids"]) - set(upper["ids"]) == set(upper["vanishing"])
        assert set(upper["ids"]) != set(lower["ids"])


# ---- against others


def test_phases_of_the_943_entries_change_where_pymatgen_says_that_facets_end(iron_phosphates, phosphates):
    reference = PhaseDiagram(iron_phosphates).get_transition_chempots(Element("O"))
    ranges = stable_phases_over(phosphates, "O", min(reference) - 1, 0.0 + phosphates.reference_energies["O"])
    ends = np.array(ranges["low"][1:])
    assert len(ends) > 30
    assert np.abs(ends[:, None] - np.array(reference)).min(axis=1).max() < 1e-6
    assert_as_open_hulls(ranges, phosphates, "O", {})


def test_a_second_element_may_be_open_at_one_chemical_potential(phosphates):
    ranges = stable_phases_over(phosphates, "O", -8.0, -5.0, others={"Li": -4.5})
    assert len(ranges) > 3
    assert_as_open_hulls(ranges, phosphates, "O", {"Li": -4.5})


@unhurried
@given(systems, st.sampled_from(SYMBOLS))
def test_ranges_are_exact_in_degenerate_systems(points, element):
    hull = hull_of(points)
    ranges = stable_phases_over(hull, element, -40.0, 0.0)
    assert (ranges["low"][0], ranges["high"].to_numpy()[-1]) == pytest.approx((-40.0, 0.0))
    assert_as_open_hulls(ranges, hull, element, {})


@settings(unhurried, max_examples=40)
@given(systems)
def test_a_phase_is_stable_in_its_chemical_potential_window(points):
    hull = hull_of(points)
    ranges = stable_phases_over(hull, "O", -40.0, 0.0)
    for name in {name for ids in ranges["ids"] for name in ids if name.startswith("e")}:
        low, high = hull.chemical_potential_window(name, "Fe-Li-O-P")["O"]
        inside = ranges[[name in ids for ids in ranges["ids"]]]
        assert (inside["low"].min(), inside["high"].max()) == pytest.approx((max(low, -40.0), high), abs=1e-6)


def test_systems_of_many_elements_have_ranges_too():
    symbols = ("Ca", "Fe", "K", "Li", "Na", "O", "P")
    rng = np.random.default_rng(0)
    table = rng.integers(0, 3, (60, 7))
    table = table[(table > 0).sum(axis=1) > 1]
    hull = Hull((table, symbols), rng.normal(-0.6, 0.4, len(table)), list(range(len(table))), formation_energies=True)
    ranges = stable_phases_over(hull, "O", -6.0, 0.0)
    assert len(ranges) > 3
    assert_as_open_hulls(ranges, hull, "O", {})


# ---- known answers


def test_iron_rusts_in_two_steps(rust):
    ranges = stable_phases_over(rust, "O", -4.0, 0.0, relative=True)
    assert ranges["low"].tolist() == pytest.approx([-4.0, -3.1, -2.3])
    assert ranges["high"].tolist() == pytest.approx([-3.1, -2.3, 0.0])
    assert ranges["ids"].tolist() == [("bcc",), ("wuestite",), ("haematite",)]
    assert ranges["formulas"].tolist() == [("Fe",), ("FeO",), ("Fe2O3",)]
    assert ranges["appearing"].tolist() == [(), ("wuestite",), ("haematite",)]
    assert ranges["vanishing"].tolist() == [(), ("bcc",), ("wuestite",)]
    absolute = stable_phases_over(rust, "O", -8.9, -4.9)
    assert absolute["low"].tolist() == pytest.approx([-8.9, -8.0, -7.2])


def test_ranges_end_where_the_question_ends(rust):
    ranges = stable_phases_over(rust, "O", -3.0, -2.5, relative=True)
    assert ranges[["low", "high", "ids"]].to_numpy().tolist() == [[-3.0, -2.5, ("wuestite",)]]
    # a range that begins or ends at a change has no sliver beyond it
    assert len(stable_phases_over(rust, "O", -3.1, -2.3, relative=True)) == 1


def test_above_the_element_what_it_stabilises_is_found_with_a_warning(rust):
    rust.add(["FeO3"], [-5.9], ["rich"])
    with pytest.warns(UserWarning, match="the element would precipitate"):
        ranges = stable_phases_over(rust, "O", -2.0, 6.0, relative=True)
    assert ranges["ids"].tolist() == [("haematite",), ("rich",)]
    # 4 x -5.9 = -23.6 eV against -20 eV for half of Fe2O3, with 1.5 O more
    assert ranges["low"][1] == pytest.approx((-23.6 + 20) / 1.5 + 4.9)


# ---- bad input


@pytest.mark.parametrize(
    ("low", "high", "others", "message"),
    [
        (-2.0, -3.0, None, "of O cannot go from -2 up to -3 eV/atom"),
        (float("-inf"), 0.0, None, r"not finite: O \(-inf\)"),
        (-3.0, -2.0, {"O": -1.0}, "O is open over a range"),
        (-3.0, -2.0, {"Fe": -9.0}, "all elements are open"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(rust, low, high, others, message):
    with pytest.raises(UserError, match=message):
        stable_phases_over(rust, "O", low, high, others=others, relative=True)
