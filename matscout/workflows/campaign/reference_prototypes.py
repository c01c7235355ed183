"""Which prototypes stand for elements and binaries on a computed hull.

Data only. Labels are those of the AFLOW library (Mehl et al., Comput. Mater. Sci. 136, S1 (2017),
doi:10.1016/j.commatsci.2017.01.017); ground states of the elements as in its unary part and in Villars, Pearson's
Handbook (1997). The most common come first: where fewer calculations are allowed than there are prototypes, the last
are left out.
"""

from __future__ import annotations

MOLECULAR = {
    "H": ("A_cP8_205_c", 0.741),
    "N": ("A_cP8_205_c", 1.098),
    "O": ("A_mC4_12_i", 1.208),
    "F": ("A_oC8_64_f-I", 1.412),
    "Cl": ("A_oC8_64_f-I", 1.988),
    "Br": ("A_oC8_64_f-I", 2.281),
    "I": ("A_oC8_64_f-I", 2.666),
}
"""Molecular crystals: prototype, and bond length of the molecule at the start, Å.

Bond lengths: Huber and Herzberg, Constants of Diatomic Molecules (1979). CHGNet puts fcc oxygen electronvolts too high,
and single F2 and O2 molecules in a box a tenth of one off; their crystals are what it learned from.
"""

CLOSE_PACKED = ("A_cF4_225_a", "A_cI2_229_a", "A_hP2_194_c")
"""fcc, bcc, hcp: tried for every element that is no molecular crystal."""

ELEMENTS = {
    "Li": ("A_hR3_166_ac",),
    "B": ("A_hR12_166_2h",),
    "C": ("A_hP4_194_bc", "A_cF8_227_a"),
    "Na": ("A_hR3_166_ac",),
    "Si": ("A_cF8_227_a",),
    "P": ("A_oC8_64_f-P",),
    "S": ("A_oF128_70_4h",),
    "Mn": ("A_cI58_217_ac2g",),
    "Ga": ("A_oC8_64_f-Ga",),
    "Ge": ("A_cF8_227_a",),
    "As": ("A_hR2_166_c-As",),
    "Se": ("A_hP3_152_a",),
    "In": ("A_tI2_139_a-In",),
    "Sn": ("A_tI4_141_a", "A_cF8_227_a"),
    "Sb": ("A_hR2_166_c-As",),
    "Te": ("A_hP3_152_a",),
    "La": ("A_hP4_194_ac",),
    "Ce": ("A_hP4_194_ac",),
    "Pr": ("A_hP4_194_ac",),
    "Nd": ("A_hP4_194_ac",),
    "Pm": ("A_hP4_194_ac",),
    "Sm": ("A_hR3_166_ac",),
    "Hg": ("A_hR1_166_a-Hg",),
    "Bi": ("A_hR2_166_c-As",),
    "Pa": ("A_tI2_139_a-Pa",),
    "U": ("A_oC4_63_c",),
    "Np": ("A_oP8_62_2c",),
    "Pu": ("A_mP16_11_8e",),
}
"""Ground states beyond the close-packed ones."""

BINARIES = {
    (1, 1): (
        "AB_cF8_225_a_b",  # rock salt
        "AB_cP2_221_b_a",  # CsCl
        "AB_cF8_216_c_a",  # zincblende
        "AB_tP4_129_a_c",  # PbO
        "AB_hP4_186_b_b",  # wurtzite
        "AB_hP4_194_c_a",  # NiAs
        "AB_tP4_131_c_e",  # PtS
        "AB_oP8_62_c_c-GeS",
    ),
    (1, 2): (
        "AB2_cF12_225_a_c",  # fluorite, antifluorite
        "A2B_tP6_136_f_a",  # rutile
        "AB2_hP3_164_a_d",  # CdI2
        "A2B_oP12_62_2c_c-PbCl2",  # cotunnite
        "A2B_cP6_224_b_a",  # cuprite
        "AB2_oP6_58_a_g-CaCl2",
        "A2B_tI12_141_e_a",  # anatase
        "A2B_hP9_152_c_a",  # quartz
    ),
    (2, 3): (
        "A2B3_hR10_167_c_e",  # corundum
        "A3B2_hP5_164_ad_d",  # La2O3 has the same Wyckoff sites
        "A2B3_hR5_166_c_ac",  # Bi2Te3
        "A3B2_oP20_56_ce_e",  # Sb2O3
        "A3B2_oP20_62_3c_2c",  # stibnite
        "A3B2_cI40_220_d_c",  # Pu2C3
    ),
    (1, 3): (
        "A3B_cP4_221_d_a",  # ReO3
        "AB3_hR8_148_c_f",  # BiI3
        "AB3_mC16_12_g_ij",  # AlCl3
        "AB3_cF16_225_a_bc",  # BiF3
        "AB3_hR8_155_c_de",  # AlF3
        "A3B_hP8_194_h_c",  # Ni3Sn, the sites of UCl3
        "AB3_oP16_62_c_cd",  # cementite, the sites of YF3
        "A3B_hP24_165_adg_f",  # HoH3, the sites of LaF3
    ),
    (1, 4): (
        "A4B_cI10_217_c_a",  # SiF4
        "AB4_tI10_87_a_h",  # Ni4Mo
        "AB4_oC20_41_a_2b",  # PtSn4
        "A4B_oP20_62_2cd_c",  # MgB4
    ),
    (2, 5): ("A2B5_mC28_15_f_e2f", "A5B2_hR7_166_a2c_c", "A5B2_mC14_12_a2i_i", "A5B2_hP14_194_abdf_f"),
    (3, 4): ("A3B4_tI28_141_ad_h", "A4B3_cI14_229_c_b"),
    (1, 5): ("AB5_hP6_191_a_cg", "AB5_cF24_216_a_ce"),
    (1, 6): ("A6B_cP7_221_f_a", "A6B_hR7_166_g_a"),
}
"""By stoichiometry, smaller number first; either element may be the more frequent one."""

CATION_ROLE_B = frozenset({"AB_tP4_129_a_c", "AB_hP4_194_c_a"})
"""1:1 prototypes whose second role takes the cation: O comes before Pb, As before Ni in the alphabet."""
