"""Small tables for the tests of filters."""

import numpy as np
import pytest
from pymatgen.core import Element

from matscout.db.candidates import CandidateTable
from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration import get_prototype


@pytest.fixture(scope="session")
def table_of():
    """Make a table of one prototype, given or by its name, from rows of symbols."""

    def make(prototype, *rows, oxidation_states=None):
        chosen = get_prototype(prototype) if isinstance(prototype, str) else prototype
        decoration = np.array([[Element(symbol).Z for symbol in row] for row in rows])
        return CandidateTable(
            [chosen], np.zeros(len(rows)), decoration, np.ones(len(rows)), oxidation_states=oxidation_states
        )

    return make


@pytest.fixture(scope="session")
def split():
    """Make a prototype of another one by giving roles to its sites."""

    def make(name, roles, role_of_site):
        parent = get_prototype(name)
        label = f"{parent.label}-{'-'.join(roles)}"
        return Prototype(label, label, roles, parent.lattice, parent.frac_coords, role_of_site)

    return make
