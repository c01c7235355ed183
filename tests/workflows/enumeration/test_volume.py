from __future__ import annotations

import csv
import gzip
import io
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Element, Structure
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from matscout.db.prototypes import Prototype
from matscout.workflows.enumeration import enumerate_candidates, get_prototype, predict_volumes, prototype_library

DATA = Path(os.environ.get("MATSCOUT_DATA", Path(__file__).parents[4] / "shared" / "data"))
PEROVSKITES = DATA / "perovskites" / "castelli_perov5_val.csv.gz"
UNLIMITED = DLSVolumePredictor(min_scaling=None, max_scaling=None)


def predicted(name, *elements, **options):
    """Volume of the prototype's cell, Å³."""
    prototype = get_prototype(name)
    decoration = np.array([[Element(element).Z for element in elements]], dtype=np.uint8)
    return predict_volumes(prototype, decoration, **options)[0] * prototype.n_sites


@pytest.mark.parametrize(
    ("name", "elements", "volume", "tolerance"),
    [  # primitive cells at room temperature, Å³ (Wyckoff, Crystal Structures, 1963)
        ("cubic-perovskite", ("Sr", "Ti", "O"), 59.5, 0.10),
        ("rock-salt", ("Na", "Cl"), 44.9, 0.15),
        ("rock-salt", ("Mg", "O"), 18.7, 0.15),
        ("rutile", ("O", "Ti"), 62.4, 0.10),
        ("corundum", ("Al", "O"), 85.0, 0.10),
        ("cubic-perovskite", ("K", "Mg", "F"), 63.4, 0.20),
        ("fluorite", ("Ca", "F"), 40.8, 0.15),
        ("zincblende", ("S", "Zn"), 39.6, 0.15),
    ],
)
def test_known_crystals_have_about_their_real_volume(name, elements, volume, tolerance):
    assert predicted(name, *elements) == pytest.approx(volume, rel=tolerance)


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("cubic-perovskite", ("Sr", "Ti", "O")),
        ("elpasolite", ("Cs", "Ag", "Bi", "Br")),
        ("rutile", ("O", "Ti")),
        ("heusler", ("Al", "Cu", "Mn")),
        ("AB_oP8_62_c_c-MnP", ("Mn", "P")),
        ("A_cF8_227_a", ("Si",)),
        ("ilmenite", ("Fe", "Ti", "O")),
        ("rock-salt", ("Ra", "O")),  # Ra is not in the table: atomic radii for its pairs
    ],
)
def test_without_coordination_numbers_volumes_are_those_of_pymatgen(name, elements):
    structure = get_prototype(name).structure(elements)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen on Ra
        theirs = UNLIMITED.predict(structure)
    assert predicted(name, *elements, coordination=False) == pytest.approx(theirs, rel=1e-6)


def read_perovskites(n):
    if not PEROVSKITES.is_file():
        pytest.skip(f"no {PEROVSKITES}: set MATSCOUT_DATA to the folder of public data")
    with gzip.open(PEROVSKITES) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # coordinates that pymatgen rounds to ideal values
        rows = csv.DictReader(io.TextIOWrapper(file))
        return [Structure.from_str(row["cif"], fmt="cif") for row, _ in zip(rows, range(n), strict=False)]


def as_prototype(structure):
    symbols = [site.specie.symbol for site in structure]
    elements = sorted(set(symbols))
    roles = [elements.index(symbol) for symbol in symbols]
    prototype = Prototype("real", "", tuple(elements), structure.lattice.matrix, structure.frac_coords, roles)
    return prototype, np.array([[Element(element).Z for element in elements]], dtype=np.uint8)


def test_volumes_of_real_perovskites_agree_with_pymatgen_and_come_nearer_to_the_truth():
    structures = read_perovskites(300)
    real = np.array([s.volume / len(s) for s in structures])
    theirs = np.array([UNLIMITED.predict(s) / len(s) for s in structures])
    dls = np.array([predict_volumes(*as_prototype(s), coordination=False)[0] for s in structures])
    ours = np.array([predict_volumes(*as_prototype(s))[0] for s in structures])
    np.testing.assert_allclose(dls, theirs, rtol=1e-5)
    error, their_error = (np.abs(v / real - 1).mean() for v in (ours, theirs))
    assert error < their_error
    assert error < 0.14


def test_every_element_has_a_volume_in_every_role():
    elements = [Element.from_Z(z).symbol for z in range(1, 119)]
    for name in ("A_cF4_225_a", "rock-salt", "A_cF8_227_a"):
        volume = enumerate_candidates(name, elements).volume
        assert np.isfinite(volume).all()
        assert (volume > 0).all()


def test_rare_gases_are_as_far_apart_as_in_their_crystals():
    # fcc at 4 K: Kr 45, Xe 58, Ar 37 Å³ (Pollack, Rev. Mod. Phys. 36, 748 (1964))
    for symbol, volume in (("Ar", 37.5), ("Kr", 45.0), ("Xe", 57.9)):
        assert predicted("A_cF4_225_a", symbol) == pytest.approx(volume, rel=0.25)


def test_a_volume_does_not_depend_on_the_other_rows():
    prototype = get_prototype("cubic-perovskite")
    decoration = enumerate_candidates(prototype, ["H", "O", "Ti", "Sr", "Xe"]).decoration
    together = predict_volumes(prototype, decoration)
    apart = np.concatenate([predict_volumes(prototype, row[None]) for row in decoration])
    np.testing.assert_array_equal(together, apart)


def test_equivalent_decorations_have_the_same_volume():
    for prototype in prototype_library().values():
        decoration = np.array([[19, 11, 13, 9, 8][: len(prototype.roles)]], dtype=np.uint8)
        volume = predict_volumes(prototype, decoration)
        for order in set(prototype.equivalent_roles) - set(prototype.ideal_swaps):
            permuted = predict_volumes(prototype, decoration[:, list(order)])
            np.testing.assert_allclose(permuted, volume, rtol=1e-3)
