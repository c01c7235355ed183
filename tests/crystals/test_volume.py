from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Element, Structure
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from matscout.crystals.crystal import Crystal
from matscout.crystals.volume import BOUNDS, pair_sums, predict_volume, volume_parameters
from matscout.db._elements import symbols
from matscout.db.prototypes import Prototype
from matscout.errors import UserError
from matscout.workflows.enumeration import enumerate_candidates, get_prototype, predict_volumes, prototype_library

PEROVSKITES = "perovskites/castelli_perov5_val.csv.gz"
UNLIMITED = DLSVolumePredictor(min_scaling=None, max_scaling=None)


def numbers(*elements):
    return np.array([[Element(element).Z for element in elements]], dtype=np.uint8)


def predicted(name, *elements):
    """Volume of the prototype's cell, Å³."""
    prototype = get_prototype(name)
    return predict_volumes(prototype, numbers(*elements))[0] * prototype.n_sites


def as_prototype(structure):
    elements = sorted({site.specie.symbol for site in structure})
    roles = [elements.index(site.specie.symbol) for site in structure]
    return Prototype("real", "", tuple(elements), structure.lattice.matrix, structure.frac_coords, roles), numbers(
        *elements
    )


@pytest.mark.parametrize(
    ("name", "elements", "volume", "tolerance"),
    [  # primitive cells at room temperature, Å³ (Wyckoff, Crystal Structures, 1963)
        ("cubic-perovskite", ("Sr", "Ti", "O"), 59.5, 0.10),
        ("rock-salt", ("Na", "Cl"), 44.9, 0.20),
        ("rock-salt", ("Mg", "O"), 18.7, 0.20),
        ("rutile", ("Ti", "O"), 62.4, 0.10),
        ("corundum", ("Al", "O"), 85.0, 0.15),
        ("cubic-perovskite", ("K", "Mg", "F"), 63.4, 0.20),
        ("fluorite", ("Ca", "F"), 40.8, 0.15),
        ("zincblende", ("S", "Zn"), 39.6, 0.15),
        ("A_cF8_227_a", ("Si",), 40.0, 0.10),
        ("A_cF4_225_a", ("Cu",), 11.8, 0.10),
        ("heusler", ("Cu", "Mn", "Al"), 52.5, 0.10),
    ],
)
def test_known_crystals_have_about_their_real_volume(name, elements, volume, tolerance):
    assert predicted(name, *elements) == pytest.approx(volume, rel=tolerance)


def test_rare_gases_are_as_far_apart_as_in_their_crystals():
    # fcc at 4 K: Kr 45, Xe 58, Ar 37 Å³ (Pollack, Rev. Mod. Phys. 36, 748 (1964))
    for symbol, volume in (("Ar", 37.5), ("Kr", 45.0), ("Xe", 57.9)):
        assert predicted("A_cF4_225_a", symbol) == pytest.approx(volume, rel=0.1)


def test_the_sum_over_an_fcc_crystal_is_that_of_lennard_jones():
    # 12.80 in units of the distance of neighbours (Ashcroft and Mermin, Solid State Physics, 1976, table 20.2), and
    # that distance is 2^(1/6) where an atom has the volume 1
    assert pair_sums(get_prototype("A_cF4_225_a")).item() == pytest.approx(12.80 / 2 ** (8 / 6), rel=1e-3)


def test_perovskites_come_nearer_to_their_real_volume_than_with_pymatgen(data):
    with gzip.open(data / PEROVSKITES) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # coordinates that pymatgen rounds to ideal values
        rows = csv.DictReader(io.TextIOWrapper(file))
        structures = [Structure.from_str(row["cif"], fmt="cif") for row, _ in zip(rows, range(300), strict=False)]
    real = np.array([s.volume / len(s) for s in structures])
    theirs = np.array([UNLIMITED.predict(s) / len(s) for s in structures])
    ours = np.array([predict_volumes(*as_prototype(s))[0] for s in structures])
    error, their_error = (np.abs(v / real - 1).mean() for v in (ours, theirs))
    assert error < 0.07
    assert error < their_error / 2


def test_every_element_has_parameters_under_its_own_symbol():
    parameters = volume_parameters()
    assert len(symbols()) == 119
    for values in (parameters.radius, parameters.average_volume):
        assert values.shape == (119,)
        assert (values[1:] > 0.2).all()
    hydrogen, caesium = (parameters.radius[Element(symbol).Z] for symbol in ("H", "Cs"))
    assert parameters.radius[1:].argmin() + 1 in {Element(s).Z for s in ("H", "He", "C", "N", "O", "F", "B")}
    assert caesium > 2 * hydrogen


def test_any_decoration_of_any_prototype_has_a_volume_within_the_bounds():
    rng = np.random.default_rng(0)
    average = volume_parameters().average_volume
    for prototype in prototype_library().values():
        decoration = rng.integers(1, 119, (118, len(prototype.roles))).astype(np.uint8)
        decoration[:, 0] = np.arange(1, 119)
        volumes = predict_volumes(prototype, decoration)
        ratio = volumes / (average[decoration] @ (prototype.multiplicity / prototype.n_sites))
        assert (ratio > BOUNDS[0] - 1e-9).all()
        assert (ratio < BOUNDS[1] + 1e-9).all()


