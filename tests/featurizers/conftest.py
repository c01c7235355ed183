"""Crystals drawn at random, and the same crystals looked at otherwise."""

import gzip
import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.operations import SymmOp
from pymatgen.core.structure import Structure

#: Symmetric ones, where ties and degenerate vertices are the rule: lattice, elements, sites.
SYMMETRIC = {
    "rock salt": ("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "perovskite": ("Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
    "diamond": ("Fd-3m", Lattice.cubic(3.567), ["C"], [[0, 0, 0]]),
    "copper": ("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]]),
    "magnesium": ("P6_3/mmc", Lattice.hexagonal(3.21, 5.21), ["Mg"], [[1 / 3, 2 / 3, 0.25]]),
    "rutile": ("P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]),
}


@cache
def _symmetric(name):
    return Structure.from_spacegroup(*SYMMETRIC[name])  # slow for face-centred cells


def symmetric_crystal(name):
    return _symmetric(name).copy()


def random_crystal(rng, elements=("Li", "O", "Ti", "Cs"), most=6):
    """A crystal of 1 to `most` atoms, no two nearer than 1.2 Å."""
    while True:
        lattice = Lattice.from_parameters(*rng.uniform(4, 7, 3), *rng.uniform(70, 110, 3))
        n = int(rng.integers(1, most + 1))
        crystal = Structure(lattice, rng.choice(elements, n).tolist(), rng.random((n, 3)))
        if crystal.is_valid(1.2):
            return crystal


def moved(crystal, rng):
    """The same crystal turned, shifted, its sites in another order."""
    copy = crystal.copy()
    copy.apply_operation(SymmOp.from_origin_axis_angle((0, 0, 0), rng.normal(size=3), rng.uniform(0, 360)))
    copy.translate_sites(range(len(copy)), rng.random(3))
    return Structure.from_sites([copy[i] for i in rng.permutation(len(copy))])


def other_cell(crystal, rng):
    """The same crystal in another primitive cell."""
    shear = np.eye(3, dtype=int)
    i, j = rng.permutation(3)[:2]
    shear[i, j] = rng.choice([-1, 1])
    return crystal.make_supercell(shear, in_place=False, to_unit_cell=True)


def larger_cell(crystal, rng):
    """The same crystal in a cell twice as large."""
    factors = [1, 1, 1]
    factors[rng.integers(3)] = 2
    return crystal * factors


@pytest.fixture(scope="session")
def crystals():
    """The functions of this file, for tests, which cannot import it."""
    return SimpleNamespace(
        names=tuple(SYMMETRIC),
        symmetric=symmetric_crystal,
        random=random_crystal,
        moved=moved,
        other_cell=other_cell,
        larger_cell=larger_cell,
    )


@pytest.fixture(scope="session")
def phonons(data):
    """The 1,265 crystals of the phonon set of Matbench."""
    with gzip.open(data / "matbench" / "phonons_structures.json.gz", "rt") as file:
        return [Structure.from_dict(row[0]) for row in json.load(file)["data"]]
