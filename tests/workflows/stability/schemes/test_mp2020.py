from __future__ import annotations

import re
from copy import deepcopy

import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core.entries import ComputedEntry, ConstantEnergyAdjustment
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

from matscout.errors import UserError
from matscout.workflows.stability import Hull, check_joinable, get_scheme, protocols_of, read_entries


@pytest.fixture
def scheme():
    return get_scheme("mp2020")


def test_iron_oxide_gets_the_published_corrections(run, scheme):
    """Wang et al. 2021: -0.687 eV for each oxide ion, -2.256 eV for each iron with U."""
    (corrected,) = scheme.correct([run("Fe2O3", -40.0, Fe=5.3, data={"oxide_type": "oxide"})]).entries
    assert corrected.energy == pytest.approx(-40.0 - 3 * 0.687 - 2 * 2.256)


def test_what_goes_in_stays_as_it_is(run, scheme):
    entries = [run("MgO", -12, data={"oxide_type": "oxide"}), run("Mg", -1.5)]
    before = deepcopy(entries)
    corrected = scheme.correct(entries)
    assert [entry.as_dict() for entry in entries] == [entry.as_dict() for entry in before]
    assert [entry.entry_id for entry in corrected.entries] == ["mp-MgO", "mp-Mg"]
    assert protocols_of(corrected.entries[1:]) == ["mp2020"]


def test_entries_corrected_already_stay_as_they_are(iron_phosphates, scheme):
    corrected = scheme.correct(iron_phosphates)
    given = [entry.energy for entry in iron_phosphates]
    assert [entry.energy for entry in corrected.entries] == pytest.approx(given, abs=1e-9)
    assert corrected.report["changed"] == 0
    again = scheme.correct(corrected.entries)
    assert [entry.energy for entry in again.entries] == [entry.energy for entry in corrected.entries]


def test_uncorrected_and_older_entries_come_out_as_pymatgen_has_them(data, uncorrected, iron_phosphates, scheme):
    from_bare = scheme.correct(uncorrected).entries
    assert [e.energy for e in from_bare] == pytest.approx([e.energy for e in iron_phosphates], abs=1e-9)
    older = read_entries(data / "entries" / "Li-Fe-P-O_entries.json.gz")[::20]
    ours = scheme.correct(older)
    with pytest.warns(UserWarning, match="oxidation states"):
        theirs = MaterialsProject2020Compatibility().process_entries(deepcopy(older))
    assert [e.energy for e in ours.entries] == pytest.approx([e.energy for e in theirs])
    assert ours.report["changed"] > 0


def test_the_hull_of_uncorrected_entries_needs_the_scheme_and_then_has_the_forty_phases(uncorrected, iron_phosphates):
    with pytest.raises(UserError, match=r"protocols GGA and GGA\+U cannot .*GGA \(mp-.* and GGA\+U \(mp-.*: mp2020, "):
        Hull.from_entries(uncorrected)
    hull = Hull.from_entries(uncorrected, scheme="mp2020")
    assert set(hull.stable_ids) == {entry.entry_id for entry in PhaseDiagram(iron_phosphates).stable_entries}
    assert hull.protocols == ("mp2020",)


@pytest.mark.parametrize(
    "protocol",
    ["gpaw-pbe", "chgnet-relax", "r2SCAN", "mp-gga-r2scan", "not stated", "mp2020-gpaw", "mp2020 by my code"],
)
def test_other_settings_are_refused_with_their_entries(run, scheme, protocol):
    foreign = ComputedEntry("MgO", -12, entry_id="own-1", data={"protocol": protocol})
    with pytest.raises(UserError, match=rf"Materials Project's settings, not for {protocol} \(.*own-1\)"):
        scheme.correct([run("Mg"), foreign])
    with pytest.raises(UserError, match=rf"not for {protocol} \(own-1\)"):
        check_joinable({"mp2020": ["mp-1"], protocol: ["own-1"]}, "mp2020")
    assert not scheme.joins(["mp2020", protocol])


def test_entries_that_state_nothing_are_told_what_to_state(scheme):
    with pytest.raises(UserError, match=r'Let them state how they were calculated \(parameters\["run_type"\]'):
        scheme.correct([ComputedEntry("MgO", -12)])


def test_uncorrected_energies_do_not_stand_on_its_hull(scheme):
    """They would stand there silently uncorrected."""
    with pytest.raises(UserError, match=r"energies of GGA \(mp-2\) are not corrected by mp2020"):
        check_joinable({"mp2020": ["mp-1"], "GGA": ["mp-2"]}, scheme)


