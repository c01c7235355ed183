from __future__ import annotations

from copy import copy

import pytest
from pymatgen.entries.computed_entries import ComputedEntry

POTCARS = {"O": "PBE O", "Fe": "PBE Fe_pv", "Li": "PBE Li_sv", "Mg": "PBE Mg_pv", "Cu": "PBE Cu_pv", "S": "PBE S"}


@pytest.fixture
def run():
    """Make an entry as the Materials Project runs it: `run("Fe2O3", -40, Fe=5.3)`, eV per cell and U in eV."""

    def entry(formula, energy=-5.0, name=None, data=None, run_type=None, **hubbards):
        made = ComputedEntry(formula, energy, data=data, entry_id=name or f"mp-{formula}")
        symbols = list(made.composition.get_el_amt_dict())
        made.parameters = {
            "run_type": run_type or ("GGA+U" if hubbards else "GGA"),
            "hubbards": {symbol: hubbards.get(symbol, 0.0) for symbol in symbols} if hubbards else {},
            "potcar_symbols": [POTCARS.get(symbol, f"PBE {symbol}") for symbol in symbols],
        }
        return made

    return entry


@pytest.fixture(scope="session")
def uncorrected(iron_phosphates):
    """The 943 entries with their corrections taken off: GGA and GGA+U."""

    def bare(entry):
        new = copy(entry)
        new.energy_adjustments = []
        return new

    return [bare(entry) for entry in iron_phosphates]


@pytest.fixture(scope="session")
def compounds(data):
    """274 GGA and GGA+U entries, uncorrected."""
    from matscout.workflows.stability import read_entries

    return read_entries(data / "entries" / "calc_compounds_norm.json.gz")


@pytest.fixture(scope="session")
def enthalpies(data):
    """241 experimental formation enthalpies."""
    from matscout.workflows.stability import read_enthalpies

    return read_enthalpies(data / "entries" / "exp_compounds_norm.json.gz")
