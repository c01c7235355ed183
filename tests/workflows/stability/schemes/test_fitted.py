from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition
from pymatgen.core.entries import ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import (
    FittedReferences,
    FormationEnthalpy,
    Hull,
    check_joinable,
    get_scheme,
    protocols_of,
)

SETTINGS = {"run_type": "GGA", "hubbards": {}}
ENERGIES = {"Li": -1.9, "Mg": -1.5, "O": -4.9, "Cl": -1.8}
SHIFTS = {"Li": 0.3, "Mg": 0.5, "O": 0.25, "Cl": 0.2}
FORMULAS = ("Li2O", "MgO", "LiCl", "MgCl2", "LiClO4", "Li2MgO2", "Mg(ClO4)2")


def made(formulas=FORMULAS, shifts=SHIFTS):
    """Elements, and compounds whose experimental enthalpy the shifts would make exact."""
    enthalpies = {formula: -1.5 * Composition(formula).num_atoms for formula in formulas}
    entries = [ComputedEntry(e, energy, parameters=SETTINGS, entry_id=e) for e, energy in ENERGIES.items()]
    for formula, enthalpy in enthalpies.items():
        amounts = Composition(formula).get_el_amt_dict()
        energy = enthalpy + sum(n * (ENERGIES[e] + shifts[e]) for e, n in amounts.items())
        entries.append(ComputedEntry(formula, energy, parameters=SETTINGS, entry_id=formula))
    return entries, enthalpies


@pytest.fixture(scope="module")
def public(compounds, enthalpies):
    return FittedReferences.fit(compounds, enthalpies)


def test_shifts_that_are_in_the_data_are_found():
    fitted = FittedReferences.fit(*made())
    assert fitted.shifts == pytest.approx(SHIFTS)
    assert fitted.references == pytest.approx({e: ENERGIES[e] + SHIFTS[e] for e in sorted(SHIFTS)})
    assert fitted.not_fitted == ()
    assert np.abs(fitted.errors).max() < 1e-12


@given(st.dictionaries(st.sampled_from(sorted(SHIFTS)), st.floats(-2, 2), min_size=4, max_size=4))
def test_corrected_compounds_have_their_experimental_formation_energies_on_a_hull(shifts):
    entries, enthalpies = made(shifts=shifts)
    corrected = FittedReferences.fit(entries, enthalpies).correct(entries).entries
    hull = Hull.from_entries(corrected)
    formation = hull.formation_energy(FORMULAS, [e.energy_per_atom for e in corrected[len(ENERGIES) :]])
    assert formation == pytest.approx(-1.5, abs=1e-9)


def test_the_public_data_give_the_error_to_be_expected(public, enthalpies):
    fitted, left_out = np.abs(public.errors).mean(), np.abs(public.left_out_errors).mean()
    assert 0.045 < fitted < 0.060
    assert 0.060 < left_out < 0.075
    assert len(public.formulas) + len(public.unused) == len(enthalpies) == 241
    assert dict(public.unused) == dict.fromkeys(("Fe2(SeO3)3", "CaOCl2", "LiBeF3"), "no calculated entry")
    assert "65 meV/atom left out one at a time" in str(public)


def test_elements_with_u_are_species_of_their_own_and_without_compounds_keep_their_energy(public):
    with_u = {species for species in public.shifts if species.endswith("+U")}
    assert with_u == {"Co+U", "Cr+U", "Fe+U", "Mn+U", "Mo+U", "Ni+U", "V+U", "W+U"}
    assert public.not_fitted == ("Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W")
    assert public.references["Fe"] == public.computed["Fe"]
    assert min(public.shifts[species] for species in with_u) > 2 > max(public.shifts[s] for s in ("O", "Li", "Cl"))


