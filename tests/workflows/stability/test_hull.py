from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition, Element
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import Hull, restrict
from matscout.workflows.stability.compositions import fraction_table, grid_keys

SYMBOLS = ("Li", "Na", "K", "Rb", "Mg", "Ca", "Sr")

# Few amounts and coarse energies make duplicates, collinear compositions and entries that lie exactly on a facet.
amounts = st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(lambda row: sum(x > 0 for x in row) > 1)
coarse = st.integers(-20, 4).map(lambda tenth: tenth / 10)
unhurried = settings(deadline=None)  # the first hull imports Qhull, and machines are shared
systems = st.lists(st.tuples(amounts, coarse), min_size=1, max_size=9)


def hull_of(points, order=None, multiplier=1):
    ids = [f"e{i}" for i in range(len(points))]
    order = range(len(points)) if order is None else order
    table = np.array([points[i][0] for i in order], dtype=float) * multiplier
    return Hull(
        (table, SYMBOLS[: table.shape[1]]),
        [points[i][1] for i in order],
        [ids[i] for i in order],
        formation_energies=True,
    )


def own_distances(hull, points):
    table = np.array([row for row, _ in points], dtype=float)
    return hull.e_above_hull((table, SYMBOLS[: table.shape[1]]), [energy for _, energy in points])


# ---- against others


def test_what_lies_within_a_grid_step_is_one_composition_and_no_small_fraction_lies_on_its_edge():
    once = np.array([[1.0, 1535.0], [0.1, 153.5]])  # 1/1536: the grid has 256 among its divisors, not 512
    hull = Hull((once, ("Li", "Na")), [-0.01, -0.02], ["a", "b"], formation_energies=True)
    assert hull.decomposition_energy() == pytest.approx([-0.01, -0.02], abs=1e-12)
    for whole in range(2, 3000):
        rows = np.array([[1.0, whole - 1.0]]) * [[1.0], [0.1], [1 / 3], [0.7]]
        keys = grid_keys(rows / rows.sum(axis=1, keepdims=True))
        assert (keys == keys[0]).all(), whole


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("n_elements", [3, 40, 90])
def test_rows_are_grouped_by_the_elements_they_hold(n_elements, layout):
    rng = np.random.default_rng(n_elements)
    symbols = [Element.from_Z(z).symbol for z in range(1, n_elements + 1)]
    amounts = rng.integers(1, 4, (200, n_elements)) * (rng.random((200, n_elements)) < 2 / n_elements)
    amounts[:, 0] += amounts.sum(axis=1) == 0
    table = fraction_table((np.asarray(amounts, dtype=float, order=layout), symbols))
    groups = {system: (rows.tolist(), fractions) for system, rows, fractions in table.by_system()}
    expected = {}
    for row, some in enumerate(amounts > 0):
        expected.setdefault(tuple(sorted(np.array(symbols)[some].tolist())), []).append(row)
    assert {system: rows for system, (rows, _) in groups.items()} == expected
    for system, (rows, fractions) in groups.items():
        columns = [table.elements.index(symbol) for symbol in system]
        assert (fractions == table.fractions[np.ix_(rows, columns)]).all()


def test_columns_of_elements_that_no_row_holds_mean_nothing():
    hull = Hull((np.eye(3), ("Li", "Na", "K")), [-1.9, -1.3, -1.1], formation_energies=False)
    table = (np.array([[1.0, 1.0, 0.0]]), ("Li", "Na", "Cs"))
    assert hull.formation_energy(table, [-2.0]) == pytest.approx([-0.4])
    assert hull.e_above_hull(table, [-2.0]) == pytest.approx([-0.4])


