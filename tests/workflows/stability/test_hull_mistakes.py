"""What people hand to a hull by mistake, and what they may hand to it."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import EnergyWarning, Hull
from matscout.workflows.stability.compositions import fraction_table


def test_a_missing_element_is_named_with_entries_that_need_it():
    with pytest.raises(UserError, match=r"element O, which a, b, c and 1 more need"):
        Hull(["Li", "Li2O", "LiO", "Li2O2", "LiO8"], [-1] * 5, ["li", "a", "b", "c", "d"])


def test_a_question_about_an_element_the_hull_does_not_have_is_refused(salt):
    for ask in (salt.hull_energy, lambda c: salt.e_above_hull(c, [-1]), lambda c: salt.decompose(c[0])):
        with pytest.raises(UserError, match="element K, which KCl need"):
            ask(["KCl"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_energies_that_are_not_finite_are_named(bad, salt):
    with pytest.raises(UserError, match=r"not finite: b \("):
        Hull(["Na", "Cl", "NaCl"], [-1, bad, -3], ["a", "b", "c"])
    with pytest.raises(UserError, match=r"not finite: Na3Cl \("):
        salt.e_above_hull(["NaCl", "Na3Cl"], [-1, bad])


def test_an_id_with_two_energies_is_named(salt):
    with pytest.raises(UserError, match=r"two entries: b1 \(-3.6 and -3.7 eV/atom\)"):
        salt.add(["NaCl"], [-3.7], ["b1"])
    with pytest.raises(UserError, match=r"two entries: x \(two compositions\)"):
        Hull(["NaCl", "KCl"], [-1, -1], ["x", "x"], formation_energies=True)


def test_an_entry_given_again_counts_once(salt):
    before = salt.version
    salt.add(["Na2Cl2"], [-3.6], ["b1"])
    assert (len(salt), salt.version) == (5, before)


def test_a_refused_addition_leaves_the_hull_as_it_was(salt):
    before = salt.version, salt.stable_ids
    with pytest.raises(UserError):
        salt.add(["NaCl", "KCl"], [-9, -9], ["lower", "no-reference"])
    assert (salt.version, salt.stable_ids) == before


@pytest.mark.parametrize(
    ("composition", "words"),
    [
        ("", "entry b is empty"),
        ({"Na": 0}, "entry b is empty"),
        ("Na?", "entry b is not a formula"),
        ({"Xx": 1}, "'Xx', which is not an element"),
    ],
)
def test_what_is_no_composition_is_named(composition, words):
    with pytest.raises(UserError, match=words):
        Hull(["Na", composition], [-1, -1], ["a", "b"])


def test_amounts_that_are_negative_or_nan_are_refused():
    for bad in (-1.0, np.nan):
        with pytest.raises(UserError, match="composition 1 has an amount that is negative or not a number"):
            Hull((np.array([[1, 1], [1, bad]]), ("Na", "Cl")), [-1, -1], formation_energies=True)


@pytest.mark.parametrize(
    ("symbols", "words"),
    [(("Na", "Xx"), "'Xx', which is not an element"), (("Na", "Na"), "twice"), (("Na",), r"expected \(n, 1\)")],
)
def test_columns_of_amounts_that_are_no_elements_are_refused(symbols, words):
    for table in ([[1, 1]], [[1, 0]]):
        with pytest.raises(UserError, match=words):
            Hull((np.array(table), symbols), [-1], formation_energies=True)


def test_lengths_that_differ_are_refused():
    with pytest.raises(UserError, match="2 compositions but energies of shape"):
        Hull(["Na", "Cl"], [-1])
    with pytest.raises(UserError, match="2 compositions but 1 ids"):
        Hull(["Na", "Cl"], [-1, -1], ["a"])


def test_energies_per_cell_draw_a_warning():
    with pytest.warns(EnergyWarning, match=r"NaCl \(-27.2 eV/atom, 8 atoms\).*per cell"):
        Hull(["Na", "Cl2", "Na4Cl4"], [-1.3, -1.8, -28.8])


@pytest.mark.parametrize(
    ("formula", "strong", "possible"),
    [("NaCl", -4.2, -3.4), ("ThF4", -6.1, -4.5), ("PtHf", -2.6, -1.4), ("La2O3", -6.1, -4.0)],
)
def test_formation_energies_are_too_strong_for_their_elements(formula, strong, possible):
    with pytest.warns(EnergyWarning, match="were these per cell"):
        Hull([formula], [strong], formation_energies=True)
    Hull([formula], [possible], formation_energies=True)  # a warning is an error here


def test_most_compounds_far_above_their_elements_draw_a_warning(iron_phosphates):
    amounts = [entry.composition for entry in iron_phosphates]
    energies = [entry.energy_per_atom for entry in iron_phosphates]
    per_atom = [energy if c.is_element else energy / c.num_atoms for c, energy in zip(amounts, energies, strict=True)]
    with pytest.warns(EnergyWarning, match="most compounds lie over 1 eV/atom above their elements: .*per atom where"):
        Hull(amounts, per_atom, formation_energies=False)


def test_protocols_that_no_scheme_joins_are_named_with_entries():
    with pytest.raises(UserError, match=r"gpaw-pbe.*b.*vasp-mp-gga.*a|vasp-mp-gga.*a.*gpaw-pbe.*b"):
        Hull(["Na", "Cl"], [-1, -1], ["a", "b"], protocols=["vasp-mp-gga", "gpaw-pbe"])
    hull = Hull(["Na", "Cl"], [-1, -1], ["a", "b"], protocols="gpaw-pbe")
    with pytest.raises(UserError, match="gpaw-pbe"):
        hull.add(["NaCl"], [-2], ["c"], protocols="chgnet-relax")
    assert (hull.ids, hull.protocols) == (("a", "b"), ("gpaw-pbe",))
    with pytest.raises(UserError, match="2 compositions but 1 protocols"):
        Hull(["Na", "Cl"], [-1, -1], protocols=["gpaw-pbe"])


def test_a_misspelt_chemical_system_is_refused(salt):
    with pytest.raises(UserError, match="unknown element 'Lithium'"):
        salt.completeness("Lithium-O")


def test_what_has_no_order_is_refused():
    with pytest.raises(UserError, match="compositions given as a set have no order"):
        Hull({"NaCl", "KCl"}, [-2, -2], formation_energies=True)
    with pytest.raises(UserError, match="ids given as a set have no order"):
        Hull(["NaCl", "KCl"], [-2, -2], {"a", "b"}, formation_energies=True)


def test_a_copy_is_a_hull_of_its_own(salt):
    before = salt.ids, salt.version, salt.own_e_above_hull().tolist()
    for other in (copy.copy(salt), copy.deepcopy(salt)):
        other.add(["NaCl5"], [-2.6], ["copied"])
        assert len(other) == len(salt) + 1
        assert (salt.ids, salt.version, salt.own_e_above_hull().tolist()) == before


def test_questions_in_energies_per_cell_draw_a_warning_too(salt):
    with pytest.warns(EnergyWarning, match=r"NaCl \(.* 8 atoms\).*were these per cell"):
        salt.e_above_hull(["Na4Cl4"], [-28.8])


def test_energies_of_molecules_and_absolute_energies_draw_a_warning():
    with pytest.warns(EnergyWarning, match="or the elements' per molecule"):
        Hull(["Fe", "O2", "FeO", "Fe2O3"], [-8.4, -9.8, -8.2, -8.0])
    with pytest.warns(EnergyWarning, match=r"Na \(-1.30 eV/atom\) and .*were these absolute|were these absolute"):
        Hull(["Na", "Cl2", "NaCl"], [-1.3, -1.8, -3.6], formation_energies=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Hull(["Na", "Cl2", "Na4Cl4"], [-1.3, -1.8, -28.8]),
        lambda: Hull(["Na", "Cl2"], [-1.3, -1.8]).add(["Na4Cl4"], [-28.8]),
        lambda: Hull.from_entries(
            [ComputedEntry("Na", -1.3), ComputedEntry("Cl2", -3.6), ComputedEntry("NaCl", -99.0)]
        ),
    ],
)
def test_a_warning_points_at_the_line_that_called(call):
    with pytest.warns(EnergyWarning) as caught:
        call()
    assert [warning.filename for warning in caught] == [__file__]


def test_an_unknown_scheme_is_refused_and_what_a_hull_is_cannot_be_changed(salt):
    with pytest.raises(UserError, match=r"unknown correction scheme 'mp2002'. Nearest: mp2020"):
        Hull(["NaCl"], [-2], formation_energies=True, scheme="mp2002")
    for name in ("formation_energies", "scheme", "temperature"):
        with pytest.raises(AttributeError):
            setattr(salt, name, 1)


def test_missing_ids_of_pandas_are_made_from_formulas():
    ids = pd.Series(["mp-1", None, np.nan, pd.NA], dtype=object)
    assert Hull(["NaCl", "KCl", "LiF", "LiCl"], [-2] * 4, ids, formation_energies=True).ids == (
        "mp-1", "KCl", "LiF", "LiCl"
    )  # fmt: skip


def test_one_id_or_several_may_be_left_out_of_completeness_but_no_unknown_one(salt):
    name = salt.ids[-1]
    assert salt.completeness("Na-Cl", without=name) == salt.completeness("Na-Cl", without=[name])
    assert salt.completeness("Na-Cl", without=name) != salt.completeness("Na-Cl")
    with pytest.raises(UserError, match="the hull has no entry 'zz'"):
        salt.completeness("Na-Cl", without=["zz"])


@pytest.mark.parametrize(
    ("compositions", "words"),
    [
        ([["Na", "Cl"]], "composition 0 is a list, not a formula"),
        (np.eye(2), r"give both as \(amounts, symbols\)"),
        ([None], "composition 0 is a NoneType, not a formula"),
        (["mp-19306"], "composition 0 is not a formula: 'mp-19306'"),
    ],
)
def test_what_is_no_composition_is_said_so(compositions, words, salt):
    with pytest.raises(UserError, match=words):
        salt.hull_energy(compositions)


def test_amounts_may_be_lists_symbols_elements_and_crystals_compositions(salt):
    expected = salt.hull_energy(["NaCl"])
    crystal = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert salt.hull_energy(([[1, 1]], ["Na", "Cl"])) == pytest.approx(expected)
    assert salt.hull_energy((pd.DataFrame([[1, 1]]), [Element("Na"), Element("Cl")])) == pytest.approx(expected)
    assert salt.hull_energy(crystal) == pytest.approx(expected)
    assert salt.hull_energy([crystal, ComputedEntry("NaCl", -7)]) == pytest.approx([expected[0]] * 2)
    assert salt.facets([Element("Na"), " Cl"]) == salt.facets("Na-Cl")


def test_heavy_water_is_water():
    assert Hull(["D2O", "T2"], [-1, 0], formation_energies=True).elements == ("H", "O")
    assert fraction_table(["D2O"]).elements == fraction_table([Composition("D2O")]).elements


def test_a_phase_diagrams_entries_make_a_hull_and_other_things_are_named():
    diagram = PhaseDiagram([PDEntry("Na", -1.3), PDEntry("Cl2", -3.6), PDEntry("NaCl", -7.2, name="salt")])
    hull = Hull.from_entries(diagram.all_entries)
    assert set(hull.ids) == {"Na", "Cl2", "salt"}
    for things, words in (
        ("entries.json", "read a file with read_entries"),
        ([{"energy": -1}], r"entries\[0\] is a dict, not a pymatgen ComputedEntry"),
        (ComputedEntry("Na", -1.3), "expected a list of pymatgen entries, not a ComputedEntry"),
        (diagram, "of a PhaseDiagram give all_entries"),
    ):
        with pytest.raises(UserError, match=words):
            Hull.from_entries(things)


def test_an_entry_without_protocol_beside_others_is_told_to_state_it():
    hull = Hull(["Na", "Cl2"], [-1.3, -1.8], protocols="mp2020")
    with pytest.raises(UserError, match=r"state the protocol of the others \(protocols=\.\.\.\)"):
        hull.add(["NaCl"], [-3.6])
