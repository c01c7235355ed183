from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import GrandPotentialPhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry
from scipy.optimize import linprog

from matscout.errors import UserError
from matscout.workflows.stability import Hull
from matscout.workflows.stability.open_systems import open_hull

SYMBOLS = ("Fe", "Li", "O", "P")
unhurried = settings(deadline=None)  # the first hull imports Qhull, and machines are shared

# Few amounts and coarse energies make duplicates, collinear compositions and entries that lie exactly on a facet.
amounts = st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(lambda row: sum(x > 0 for x in row) > 1)
coarse = st.integers(-20, 4).map(lambda tenth: tenth / 10)
systems = st.lists(st.tuples(amounts, coarse), min_size=1, max_size=9)
potentials = st.integers(-30, 0).map(lambda tenth: tenth / 10)


def entries_of(points):
    elements = [ComputedEntry(symbol, -i - 1, entry_id=symbol) for i, symbol in enumerate(SYMBOLS)]
    for i, (row, formation) in enumerate(points):
        composition = Composition(dict(zip(SYMBOLS, row, strict=True)))
        absolute = sum(row[k] * elements[k].energy for k in range(4))
        elements.append(ComputedEntry(composition, absolute + formation * sum(row), entry_id=f"e{i}"))
    return elements


def hull_of(entries):
    return Hull(
        [entry.composition for entry in entries],
        [entry.energy_per_atom for entry in entries],
        [entry.entry_id for entry in entries],
    )


def distances_of(opened):
    return dict(zip(opened.ids, opened.own_e_above_hull().tolist(), strict=True))


def assert_as_pymatgen(opened, entries, tolerance=1e-8):
    potentials = {Element(symbol): mu for symbol, mu in opened.chemical_potentials.items()}
    reference = GrandPotentialPhaseDiagram(entries, potentials)
    expected = {e.original_entry.entry_id: reference.get_e_above_hull(e) for e in reference.all_entries}
    assert distances_of(opened) == pytest.approx(expected, abs=tolerance)
    assert {e.original_entry.entry_id for e in reference.stable_entries} <= set(opened.stable_ids)
    return reference


@pytest.fixture(scope="module")
def phosphates(iron_phosphates):
    return hull_of(iron_phosphates)


@pytest.fixture
def rust():
    return Hull(["Fe", "O2", "FeO", "Fe2O3"], [-8.4, -4.9, -8.2, -8.0], ["bcc", "gas", "wuestite", "haematite"])


# ---- against others


@pytest.mark.parametrize(
    "chemical_potentials", [{"O": -5.0}, {"O": -6.0}, {"O": -7.0}, {"O": -8.0}, {"O": -6.0, "Li": -3.0}]
)
def test_the_943_entries_have_the_distances_and_stable_phases_that_pymatgen_finds(
    iron_phosphates, phosphates, chemical_potentials
):
    opened = open_hull(phosphates, chemical_potentials)
    reference = assert_as_pymatgen(opened, iron_phosphates)
    assert set(opened.stable_ids) == {e.original_entry.entry_id for e in reference.stable_entries}


@pytest.mark.parametrize("seed", range(8))
def test_random_systems_are_as_in_pymatgen(seed):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 4, (25, 4))
    rows = rows[(rows > 0).sum(axis=1) > 1]
    entries = entries_of([(row.tolist(), rng.normal(-0.4, 0.4)) for row in rows])
    potentials = {"O": -3 - rng.uniform(0, 2)} | ({"P": -4 - rng.uniform(0, 2)} if seed % 2 else {})
    assert_as_pymatgen(open_hull(hull_of(entries), potentials), entries)