def test_an_error_left_out_is_that_of_a_fit_without_the_compound(compounds, enthalpies):
    """Brute force, on the enthalpies whose formula is written as the entry's: one of them alone tells an element."""
    written = [e for e in enthalpies if e.composition.reduced_formula == e.formula][::3]
    fitted = FittedReferences.fit(compounds, written)
    energy_of = {e.reduced_formula: e for e in sorted(compounds, key=lambda e: -e.uncorrected_energy_per_atom)}
    lone = 0
    for formula, error in list(zip(fitted.formulas, fitted.left_out_errors, strict=True))[::5]:
        others = FittedReferences.fit(compounds, [e for e in written if e.formula != formula])
        lone += len(others.not_fitted) > len(fitted.not_fitted)
        (corrected,) = others.correct([energy_of[Composition(formula).reduced_formula]]).entries
        amounts = corrected.composition.get_el_amt_dict()
        formation = corrected.energy - sum(n * others.computed[symbol] for symbol, n in amounts.items())
        experimental = next(e.energy_per_atom for e in written if e.formula == formula)
        assert error == pytest.approx(formation / corrected.composition.num_atoms - experimental, abs=1e-8)


def test_what_the_data_cannot_tell_keeps_its_energy_and_bends_nothing():
    """Magnesium and chlorine come only together: neither is told, and the others are as without them."""
    entries, enthalpies = made(("Li2O", "Li2O2", "MgCl2"))
    fitted = FittedReferences.fit(entries, enthalpies)
    assert fitted.not_fitted == ("Cl", "Mg")
    assert fitted.shifts == pytest.approx({"Li": SHIFTS["Li"], "O": SHIFTS["O"]})
    assert "computed energies kept for Cl, Mg" in str(fitted)
    corrected = fitted.correct(entries)
    assert corrected.report["not_fitted"] == ["Cl", "Mg"]
    assert corrected.entries[-1].energy == entries[-1].energy


def test_experiments_are_matched_by_composition_and_the_lowest_counts():
    entries, enthalpies = made()
    written = {"O2Li4": 2 * enthalpies.pop("Li2O"), "OMg": enthalpies.pop("MgO"), **enthalpies}
    assert FittedReferences.fit(entries, written).shifts == pytest.approx(SHIFTS)
    higher = [ComputedEntry("MgO", 0, parameters=SETTINGS, entry_id="high"), *entries]
    both = [
        FormationEnthalpy("MgO", -1),
        *(FormationEnthalpy(f, e) for f, e in {**written, "KBr": -3, "O2": 0}.items()),
    ]
    fitted = FittedReferences.fit(higher, both)
    assert fitted.shifts == pytest.approx(SHIFTS)
    assert dict(fitted.unused) == {
        "MgO": "not the lowest of its composition",
        "KBr": "no calculated entry",
        "O2": "an element",
    }


def test_corrections_that_entries_have_are_taken_off_first(iron_phosphates, uncorrected, public):
    from_corrected, from_bare = (public.correct(each).entries for each in (iron_phosphates, uncorrected))
    assert [e.energy for e in from_corrected] == pytest.approx([e.energy for e in from_bare])
    again = public.correct(from_corrected).entries
    assert [e.energy for e in again] == pytest.approx([e.energy for e in from_corrected])
    assert [e.energy for e in get_scheme("mp2020").correct(from_corrected).entries] == pytest.approx(
        [e.energy for e in iron_phosphates]
    )


def test_what_goes_in_stays_as_it_is():
    entries, enthalpies = made()
    before = deepcopy(entries)
    FittedReferences.fit(entries, enthalpies).correct(entries)
    assert [e.as_dict() for e in entries] == [e.as_dict() for e in before]


def test_elements_stay_where_they_are(public, uncorrected):
    elements = [e for e in uncorrected if e.is_element]
    assert [e.energy for e in public.correct(elements).entries] == [e.energy for e in elements]


