from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element, Species

from matscout.errors import UserError
from matscout.workflows.enumeration import (
    ChargeNeutrality,
    Goldschmidt,
    enumerate_candidates,
    get_prototype,
    tolerance_factor,
)
from matscout.workflows.enumeration.filters.bartel import BartelTau, bartel_tau
from matscout.workflows.enumeration.filters.oxidation import charge_table
from matscout.workflows.enumeration.filters.shannon import shannon_radius
from matscout.workflows.enumeration.filters.tolerance import OctahedralFactor

SRTIO3 = (1.44, 0.605, 1.40)  # Shannon 1976: Sr XII, Ti VI, O VI, in Å
PEROVSKITE = {"A": ["Cs", "K", "Sr", "La"], "B": ["Pb", "Mg", "Ti", "Al", "Fe"], "X": ["F", "Br", "O"]}


# tolerance factor

radii = st.floats(0.1, 3.0)


def test_agrees_with_the_textbook_value():
    assert tolerance_factor(*SRTIO3) == pytest.approx(1.002, abs=5e-4)


@given(radii, radii, radii)
def test_scales_away(a, b, x):
    assert tolerance_factor(2 * a, 2 * b, 2 * x) == pytest.approx(tolerance_factor(a, b, x))


def test_an_unknown_radius_stays_unknown_and_alone():
    assert np.isnan(tolerance_factor([1.44, np.nan], 0.605, 1.40)).tolist() == [False, True]


def test_a_negative_radius_is_named():
    with pytest.raises(ValueError, match=r"site B must be positive, got -0\.6"):
        tolerance_factor(1.44, -0.6, 1.40)


@pytest.mark.parametrize(
    ("ion", "radius"),
    [
        (("Sr", 2, 12), 1.44),
        (("Ti", 4, 6), 0.605),
        (("O", -2, 6), 1.40),
        (("Cs", 1, 12), 1.88),
        (("Pb", 2, 6), 1.19),
        (("Br", -1, 6), 1.96),
        (("Fe", 2, 6), 0.78),  # high spin
        (("Mg", 2, 12), 0.89),  # tabulated up to 8 neighbours
        (("N", -3, 6), 1.46),  # only with 4
        (("Cu", 2, 4), 0.57),  # not the square 0.57 or another shape
    ],
)
def test_radii_are_those_of_shannon(ion, radius):
    assert shannon_radius(*ion) == radius


def test_radii_with_the_tabulated_neighbours_are_those_of_pymatgen():
    for symbol, charge, cn, roman in [
        ("La", 3, 12, "XII"),
        ("Zr", 4, 6, "VI"),
        ("S", -2, 6, "VI"),
        ("Ca", 2, 12, "XII"),
    ]:
        assert shannon_radius(symbol, charge, cn) == Species(symbol, charge).get_shannon_radius(roman)


def test_an_ion_that_is_not_in_the_table_has_no_radius():
    assert np.isnan(shannon_radius("Sn", 2, 6))
    assert np.isnan(shannon_radius("He", 0, 6))
    assert np.isnan(shannon_radius("H", 1, 1))  # -0.38 Å


@pytest.mark.parametrize(
    ("row", "factor"),
    [(("Sr", "Ti", "O"), 1.002), (("Cs", "Pb", "Br"), 0.862), (("K", "Mg", "F"), 1.025), (("Ba", "Ti", "O"), 1.062)],
)
def test_factors_of_known_perovskites(row, factor, table_of):
    result = Goldschmidt()(table_of("cubic-perovskite", row))
    assert result.columns["tolerance_factor"] == pytest.approx([factor], abs=1e-3)
    assert result.keep.all()
    assert result.unknown == 0


def test_an_elpasolite_takes_the_mean_of_b_and_b_prime(table_of):
    result = Goldschmidt()(table_of("elpasolite", ("Cs", "Ag", "Bi", "Br")))
    assert result.columns["tolerance_factor"] == pytest.approx(
        [(1.88 + 1.96) / 2**0.5 / ((1.15 + 1.03) / 2 + 1.96)], abs=1e-6
    )


