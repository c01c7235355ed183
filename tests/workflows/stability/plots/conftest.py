from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram

from matscout.workflows.stability import Hull

PER_ATOM = {
    "Li": -1.9,
    "Fe": -8.4,
    "O2": -4.9,
    "P": -5.4,
    "Li2O": -4.96,
    "Li2O2": -5.05,
    "FeO": -8.1,
    "Fe2O3": -8.0,
    "Fe3O4": -8.01,
    "LiFeO2": -6.97,
    "Li5FeO4": -5.81,
    "LiFe5O8": -7.4,
    "Li3PO4": -6.45,
    "FePO4": -7.0,
    "LiFePO4": -6.9,
}
"""Rounded energies in eV/atom."""


def tidy(number):
    return tuple(np.round(number, 6).tolist())


@pytest.fixture(scope="session")
def oxides():
    """Four elements, eleven compounds, and a higher polymorph of Fe2O3."""
    names = [*PER_ATOM, "Fe2O3"]
    return Hull(names, [*PER_ATOM.values(), -7.9], [*(f"e-{name}" for name in PER_ATOM), "e-other"])


@pytest.fixture(scope="session")
def phosphates(iron_phosphates):
    return Hull.from_entries(iron_phosphates)


@pytest.fixture(scope="session")
def reference(iron_phosphates):
    """The same entries in pymatgen's diagram of some elements."""

    def of(*symbols):
        inside = [entry for entry in iron_phosphates if {str(e) for e in entry.composition} <= set(symbols)]
        return PhaseDiagram(inside)

    return of


@pytest.fixture(scope="session")
def named():
    """Find the trace of a name in a figure."""

    def find(figure, name):
        (trace,) = [trace for trace in figure.data if trace.name == name]
        return trace

    return find


@pytest.fixture(scope="session")
def ids_of():
    """Ids that the hovers of a trace tell."""

    def read(trace):
        return {hover.split("<br>")[0].split("</b>  ")[1] for hover in trace.hovertext}

    return read
