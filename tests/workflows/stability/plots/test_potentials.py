"""Domains of chemical potentials, against pymatgen's and against what defines them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.chempot_diagram import ChemicalPotentialDiagram

from matscout.errors import UserError
from matscout.workflows.stability import Hull, chemical_potential_domains

LIMIT = -12.0


@pytest.mark.parametrize("symbols", [("Fe", "O"), ("Fe", "Li", "O"), ("Fe", "O", "P")], ids="-".join)
def test_domains_are_those_of_pymatgen(symbols, phosphates, iron_phosphates):
    entries = [entry for entry in iron_phosphates if {str(e) for e in entry.composition} <= set(symbols)]
    diagram = ChemicalPotentialDiagram(entries, default_min_limit=LIMIT, formal_chempots=True)
    formulas = {entry.entry_id: entry.reduced_formula for entry in entries}
    order = [str(element) for element in diagram.elements]
    domains = chemical_potential_domains(phosphates, order, lower_limit=LIMIT)
    assert {formulas[domain.entry_id] for domain in domains} == set(diagram.domains)
    for domain in domains:
        expected = np.unique(np.round(diagram.domains[formulas[domain.entry_id]], 4), axis=0)
        distances = np.linalg.norm(expected[:, None] - domain.vertices[None], axis=2)
        assert distances.min(axis=1).max() < 1e-3, domain.entry_id
        assert distances.min(axis=0).max() < 1e-3, domain.entry_id


def test_the_range_of_a_phase_is_that_of_the_hull(oxides):
    domains = {domain.entry_id: domain for domain in chemical_potential_domains(oxides, "Li-Fe-O")}
    for entry_id in ("e-LiFeO2", "e-Fe2O3", "e-Li"):
        window = oxides.chemical_potential_window(entry_id, "Fe-Li-O")
        for element, limits in domains[entry_id].limits.items():
            assert limits == pytest.approx(window[element], abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(-12, -1)), max_size=6))
def test_in_a_domain_no_phase_would_form_and_its_own_is_in_equilibrium(rows):
    rows = [row for row in rows if sum(n > 0 for n in row[:3]) > 1]
    amounts = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], *(row[:3] for row in rows)], dtype=float)
    energies = np.array([0.0, 0.0, 0.0, *(row[3] / 10 for row in rows)])
    names = [str(i) for i in range(len(energies))]
    hull = Hull((amounts, ("Na", "Mg", "Cl")), energies, names, formation_energies=True)
    fractions = amounts / amounts.sum(axis=1, keepdims=True)
    for domain in chemical_potential_domains(hull, "Na-Mg-Cl"):
        drive = domain.vertices @ fractions.T - energies
        assert drive.max() < 1e-5
        assert np.abs(domain.vertices @ domain.fractions - energies[names.index(domain.entry_id)]).max() < 1e-5


@pytest.mark.parametrize(
    ("system", "limit", "message"),
    [
        ("Fe", None, "chemical potentials of Fe alone make no diagram: name two elements or more"),
        ("Fe-Na", None, "no entry of Na"),
        ("Fe-O", 0.5, "the lower limit of Fe must be below 0 eV/atom, its own phase, got 0.5"),
        ("Fe-O", {"Li": -3}, "a lower limit for Li, which Fe-O does not hold"),
        ("Fe-O", {"O": float("-inf")}, "the lower limit of O must be below 0"),
        ("Fe-O", {"Fe": -0.1, "O": -0.1}, "no chemical potentials are left: lower them"),
    ],
)
def test_what_makes_no_diagram_is_said(oxides, system, limit, message):
    with pytest.raises(UserError) as error:
        chemical_potential_domains(oxides, system, lower_limit=limit)
    assert message in str(error.value)