def test_what_pymatgen_discards_is_left_out_with_the_reason(run, scheme):
    wrong_potcar = run("Li2O", name="potcar")
    wrong_potcar.parameters["potcar_symbols"] = ["PBE Li", "PBE O"]
    no_potcar = run("MgO", name="bare")
    del no_potcar.parameters["potcar_symbols"]
    entries = [
        run("Mg"),
        wrong_potcar,
        no_potcar,
        run("Fe2O3", name="without"),
        run("Fe3O4", name="weak", Fe=4.0),
        run("FeO", name="missing", data={"protocol": "mp-legacy"}),
    ]
    corrected = scheme.correct(entries)
    reasons = dict(corrected.left_out)
    assert [entry.entry_id for entry in corrected.entries] == ["mp-Mg"]
    assert "Incompatible POTCAR" in reasons["potcar"]
    assert reasons["bare"] == "no potcar_symbols or potcar_spec in its parameters"
    assert reasons["without"] == "Invalid U value of 0.0 on Fe, expected 5.3 (run as GGA, U: none)"
    assert reasons["weak"] == "Invalid U value of 4.0 on Fe, expected 5.3 (run as GGA+U, U: Fe 4)"
    assert reasons["missing"] == "called mp-legacy, but without the corrections that were made"
    assert corrected.report["left_out"] == 5
    assert corrected.lines[-1].startswith("5 left out: potcar: Incompatible POTCAR")


def test_where_nothing_can_be_corrected_the_reason_is_said(run, scheme):
    with pytest.raises(UserError, match=r"can correct none of the 1 entries: mp-Fe2O3: Invalid U value of 0\.0 on Fe"):
        scheme.correct([run("Fe2O3")])


def test_entries_that_state_to_be_corrected_are_not_corrected_twice(scheme):
    stated = [ComputedEntry(f, -12, data={"protocol": "mp2020"}, entry_id=f) for f in ("MgO", "Mg")]
    assert [entry.energy for entry in scheme.correct(stated).entries] == [-12, -12]


def test_a_guessed_anion_is_reported(run, scheme):
    lines = scheme.correct([run("Li3N"), run("Li2FeN9", data={"oxidation_states": {}})]).lines
    assert lines[1].startswith("no oxidation states found")
    assert "mp-Li2FeN9" in lines[1]
    assert "mp-Li3N" not in lines[1]


def test_the_version_names_pymatgen_and_its_corrections(scheme):
    assert scheme.version.startswith("pymatgen 20")
    assert "MP2020Compatibility.yaml" in scheme.version


@pytest.mark.parametrize(
    "stated", ["mp2020-gpaw", "GGA+U-QE", "GGA+U of my own code", "GGA+U (Fe 5.3)", "fitted-references-qe"]
)
def test_energies_that_only_sound_like_the_materials_projects_are_refused(run, scheme, stated):
    """Even with its parameters: a name that is not exactly one of ours is another protocol."""
    entry = run("Fe2O3", -30, Fe=5.3, data={"protocol": stated, "oxide_type": "oxide"})
    with pytest.raises(UserError, match=rf"not for {re.escape(stated)} \(mp-Fe2O3\)"):
        scheme.correct([entry])
    assert not scheme.joins(["mp2020", stated]) or stated == "GGA+U (Fe 5.3)"


@pytest.mark.parametrize("run_type", ["GGA_U", "GGA+U"])
def test_every_spelling_of_a_run_type_is_corrected_alike(run, scheme, run_type):
    entry = run("Fe2O3", -40.0, Fe=5.3, data={"oxide_type": "oxide"}, run_type=run_type)
    assert scheme.correct([entry]).entries[0].correction == pytest.approx(-3 * 0.687 - 2 * 2.256)


def test_an_entry_without_an_id_goes_by_its_formula_and_place(run, scheme):
    nameless = run("Fe2O3")
    nameless.entry_id = None
    stated = ComputedEntry(
        "Li2O", -14, energy_adjustments=[ConstantEnergyAdjustment(-0.7)], data={"protocol": "mp2020"}
    )
    assert dict(scheme.correct([run("Mg"), nameless, stated]).left_out) == {
        "Fe2O3 (entries[1])": "Invalid U value of 0.0 on Fe, expected 5.3 (run as GGA, U: none)",
        "Li2O (entries[2])": "no potcar_symbols or potcar_spec in its parameters",
    }
    stated.parameters["potcar_symbols"] = ["PBE Li_sv", "PBE O"]
    assert dict(scheme.correct([run("Mg"), stated]).left_out) == {
        "Li2O (entries[1])": "run type not stated, not GGA or GGA+U"
    }