def test_corrected_entries_are_a_protocol_of_their_own(public, uncorrected):
    entries = public.correct(uncorrected).entries
    assert set(protocols_of(entries)) == {public.protocol}
    other = FittedReferences.fit(*made())
    assert other.protocol != public.protocol
    check_joinable({public.protocol: ["mp-1"]}, public)
    with pytest.raises(UserError, match=r"energies of GGA \(mp-2\) and mp2020 \(mp-3\) are not counted from fitted"):
        check_joinable({public.protocol: ["mp-1"], "GGA": ["mp-2"], "mp2020": ["mp-3"]}, public)
    assert public.joins(["GGA", "GGA+U", "mp2020", "mp-legacy"])
    assert not public.joins(["GGA", "r2SCAN"])


@pytest.mark.parametrize("protocol", ["gpaw-pbe", "chgnet-relax", "r2SCAN"])
def test_another_functional_is_refused_with_its_entries(public, run, protocol):
    foreign = ComputedEntry("MgO", -12, entry_id="own-1", data={"protocol": protocol})
    with pytest.raises(UserError, match=rf"belong to GGA energies, .* not to {protocol} \(own-1\)"):
        public.correct([run("Mg"), foreign])


def test_a_fit_to_ones_own_protocol_corrects_that_and_no_other():
    entries, enthalpies = made()
    for entry in entries:
        entry.data = {"protocol": "gpaw-pbe"}
    fitted = FittedReferences.fit(entries, enthalpies)
    assert fitted.joins(["gpaw-pbe"])
    assert not fitted.joins(["gpaw-pbe", "GGA"])
    assert len(fitted.correct(entries).entries) == len(entries)


def test_another_treatment_of_u_is_left_out_with_the_reason(public, run):
    entries = [
        run("Fe2O3", -40, name="as fitted", Fe=5.3),
        run("Fe2O3", -40, name="weak", Fe=4.0),
        run("Fe2O3", -40, name="none"),
        run("Li2O", -14, name="odd", Li=1.0),
        run("Fe", -8, name="metal", Fe=5.3),
        ComputedEntry("FeO", -14, parameters={"run_type": "GGA+U"}, entry_id="unknown"),
        ComputedEntry("FeO", -14, data={"protocol": "mp2020"}, entry_id="stated"),
    ]
    corrected = public.correct(entries)
    assert [entry.entry_id for entry in corrected.entries] == ["as fitted"]
    assert dict(corrected.left_out) == {
        "weak": "U = 4 eV on Fe, which the references were fitted with U = 5.3 eV",
        "none": "no U on Fe in an oxide, where the references were fitted with U = 5.3 eV",
        "odd": "U = 1 eV on Li, which the references were fitted without U",
        "metal": "an element run with U = 5.3 eV",
        "unknown": "run with +U, but its parameters do not say on which elements",
        "stated": "called mp2020, but without the corrections that were made",
    }


def test_iron_without_u_is_no_iron_with_u(public, run):
    corrected = public.correct([run("FeS", -13), run("Fe2O3", -40, Fe=5.3)]).entries
    assert [a.name for a in corrected[0].energy_adjustments] == ["fitted reference (S)"]
    assert [a.name for a in corrected[1].energy_adjustments] == ["fitted reference (Fe+U)", "fitted reference (O)"]


def test_energies_that_only_sound_like_the_fitted_ones_are_refused(public, run):
    """GGA+U of another code is not the GGA of the fit, whatever its name begins with."""
    foreign = run("Fe2O3", -30, Fe=5.3, data={"protocol": "GGA+U-QE"})
    with pytest.raises(UserError, match=r"belong to GGA energies, .* not to GGA\+U-QE \(mp-Fe2O3\)"):
        public.correct([run("Mg"), foreign])
    assert public.joins(["GGA", "GGA+U (Fe 4)"])
    assert not public.joins(["GGA", "GGA+U-QE"])
    assert not public.joins(["GGA", "fitted-references-qe"])


def test_what_is_left_out_without_an_id_goes_by_its_formula_and_place(public, run):
    nameless = run("FeO", -14)
    nameless.entry_id = None
    assert [name for name, _ in public.correct([run("Mg"), nameless]).left_out] == ["FeO (entries[1])"]