def brute_factors(row):
    """All factors of neutral assignments of an ABX3."""
    a, b, x = row
    for qa, qb, qx in product(*(states_of(e) for e in row)):
        if qa + qb + 3 * qx == 0:
            t = float(tolerance_factor(shannon_radius(a, qa, 12), shannon_radius(b, qb, 6), shannon_radius(x, qx, 6)))
            if not np.isnan(t):
                yield t


def states_of(symbol):
    """Give the states that filters take into account."""
    charges, valid = charge_table()
    number = Element(symbol).Z
    return charges[number, : valid[number]].tolist()


def test_any_neutral_assignment_may_pass_and_the_best_is_reported():
    table = enumerate_candidates("cubic-perovskite", ["K", "Pb", "Sn", "Mn", "U", "La", "O", "F", "N", "S", "Fe"])
    result = Goldschmidt(0.85, 0.95, unknown="drop")(table)
    symbols = [[Element.from_Z(int(z)).symbol for z in row] for row in table.decoration]
    assert result.unknown > 0
    for row, keep, factor in zip(symbols, result.keep, result.columns["tolerance_factor"], strict=True):
        all_factors = list(brute_factors(row))
        inside = [t for t in all_factors if 0.85 <= t <= 0.95]
        assert keep == bool(inside)
        if not all_factors:
            assert np.isnan(factor)
        else:
            assert factor == pytest.approx(min(inside or all_factors, key=lambda t: abs(t - 1)))


def test_candidates_without_a_radius_are_unknown_and_kept_unless_dropped(table_of):
    table = table_of("cubic-perovskite", ("Cs", "Sn", "I"), ("Sr", "Ti", "O"))  # Shannon has no Sn2+
    kept, dropped = Goldschmidt()(table), Goldschmidt(unknown="drop")(table)
    assert kept.keep.tolist() == [True, True]
    assert dropped.keep.tolist() == [False, True]
    assert kept.unknown == dropped.unknown == 1
    assert np.isnan(kept.columns["tolerance_factor"]).tolist() == [True, False]


def test_a_prototype_that_is_no_perovskite_is_named():
    table = enumerate_candidates("AB3C_cP5_221_a_c_b", ["Sr", "Ti", "O"])
    with pytest.raises(UserError, match="AB3C_cP5_221_a_c_b has A, B, C"):
        Goldschmidt()(table)


def test_filters_leave_the_known_perovskites():
    table = enumerate_candidates("cubic-perovskite", PEROVSKITE, [ChargeNeutrality(), Goldschmidt(0.8, 1.1)])
    assert {"CsPbBr3", "SrTiO3", "KMgF3", "LaAlO3", "LaFeO3", "KFeF3"} <= set(table.formulas)
    assert [count.name for count in table.filter_counts] == ["charge-neutrality", "goldschmidt"]
    assert table.filter_counts[0].before == 60
    assert table.filter_counts[1].before == 60 - table.filter_counts[0].removed
    assert table.columns["tolerance_factor"].shape == (len(table),)


# any perovskite


def test_a_mixed_role_takes_the_mean_of_its_radii_by_amount(table_of, split):
    mixed = split("cubic-perovskite", ("A", "B", "X.1", "X.2"), [0, 1, 2, 2, 3])
    table = table_of(mixed, ("La", "Ti", "O", "N"))
    r_x = (2 * 1.40 + 1.46) / 3
    assert Goldschmidt()(table).columns["tolerance_factor"] == pytest.approx(
        np.atleast_1d(tolerance_factor(1.36, 0.605, r_x))
    )
    assert OctahedralFactor()(table).columns["octahedral_factor"] == pytest.approx(0.605 / r_x)
    assert BartelTau()(table).columns["bartel_tau"] == pytest.approx(np.atleast_1d(bartel_tau(1.36, 0.605, r_x, 3)))