def test_a_volume_does_not_depend_on_the_other_rows():
    prototype = get_prototype("cubic-perovskite")
    decoration = enumerate_candidates(prototype, ["H", "O", "Ti", "Sr", "Xe"]).decoration
    together = predict_volumes(prototype, np.tile(decoration, (200, 1)))[: len(decoration)]
    apart = np.concatenate([predict_volumes(prototype, row[None]) for row in decoration])
    np.testing.assert_array_equal(together, apart)


def test_equivalent_decorations_have_the_same_volume():
    for prototype in prototype_library().values():
        decoration = np.resize(numbers("K", "Na", "Al", "F", "O"), (1, len(prototype.roles)))
        volume = predict_volumes(prototype, decoration)
        for order in set(prototype.equivalent_roles) - set(prototype.ideal_swaps):
            permuted = predict_volumes(prototype, decoration[:, list(order)])
            np.testing.assert_allclose(permuted, volume, rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 118), st.integers(1, 118), st.integers(1, 118))
def test_a_role_split_in_two_of_the_same_element_changes_nothing(a, b, x):
    whole = get_prototype("cubic-perovskite")
    role_of_site = whole.role_of_site.copy()
    role_of_site[np.flatnonzero(role_of_site == 2)[0]] = 3
    split = replace(whole, roles=("A", "B", "X", "X'"), role_of_site=role_of_site)
    expected = predict_volumes(whole, np.array([[a, b, x]], dtype=np.uint8))
    np.testing.assert_allclose(predict_volumes(split, np.array([[a, b, x, x]], dtype=np.uint8)), expected, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 4.0), st.integers(0, 2), st.integers(1, 3))
def test_neither_size_nor_choice_of_the_reference_cell_counts(scale, axis, repeats):
    cell = get_prototype("rutile")
    lattice = scale * cell.lattice
    lattice[axis] *= repeats
    frac_coords = np.concatenate([cell.frac_coords + shift * np.eye(3)[axis] for shift in range(repeats)])
    frac_coords[:, axis] /= repeats
    other = replace(cell, lattice=lattice, frac_coords=frac_coords, role_of_site=np.tile(cell.role_of_site, repeats))
    np.testing.assert_allclose(pair_sums(other), pair_sums(cell), rtol=1e-6)


def test_an_empty_table_has_no_volumes():
    assert predict_volumes(get_prototype("rock-salt"), np.empty((0, 2), dtype=np.uint8)).shape == (0,)


def test_predicting_is_a_hundred_times_as_fast_as_pymatgen():
    structure = get_prototype("cubic-perovskite").structure(["Sr", "Ti", "O"])
    start = time.process_time()
    for _ in range(20):
        UNLIMITED.predict(structure)
    theirs = (time.process_time() - start) / 20
    decoration = np.repeat(numbers("Sr", "Ti", "O"), 100_000, axis=0)
    start = time.process_time()
    predict_volumes(get_prototype("cubic-perovskite"), decoration)
    assert (time.process_time() - start) / len(decoration) < theirs / 100


def test_the_parameters_are_read_without_pymatgen():
    code = (
        "import sys; from matscout.crystals.volume import volume_parameters; volume_parameters(); "
        "sys.exit('pymatgen' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# crystals as they come


def test_a_candidate_has_the_volume_of_its_crystal():
    table = enumerate_candidates(["cubic-perovskite", "spinel", "corundum"], ["Cs", "Fe", "Ti", "O"])
    predicted = [predict_volume(Crystal.from_structure(table.structure(i))) for i in range(len(table))]
    np.testing.assert_allclose(predicted, table.volume, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_neither_size_nor_cell_nor_origin_of_a_crystal_counts(seed, scale):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    lattice = np.diag(rng.uniform(3, 6, 3)) + rng.uniform(-1, 1, (3, 3))
    crystal = Crystal(lattice, rng.random((n, 3)), rng.choice([3, 8, 22], n))
    cell = np.array([[1, 3, 0], [0, 1, 0], [0, -2, 1]])
    coords = (crystal.frac_coords + rng.random(3)) @ np.linalg.inv(cell)
    order = rng.permutation(n)
    other = Crystal(scale * cell @ lattice, coords[order], crystal.numbers[order])
    assert predict_volume(other) == pytest.approx(predict_volume(crystal), rel=1e-7)


def test_a_larger_cell_has_the_same_volume_per_atom():
    small = Crystal.from_structure(get_prototype("rutile").structure(["Ti", "O"], 10.0))
    large = Crystal.from_structure(small.structure() * (1, 2, 2))
    assert predict_volume(large) == pytest.approx(predict_volume(small), rel=1e-9)


def test_a_cell_too_skew_to_be_reduced_is_refused():
    skew = np.array([[1, 1e6, 0], [0, 1, 1e6], [0, 0, 1]])
    with pytest.raises(UserError, match="too skew"):
        predict_volume(Crystal(4 * skew, np.zeros((1, 3)), np.array([26])))