def test_nearly_coinciding_compositions_leave_the_hull_exact():
    rng = np.random.default_rng(7)
    base = rng.dirichlet(np.ones(4), 12)
    fractions = np.vstack([base, np.abs(base + rng.normal(0, 1e-5, base.shape))])
    fractions /= fractions.sum(axis=1, keepdims=True)
    energies = -np.round(1 - fractions.max(axis=1), 2)
    symbols = SYMBOLS[:4]
    hull = Hull((fractions, symbols), energies, list(range(24)), formation_energies=True)
    for x in np.vstack([rng.dirichlet(np.ones(4), 20), fractions]):
        parts = hull.decompose(dict(zip(symbols, x, strict=True)))
        corners = {**dict(enumerate(fractions)), **dict(zip(symbols, np.eye(4), strict=True))}
        heights = {**dict(enumerate(energies)), **dict.fromkeys(symbols, 0.0)}
        assert sum(part * corners[name] for name, part in parts.items()) == pytest.approx(x, abs=1e-7)
        energy = sum(part * heights[name] for name, part in parts.items())  # what can be made, against the bound
        assert hull.hull_energy((x[None], symbols))[0] == pytest.approx(energy, abs=1e-6)


# ---- known answers


def test_only_the_lowest_entry_of_a_composition_counts(salt):
    assert salt.stable_ids == ("na", "cl", "b1")
    assert salt.e_above_hull(["NaCl", "Na4Cl4"], [-3.5, -3.7]) == pytest.approx([0.1, -0.1])


def test_formation_energies_count_from_the_lowest_element():
    hull = Hull(["Na", "Na", "Cl"], [-1.3, -1.2, -1.8])
    assert hull.reference_energies == {"Cl": -1.8, "Na": -1.3}
    assert hull.formation_energy(["NaCl", Composition("Na3Cl")], [-2.0, -1.5]) == pytest.approx([-0.45, -0.075])


def test_decomposition_energy_has_the_signs_of_its_definition(salt):
    # Without NaCl (-2.05 eV/atom against the elements, its polymorph -1.95) Na3Cl and Cl2 are left, on a line through
    # -0.475 and 0, which passes -0.475 * 2 / 3 at NaCl. Na3Cl itself lies above the line from Na to NaCl.
    between = -0.475 * 2 / 3
    assert salt.decomposition_energy() == pytest.approx([0, 0, -2.05 - between, -1.95 - between, -0.475 + 2.05 / 2])


def test_what_lies_above_the_elements_never_shapes_the_hull():
    hull = Hull(["NaCl", "NaCl3"], [0.3, 0.2], formation_energies=True)
    assert hull.hull_energy(["NaCl", "NaCl3"]).tolist() == [0, 0]
    assert hull.stable_ids == ()
    assert hull.decomposition_energy() == pytest.approx([0.3, 0.2])


def test_a_composition_decomposes_into_atomic_fractions_of_its_neighbours(salt):
    assert salt.decompose("Na3Cl") == pytest.approx({"na": 0.5, "b1": 0.5})
    assert salt.decompose("NaCl") == {"b1": 1.0}
    assert salt.decompose("Na") == {"na": 1.0}


def test_an_unlisted_element_goes_by_its_symbol():
    hull = Hull(["NaCl"], [-2.0], ["b1"], formation_energies=True)
    assert hull.decompose("Na3Cl") == pytest.approx({"Na": 0.5, "b1": 0.5})
    assert hull.decompose("K3Rb") == pytest.approx({"K": 0.75, "Rb": 0.25})


def test_a_phase_may_have_the_symbol_of_an_unlisted_element_for_its_id():
    hull = Hull(["NaCl"], [-2.0], ["Na"], formation_energies=True)
    assert hull.decompose("Na3Cl") == pytest.approx({"Na": 0.5, "Na at 0": 0.5})
    assert str(hull.reaction("Na3Cl")) == "Na3Cl -> NaCl + 2 Na"
    higher = Hull(["Na", "NaCl"], [0.1, -2.0], formation_energies=True)
    assert higher.decompose("Na3Cl") == pytest.approx({"NaCl": 0.5, "Na at 0": 0.5})
    assert {phase for facet in higher.facets("Na-Cl") for phase in facet.phases} == {"Cl", "Na at 0", "NaCl"}


