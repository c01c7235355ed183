from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.local_env import VoronoiNN
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from matscout.crystals.crystal import Crystal
from matscout.errors import UserError
from matscout.featurizers.descriptors import _tessellation
from matscout.featurizers.descriptors._tessellation import tessellate

seeds = st.integers(0, 2**32 - 1)

METHANE = [[0, 0, 0], [0.63, 0.63, 0.63], [0.63, -0.63, -0.63], [-0.63, 0.63, -0.63], [-0.63, -0.63, 0.63]]
WATER = [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]

AWKWARD = {
    "an atom in a cell of 0.8 Å": Structure(Lattice.cubic(0.8), ["H"], [[0, 0, 0]]),
    "an atom in a box of 300 Å": Structure(Lattice.cubic(300), ["H"], [[0, 0, 0]]),
    "a molecule in a box of 300 Å": Structure(Lattice.cubic(300), list("OHH"), WATER, coords_are_cartesian=True),
    "a caged atom in a box of 30000 Å": Structure(
        Lattice.cubic(3e4), list("CHHHH"), METHANE, coords_are_cartesian=True
    ),
    "a layer in a vacuum": Structure(
        Lattice.hexagonal(2.46, 90), ["B", "N"], [[1 / 3, 2 / 3, 0.4], [2 / 3, 1 / 3, 0.4]]
    ),
    "a chain in a vacuum": Structure(Lattice.tetragonal(40, 2.5), ["Cu", "O"], [[0, 0, 0], [0.01, 0, 0.5]]),
    "a needle of 40 atoms": Structure(Lattice.tetragonal(3, 120), ["Cu"] * 40, [[0, 0, i / 40] for i in range(40)]),
    "a sheared cell": Structure(Lattice([[3.9, 0, 0], [780, 3.9, 0], [-66, 3.9, 3.9]]), ["Sr"], [[0.3, 0.2, 0.1]]),
}


@pytest.fixture(scope="module")
def symmetric(crystals):
    """Symmetric crystals, made once: pymatgen takes its time for a space group."""
    return {name: crystals.symmetric(name) for name in crystals.names}


def cells_of(structure):
    return tessellate(Crystal(structure.lattice.matrix, structure.frac_coords, np.array(structure.atomic_numbers)))


def check(structure, tolerance):
    """What holds of every tessellation."""
    cells = cells_of(structure)
    directions = cells.vectors / cells.distances[:, None]
    surface = cells.sums(cells.areas)
    assert cells.volumes.sum() == pytest.approx(structure.volume, rel=tolerance)
    np.testing.assert_allclose(cells.sums(cells.areas[:, None] * directions) / surface[:, None], 0, atol=tolerance)
    np.testing.assert_allclose(cells.sums(cells.solid_angles), 4 * np.pi, rtol=tolerance)
    assert (cells.areas > 0).all()

    # What lies on the other side sees the same facet.
    other = cells.opposite
    np.testing.assert_array_equal(cells.sites[other], cells.neighbours)
    np.testing.assert_array_equal(cells.images[other], -cells.images)
    np.testing.assert_array_equal(cells.areas[other], cells.areas)
    np.testing.assert_allclose(cells.vectors[other], -cells.vectors, atol=1e-9 * structure.lattice.abc[0])
    return cells


def alike(values, expected):
    """How many values are the expected one."""
    return int(np.isclose(values, expected, rtol=1e-9).sum())


@given(seed=seeds)
def test_cells_of_random_crystals_are_closed_and_fill_space(seed, crystals):
    check(crystals.random(np.random.default_rng(seed)), 1e-7)


@pytest.mark.parametrize("name", list(AWKWARD))
def test_cells_of_awkward_crystals_are_closed_and_fill_space(name):
    check(AWKWARD[name], 1e-9)


def test_cells_where_atoms_share_vertices_are_closed_and_fill_space(symmetric, crystals):
    for crystal in symmetric.values():
        check(crystal, 1e-12)
        check(crystals.moved(crystal, np.random.default_rng(0)), 1e-12)