@unhurried
@given(systems, potentials, st.sets(st.sampled_from(SYMBOLS), min_size=1, max_size=3))
def test_distances_are_those_of_a_linear_program(points, relative, open_elements):
    hull = hull_of(entries_of(points))
    opened = open_hull(hull, dict.fromkeys(open_elements, relative), relative=True)
    others = [i for i, symbol in enumerate(SYMBOLS) if symbol not in open_elements]
    columns = hull.columns()
    potentials = np.array([opened.chemical_potentials.get(symbol, 0.0) for symbol in SYMBOLS])
    rest = columns.amounts[:, others].sum(axis=1)
    kept = rest > 0
    phi = (columns.energies - columns.amounts @ potentials)[kept] / rest[kept]
    fractions = columns.amounts[kept][:, others] / rest[kept, None]
    heights = [linprog(phi, A_eq=fractions.T, b_eq=x, method="highs").fun for x in fractions]
    assert opened.ids == tuple(np.array(columns.ids)[kept])
    assert opened.own_e_above_hull() == pytest.approx(phi - heights, abs=1e-7)


# ---- known answers


def test_oxygen_decides_which_oxide_is_stable(rust):
    # From FeO: 2 x -1.55 eV = -3.1 eV for one O; from Fe2O3: 5 x -1.7 + 6.2 = -2.3 eV for one more.
    by_potential = {mu: open_hull(rust, {"O": mu}, relative=True).stable_ids for mu in (-3.2, -3.0, -2.4, -2.2)}
    assert by_potential == {-3.2: ("bcc",), -3.0: ("wuestite",), -2.4: ("wuestite",), -2.2: ("haematite",)}


def test_the_grand_potential_is_per_atom_of_the_other_elements(rust):
    opened = open_hull(rust, {"O": -7.4})
    assert opened.grand_potential(["Fe2O3", "FeO"], [-8.0, -8.2]) == pytest.approx([(-40 + 22.2) / 2, -16.4 + 7.4])
    assert opened.e_above_hull(["Fe4O6", "FeO", "FeO"], [-8.0, -8.2, -8.3]) == pytest.approx([0.1, 0.0, -0.2])
    assert distances_of(opened) == pytest.approx({"bcc": 0.6, "wuestite": 0.0, "haematite": 0.1})


def test_chemical_potentials_are_counted_from_the_element_where_asked(rust):
    relative = open_hull(rust, {"O": -2.5}, relative=True)
    assert relative.chemical_potentials == pytest.approx({"O": -7.4})
    assert relative.references == {"O": -4.9}
    assert relative.hull.version == open_hull(rust, {"O": -4.9 - 2.5}).hull.version


def test_a_hull_of_formation_energies_counts_from_its_elements_and_holds_those_it_does_not_list(rust):
    columns = rust.columns()
    formation = Hull(
        ["FeO", "Fe2O3"],
        rust.formation_energy((columns.amounts, columns.elements), columns.energies)[2:],
        ["wuestite", "haematite"],
        formation_energies=True,
    )
    for mu in (-3.2, -2.5, -2.2):
        opened = open_hull(formation, {"O": mu}, relative=bool(mu > -3))
        assert distances_of(opened) == pytest.approx(
            {name.replace("bcc", "Fe"): d for name, d in distances_of(open_hull(rust, {"O": mu - 4.9})).items()}
        )
    assert open_hull(formation, {"O": -3.2}).stable_ids == ("Fe",)


def test_an_unlisted_element_stands_beside_a_higher_entry_of_its_name():
    hull = Hull(["Fe", "FeO"], [0.1, -1.5], ["Fe", "FeO"], formation_energies=True)
    opened = open_hull(hull, {"O": -4.0})
    assert opened.ids == ("Fe", "FeO", "Fe at 0")
    assert opened.stable_ids == ("Fe at 0",)
    assert str(opened.reaction("FeO")) == "2 FeO -> 2 Fe + O2"


def test_reactions_name_what_is_released_and_taken_up(rust):
    poor, rich = (open_hull(rust, {"O": mu}, relative=True) for mu in (-2.5, -1.0))
    released, taken = poor.reaction("haematite"), rich.reaction("wuestite")
    assert str(released) == "2 Fe2O3 -> 4 FeO + O2"
    assert released.exchange == pytest.approx({"O": 2.0})
    assert released.phases == {"wuestite": 4.0}
    assert released.energy == pytest.approx(-0.1)
    assert str(taken) == "4 FeO + O2 -> 2 Fe2O3"
    assert taken.exchange == pytest.approx({"O": -2.0})
    assert str(poor.reaction("wuestite")) == "FeO -> FeO"
    assert poor.reaction("wuestite").exchange == {}
    assert poor.reaction("wuestite").energy == 0


