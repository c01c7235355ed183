from __future__ import annotations

import random

import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition, Lattice, Structure
from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry, GibbsComputedStructureEntry

from matscout.errors import UserError
from matscout.workflows.stability import Hull, restrict
from matscout.workflows.stability.open_systems import open_hull
from matscout.workflows.stability.potential_ranges import stable_phases_over
from matscout.workflows.stability.temperature import gas_chemical_potential, gibbs_entries, hull_at

KJ_PER_MOL = 96.48533  # of 1 eV


def cell(formula, energy, entry_id=None, a=4.0):
    """An entry of one formula unit in a cube with an edge of `a` Å; energy in eV/atom."""
    symbols = [symbol for symbol, n in Composition(formula).get_el_amt_dict().items() for _ in range(int(n))]
    sites = [[i / len(symbols), 0.5 * (i % 2), 0.0] for i in range(len(symbols))]
    structure = Structure(Lattice.cubic(a), symbols, sites)
    return ComputedStructureEntry(structure, energy * len(symbols), entry_id=entry_id)


@pytest.fixture(scope="module")
def iron_oxides(iron_phosphates):
    return restrict(iron_phosphates, ["Fe", "O"])


def by_id(hull):
    columns = hull.columns()
    return dict(zip(columns.ids, columns.energies.tolist(), strict=True))


# ---- against pymatgen


@pytest.mark.parametrize("temperature", [300, 900, 1500])
def test_the_943_entries_have_the_free_energies_and_stable_phases_that_pymatgen_finds(iron_phosphates, temperature):
    reference = GibbsComputedStructureEntry.from_entries(iron_phosphates, temperature)
    hull = hull_at(iron_phosphates, temperature)
    assert by_id(hull) == pytest.approx({e.entry_id: e.energy_per_atom for e in reference}, abs=1e-8)
    assert set(hull.stable_ids) == {e.entry_id for e in PhaseDiagram(reference).stable_entries}


def test_between_the_tabulated_temperatures_it_is_pymatgen_s_interpolation(iron_oxides):
    reference = GibbsComputedStructureEntry.from_entries(iron_oxides, 1234.5)
    assert by_id(hull_at(iron_oxides, 1234.5)) == pytest.approx(
        {e.entry_id: e.energy_per_atom for e in reference}, abs=1e-8
    )


@pytest.mark.parametrize("temperature", [700.0, 750])
def test_pymatgen_s_entries_hold_the_energies_of_the_hull(iron_oxides, temperature):
    made = gibbs_entries(iron_oxides, temperature)
    hull = hull_at(iron_oxides, temperature)
    assert all(isinstance(entry, GibbsComputedStructureEntry) for entry in made)
    assert [entry.entry_id for entry in made] == list(hull.ids)
    assert [entry.energy_per_atom for entry in made] == pytest.approx(list(by_id(hull).values()), abs=1e-10)


# ---- known answers


def test_gases_take_their_experimental_free_energy():
    # JANAF, 1000 K: CO2 -395.886 and H2O -192.590 kJ/mol
    elements = [ComputedEntry(symbol, 0.0, entry_id=symbol) for symbol in ("C", "H", "O")]
    gases = [
        ComputedEntry("CO2", -9.0, entry_id="a"),
        cell("H2O", -1.0, "b"),
        ComputedEntry("C2O4", -2.0, entry_id="c"),
    ]
    energies = by_id(hull_at([*elements, *gases], 1000))
    assert energies["a"] == pytest.approx(-395.886 / KJ_PER_MOL / 3, abs=1e-3)
    assert energies["b"] == pytest.approx(-192.590 / KJ_PER_MOL / 3, abs=1e-3)
    assert "c" not in energies  # higher than a at 0 K, and nothing else is known of it
    assert energies["O"] == 0


def test_iron_rusts_to_wuestite_at_the_measured_pressure_of_oxygen(iron_oxides):
    # Iron-wuestite buffer: log10(p / bar) = 6.702 - 27489 K / T (Frost, Reviews in Mineralogy 25, 1 (1991))
    measured = gas_chemical_potential("O", 1000, 10 ** (6.702 - 27.489), on_free_energies=True)
    ranges = stable_phases_over(hull_at(iron_oxides, 1000), "O", -4.0, 0.0)
    assert ranges["formulas"].tolist() == [("Fe",), ("FeO",), ("Fe2O3",)]
    assert ranges["low"][1] == pytest.approx(measured, abs=0.1)


def test_lithium_peroxide_falls_apart_where_it_gets_hot(iron_phosphates):
    # In oxygen of 1 bar it does so above some 600 K, and the model is good to a hundred kelvin or two.
    oxides = restrict(iron_phosphates, ["Li", "O"])
    cold, hot = (open_hull(hull_at(oxides, temperature), {"O": 0.0}) for temperature in (300, 900))
    assert cold.frame()["formula"][0] == "Li2O2"
    assert hot.frame()["formula"][0] == "Li2O"
    peroxide = next(name for name in cold.stable_ids)
    assert str(hot.reaction(peroxide)) == "2 Li2O2 -> 2 Li2O + O2"


@pytest.mark.parametrize(("temperature", "potential"), [(300, -0.27), (600, -0.61), (1000, -1.10)])
def test_oxygen_has_the_published_chemical_potentials(temperature, potential):
    # Table I of Reuter and Scheffler, counted from 0 K: H(298 K) - H(0 K) of O2 is 8.683 kJ/mol
    at_298 = 8.683 / KJ_PER_MOL / 2
    assert gas_chemical_potential("O", temperature) + at_298 == pytest.approx(potential, abs=0.006)


