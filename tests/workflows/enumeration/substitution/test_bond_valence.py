from __future__ import annotations

import gzip
import json
import warnings

import numpy as np
from pymatgen.analysis.bond_valence import BVAnalyzer
from pymatgen.core import Lattice, Structure

from matscout.workflows.enumeration import get_prototype
from matscout.workflows.enumeration.substitution.bond_valence import likely_charges

COMBINATIONS = 10_000


def ours(structure, combinations=COMBINATIONS):
    charges = likely_charges(structure, np.array(structure.atomic_numbers), combinations)
    return None if charges is None else charges.tolist()


def of_pymatgen(structure, combinations=COMBINATIONS):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return BVAnalyzer(max_permutations=combinations).get_valences(structure)
        except ValueError:
            return None


def test_real_crystals_have_the_charges_that_pymatgen_finds(data):
    with gzip.open(data / "entries" / "Fe_Li_O_P_entries.json.gz") as file:
        entries = [entry for entry in json.load(file) if len(entry["composition"]) > 2]
    entries = [entry for entry in entries if len(entry["structure"]["sites"]) <= 24][::9]
    found = [ours(Structure.from_dict(entry["structure"])) for entry in entries]
    assert found == [of_pymatgen(Structure.from_dict(entry["structure"])) for entry in entries]
    assert sum(charges is not None for charges in found) > 10
    assert None in found


def test_ions_of_one_element_may_differ_by_one():
    # magnetite as an inverse spinel: Fe2+ and Fe3+
    spinel = get_prototype("spinel")
    magnetite = spinel.structure(["Fe"] * (len(spinel.roles) - 1) + ["O"])
    magnetite.scale_lattice(8.396**3 / 4)
    assert set(ours(magnetite)) <= {2, 3, -2}
    assert ours(magnetite) == of_pymatgen(magnetite)


def test_a_search_that_is_cut_short_ends_where_pymatgens_does():
    olivine = get_prototype("olivine")
    elements = ["Fe"] * (len(olivine.roles) - 2) + ["Si", "O"]
    fayalite = olivine.structure(elements, 307 / 28)
    for combinations in (0, 1, 3, 10, 100):
        assert ours(fayalite, combinations) == of_pymatgen(fayalite, combinations)


def test_an_element_without_bond_valence_parameters_has_no_charges():
    assert ours(Structure(Lattice.cubic(5), ["Xe", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])) is None