def test_reactions_of_the_943_entries_balance_in_atoms_and_energy(iron_phosphates, phosphates):
    opened = open_hull(phosphates, {"O": -6.0, "Li": -2.5})
    entry_of = {entry.entry_id: entry for entry in iron_phosphates}
    above = distances_of(opened)
    for name in opened.ids[::40]:
        reaction = opened.reaction(name)
        own = entry_of[name]
        before = Composition(reaction.formula) * reaction.amount
        after = sum((Composition(reaction.formulas[p]) * n for p, n in reaction.phases.items()), Composition())
        for element in own.composition.elements:
            moved = reaction.exchange.get(element.symbol, 0.0)
            assert before[element] == pytest.approx(after[element] + moved, abs=1e-6)
        gained = sum(
            entry_of[p].energy_per_atom * n * Composition(reaction.formulas[p]).num_atoms
            for p, n in reaction.phases.items()
        ) + sum(opened.chemical_potentials[e] * n for e, n in reaction.exchange.items())
        others = before["Fe"] + before["P"]
        assert (gained - own.energy_per_atom * before.num_atoms) / others == pytest.approx(-above[name], abs=1e-8)
        assert reaction.energy == pytest.approx(-above[name], abs=1e-12)


def test_the_table_has_the_nearest_to_the_hull_first(rust):
    frame = open_hull(rust, {"O": -2.5}, relative=True).frame()
    assert frame["id"].tolist() == ["wuestite", "haematite", "bcc"]
    assert frame["formula"].tolist() == ["FeO", "Fe2O3", "Fe"]
    assert frame["chemical_system"].tolist() == ["Fe-O", "Fe-O", "Fe"]
    assert frame["e_above_hull"].tolist() == pytest.approx([0.0, 0.1, 0.6])
    assert frame["grand_potential"].tolist() == pytest.approx([-9.0, -8.9, -8.4])
    assert frame["energy"].tolist() == [-8.2, -8.0, -8.4]
    assert frame["reaction"].tolist() == ["FeO -> FeO", "2 Fe2O3 -> 4 FeO + O2", "2 Fe + O2 -> 2 FeO"]
    assert len(open_hull(rust, {"O": -2.5}, relative=True).frame(window=0.2)) == 2


def test_protocols_sources_and_scheme_stay():
    hull = Hull(["Fe", "O2", "FeO"], [-8.4, -4.9, -8.2], protocols="pbe", sources=["a", "b", "c"])
    opened = open_hull(hull, {"O": -6.0})
    assert opened.hull.columns().sources == opened.entries.sources == ("a", "c")
    assert opened.hull.protocols == ("pbe",)
    assert open_hull(Hull(["FeO"], [-1.0], protocols="pbe", formation_energies=True), {"O": -1.0}).hull.protocols == (
        "pbe",
    )


def test_a_chemical_system_leaves_the_rest_out(phosphates, iron_phosphates):
    inside = [entry for entry in iron_phosphates if not entry.composition["P"]]
    opened = open_hull(phosphates, {"O": -6.0}, chemical_system="Li-Fe-O")
    assert_as_pymatgen(opened, inside)


# ---- what must hold


@unhurried
@given(systems)
def test_without_any_of_an_element_it_is_the_hull_without_that_element(points):
    hull = hull_of(entries_of(points))
    opened = open_hull(hull, {"O": -1000.0})
    columns = hull.columns("Fe-Li-P")
    without = Hull((columns.amounts, columns.elements), columns.energies, columns.ids)
    assert set(opened.stable_ids) == set(without.stable_ids)
    distances = distances_of(opened)
    assert [distances[name] for name in without.ids] == pytest.approx(without.own_e_above_hull(), abs=1e-9)


