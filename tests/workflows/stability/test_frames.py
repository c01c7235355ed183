from __future__ import annotations

import pytest
from pymatgen.analysis.phase_diagram import PhaseDiagram

from matscout.workflows.stability import Hull, hull_frame, restrict


def test_a_frame_lists_the_entries_of_a_system_nearest_first(iron_phosphates):
    entries = restrict(iron_phosphates, ["Li", "Fe", "O"])
    frame = hull_frame(Hull.from_entries(iron_phosphates, source="file"), "Li-Fe-O")
    reference = PhaseDiagram(entries)
    expected = {entry.entry_id: reference.get_e_above_hull(entry) for entry in entries}
    assert dict(zip(frame["id"], frame["e_above_hull"], strict=True)) == pytest.approx(expected, abs=1e-8)
    formation = {entry.entry_id: reference.get_form_energy_per_atom(entry) for entry in entries}
    assert dict(zip(frame["id"], frame["formation_energy"], strict=True)) == pytest.approx(formation, abs=1e-8)
    assert frame["e_above_hull"].is_monotonic_increasing
    assert set(frame["source"]) == {"file"}
    formulas = {entry.entry_id: entry.reduced_formula for entry in entries}
    assert dict(zip(frame["id"], frame["formula"], strict=True)) == formulas


def test_a_window_leaves_out_what_lies_above_it():
    hull = Hull(["NaCl", "NaCl", "Na3Cl"], [-2.0, -1.95, -0.7], formation_energies=True)
    assert hull_frame(hull, window=0.1)["id"].tolist() == ["NaCl", "NaCl#2"]
    whole = hull_frame(hull)
    assert whole["reaction"].tolist() == ["NaCl -> NaCl", "NaCl -> NaCl", "Na3Cl -> 2 Na + NaCl"]
    assert whole["decomposition"].tolist()[2] == pytest.approx({"Na": 0.5, "NaCl": 0.5})
    assert whole["decomposition_energy"].tolist() == pytest.approx([-2 + 0.7 * 2 / 3, -1.95 + 0.7 * 2 / 3, 0.3])
