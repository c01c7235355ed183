"""Intermetallics and chalcogenides among the named families: their crystals, and what they decorate to."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from math import perm

import numpy as np
import pytest
from pymatgen.analysis.molecule_structure_comparator import CovalentRadius
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Element

from matscout.workflows.enumeration import enumerate_candidates, prototype_library

STRICT = {"ltol": 0.01, "stol": 0.01, "angle_tol": 0.2}
POOL = ["Li", "Mg", "Al", "Ti", "Mn", "Fe", "Co", "Ni", "Cu", "Sn"]

#: Elements of the compound whose cell a family has, in the order of its roles; the AFLOW prototype of that compound.
EXAMPLES = {
    "heusler": (("Cu", "Mn", "Al"), "AB2C_cF16_225_a_c_b"),
    "inverse-heusler": (("Mn", "Co", "Al"), None),
    "half-heusler": (("Ni", "Hf", "Sn"), "ABC_cF12_216_b_c_a"),
    "quaternary-heusler": (("Mg", "Li", "Au", "Sn"), None),
    "D0_3": (("F", "Bi"), "AB3_cF16_225_a_bc"),
    "cesium-chloride": (("Cs", "Cl"), "AB_cP2_221_b_a"),
    "L1_0": (("Cu", "Au"), "AB_tP2_123_a_d"),
    "L1_2": (("Cu", "Au"), "AB3_cP4_221_a_c"),
    "D0_19": (("Ni", "Sn"), "A3B_hP8_194_h_c"),
    "D0_22": (("Al", "Ti"), "A3B_tI8_139_bd_a"),
    "A15": (("Cr", "Si"), "A3B_cP8_223_c_a"),
    "MoSi2": (("Mo", "Si"), "AB2_tI6_139_a_e"),
    "CuAl2": (("Cu", "Al"), "A2B_tI12_140_h_a"),
    "laves-C14": (("Mg", "Zn"), "AB2_hP12_194_f_ah"),
    "laves-C15": (("Mg", "Cu"), "A2B_cF24_227_d_a"),
    "laves-C36": (("Mg", "Ni"), None),
    "AuBe5": (("Au", "Be"), "AB5_cF24_216_a_ce"),
    "CaCu5": (("Ca", "Cu"), "AB5_hP6_191_a_cg"),
    "ThMn12": (("Th", "Mn"), "A12B_tI26_139_fij_a"),
    "BaAl4": (("Ba", "Al"), "A4B_tI10_139_de_a"),
    "Mn5Si3": (("Mn", "Si"), None),
    "Al3Ni2": (("Al", "Ni"), "A3B2_hP5_164_ad_d"),
    "nickel-arsenide": (("Ni", "As"), "AB_hP4_194_c_a"),
    "Ni2In": (("Ni", "In"), "AB2_hP6_194_c_ad"),
    "CoSn": (("Co", "Sn"), "AB_hP6_191_f_ad"),
    "CsV3Sb5": (("Cs", "V", "Sb"), None),
    "FeSi": (("Fe", "Si"), "AB_cP8_198_a_a-FeSi"),
    "AlB2": (("Al", "B"), "AB2_hP3_191_a_d"),
    "CrB": (("Cr", "B"), "AB_oC8_63_c_c"),
    "FeB": (("Fe", "B"), None),
    "cementite": (("Fe", "C"), "AB3_oP16_62_c_cd"),
    "CaB6": (("Ca", "B"), "A6B_cP7_221_f_a"),
    "Mo2FeB2": (("Mo", "Fe", "B"), None),
    "MAX-211": (("Cr", "Al", "C"), "ABC2_hP8_194_d_a_f"),
    "MAX-312": (("Ti", "Si", "C"), None),
    "MAX-413": (("Ti", "Al", "N"), "AB3C4_hP16_194_c_af_ef"),
    "Fe2AlB2": (("Fe", "Al", "B"), None),
    "ThCr2Si2": (("Th", "Cr", "Si"), None),
    "CaBe2Ge2": (("Ca", "Be", "Ge"), None),
    "CaAl2Si2": (("Ca", "Al", "Si"), None),
    "ZrBeSi": (("Zr", "Be", "Si"), None),
    "TiNiSi": (("Ti", "Ni", "Si"), None),
    "ZrNiAl": (("Zr", "Ni", "Al"), None),
    "HoCoGa5": (("Ho", "Co", "Ga"), "AB5C_tP7_123_b_ci_a"),
    "matlockite": (("Pb", "F", "Cl"), "ABC_tP6_129_c_a_c"),
    "ZrSiS": (("Zr", "Si", "S"), None),
    "Cu2Sb": (("Cu", "Sb"), "A2B_tP6_129_ac_c"),
    "LiFeAs": (("Li", "Fe", "As"), None),
    "ZrCuSiAs": (("Zr", "Si", "Cu", "As"), "ABCD_tP8_129_c_b_a_c"),
    "skutterudite": (("Co", "As"), "A3B_cI32_204_g_c"),
    "filled-skutterudite": (("La", "Fe", "P"), None),
    "clathrate-I": (("Na", "Si"), None),
    "Na3As": (("Na", "As"), "AB3_hP8_194_c_bf"),
    "NaTl": (("Na", "Tl"), "AB_cF16_227_a_b"),
    "zincblende": (("Zn", "S"), "AB_cF8_216_c_a"),
    "wurtzite": (("Zn", "S"), "AB_hP4_186_b_b"),
    "chalcopyrite": (("Cu", "Fe", "S"), "ABC2_tI16_122_a_b_d"),
    "kesterite": (("Cu", "Zn", "Sn", "S"), None),
    "stannite": (("Cu", "Fe", "Sn", "S"), "A2BC4D_tI16_121_d_a_i_b"),
    "famatinite": (("Cu", "As", "S"), None),
    "enargite": (("Cu", "As", "S"), "AB3C4_oP16_31_a_ab_2ab"),
    "thiogallate": (("Cd", "Al", "S"), "A2BC4_tI14_82_bc_a_g"),
    "sulvanite": (("Cu", "V", "S"), "A3B4C_cP8_215_d_e_a"),
    "tetrahedrite": (("Cu", "Sb", "S"), None),
    "argyrodite": (("Li", "P", "S", "Cl"), None),
    "chevrel": (("Ba", "Mo", "S"), None),
    "cadmium-iodide": (("Cd", "I"), "AB2_hP3_164_a_d"),
    "molybdenite": (("Mo", "S"), "AB2_hP6_194_c_f"),
    "pyrite": (("Fe", "S"), "AB2_cP12_205_a_c"),
    "marcasite": (("Fe", "S"), "AB2_oP6_58_a_g-FeS2"),
    "tetradymite": (("Bi", "Te"), "A2B3_hR5_166_c_ac"),
    "stibnite": (("Sb", "S"), "A3B2_oP20_62_3c_2c"),
    "chalcostibite": (("Cu", "Sb", "S"), "AB2C_oP16_62_c_2c_c"),
    "covellite": (("Cu", "S"), "AB_hP12_194_df_ce"),
    "millerite": (("Ni", "S"), "AB_hR6_160_b_b"),
}
AGREEING = [name for name, (_, aflow) in EXAMPLES.items() if aflow]


def family(name):
    return prototype_library()[name]


def distances(name):
    """Shortest distances by pair of roles in the published cell, in Å."""
    prototype = family(name)
    return prototype.shortest_distances * (abs(np.linalg.det(prototype.lattice)) / prototype.n_sites) ** (1 / 3)


def test_every_family_of_the_two_files_has_its_example():
    folder = files("matscout.workflows.enumeration.prototypes").joinpath("data")
    read = [tomllib.loads(folder.joinpath(f"{kind}.toml").read_text()) for kind in ("intermetallics", "chalcogenides")]
    assert [document["name"] for data in read for document in data["family"]] == list(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_atoms_of_the_published_compound_touch_and_do_not_overlap(name):
    elements, _ = EXAMPLES[name]
    radii = [CovalentRadius.radius[element] for element in elements]  # Cordero et al., Dalton Trans. 2832 (2008)
    ratio = distances(name) / np.add.outer(radii, radii)
    assert ratio.min() > 0.75
    # halides are ionic, and the halide of an argyrodite has only Li far off around it
    assert ratio.min(axis=1).max() < (1.6 if {"F", "Cl"} & set(elements) else 1.25)


@pytest.mark.parametrize("name", AGREEING)
def test_a_family_is_the_crystal_of_the_same_compound_in_the_aflow_library(name):
    elements, aflow = EXAMPLES[name]
    ours, theirs = family(name), prototype_library()[aflow]
    assert ours.label == theirs.label
    assert ours.role_maps(theirs)
    assert StructureMatcher(**STRICT).fit(ours.structure(elements), theirs.structure(sorted(elements)))


@pytest.mark.parametrize(("name", "aflow"), [("laves-C36", "AB2_hP24_194_ef_fgh"), ("FeB", "AB_oP8_62_c_c-FeB")])
def test_a_family_departs_from_an_aflow_cell_whose_atoms_overlap(name, aflow):
    theirs = prototype_library()[aflow]
    nearest = theirs.shortest_distances * (abs(np.linalg.det(theirs.lattice)) / theirs.n_sites) ** (1 / 3)
    assert nearest.min() < 1.7
    assert distances(name).min() > (2.3 if name == "laves-C36" else 1.7)


@pytest.mark.parametrize("name", ["heusler", "inverse-heusler", "half-heusler"])
def test_ternary_heuslers_over_n_elements_are_half_the_ordered_triples(name):
    assert len(enumerate_candidates(family(name), POOL)) == perm(len(POOL), 3) // 2
    assert family(name).equivalent_roles == ((0, 1, 2), (0, 2, 1))


def test_quaternary_heuslers_over_n_elements_are_an_eighth_of_the_ordered_quadruples():
    assert len(enumerate_candidates(family("quaternary-heusler"), POOL)) == perm(len(POOL), 4) // 8


def test_a_heusler_with_one_element_on_two_roles_is_d0_3_or_the_other_heusler():
    matcher = StructureMatcher(**STRICT)
    iron_aluminide = family("D0_3").structure(["Fe", "Al"])
    assert matcher.fit(family("heusler").structure(["Fe", "Fe", "Al"]), iron_aluminide)
    assert matcher.fit(family("inverse-heusler").structure(["Fe", "Fe", "Al"]), iron_aluminide)
    quaternary = family("quaternary-heusler")
    assert matcher.fit(quaternary.structure(["Al", "Cu", "Cu", "Mn"]), family("heusler").structure(["Cu", "Mn", "Al"]))
    inverse = family("inverse-heusler").structure(["Mn", "Co", "Al"])
    assert matcher.fit(quaternary.structure(["Mn", "Mn", "Al", "Co"]), inverse)
    assert not matcher.fit(quaternary.structure(["Al", "Mn", "Mn", "Co"]), inverse)


def test_thcr2si2_over_52_elements_has_no_decoration_twice():
    elements = [Element.from_Z(z).symbol for z in range(1, 53)]
    assert len(enumerate_candidates(family("ThCr2Si2"), elements)) == 132_600


@pytest.mark.parametrize(
    ("name", "swaps"),
    [
        ("chalcopyrite", {(1, 0, 2)}),
        ("kesterite", {(0, 2, 1, 3)}),  # B and C, as both lie in one of the two kinds of layers
        ("stannite", {(0, 2, 1, 3)}),
        ("famatinite", set()),
        ("thiogallate", set()),
        ("CaBe2Ge2", {(0, 2, 1)}),
        ("ThCr2Si2", set()),
        ("LiFeAs", set()),
        ("ZrBeSi", {(0, 2, 1)}),
        ("NaTl", {(1, 0)}),
        ("L1_0", {(1, 0)}),
        ("MAX-211", set()),
    ],
)
def test_roles_that_may_be_exchanged(name, swaps):
    prototype = family(name)
    assert set(prototype.equivalent_roles) == {tuple(range(len(prototype.roles)))} | swaps


@pytest.mark.parametrize("name", ["chalcopyrite", "kesterite", "stannite"])
def test_metals_of_ordered_zincblende_merge_only_at_the_ideal_anion(name):
    prototype = family(name)
    assert len(prototype.role_maps(prototype)) == 1
    assert len(prototype.ideal_swaps) == 1
    candidates = enumerate_candidates(prototype, POOL)
    assert len(candidates) == perm(len(POOL), len(prototype.roles)) // 2


@pytest.mark.parametrize(
    ("name", "center", "neighbour", "number"),
    [
        ("heusler", "X", "Y", 4),
        ("half-heusler", "Y", "Z", 6),
        ("laves-C14", "A", "B", 12),
        ("laves-C15", "B", "B", 6),
        ("laves-C36", "A", "B", 12),
        ("CaB6", "A", "B", 24),
        ("AlB2", "A", "B", 12),
        ("nickel-arsenide", "T", "X", 6),
        ("MAX-211", "X", "M", 6),
        ("MAX-312", "X", "M", 6),
        ("MAX-413", "X", "M", 6),
        ("Mo2FeB2", "X", "X", 1),
        ("Fe2AlB2", "B", "B", 2),
        ("ThCr2Si2", "M", "X", 4),
        ("CaBe2Ge2", "M", "X", 4.5),  # in one layer a tetrahedron, in the other a pyramid
        ("LiFeAs", "T", "X", 4),
        ("ZrCuSiAs", "T", "X", 4),
        ("CaAl2Si2", "A", "X", 6),
        ("skutterudite", "T", "X", 6),
        ("filled-skutterudite", "R", "X", 12),
        ("kesterite", "X", "A", 2),
        ("famatinite", "B", "X", 4),
        ("argyrodite", "B", "X", 4),
        ("tetrahedrite", "B", "X", 3),
        ("chevrel", "M", "M", 4),
        ("molybdenite", "M", "X", 6),
        ("cadmium-iodide", "M", "X", 6),
        ("pyrite", "X", "X", 1),
        ("marcasite", "M", "X", 6),
    ],
)
def test_a_role_has_the_neighbours_of_its_description(name, center, neighbour, number):
    roles = family(name).roles
    assert family(name).coordination[roles.index(center), roles.index(neighbour)] == pytest.approx(number, abs=0.5)


def test_the_square_net_of_zrsis_makes_it_another_crystal_than_matlockite():
    matlockite, zirconium = family("matlockite"), family("ZrSiS")
    assert matlockite.label == zirconium.label
    assert matlockite.role_maps(zirconium) == []


def test_a_cage_without_its_guest_is_the_empty_skutterudite():
    filled = family("filled-skutterudite").structure(["La", "Fe", "P"])
    filled.remove_species(["La"])
    empty = family("skutterudite").structure(["Fe", "P"])
    assert StructureMatcher(ltol=0.02, stol=0.05, angle_tol=1).fit(filled, empty)
