from __future__ import annotations

import numpy as np
import pytest
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.errors import UserError
from matscout.workflows.stability import Hull, calibration_sample, measure_error


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