def test_a_mixed_a_has_the_mean_charge_too(table_of, split):
    sites = get_prototype("elpasolite").role_of_site.tolist()
    first = sites.index(0)
    roles = [0 if place == first else 1 if role == 0 else role + 1 for place, role in enumerate(sites)]
    mixed = split("elpasolite", ("A.1", "A.2", "B", "B'", "X"), roles)
    tau = BartelTau()(table_of(mixed, ("Na", "La", "Mg", "W", "O"))).columns["bartel_tau"]
    assert tau == pytest.approx(np.atleast_1d(bartel_tau((1.39 + 1.36) / 2, (0.72 + 0.60) / 2, 1.40, 2)))


def test_a_split_into_equal_parts_changes_nothing(table_of, split):
    mixed = split("cubic-perovskite", ("A", "B", "X.1", "X.2"), [0, 1, 2, 2, 3])
    rows = [("Sr", "Ti", "O"), ("Cs", "Pb", "Br"), ("La", "Al", "O"), ("K", "Mg", "F"), ("Cs", "Sn", "I")]
    whole, parts = table_of("cubic-perovskite", *rows), table_of(mixed, *[(*row, row[-1]) for row in rows])
    for rule, column in (
        (Goldschmidt(), "tolerance_factor"),
        (OctahedralFactor(), "octahedral_factor"),
        (BartelTau(), "bartel_tau"),
    ):
        first, second = rule(whole), rule(parts)
        assert first.columns[column] == pytest.approx(second.columns[column], nan_ok=True)
        assert first.unknown == second.unknown


def test_ions_decide_the_radius(table_of):
    row = ("La", "Fe", "O")
    plain = OctahedralFactor()(table_of("cubic-perovskite", row)).columns["octahedral_factor"]
    assert plain == pytest.approx([0.645 / 1.40])
    states = {"A": {"La": (2,)}, "B": {"Fe": (4,)}}
    ions = OctahedralFactor()(table_of("cubic-perovskite", row, oxidation_states=states))
    assert ions.columns["octahedral_factor"] == pytest.approx([0.585 / 1.40])


# octahedral factor


def test_octahedral_factors_of_known_perovskites_lie_in_the_window(table_of):
    rows = [
        ("Sr", "Ti", "O"),
        ("La", "Al", "O"),
        ("Ca", "Mn", "O"),
        ("Cs", "Pb", "F"),
        ("Cs", "Pb", "I"),
        ("K", "Mg", "F"),
    ]
    result = OctahedralFactor(unknown="drop")(table_of("cubic-perovskite", *rows))
    expected = [0.605 / 1.40, 0.535 / 1.40, 0.53 / 1.40, 1.19 / 1.33, 1.19 / 2.20, 0.72 / 1.33]
    assert result.columns["octahedral_factor"] == pytest.approx(expected)
    assert result.keep.all()


def test_compounds_without_octahedra_lie_outside(table_of):
    rows = [("K", "N", "O"), ("Ca", "C", "O"), ("Cs", "Ba", "F")]
    result = OctahedralFactor(unknown="drop")(table_of("cubic-perovskite", *rows))
    assert (result.keep.tolist(), result.unknown) == ([False] * 3, 0)


# tau of Bartel et al.: elements on A, B (and B') and X, and the published tau
# (tables S1 and S3 of Sci. Adv. 5, eaav0693, https://github.com/CJBartel/perovskite-stability)

