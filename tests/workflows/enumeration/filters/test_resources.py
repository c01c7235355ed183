from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.cost import CostAnalyzer, CostDBElements
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition, Element

from matscout.errors import UserError
from matscout.workflows.enumeration import enumerate_candidates
from matscout.workflows.enumeration.filters.element_data import crustal_abundances, element_classes, valence_electrons
from matscout.workflows.enumeration.filters.resources import (
    CrustalAbundance,
    ExcludeElements,
    HerfindahlHirschman,
    MaxCost,
)
from matscout.workflows.enumeration.filters.sizes import MaxAtoms, MaxElectrons, MaxSites

POOL = ["H", "Na", "Mg", "Fe", "Rh", "Cd", "La", "U", "O", "S", "Cl", "Xe"]


def test_what_is_excluded_holds_a_named_element():
    table = enumerate_candidates(["cubic-perovskite", "rock-salt"], POOL)
    keep = ExcludeElements(["Rh", "S"], classes=["toxic", "radioactive", "noble-gases"])(table).keep
    gone = {"Rh", "S", "Cd", "U", "Xe"}
    expected = [not gone & {element.symbol for element in Composition(formula)} for formula in table.formulas]
    assert keep.tolist() == expected


def test_classes_are_those_of_the_textbook():
    classes = element_classes()
    assert classes["radioactive"] >= {"Tc", "Pm", "Po", "Ra", "Th", "U", "Pu"}
    assert not classes["radioactive"] & {"Bi", "Pb", "K", "Lu"}
    assert classes["lanthanoids"] == {
        Element.from_Z(z).symbol for z in range(1, 119) if Element.from_Z(z).is_lanthanoid
    }
    assert classes["actinoids"] == {Element.from_Z(z).symbol for z in range(1, 119) if Element.from_Z(z).is_actinoid}
    assert {Element(name).group for name in classes["noble-gases"]} == {18}
    assert classes["rohs"] < classes["toxic"]


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")  # pymatgen, when it reads its own table
def test_costs_are_those_of_pymatgen():
    table = enumerate_candidates(["cubic-perovskite"], ["Na", "Mg", "Fe", "Rh", "La", "O", "Cl"])
    result = MaxCost(100)(table)
    analyzer = CostAnalyzer(CostDBElements())
    for row in range(0, len(table), 17):
        assert result.columns["cost"][row] == pytest.approx(analyzer.get_cost_per_kg(table.formulas[row]))
    assert (result.keep == (result.columns["cost"] <= 100)).all()
    assert result.unknown == 0


def test_indices_of_markets_are_those_of_pymatgen():
    table = enumerate_candidates(["cubic-perovskite"], ["Na", "Mg", "Fe", "Rh", "La", "O", "Cl"])
    columns = HerfindahlHirschman(reserves=2500)(table).columns
    for row in range(0, len(table), 17):
        production, reserves = HHIModel().get_hhi(table.formulas[row])
        assert columns["hhi_production"][row] == pytest.approx(production)
        assert columns["hhi_reserves"][row] == pytest.approx(reserves)


def test_either_limit_of_the_markets_counts(table_of):
    table = table_of("rock-salt", ("La", "N"), ("Na", "Cl"), ("Mg", "O"), ("K", "Cl"))
    production = [9500 * 0.908 + 1300 * 0.092, 1340, 3400, 1600]  # by mass, from the table of Gaultois et al.
    columns = HerfindahlHirschman(production=2000)(table).columns
    assert columns["hhi_production"] == pytest.approx(production, rel=0.01)
    assert HerfindahlHirschman(production=2000)(table).keep.tolist() == [False, True, False, True]
    assert HerfindahlHirschman(production=2000, reserves=2000)(table).keep.tolist() == [False, True, False, False]


def test_the_rarest_element_decides_on_abundance(table_of):
    table = table_of("cubic-perovskite", ("Ca", "Ti", "O"), ("Cs", "Sn", "O"), ("Na", "Rh", "O"))
    result = CrustalAbundance(2)(table)
    assert result.columns["crustal_abundance"].tolist() == [5650, 2.3, 0.001]  # CRC Handbook, mg/kg
    assert result.keep.tolist() == [True, True, False]


