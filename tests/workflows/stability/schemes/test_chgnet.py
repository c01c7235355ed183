from __future__ import annotations

import pytest
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import check_joinable, get_scheme, read_entries

MP = {"run_type": "GGA", "hubbards": {}}


def corrected(formula, energy=-5.0, name="MP2020 anion correction (oxide)"):
    adjustment = CompositionEnergyAdjustment(-0.687, 1, name=name)
    return ComputedEntry(formula, energy, energy_adjustments=[adjustment], parameters=MP, entry_id=f"mp-{formula}")


def test_chgnet_stands_beside_corrected_entries_and_nothing_else_does():
    ids = {"chgnet-relax": ["CsF"], "mp2020": ["mp-1"]}
    check_joinable(ids, "chgnet-as-mp2020")
    with pytest.raises(UserError, match=r"not with gpaw-pbe \(KF\)"):
        check_joinable({**ids, "gpaw-pbe": ["KF"]}, get_scheme("chgnet-as-mp2020"))


def test_nothing_is_changed(iron_phosphates):
    given = iron_phosphates[:5]
    assert list(get_scheme("chgnet-as-mp2020").correct(given).entries) == given


def test_the_943_entries_are_what_the_scheme_takes_them_for(iron_phosphates):
    get_scheme("chgnet-as-mp2020").check_references(iron_phosphates)


def test_older_corrections_are_refused(data):
    with pytest.raises(UserError, match=r"783 are corrected, but not by MP2020"):
        get_scheme("chgnet-as-mp2020").check_references(read_entries(data / "entries" / "Li-Fe-P-O_entries.json.gz"))


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([ComputedEntry("MgO", -12, entry_id="x")], r"1 show no sign of the Materials Project.*: x \(MgO\)"),
        ([ComputedEntry("MgO", -12, parameters=MP, entry_id="x")], r"1 are not corrected.*: x \(MgO\)"),
        (
            [corrected("MgO"), corrected("CaO", name="MP Anion Correction")],
            r"1 are corrected, but not by MP2020: mp-CaO",
        ),
    ],
)
def test_entries_of_another_origin_are_named(entries, words):
    with pytest.raises(UserError, match=words):
        get_scheme("chgnet-as-mp2020").check_references(entries)


def test_elements_and_alloys_need_no_correction_of_their_own():
    alloys = [ComputedEntry(formula, -5, parameters=MP) for formula in ("Mg", "O2", "MgCu2")]
    get_scheme("chgnet-as-mp2020").check_references([*alloys, corrected("MgO")])