TABLE_S1 = """\
Ag Br O 6.43; Ag Cd Br 5.58; Pb Ag Br 7.71; Ag Mg Cl 4.6; Ag Co F 3.96; Ag Nb O 4.07; Ag V O 4.34; Al B O 4.88
Bi Al O 2.0; Ce Al O 1.8; Eu Al O 2.12; Fe Al O 5.22; La Al O 1.79; Ba Am O 3.58; Am V O 11.85; Li As O 4.93
Sb As O 7.96; Fe B O 4.35; Cs Ba Br 4.66; Ba Na Br 4.84; Ba C O 13.47; Ba Ce O 3.62; Ba Li Cl 4.03; Ba Co O 4.11
Ba Cr O 4.0; Cs Ba F 4.19; Ba Hf O 3.51; Ba Ir O 3.68; Ba Mn O 4.11; Ba Pb O 3.49; Ba Ti O 3.75; Ba U O 3.68
K Be Cl 5.84; Tl Be Cl 5.86; Bi In O 4.29; K Bi O 3.65; Li Bi O 7.18; Bi Mn O 2.31; Cs Br O 6.88; Rb Cd Br 4.11
Li Co Br 7.48; Cs Hg Br 3.94; Cs Mn Br 4.13; Cs Ni Br 4.56; Cs Ti Br 4.07; Cd C O 12.54; Pb C O 13.1; Ca Cu Cl 4.63
Ca V O 3.93; Ca Nb O 3.87; Cd Cu Cl 4.75; Tl Cd Cl 3.98; Cd Ge O 4.1; Cd S O 5.38; Te Cd O 181.51; Ce Cr O 1.84
Ce Fe O 1.2; Ce Lu O 3.18; Sr Ce O 4.18; Ce V O 1.51; Cr Li Cl 39.43; Cs Eu Cl 3.94; Cs V Cl 4.04; K Sm Cl 5.03
Pb Li Cl 4.21; V Li Cl 52.08; Tl Pb Cl 4.53; Dy Co O 2.57; Co Mn O 5.06; Te Co O 5.61; Co Ti O 5.81; Dy Cr O 2.61
K Cr F 3.52; Cr Mo O 10.01; Pu Cr O 12.08; Sc Cr O 5.51; V Cr O 71.63; Cs Dy I 4.17; Cs Mg F 3.57; Cs Pb I 4.3
Cs Nb O 3.91; K Cu F 3.6; Cu Ge O 7.25; La Cu O 1.77; Cu Nb O 7.69; Dy Mn O 2.89; Er V O 3.02; Eu Ti O 2.85
K Fe F 3.53; K V F 3.53; Mn Li F 8.56; Pb Na F 5.01; Rb Pb F 4.04; Fe Ga O 9.7; Tl Fe I 4.62; Fe Mn O 4.94
La Fe O 1.65; Fe Ti O 5.57; Ge Mn O 7.25; Hg Se O 4.33; Hg Ti O 4.26; I Li O 4.85; Na I O 4.32; Tl I O 3.55
Sm In O 3.36; K U O 3.65; La Tl O 3.31; Li Re O 4.85; Ni Mn O 8.51; Ti Mn O 75.12; Sr Mo O 3.72
Tl N O 14.86; Pr Ru O 2.51; Pb Te O 4.6; Pu V O 10.71; Te Zn O 5.26; Tl V O 3.97; Y Yb O 9.98; Ag Bi O 4.07
Ti B O 4.38; Ba Ni O 4.46; Cs Pb Br 4.1; Cs Pb Cl 3.98; Ce Ti O 4.44; Cu Zn Cl 27.63; Te Cu O 4.62; Dy Sc O 4.54
Hg Te O 12.0; K Pa O 3.62; Na W O 4.04; Tl Ni O 3.32; Sr Ti O 3.8; Y Tm O 10.9; Sr Pb O 3.8; Mg Si O 5.06
"""

