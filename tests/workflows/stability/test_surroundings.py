from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition

from matscout.errors import UserError
from matscout.models.inputs import as_inputs
from matscout.workflows.stability import Hull, hull_surroundings, surroundings

# Formation energies in eV/atom, for hulls that are worked out by hand.
SALTS = {"NaCl": -2.0, "NaCl3": -0.5, "KCl": -2.2, "Na3Cl": 0.4, "NaKCl2": -2.15}


def salts(without=()):
    kept = {formula: energy for formula, energy in SALTS.items() if formula not in without}
    return Hull(list(kept), list(kept.values()), formation_energies=True)


def column(matrix, name):
    return matrix.values[:, matrix.names.index(name)].round(9).tolist()


@pytest.fixture(scope="module")
def phosphates(iron_phosphates):
    return Hull.from_entries(iron_phosphates), sorted({entry.composition.reduced_formula for entry in iron_phosphates})


def test_a_known_compound_is_left_out_of_what_surrounds_it():
    found = hull_surroundings(salts(), ["NaCl", "Na2Cl2", "NaCl2"])
    # by atoms NaCl is 1/3 Na and 2/3 NaCl3; NaCl2, which is new, 2/3 NaCl and 1/3 Cl, for NaCl3 lies above the hull
    assert column(found, "hull energy") == pytest.approx([-0.5 * 2 / 3, -0.5 * 2 / 3, -2.0 * 2 / 3])
    assert column(found, "competing phases") == [2, 2, 2]
    assert column(found, "lowest energy of competing phases") == [-0.5, -0.5, -2.0]
    # one half of the atoms away from Na, one quarter from NaCl3
    assert column(found, "distance to competing phases")[0] == pytest.approx(1 / 3 * 0.5 + 2 / 3 * 0.25)
    assert column(found, "distance to nearest phase") == pytest.approx([0.25, 0.25, 0.75 - 2 / 3])


def test_known_compounds_are_counted_by_their_elements():
    found = hull_surroundings(salts(), ["NaCl", "NaCl2", "NaKCl2", "NaKCl", "Na3Cl"])
    assert column(found, "compounds in chemical system") == [2, 3, 0, 1, 2]
    assert column(found, "compounds with one element fewer") == [0, 0, 4, 4, 0]
    assert column(found, "binary compounds") == [2, 3, 4, 4, 2]
    assert column(found, "ternary compounds") == [0, 0, 0, 1, 0]
    assert column(found, "compounds of these elements") == [2, 3, 4, 5, 2]


def test_an_element_is_its_own_only_phase():
    for hull in (salts(), Hull(["Na", "Na", "Cl"], [-1.3, -1.1, -1.8])):
        values = dict(zip(surroundings.COLUMNS, hull_surroundings(hull, ["Na"]).values[0].tolist(), strict=True))
        assert values.pop("competing phases") == 1
        assert set(values.values()) == {0.0}


@pytest.mark.parametrize("leave_out", ["own", "chemical_system"])
def test_leaving_out_is_a_hull_built_without_it(iron_phosphates, phosphates, leave_out):
    hull, formulas = phosphates
    for formula in ["LiFePO4", "Fe2O3", "Li3PO4", *formulas[::25]]:
        own = Composition(formula)
        if len(own) == 1:
            continue

        def counts(entry, own=own):
            if leave_out == "own":
                return entry.composition.reduced_composition != own.reduced_composition
            return set(entry.composition.elements) != set(own.elements)

        rebuilt = Hull.from_entries([entry for entry in iron_phosphates if counts(entry)])
        found = hull_surroundings(hull, [formula], leave_out=leave_out).values
        expected = hull_surroundings(rebuilt, [formula], leave_out="nothing").values
        np.testing.assert_allclose(found, expected, atol=1e-9, err_msg=formula)


def test_its_energy_is_the_one_that_decomposition_energies_are_counted_from(iron_phosphates, phosphates):
    hull, _ = phosphates
    columns = hull.columns()
    formation = hull.formation_energy((columns.amounts, columns.elements), columns.energies)
    compounds = columns.amounts.max(axis=1) < 1
    found = hull_surroundings(hull, (columns.amounts, columns.elements))
    expected = formation - hull.decomposition_energy()
    np.testing.assert_allclose(found.values[compounds, 0], expected[compounds], atol=1e-9)


def test_new_compositions_compete_as_in_pymatgen(iron_phosphates, phosphates):
    hull, _ = phosphates
    new = ["LiFeO3", "Li7Fe2P3O11", "FeP9O", "Li5P", "Li2FeP5O19"]
    diagram = PhaseDiagram(iron_phosphates)
    found = hull_surroundings(hull, new)
    for row, formula in enumerate(new):
        parts = diagram.get_decomposition(Composition(formula))
        energy = sum(diagram.get_form_energy_per_atom(entry) * share for entry, share in parts.items())
        values = dict(zip(found.names, found.values[row].tolist(), strict=True))
        assert values["hull energy"] == pytest.approx(energy, abs=1e-9)
        assert values["competing phases"] == sum(share > 1e-8 for share in parts.values())


def test_what_else_is_asked_makes_no_difference(phosphates, monkeypatch):
    hull, formulas = phosphates
    rng = np.random.default_rng(0)
    asked = [formulas[i] for i in rng.permutation(len(formulas))]
    whole = dict(zip(asked, hull_surroundings(hull, asked).values, strict=True))
    monkeypatch.setattr(surroundings, "_NUMBERS_AT_ONCE", 50)
    for formula, values in zip(formulas, hull_surroundings(hull, formulas).values, strict=True):
        np.testing.assert_allclose(values, whole[formula], atol=1e-12, err_msg=formula)


def test_entries_that_come_later_count():
    hull = salts(without=["NaCl"])
    hull_surroundings(hull, ["NaCl"])
    hull.add(["NaCl"], [SALTS["NaCl"]])
    later, at_once = (hull_surroundings(one, ["NaCl", "NaKCl2"]).values for one in (hull, salts()))
    np.testing.assert_allclose(later, at_once)


def test_models_take_it_with_its_names():
    found = hull_surroundings(salts(), ["NaCl", "KCl"])
    inputs = as_inputs("features", found)
    assert inputs.names == tuple(surroundings.COLUMNS)
    assert inputs.values.shape == (2, 10)
    assert len(found.units) == len(found.sets) == 10
    assert found.frame().index.tolist() == ["NaCl", "KCl"]
    amounts = (np.array([[1.0, 1.0], [1.0, 3.0]]), ("Na", "Cl"))
    assert hull_surroundings(salts(), amounts).formulas == ("NaCl", "NaCl3")
    assert hull_surroundings(salts(), []).values.shape == (0, 10)


def test_what_cannot_be_answered_is_named():
    with pytest.raises(UserError, match="leave_out must be one of own, chemical_system, nothing, got 'systems'"):
        hull_surroundings(salts(), ["NaCl"], leave_out="systems")
    with pytest.raises(UserError, match="Br"):
        hull_surroundings(Hull(["Na", "Cl", "NaCl"], [-1.3, -1.8, -3.5]), ["NaBr"])
