from __future__ import annotations

import pytest

from matscout.workflows.stability import Hull


@pytest.fixture(scope="session")
def iron_phosphates(data):
    """The 943 Materials Project entries of Fe-Li-O-P, with MP2020 corrections."""
    from matscout.workflows.stability import read_entries

    return read_entries(data / "entries" / "Fe_Li_O_P_entries.json.gz")


@pytest.fixture
def salt():
    return Hull(["Na", "Cl2", "Na2Cl2", "NaCl", "Na3Cl"], [-1.3, -1.8, -3.6, -3.5, -1.9], ["na", "cl", "b1", "b2", "x"])
