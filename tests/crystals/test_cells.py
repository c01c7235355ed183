from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matscout.crystals._cells import first_setting, settled_cell
from matscout.db._symmetry import spglib_call
from matscout.workflows.enumeration import get_prototype

NAMES = ["cubic-perovskite", "rutile", "rock-salt", "spinel", "elpasolite", "A2B_hP9_152_c_a", "AB_hP4_186_b_b"]
QUARTZ = get_prototype("A2B_hP9_152_c_a")


def turned(prototype, rng, *, mirrored=False):
    """The prototype's cell on another basis, from another origin, in another order."""
    basis = np.eye(3, dtype=int)[rng.permutation(3)]
    for _ in range(3):
        i, j = rng.permutation(3)[:2]
        basis[i] += rng.integers(-1, 2) * basis[j]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn) * (-1 if mirrored else 1)
    order = rng.permutation(prototype.n_sites)
    coords = (prototype.frac_coords @ np.linalg.inv(basis) + rng.random(3))[order]
    return basis @ prototype.lattice @ turn, coords, prototype.role_of_site[order]


@settings(max_examples=25)
@given(st.sampled_from(NAMES), st.integers(0, 2**32 - 1))
def test_every_setting_of_a_crystal_becomes_the_same(name, seed):
    prototype = get_prototype(name)
    expected = first_setting(prototype.lattice, prototype.frac_coords, prototype.role_of_site, mirrored=False)
    lattice, coords, kinds = turned(prototype, np.random.default_rng(seed))
    found = first_setting(lattice, coords, kinds, mirrored=False)
    assert found.lattice == pytest.approx(expected.lattice, abs=1e-6)
    # published with five decimals, thirds are not exact, and settings that differ by less than a step are one
    assert found.frac_coords == pytest.approx(expected.frac_coords, abs=5e-5)
    assert kinds[found.order].tolist() == prototype.role_of_site[expected.order].tolist()


def test_a_mirror_image_is_another_crystal_unless_it_may_be_the_same():
    image = turned(QUARTZ, np.random.default_rng(1), mirrored=True)
    own = (QUARTZ.lattice, QUARTZ.frac_coords, QUARTZ.role_of_site)
    for mirrored in (False, True):
        first, second = (first_setting(*one, mirrored=mirrored).frac_coords for one in (own, image))
        assert np.allclose(first, second, atol=1e-6) == mirrored


def test_the_setting_is_the_same_crystal():
    setting = first_setting(QUARTZ.lattice, QUARTZ.frac_coords, QUARTZ.role_of_site, mirrored=False)
    cells = ((QUARTZ.lattice, QUARTZ.frac_coords), (setting.lattice, setting.frac_coords))
    kinds = (QUARTZ.role_of_site, QUARTZ.role_of_site[setting.order])
    numbers = [
        spglib_call("get_symmetry_dataset", (*cell, of_site + 1), symprec=1e-4).number
        for cell, of_site in zip(cells, kinds, strict=True)
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("copies", [(2, 1, 1), (1, 3, 1), (2, 2, 1)])
def test_copies_of_a_cell_are_found(name, copies):
    prototype = get_prototype(name)
    structure = prototype.structure(["Sr", "Ti", "O", "F"][: len(prototype.roles)], 1.0) * copies
    numbers = np.unique(structure.atomic_numbers, return_inverse=True)[1]
    primitive = prototype._reduced
    lattice, coords, kinds = settled_cell(structure.lattice.matrix, structure.frac_coords, numbers)
    assert len(kinds) == len(coords) == len(primitive.roles)
    assert abs(np.linalg.det(lattice)) == pytest.approx(len(kinds))