def test_abundances_add_up_to_the_crust():
    assert np.nansum(crustal_abundances()) == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize(
    ("rule", "options"),
    [(MaxCost, {"limit": 10}), (HerfindahlHirschman, {"production": 5000}), (CrustalAbundance, {"minimum": 1e-3})],
)
def test_elements_without_a_value_are_unknown_and_kept_unless_dropped(rule, options, table_of):
    table = table_of("rock-salt", ("Pu", "O"), ("Mg", "O"))
    kept, dropped = rule(**options)(table), rule(**options, unknown="drop")(table)
    assert (kept.keep.tolist(), kept.unknown) == ([True, True], 1)
    assert (dropped.keep.tolist(), dropped.unknown) == ([False, True], 1)
    assert all(np.isnan(values).tolist() == [True, False] for values in kept.columns.values())


# sizes


def test_atoms_of_a_formula_and_of_a_cell_are_counted():
    table = enumerate_candidates(["rutile", "fluorite", "rock-salt"], ["Ti", "O"])
    for prototype, rows in table.by_prototype():
        formula, cell = (MaxAtoms(3, per=per)(table).columns["n_atoms"][rows] for per in ("formula", "cell"))
        assert set(cell.tolist()) == {prototype.n_sites}
        assert set(formula.tolist()) == {len(prototype.frac_coords) // np.gcd.reduce(prototype.multiplicity)}
    assert (MaxAtoms(3, per="cell")(table).keep == MaxSites(3)(table).keep).all()


def test_electrons_are_those_of_the_built_crystals():
    table = enumerate_candidates(["cubic-perovskite", "rutile"], ["Sr", "Ti", "Pb", "O"])
    electrons = MaxElectrons(100)(table).columns["n_electrons"]
    for row, structure in enumerate(table.structures(np.arange(len(table)))):
        assert electrons[row] == sum(site.specie.Z for site in structure)


def test_valence_electrons_are_those_of_the_groups():
    counted = valence_electrons()
    expected = {
        "H": 1,
        "He": 2,
        "Na": 1,
        "Al": 3,
        "O": 6,
        "Ti": 4,
        "Zn": 12,
        "Ga": 3,
        "Pb": 4,
        "Xe": 8,
        "La": 3,
        "Eu": 9,
    }
    assert {symbol: counted[Element(symbol).Z] for symbol in expected} == expected


def test_valence_electrons_of_a_perovskite(table_of):
    table = table_of("cubic-perovskite", ("Sr", "Ti", "O"))
    assert MaxElectrons(24, kind="valence")(table).keep.tolist() == [True]
    assert MaxElectrons(23, kind="valence")(table).keep.tolist() == [False]


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        (ExcludeElements, {}, "exclude-elements needs elements or classes: radioactive, toxic"),
        (ExcludeElements, {"elements": ["Pbb"]}, "unknown element 'Pbb' in elements. Nearest: Pb."),
        (ExcludeElements, {"classes": "toxik"}, "unknown class 'toxik' in classes. Nearest: toxic."),
        (ExcludeElements, {"elements": [False]}, 'False in elements is no element: write "No" in quotes'),
        (ExcludeElements, {"elements": 3}, "elements must be a list, got 3"),
        (MaxCost, {"limit": -1}, "max-cost: limit must be a positive number of USD/kg, got -1"),
        (MaxCost, {"limit": float("inf")}, "got inf"),
        (HerfindahlHirschman, {}, "hhi needs a limit: production, reserves or both"),
        (HerfindahlHirschman, {"production": "low"}, "production must be a positive number, got 'low'"),
        (CrustalAbundance, {"minimum": 1, "unknown": "yes"}, 'unknown must be "keep" or "drop"'),
        (MaxAtoms, {"limit": 0}, "max-atoms: limit must be a whole number of atoms, at least 1, got 0"),
        (MaxAtoms, {"limit": 2, "per": "mole"}, 'per must be "formula" or "cell", got \'mole\''),
        (MaxElectrons, {"limit": 2.5}, "whole number of electrons, at least 1, got 2.5"),
        (MaxElectrons, {"limit": 2, "kind": "core"}, 'kind must be "all" or "valence"'),
    ],
)
def test_impossible_options_are_named(rule, options, message):
    with pytest.raises(UserError) as error:
        rule(**options)
    assert message in str(error.value)