@given(seed=seeds, name=st.sampled_from(["rock salt", "diamond", "perovskite"]), power=st.integers(-12, -2))
def test_cells_where_atoms_nearly_share_vertices_are_closed_and_fill_space(seed, name, power, symmetric):
    rng = np.random.default_rng(seed)
    crystal = symmetric[name]
    shifts = 10.0**power * rng.normal(size=(len(crystal), 3))
    crystal = Structure(crystal.lattice, crystal.species, crystal.cart_coords + shifts, coords_are_cartesian=True)
    check(crystal, 1e-6)


def test_two_hundred_atoms_without_order():
    rng = np.random.default_rng(5)
    coords = np.zeros((1, 3))
    while len(coords) < 200:
        new = rng.random(3)
        if np.linalg.norm(14.4 * ((new - coords + 0.5) % 1 - 0.5), axis=1).min() > 1.5:
            coords = np.vstack([coords, new])
    cells = check(Structure(Lattice.cubic(14.4), ["Si"] * 200, coords), 1e-7)
    assert len(cells) / 200 == pytest.approx(15, abs=1)  # 15.54 for points placed at random (Meijering 1953)


def test_simple_cubic_cells_are_cubes():
    cells = cells_of(Structure(Lattice.cubic(3), ["Po"], [[0, 0, 0]]))
    assert len(cells) == alike(cells.areas, 9) == alike(cells.distances, 3) == 6
    assert alike(cells.solid_angles, 4 * np.pi / 6) == 6


def test_face_centred_cubic_cells_are_rhombic_dodecahedra(symmetric):
    cells = cells_of(symmetric["copper"])
    assert len(cells) == alike(cells.areas, 3.61**2 * np.sqrt(2) / 8) == 4 * 12
    assert alike(cells.distances, 3.61 / np.sqrt(2)) == 4 * 12


def test_body_centred_cubic_cells_are_truncated_octahedra():
    cells = cells_of(Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    edge = 2.87 * np.sqrt(2) / 4
    assert len(cells) == 2 * 14
    assert alike(cells.areas, edge**2) == 2 * 6
    assert alike(cells.areas, edge**2 * 3 * np.sqrt(3) / 2) == 2 * 8


def test_diamond_cells_are_triakis_truncated_tetrahedra():
    sites = np.array([[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0]])
    cells = cells_of(Structure(Lattice.cubic(4), ["C"] * 8, np.vstack([sites, sites + 1]) / 4))
    assert len(cells) == 8 * 16
    assert alike(cells.distances, np.sqrt(3)) == 8 * 4
    assert alike(cells.distances, np.sqrt(8)) == 8 * 12


def test_rock_salt_cells_are_cubes_between_unlike_atoms(symmetric):
    cells = cells_of(symmetric["rock salt"])
    assert len(cells) == alike(cells.areas, 2.82**2) == 8 * 6
    assert (cells.crystal.numbers[cells.sites] != cells.crystal.numbers[cells.neighbours]).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_facets_are_those_of_pymatgen(seed, crystals):
    crystal = crystals.random(np.random.default_rng(seed), most=3)
    cells = cells_of(crystal)
    for site, facets in enumerate(VoronoiNN().get_all_voronoi_polyhedra(crystal)):
        ours = np.stack([cells.distances / 2, cells.areas, cells.solid_angles, cells.volumes])[:, cells.sites == site]
        names = ("face_dist", "area", "solid_angle", "volume")
        theirs = np.array([[facet[name] for facet in facets.values()] for name in names])
        theirs = theirs[:, theirs[1] > 1e-6]
        np.testing.assert_allclose(ours[:, np.argsort(ours[0])], theirs[:, np.argsort(theirs[0])], rtol=1e-6)


def test_cells_that_reach_farther_than_pymatgen_looks_fill_space():
    pair = Structure(Lattice.cubic(12), ["Mg", "O"], [[0, 0, 0], [2.1, 1, 0.3]], coords_are_cartesian=True)
    theirs = [facet["volume"] for cell in VoronoiNN().get_all_voronoi_polyhedra(pair) for facet in cell.values()]
    assert sum(theirs) > 1.005 * pair.volume
    check(pair, 1e-9)


def test_more_atoms_than_allowed_are_an_error(monkeypatch):
    monkeypatch.setattr(_tessellation, "MOST_ATOMS", 40)
    with pytest.raises(UserError, match=r"of 2 atoms, .* need more than 40 atoms .*: take the primitive cell, or less"):
        cells_of(AWKWARD["a layer in a vacuum"])