def test_a_tenth_of_the_pressure_costs_half_of_kt_ln_10():
    difference = gas_chemical_potential("N", 1000, 1.0) - gas_chemical_potential("N", 1000, 0.1)
    assert difference == pytest.approx(8.314462618 * 1000 * 2.302585 / 2 / 1000 / KJ_PER_MOL, rel=1e-6)
    assert gas_chemical_potential("N", 1000, 0.1, on_free_energies=True) == pytest.approx(-difference)
    assert gas_chemical_potential("N", 1000, on_free_energies=True) == 0


# ---- what is kept


def test_of_the_entries_of_an_element_the_lowest_is_kept_at_0():
    entries = [cell("Na", -1.2, "bcc"), cell("Na", -1.3, "hcp"), cell("Cl", -1.8, "cl"), cell("NaCl", -3.6, "salt")]
    hull = hull_at(entries, 500)
    assert hull.ids == ("hcp", "cl", "salt")
    assert hull.formation_energies
    assert by_id(hull)["hcp"] == 0
    assert -2.1 < by_id(hull)["salt"] < -1.5


def test_the_order_of_entries_and_entries_given_twice_change_nothing(iron_oxides):
    shuffled = random.Random(0).sample([*iron_oxides, *iron_oxides[:5]], len(iron_oxides) + 5)
    assert hull_at(shuffled, 600).version == hull_at(iron_oxides, 600).version


def test_entries_without_ids_go_by_their_formulas():
    entries = [cell("Na", -1.3), cell("Cl", -1.8), cell("NaCl", -3.6), cell("NaCl", -3.5, a=5.0)]
    assert hull_at(entries, 500).ids == ("Na", "Cl2", "NaCl", "NaCl#2")
    assert [entry.entry_id for entry in gibbs_entries(entries, 500)] == ["Na", "Cl2", "NaCl", "NaCl#2"]


def test_protocol_and_source_stay_with_the_entries(iron_oxides):
    columns = hull_at(iron_oxides, 900, source="the file").columns()
    assert columns.protocols == Hull.from_entries(iron_oxides).columns().protocols[: len(columns)]
    assert set(columns.sources) == {"the file"}


def test_entries_are_left_as_they_were(iron_oxides):
    before = [entry.energy for entry in iron_oxides]
    hull_at(iron_oxides, 900)
    gibbs_entries(iron_oxides[:3] + [e for e in iron_oxides if e.is_element], 900)
    assert [entry.energy for entry in iron_oxides] == before


# ---- bad input


def test_compounds_without_a_structure_are_named_or_left_out():
    entries = [cell("Na", -1.3), cell("Cl", -1.8), cell("NaCl", -3.6, "salt"), ComputedEntry("Na3Cl", -8, entry_id="x")]
    with pytest.raises(UserError, match=r"needs a volume, but 1 of 4 entries have no structure: x; give"):
        hull_at(entries, 500)
    with pytest.warns(UserWarning, match="no free energy, so not on the hull: 1 of 4 entries have no structure: x"):
        hull = hull_at(entries, 500, without_structure="leave out")
    assert "x" not in hull.ids
    with pytest.raises(UserError, match='"refuse" or "leave out", not \'drop\''):
        hull_at(entries, 500, without_structure="drop")


def test_pymatgen_s_entries_need_the_structure_of_an_element_too():
    entries = [ComputedEntry("Na", -1.3, entry_id="na"), cell("Cl", -1.8), cell("NaCl", -3.6)]
    assert len(hull_at(entries, 500)) == 3
    with pytest.raises(UserError, match="1 of 3 entries have no structure: na"):
        gibbs_entries(entries, 500)


@pytest.mark.parametrize("temperature", [0, 298.15, 2001, float("nan")])
def test_a_temperature_outside_of_the_tables_is_refused(temperature):
    with pytest.raises(UserError, match=f"modelled from 300 to 2000 K, not at {temperature:g} K"):
        hull_at([], temperature)
    with pytest.raises(UserError, match="from 300 to 2000 K"):
        gibbs_entries([], temperature)
    with pytest.raises(UserError, match="from 300 to 2000 K"):
        gas_chemical_potential("O", temperature)


def test_an_element_without_a_tabulated_free_energy_is_named():
    entries = [cell("Xe", -0.1), cell("F", -1.8), cell("XeF2", -2.5, "difluoride")]
    with pytest.raises(UserError, match=r"free energy of the element Xe is tabulated, but difluoride need it"):
        hull_at(entries, 500)


def test_an_element_without_an_entry_is_named():
    with pytest.raises(UserError, match="no entry of the element Cl, which salt need"):
        hull_at([cell("Na", -1.3), cell("NaCl", -3.6, "salt")], 500)


@pytest.mark.parametrize(
    ("element", "pressure", "message"),
    [
        ("Fe", 1.0, "no diatomic gas of 'Fe' is tabulated; there are Cl, F, H, N, O"),
        ("O", 0.0, "positive and finite, not 0 bar"),
        ("O", float("inf"), "positive and finite, not inf bar"),
    ],
)
def test_a_gas_that_cannot_be_is_refused(element, pressure, message):
    with pytest.raises(UserError, match=message):
        gas_chemical_potential(element, 1000, pressure)