def test_a_listed_element_stands_in_for_the_unlisted_one_unless_it_is_higher():
    hull = Hull(["Na", "K", "K"], [0.0, 0.1, 0.2], ["bcc", "fcc", "hcp"], formation_energies=True)
    assert hull.decompose("NaK") == pytest.approx({"K": 0.5, "bcc": 0.5})
    assert hull.stable_ids == ("bcc",)
    below = Hull(["Na"], [-0.2], ["new"], formation_energies=True)
    assert below.decompose("NaK") == pytest.approx({"K": 0.5, "new": 0.5})
    assert below.hull_energy(["NaK"]) == pytest.approx([-0.1])


def test_a_reaction_is_balanced_in_whole_formula_units():
    hull = Hull(["Li2O", "Fe2O3", "FeO"], [-2.0, -1.7, -1.5], ["li2o", "fe2o3", "feo"], formation_energies=True)
    reaction = hull.reaction("LiFeO2")
    assert str(reaction) == "2 LiFeO2 -> Fe2O3 + Li2O"
    assert reaction.phases == {"fe2o3": 1.0, "li2o": 1.0}
    assert reaction.energy == pytest.approx((5 * -1.7 + 3 * -2.0) / 8)
    assert str(hull.reaction("Fe3O4")) == "Fe3O4 -> Fe2O3 + FeO"
    assert str(hull.reaction("LiO2")) == "4 LiO2 -> 3 O2 + 2 Li2O"
    assert str(hull.reaction("Fe2O3")) == "Fe2O3 -> Fe2O3"
    assert str(hull.reaction({"Fe": 0.1234567, "O": 0.8765433})).startswith("Fe")


def test_reactions_balance_as_pymatgen_says(iron_phosphates):
    from pymatgen.analysis.reaction_calculator import Reaction

    hull = Hull.from_entries(iron_phosphates)
    formulas = ["LiFeP2O7", "Li3Fe2P3O12", "FePO4", "LiFeO2", "Li2FeP4O12", "Fe7P6O24", "LiFePO5"]
    for reaction in hull.reactions(formulas):
        products = [Composition(text) for text in reaction.formulas.values()]
        expected = Reaction([Composition(reaction.formula)], products)
        ours = [amount / reaction.amount for amount in reaction.phases.values()]
        theirs = [expected.get_coeff(c) / -expected.get_coeff(Composition(reaction.formula)) for c in products]
        assert ours == pytest.approx(theirs) or products == [Composition(reaction.formula)]


def test_metastable_phases_lie_within_the_window(salt):
    assert salt.metastable_ids(0.1 + 1e-12) == ("na", "cl", "b1", "b2")
    assert salt.metastable_ids(0.6) == ("na", "cl", "b1", "b2", "x")
    assert salt.own_e_above_hull() == pytest.approx([0, 0, 0, 0.1, -0.475 + 2.05 / 2])


def test_facets_name_the_phases_that_coexist_and_their_chemical_potentials(salt):
    facets = {facet.phases: facet.chemical_potentials for facet in salt.facets("Na-Cl")}
    assert facets[("cl", "b1")] == pytest.approx({"Cl": 0, "Na": -4.1})  # NaCl is at -2.05 eV/atom
    assert facets[("na", "b1")] == pytest.approx({"Cl": -4.1, "Na": 0})
    assert len(facets) == 2


def test_phases_on_one_plane_share_a_facet():
    flat = Hull(["LiNa", "LiK", "NaK"], [-1, -1, -1], ["a", "b", "c"], formation_energies=True)
    assert {len(facet.phases) for facet in flat.facets("Li-Na-K")} == {3}
    on_line = Hull(["LiNa", "Li3Na"], [-1, -0.5], ["a", "on"], formation_energies=True)
    assert {frozenset(facet.phases) for facet in on_line.facets("Li-Na")} == {
        frozenset({"Li", "a", "on"}),
        frozenset({"Na", "a"}),
    }


def test_facets_are_refused_where_there_are_too_many_elements():
    hull = Hull(["LiF"], [-1], formation_energies=True)
    with pytest.raises(UserError, match="6 elements, and facets are found for up to 5"):
        hull.facets("Li-F-O-P-S-N")