def test_elements_of_other_settings_are_pointed_out(public, run):
    lines = public.correct([run("Mg", public.computed["Mg"]), run("O", public.computed["O"] + 0.3)]).lines
    assert lines[-1].startswith("O lies 0.30 eV/atom from where the fit has it")


def test_uncertain_experiments_weigh_less():
    entries, enthalpies = made(("Li2O", "Li2O2", "LiO2"))
    given = [FormationEnthalpy(f, e, 0.01) for f, e in enthalpies.items()]
    wrong = FormationEnthalpy("LiO2", enthalpies["LiO2"] + 1.0, 10.0)
    even = FittedReferences.fit(entries, [*given[:2], wrong])
    weighted = FittedReferences.fit(entries, [*given[:2], wrong], weighted=True)
    assert weighted.shifts == pytest.approx({"Li": 0.3, "O": 0.25}, abs=1e-3)
    assert abs(even.shifts["O"] - 0.25) > 0.05
    unknown = [FormationEnthalpy(e.formula, e.energy) for e in (*given[:2], wrong)]
    assert FittedReferences.fit(entries, unknown, weighted=True).shifts == pytest.approx(even.shifts)


def test_entries_that_cannot_be_fitted_together_are_named(run):
    entries, enthalpies = made()
    with pytest.raises(UserError, match=r"one functional.*GGA \(Li, Mg, O and 8 more\) and r2SCAN \(mp-CaO\)"):
        FittedReferences.fit([*entries, run("CaO", run_type="r2SCAN")], enthalpies)
    with pytest.raises(UserError, match=r"Fe has two values of U: 4 eV \(mp-FeO\) and 5\.3 eV \(mp-Fe2O3\)"):
        FittedReferences.fit([*entries, run("Fe2O3", Fe=5.3), run("FeO", Fe=4.0)], enthalpies)
    unknown = ComputedEntry("FeO", -14, parameters={"run_type": "GGA+U"}, entry_id="x")
    with pytest.raises(UserError, match=r"do not say on which elements: x"):
        FittedReferences.fit([*entries, unknown], enthalpies)
    with pytest.raises(UserError, match=r"none of the 1 formation enthalpies .* KBr: no calculated entry"):
        FittedReferences.fit(entries, {"KBr": -3})
    with pytest.raises(UserError, match=r"MgO: no calculated entry of the element Mg"):
        FittedReferences.fit([e for e in entries if e.entry_id != "Mg"], {"MgO": -3})
    with pytest.raises(UserError, match="these are none"):
        FittedReferences.fit([], {"MgO": -3})


def test_files_name_a_scheme_that_is_fitted_once(data, public, uncorrected):
    name = ":".join(
        ("fitted-references", *(str(data / "entries" / f"{x}_compounds_norm.json.gz") for x in ("calc", "exp")))
    )
    scheme = get_scheme(name)
    assert scheme.name == name
    assert scheme.protocol == public.protocol
    assert get_scheme(name) is scheme
    hull = Hull.from_entries(uncorrected, scheme=name)
    assert hull.protocols == (public.protocol,)
    assert hull.scheme == name


def test_a_changed_file_is_fitted_again(tmp_path):
    from monty.serialization import dumpfn

    entries, enthalpies = made()
    calculated, experimental = tmp_path / "calc.json", tmp_path / "exp.json"
    dumpfn(entries, calculated)
    dumpfn([{"formula": f, "exp energy": e} for f, e in enthalpies.items()], experimental)
    first = FittedReferences.from_files(calculated, experimental)
    assert first.shifts == pytest.approx(SHIFTS)
    dumpfn([{"formula": f, "exp energy": e - 0.1} for f, e in enthalpies.items()], experimental)
    assert FittedReferences.from_files(calculated, experimental).digest != first.digest
