from __future__ import annotations

import pytest
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedEntry

from matscout.errors import UserError
from matscout.workflows.calculations import list_protocols
from matscout.workflows.stability import Hull, check_joinable, get_scheme, protocols_of, read_entries

MP = {"run_type": "GGA", "hubbards": {}}


def corrected(formula, energy=-5.0, name="MP2020 anion correction (oxide)", value=-0.687):
    adjustment = CompositionEnergyAdjustment(value, 1, name=name)
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
        (
            [ComputedEntry("MgO", -12, entry_id="x")],
            r"1 do not state how they were calculated: x \(MgO\)\. State it in",
        ),
        (
            [ComputedEntry("MgO", -12, parameters=MP, entry_id="x")],
            r"1 are not corrected \(GGA\).*: x \(MgO\)\. Correct",
        ),
        (
            [corrected("MgO"), corrected("CaO", name="MP Anion Correction")],
            r"1 are corrected, but not by MP2020: mp-CaO",
        ),
        (
            [corrected("MgO"), ComputedEntry("CaO", -12, data={"protocol": "gpaw-pbe"}, entry_id="x")],
            r"1 are of gpaw-pbe: x \(CaO\)\. Leave them out, or calculate the references again",
        ),
    ],
)
@pytest.mark.parametrize("method", ["check_references", "correct"])
def test_entries_of_another_origin_are_named(entries, words, method):
    with pytest.raises(UserError, match=words):
        getattr(get_scheme("chgnet-as-mp2020"), method)(entries)


def test_elements_and_alloys_need_no_correction_of_their_own():
    alloys = [ComputedEntry(formula, -5, parameters=MP) for formula in ("Mg", "O2", "MgCu2")]
    get_scheme("chgnet-as-mp2020").check_references([*alloys, corrected("MgO")])
    assert protocols_of(get_scheme("chgnet-as-mp2020").correct(alloys).entries) == ["mp2020"] * 3


@pytest.mark.parametrize("formula", ["CdTe", "CdSe", "Mg2Si", "InSb", "CdH2", "Li2S5"])
def test_every_anion_that_mp2020_corrects_must_be_corrected(formula):
    raw = ComputedEntry(formula, -5, parameters=MP, entry_id="raw")
    with pytest.raises(UserError, match=rf"1 are not corrected .*: raw \({formula}\)"):
        get_scheme("chgnet-as-mp2020").check_references([corrected("MgO"), raw])


def test_one_uncorrected_oxide_among_many_corrected_is_too_many():
    many = [corrected(f"Mg{n}O") for n in range(1, 20)]
    with pytest.raises(UserError, match=r"1 are not corrected .*: raw \(Li2O\)"):
        get_scheme("chgnet-as-mp2020").check_references(
            [*many, ComputedEntry("Li2O", -14, parameters=MP, entry_id="raw")]
        )


@pytest.mark.parametrize("others", [[corrected("CaO"), corrected("SrO")], [corrected("CaO")], []])
def test_corrections_of_another_version_than_the_published_are_refused(others):
    older = corrected("MgO", value=-0.9)
    for entries in ([older, *others], [*others, older]):
        with pytest.raises(
            UserError,
            match=r"1 are corrected by another version of MP2020 \(anion correction \(oxide\) -0\.9 eV/atom\): mp-MgO",
        ):
            get_scheme("chgnet-as-mp2020").check_references(entries)


def test_a_hull_of_entries_that_state_nothing_is_refused_and_says_what_to_state():
    entries = [ComputedEntry("Mg", -1.5), ComputedEntry("O2", -9.8), ComputedEntry("MgO", -12)]
    with pytest.raises(UserError, match=r'3 do not state .*Mg \(entries\[0\]\).*"protocol": "mp2020".*under "data"'):
        Hull.from_entries(entries, scheme="chgnet-as-mp2020")
    stated = [ComputedEntry(e.composition, e.energy, data={"protocol": "mp2020"}) for e in entries]
    assert Hull.from_entries(stated, scheme="chgnet-as-mp2020").protocols == ("mp2020",)


def test_joined_are_the_protocols_whose_model_learned_corrected_energies():
    """Not any that is called so: a model fitted to another functional may be."""
    learned = {p.name for p in list_protocols() if "MP2020" in p.functional and "check" not in p.settings}
    assert {
        p for p in [*learned, "chgnet-r2scan", "mp2020-gpaw"] if get_scheme("chgnet-as-mp2020").joins([p])
    } == learned
    assert learned