def test_the_window_of_a_phase_ends_where_others_form(salt):
    assert salt.chemical_potential_window("b1")["Na"] == pytest.approx((-4.1, 0))
    assert salt.chemical_potential_window("na")["Na"] == pytest.approx((0, 0))
    hull = Hull(["Na", "Cl", "K", "NaCl"], [0, 0, 0, -2.05], ["na", "cl", "k", "salt"])
    window = hull.chemical_potential_window("salt", "Na-Cl-K")
    assert window["K"] == (-np.inf, 0.0)
    with pytest.raises(UserError, match=r"b2 lies 0\.1 eV/atom above the hull"):
        salt.chemical_potential_window("b2")
    with pytest.raises(UserError, match=r"no entry .b3.\. Nearest: b"):
        salt.chemical_potential_window("b3")
    with pytest.raises(UserError, match="elements from outside"):
        hull.chemical_potential_window("salt", "Na-K")


def test_windows_span_the_chemical_potentials_of_the_facets_around_a_phase(iron_phosphates):
    hull = Hull.from_entries(iron_phosphates)
    facets = hull.facets("Li-Fe-P-O")
    (name,) = (e.entry_id for e in iron_phosphates if e.reduced_formula == "LiFePO4" and e.entry_id in hull.stable_ids)
    corners = [facet.chemical_potentials for facet in facets if name in facet.phases]
    window = hull.chemical_potential_window(name)
    for element in ("Li", "Fe", "P", "O"):
        expected = min(c[element] for c in corners), max(c[element] for c in corners)
        assert window[element] == pytest.approx(expected, abs=1e-7)


def test_facets_agree_with_pymatgen(iron_phosphates):
    entries = restrict(iron_phosphates, ["Li", "Fe", "O"])
    reference = PhaseDiagram(entries)
    expected = {frozenset(reference.qhull_entries[i].entry_id for i in facet) for facet in reference.facets}
    facets = Hull.from_entries(entries).facets("Li-Fe-O")
    assert {frozenset(facet.phases) for facet in facets} == expected


def test_polymorphs_at_one_energy_and_phases_on_the_elements_plane_are_in_facets_and_have_windows():
    hull = Hull(["NaCl", "NaCl"], [-2.0, -2.0 + 5e-10], ["a", "b"], formation_energies=True)
    assert hull.stable_ids == ("a", "b")
    assert [facet.phases for facet in hull.facets("Na-Cl")] == [("Cl", "a", "b"), ("Na", "a", "b")]
    for name in ("a", "b"):
        window = hull.chemical_potential_window(name)
        assert window == {"Cl": pytest.approx((-4, 0), abs=1e-8), "Na": pytest.approx((-4, 0), abs=1e-8)}
    flat = Hull(["KBr"], [0.0], ["kbr"], formation_energies=True)
    assert [facet.phases for facet in flat.facets("K-Br")] == [("Br", "K", "kbr")]
    assert flat.chemical_potential_window("kbr") == {"Br": (0.0, 0.0), "K": (0.0, 0.0)}
    tie = Hull(["Na3Cl", "NaCl3", "Na5Cl3"], [-1.1, -0.7, -1.0 + 6e-10], list("abc"), formation_energies=True)
    low, high = tie.chemical_potential_window("c")["Na"]
    assert (low, high) == pytest.approx((-1.3, -1.3), abs=1e-8)


def test_every_stable_entry_is_in_a_facet(iron_phosphates):
    hull = Hull.from_entries(iron_phosphates)
    facets = hull.facets("Fe-Li-O-P")
    assert {phase for facet in facets for phase in facet.phases} == set(hull.stable_ids)


def test_columns_restrict_to_a_chemical_system_in_order(salt):
    salt.add(["K", "KCl"], [-1.0, -3.3], ["k", "kcl"], sources="s")
    assert salt.columns("Na-Cl").ids == ("na", "cl", "b1", "b2", "x")
    columns = salt.columns()
    assert (columns.ids, columns.elements) == (salt.ids, ("Cl", "K", "Na"))
    assert columns.amounts[6].tolist() == [0.5, 0.5, 0]
    assert columns.energies.tolist() == [-1.3, -1.8, -3.6, -3.5, -1.9, -1.0, -3.3]
    with pytest.raises(UserError, match="no entry of Rb"):
        salt.columns("Na-Rb")