@unhurried
@given(systems)
def test_what_coexists_in_the_closed_system_is_stable_in_the_open_one(points):
    hull = hull_of(entries_of(points))
    for facet in hull.facets("Fe-Li-O-P"):
        opened = open_hull(hull, {"O": facet.chemical_potentials["O"]}, relative=True)
        above = distances_of(opened)
        # distances are per atom of the other elements, of which an entry has one in ten at least
        assert [above[name] for name in facet.phases if name != "O"] == pytest.approx(
            [0.0] * (len(facet.phases) - ("O" in facet.phases)), abs=1e-7
        )


@unhurried
@given(systems, potentials, st.randoms(use_true_random=False))
def test_the_order_of_entries_changes_nothing(points, relative, random):
    entries = entries_of(points)
    first = open_hull(hull_of(entries), {"O": relative}, relative=True)
    random.shuffle(entries)
    second = open_hull(hull_of(entries), {"O": relative}, relative=True)
    assert distances_of(first) == pytest.approx(distances_of(second), abs=1e-12)
    assert first.hull.version == second.hull.version


@unhurried
@given(systems, potentials, potentials)
def test_opening_in_two_steps_is_opening_at_once(points, oxygen, lithium):
    hull = hull_of(entries_of(points))
    at_once = open_hull(hull, {"O": -3 + oxygen, "Li": -2 + lithium})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # half open, lithium may be held by the reservoir of oxygen
        one = open_hull(hull, {"O": -3 + oxygen})
        both = open_hull(one.hull, {"Li": -2 + lithium})
    assert distances_of(both) == pytest.approx(distances_of(at_once), abs=1e-9)


# ---- bad input


def test_a_chemical_potential_above_the_element_s_own_energy_is_warned_of(rust):
    with pytest.warns(
        UserWarning,
        match=r"potential of O, -4 eV/atom, lies above the energy of O itself, -4\.9 eV/atom: the element would",
    ):
        open_hull(rust, {"O": -4.0})
    with pytest.warns(UserWarning, match=r"potential of O, 0\.2 eV/atom, lies above"):
        open_hull(Hull(["FeO"], [-1.0], formation_energies=True), {"O": 0.2})
    open_hull(rust, {"O": 0.0}, relative=True)


@pytest.mark.parametrize(
    ("chemical_potentials", "message"),
    [
        ({}, "no open element: name one"),
        ({"O2": -5}, "unknown element 'O2'"),
        ({"N": -5}, "cannot open the hull to N: it has no such element but Fe, O"),
        ({"O": float("nan")}, r"not finite: O \(nan\)"),
        ({"O": -5, "Fe": -9}, r"all elements are open \(O, Fe\)"),
    ],
)
def test_chemical_potentials_that_make_no_sense_are_named(rust, chemical_potentials, message):
    with pytest.raises(UserError, match=message):
        open_hull(rust, chemical_potentials)


def test_what_the_reservoirs_decide_on_has_no_distance(rust):
    opened = open_hull(rust, {"O": -6.0})
    with pytest.raises(UserError, match="nothing but open elements in O2"):
        opened.e_above_hull(["FeO", "O3"], [-8.2, -4.0])
    with pytest.raises(UserError, match="2 compositions need as many finite energies"):
        opened.e_above_hull(["FeO", "Fe3O4"], [-8.2])
    with pytest.raises(UserError, match="no entry 'gas' in the system open to O"):
        opened.reaction("gas")


def test_relative_potentials_are_those_of_windows_and_facets():
    hull = Hull(["O2", "Li2O", "Li2O2"], [-0.1, -2.0, -1.7], formation_energies=True)
    opened = open_hull(hull, {"O": 0.0}, relative=True)  # 0 is the element itself, which lies at -0.1
    assert opened.chemical_potentials == {"O": pytest.approx(-0.1)}
    low, high = hull.chemical_potential_window("Li2O")["O"]
    inside, outside = ((low + high) / 2, high + 0.01)
    assert open_hull(hull, {"O": inside}, relative=True).stable_ids == ("Li2O",)
    assert "Li2O" not in open_hull(hull, {"O": outside}, relative=True).stable_ids