TABLE_S3 = """\
Cs Ac Ag Cl 3.88; Cs Ac Au Cl 4.12; Cs Ac Fr Cl 5.33; Cs Ac K Cl 4.13; Cs Ac Li Cl 3.81; Cs Ac Rb Cl 4.4
Cs Ag Al Cl 3.93; Cs Ag Am Cl 3.8; Cs Ag Au Cl 3.79; Cs Ag B Cl 4.27; Cs Ag Bi Cl 3.82; Cs Ag Br Cl 3.88
Cs Ag Co Cl 3.87; Cs Ag Cr Cl 3.87; Cs Ag Cu Cl 3.92; Cs Ag Fe Cl 3.85; Cs Ag In Cl 3.79; Cs Ag Mn Cl 3.85
Cs Ag N Cl 4.49; Cs Ag Ni Cl 3.88; Cs Ag P Cl 4.02; Cs Ag Tl Cl 3.79; Cs Al Cu Cl 4.5; Cs Al Fr Cl 3.93
Cs Al Hg Cl 3.9; Cs Al Pd Cl 4.99; Cs Al Tl Cl 3.79; Cs Am Au Cl 3.94; Cs Am Ba Cl 4.23; Cs Am Be Cl 3.95
Cs Am Co Cl 3.79; Cs Am Cr Cl 3.79; Cs Am Cu Cl 3.88; Cs Am Dy Cl 3.88; Cs Am Eu Cl 3.98; Cs Am Fe Cl 3.79
Cs Am Hg Cl 3.82; Cs Am Pd Cl 4.05; Cs Am Pt Cl 3.79; Cs Am Tl Cl 4.1; Cs Am Yb Cl 3.85; Cs Au Cu Cl 3.8
Cs Au Hg Cl 3.79; Cs Au Pd Cl 3.81; Cs Au Tl Cl 3.87; Cs Au Fr Cl 4.42; Cs B Hg Cl 4.2; Cs B Pd Cl 6.17
Cs Ba Hg Cl 3.96; Cs Ba Cu Cl 3.79; Cs Ba Dy Cl 4.02; Cs Ba Eu Cl 4.17; Cs Ba Pd Cl 3.84; Cs Ba Pt Cl 3.81
"""


def published(text):
    rows = [row.split() for row in text.replace("\n", ";").split(";") if row.strip()]
    return [row[:-1] for row in rows], np.array([float(row[-1]) for row in rows])


@pytest.mark.parametrize(("prototype", "text"), [("cubic-perovskite", TABLE_S1), ("elpasolite", TABLE_S3)])
def test_tau_is_the_published_one(prototype, text, table_of):
    rows, expected = published(text)
    result = BartelTau(unknown="drop")(table_of(prototype, *rows))
    # published to two decimals, from radii in Shannon's table; large values stand for r_A close to r_B
    assert result.columns["bartel_tau"] == pytest.approx(expected, abs=0.006, rel=2e-3)
    decided = np.abs(expected - 4.18) > 0.005
    assert (result.keep == (expected < 4.18))[decided].all()
    assert result.unknown == 0


def test_elements_on_each_others_sites_are_removed(table_of):
    right, wrong = ("Sr", "Ti", "O"), ("Ti", "Sr", "O")
    result = BartelTau()(table_of("cubic-perovskite", right, wrong))
    assert (result.keep.tolist(), result.unknown) == ([True, False], 0)
    assert np.isnan(result.columns["bartel_tau"]).tolist() == [False, True]


@pytest.mark.parametrize(
    "row",
    [
        ("Sr", "Ti", "P"),  # an anion that the rule does not know
        ("Sr", "Ti", "F"),  # no neutral choice
        ("Cs", "Sn", "I"),  # Shannon has no Sn2+
        ("He", "Ti", "O"),
    ],
)
def test_tau_is_unknown_without_charges_or_radii(row, table_of):
    table = table_of("cubic-perovskite", row)
    kept, dropped = BartelTau()(table), BartelTau(unknown="drop")(table)
    assert (kept.keep.tolist(), kept.unknown) == ([True], 1)
    assert (dropped.keep.tolist(), dropped.unknown) == ([False], 1)
    assert np.isnan(kept.columns["bartel_tau"]).all()


@given(radii, radii, radii, st.integers(1, 5))
def test_tau_scales_away_and_needs_a_larger_a(a, b, x, charge):
    tau = bartel_tau(a, b, x, charge)
    assert np.isnan(tau) == (a <= b)
    if a > 1.01 * b:
        assert bartel_tau(2 * a, 2 * b, 2 * x, charge) == pytest.approx(tau)