def test_an_entry_exactly_on_a_tie_line_is_stable():
    hull = Hull(["Na3Cl", "NaCl"], [-0.5, -1.0], ["on", "corner"], formation_energies=True)
    assert hull.stable_ids == ("on", "corner")
    assert hull.decompose("Na3Cl") == {"on": 1.0}
    assert hull.decomposition_energy()[0] == pytest.approx(0, abs=1e-12)


def test_completeness_counts_competitors_in_each_system_by_size_and_source(salt):
    salt.add(["Na3Cl5"], [-2.0], ["y"], sources="campaign salts")
    complete = salt.completeness("Na-Cl")
    assert complete.by_system == {("Cl",): 1, ("Na",): 1, ("Cl", "Na"): 4}
    assert complete.by_size == {1: 2, 2: 4}
    assert complete.by_source == {"campaign salts": 1, "not stated": 5}
    assert str(complete) == "2 elements and 3 binaries"  # of one composition, the lowest alone competes
    assert salt.completeness("Na-Cl", without=["y"]).by_source == {"not stated": 5}


def test_a_ternary_judged_against_elements_and_binaries_alone_says_so():
    hull = Hull(["LiF", "Li2O"], [-1, -1], formation_energies=True)
    complete = hull.completeness(["Li", "F", "O"])
    assert complete.by_size == {1: 3, 2: 2, 3: 0}
    assert str(complete) == "3 elements and 2 binaries alone, no ternaries"
    assert str(hull.completeness("Li-F-O-P-S-N-C")) == (
        "7 elements and 2 binaries alone, no ternaries, quaternaries, quinaries, phases of 6 elements or phases of 7 "
        "elements"
    )


def test_entries_without_ids_go_by_their_formulas_in_any_order():
    entries = [ComputedEntry("Na", -1), ComputedEntry("Cl", -1), ComputedEntry("Na2Cl2", -8), ComputedEntry("NaCl", -5)]
    ids = {"Na", "Cl2", "NaCl", "NaCl#2"}
    for order in itertools.permutations(entries):
        hull = Hull.from_entries(order)
        assert set(hull.ids) == ids
        assert set(hull.stable_ids) == {"Na", "Cl2", "NaCl"}
        assert hull.version == Hull.from_entries(entries).version


def test_made_up_ids_say_nothing_about_an_entry():
    fresh = Hull(["NaCl", "NaCl"], [-3.6, -3.7], formation_energies=True)
    grown = Hull(["NaCl"], [-3.7], formation_energies=True)
    grown.add(["NaCl"], [-3.6])
    backwards = Hull(["NaCl"], [-3.6], formation_energies=True)
    backwards.add(["NaCl"], [-3.7])
    assert fresh.version == grown.version == backwards.version
    assert fresh.version != Hull(["NaCl", "NaCl"], [-3.6, -3.7], ["a", "b"], formation_energies=True).version


def test_some_entries_may_have_ids_and_ids_may_be_of_numpy():
    hull = Hull(["NaCl", "KCl", "NaCl"], [-2, -1, -1], [None, np.str_("a"), None], formation_energies=True)
    assert hull.ids == ("NaCl", "a", "NaCl#2")
    assert type(hull.ids[1]) is str


def test_the_size_of_a_cell_decides_nothing_however_small():
    tiny = Hull([{"Na": 1e-9, "Cl": 1e-9}, {Element("Na"): 3e-9, "Cl-": 1e-9}], [-2, -1], formation_energies=True)
    assert tiny.ids == ("NaCl", "Na3Cl")
    with pytest.raises(UserError, match="composition 0 has an amount that is negative or not a number"):
        Hull([{"Na": np.nan}], [-2], formation_energies=True)


