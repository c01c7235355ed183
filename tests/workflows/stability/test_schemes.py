from __future__ import annotations

import numpy as np
import pytest
from pymatgen.entries.computed_entries import CompositionEnergyAdjustment, ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import (
    Hull,
    calibration_sample,
    check_joinable,
    get_scheme,
    measure_error,
    read_entries,
)

MP = {"run_type": "GGA", "hubbards": {}}


def corrected(formula, energy=-5.0, name="MP2020 anion correction (oxide)"):
    adjustment = CompositionEnergyAdjustment(-0.687, 1, name=name)
    return ComputedEntry(formula, energy, energy_adjustments=[adjustment], parameters=MP, entry_id=f"mp-{formula}")


def test_one_protocol_needs_no_scheme():
    check_joinable(["gpaw-pbe", "gpaw-pbe"], "none")
    check_joinable([], "none")


def test_two_protocols_without_a_scheme_are_named():
    with pytest.raises(UserError, match=r"protocols chgnet-relax and mp2020 cannot .* chgnet-as-mp2020"):
        check_joinable(["mp2020", "chgnet-relax"], "none")


def test_chgnet_stands_beside_corrected_entries_and_nothing_else_does():
    check_joinable(["chgnet-relax", "mp2020"], "chgnet-as-mp2020")
    with pytest.raises(UserError, match="not with gpaw-pbe"):
        check_joinable(["chgnet-relax", "mp2020", "gpaw-pbe"], get_scheme("chgnet-as-mp2020"))


def test_an_unknown_scheme_is_answered_with_the_nearest():
    with pytest.raises(UserError, match=r"'chgnet-as-mp20'\. Nearest: chgnet-as-mp2020\."):
        get_scheme("chgnet-as-mp20")


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


def test_no_scheme_takes_any_entries():
    get_scheme("none").check_references([ComputedEntry("MgO", -12)])


def test_the_error_of_a_scheme_is_protocol_minus_reference():
    error = measure_error([-3.0, -2.0, -1.0], [-3.3, -1.9, -1.1])
    assert (error.n, error.mean, error.mae, error.max) == pytest.approx((3, -0.1, 0.5 / 3, 0.3))


@pytest.mark.parametrize(
    ("reference", "protocol", "words"),
    [([], [], "got shapes"), ([1.0], [1.0, 2.0], "got shapes"), ([1.0], [np.nan], "needs finite energies")],
)
def test_an_error_of_nothing_or_of_failures_is_refused(reference, protocol, words):
    with pytest.raises(UserError, match=words):
        measure_error(reference, protocol)


def test_the_calibration_sample_is_small_near_the_hull_and_always_the_same(iron_phosphates):
    elements = ["Li", "Fe", "O"]
    sample = calibration_sample(iron_phosphates, elements, 12)
    sizes = [len(entry.structure) for entry in sample]
    assert len(sample) == 12
    assert sizes == sorted(sizes)
    assert len({entry.reduced_formula for entry in sample}) == 12
    assert all(set(entry.composition.get_el_amt_dict()) <= set(elements) for entry in sample)
    distances = Hull.from_entries(iron_phosphates).e_above_hull(
        [entry.composition for entry in sample], [entry.energy_per_atom for entry in sample]
    )
    assert distances.max() <= 0.025
    again = calibration_sample(iron_phosphates[::-1], elements[::-1], 12)
    assert [entry.entry_id for entry in again] == [entry.entry_id for entry in sample]


def test_a_calibration_sample_needs_structures():
    entries = [ComputedEntry("Mg", -1), ComputedEntry("O2", -9), ComputedEntry("MgO", -12)]
    assert calibration_sample(entries, ["Mg", "O"], 5) == []
    assert calibration_sample(entries, ["Cu"], 5) == []