# ---- invariants


@unhurried
@given(systems, st.randoms(use_true_random=False))
def test_the_order_of_entries_does_not_matter(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    first, second = hull_of(points), hull_of(points, order)
    assert (own_distances(first, points) == own_distances(second, points)).all()
    assert set(first.stable_ids) == set(second.stable_ids)
    assert first.version == second.version
    assert first.decompose("LiNaK") == second.decompose("LiNaK")


@unhurried
@given(systems)
def test_the_size_of_the_cell_does_not_matter(points):
    single, double = hull_of(points), hull_of(points, multiplier=2)
    assert (own_distances(single, points) == own_distances(double, points)).all()
    assert single.version == double.version


@unhurried
@given(systems)
def test_a_new_entry_makes_no_other_distance_smaller_and_adding_equals_building_anew(points):
    *known, new = points
    whole = hull_of(points)
    if known:
        grown = hull_of(known)
        before = own_distances(grown, known)
        grown.add((np.array([new[0]], dtype=float), SYMBOLS[:3]), [new[1]], [f"e{len(known)}"])
        after = own_distances(grown, known)
        assert (after >= before - 1e-12).all()
        assert (own_distances(grown, points) == own_distances(whole, points)).all()
        assert (grown.version, grown.stable_ids) == (whole.version, whole.stable_ids)
        assert (grown.decomposition_energy() == whole.decomposition_energy()).all()


@unhurried
@given(systems)
def test_vertices_are_at_zero_and_phases_off_the_hull_can_go(points):
    hull = hull_of(points)
    distances = own_distances(hull, points)
    assert {f"e{i}" for i, d in enumerate(distances) if d == 0} == set(hull.stable_ids)
    on_hull = [i for i, d in enumerate(distances) if d == 0]
    if on_hull:
        assert own_distances(hull_of(points, on_hull), points) == pytest.approx(distances, abs=1e-12)


@unhurried
@given(systems, st.lists(st.floats(-10, 0), min_size=3, max_size=3))
def test_absolute_energies_give_what_formation_energies_do(points, references):
    table = np.array([row for row, _ in points] + [[1, 0, 0], [0, 2, 0], [0, 0, 1]], dtype=float)
    shift = table / table.sum(axis=1, keepdims=True) @ references
    energies = np.array([energy for _, energy in points] + [0, 0, 0]) + shift
    absolute = Hull((table, SYMBOLS[:3]), energies, range(len(table)))
    relative = hull_of(points)
    n = len(points)
    assert absolute.e_above_hull((table[:n], SYMBOLS[:3]), energies[:n]) == pytest.approx(
        own_distances(relative, points), abs=2e-9
    )
    assert absolute.decomposition_energy()[:n] == pytest.approx(relative.decomposition_energy(), abs=1e-9)
    assert absolute.hull_energy((table, SYMBOLS[:3])) == pytest.approx(
        relative.hull_energy((table, SYMBOLS[:3])) + shift, abs=1e-9
    )


@unhurried
@given(systems, st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_a_decomposition_makes_the_composition_at_the_energy_of_the_hull(points, amounts):
    hull = hull_of(points)
    formula = dict(zip(SYMBOLS, amounts, strict=False))
    parts = hull.decompose(formula)
    assert sum(parts.values()) == pytest.approx(1)
    fractions = {f"e{i}": np.array(row) / sum(row) for i, (row, _) in enumerate(points)}
    fractions |= dict(zip(SYMBOLS, np.eye(3), strict=False))
    energies = {f"e{i}": energy for i, (_, energy) in enumerate(points)} | dict.fromkeys(SYMBOLS, 0.0)
    made = sum(share * fractions[name] for name, share in parts.items())
    assert made == pytest.approx(np.array(amounts) / sum(amounts), abs=1e-8)
    assert sum(share * energies[name] for name, share in parts.items()) == pytest.approx(
        hull.hull_energy([formula])[0], abs=1e-8
    )


# ---- many systems


def test_nine_hundred_systems_are_labelled_each_by_itself():
    rng = np.random.default_rng(0)
    elements = (
        "H Li Be B C N O F Na Mg Al Si P S Cl K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y Zr Nb Mo Sn I"
    )
    pairs = list(itertools.combinations(elements.split(), 2))
    binaries = [f"{a}{n}{b}{m}" for a, b in pairs for n, m in ((1, 1), (2, 1))]
    triples = list(itertools.combinations(elements.split(), 3))
    ternaries = ["".join(triples[i]) + "3" for i in rng.choice(len(triples), 900, replace=False)]
    energies = rng.normal(-0.5, 0.5, len(binaries) + 900)
    hull = Hull(binaries + ternaries, energies, formation_energies=True)
    distances = hull.e_above_hull(ternaries, energies[len(binaries) :])
    for i in range(0, 900, 90):
        inside = set(Composition(ternaries[i]).get_el_amt_dict())
        entries = [
            ComputedEntry(formula, energy * Composition(formula).num_atoms)
            for formula, energy in zip(binaries + ternaries, energies, strict=True)
            if inside.issuperset(Composition(formula).get_el_amt_dict())
        ]
        reference = PhaseDiagram([*entries, *(ComputedEntry(element, 0) for element in sorted(inside))])
        own = next(entry for entry in entries if entry.composition == Composition(ternaries[i]))
        assert distances[i] == pytest.approx(reference.get_e_above_hull(own), abs=1e-8)


def test_adding_solves_only_the_systems_that_contain_the_new_entry():
    hull = Hull(["NaCl", "KCl", "MgO"], [-2, -2, -3], formation_energies=True)
    systems = [("Cl", "Na"), ("Cl", "K", "Na"), ("Mg", "O"), ("Mg", "Na"), ("K",)]
    before = [hull._systems.facets(system) for system in systems]
    hull.add(["Na2Cl"], [-1.9])
    kept = [hull._systems.facets(system) is solved for system, solved in zip(systems, before, strict=True)]
    assert kept == [False, False, True, True, True]
    assert hull.e_above_hull(["Na2Cl"], [-1.9]).tolist() == [0]


def test_adding_says_which_labels_changed():
    hull = Hull(["NaCl", "KCl", "NaKCl2", "Na3Cl"], [-2, -2, -1.9, -0.9], ["a", "b", "c", "d"], formation_energies=True)
    changes = hull.add(["Na2Cl2", "MgO"], [-2.4, -3.0], ["lower", "other"])
    assert changes.ids == ("a", "c", "d")
    assert changes.before == pytest.approx([0, 0.1, 0.1])
    assert changes.after == pytest.approx([0.4, 0.3, 0.3])
    assert changes.frame()["id"].tolist()[0] == "a"
    assert len(hull.add(["NaCl"], [-2.3], ["metastable"])) == 0
    assert len(hull.add(["NaCl"], [-2.3], ["metastable"])) == 0


@unhurried
@given(systems, systems)
def test_changes_are_those_of_the_labels_themselves(old, new):
    hull = hull_of(old)
    before = hull.own_e_above_hull()
    names = [f"n{i}" for i in range(len(new))]
    changes = hull.add((np.array([row for row, _ in new], dtype=float), SYMBOLS[:3]), [e for _, e in new], names)
    after = hull.own_e_above_hull()[: len(old)]
    changed = np.flatnonzero(np.abs(after - before) > 1e-9)
    assert changes.ids == tuple(hull.ids[i] for i in changed)
    assert changes.before == pytest.approx(before[changed], abs=1e-9)
    assert changes.after == pytest.approx(after[changed], abs=1e-9)


def test_a_lower_element_moves_every_system_it_is_in():
    hull = Hull(["Na", "Cl", "NaCl"], [-1, -1, -2], ["na", "cl", "salt"])
    assert hull.stable_ids == ("na", "cl", "salt")
    hull.add(["Na"], [-4], ["lower"])
    assert hull.stable_ids == ("cl", "lower")
    assert hull.e_above_hull(["NaCl"], [-2]) == pytest.approx([0.5])
