"""What GPAW is called with. That it then calculates is in the integration tests."""

import json
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from matscout.workflows.calculations import get_protocol
from matscout.workflows.calculations import gpaw as code

GOLDEN = Path(__file__).parent / "golden" / "gpaw-pbe"
SETTINGS = get_protocol("gpaw-pbe").settings


def cubic(symbols, length):
    return Structure(Lattice.cubic(length), symbols, [[0, 0, 0], [0.5, 0.5, 0.5]][: len(symbols)])


def boxed(distance=1.41, length=9.0):
    return Structure(Lattice.cubic(length), ["F", "F"], [[0, 0, 0], [distance / length, 0, 0]])


@pytest.mark.parametrize("symbols", [("Cs", "Cl"), ("Ni", "O")], ids="".join)
def test_the_calculators_arguments_are_the_golden_ones(symbols):
    files = code.input_files(get_protocol("gpaw-pbe"), cubic(symbols, 4.0))
    assert files == {"gpaw.json": (GOLDEN / f"{''.join(symbols)}.json").read_text()}


@pytest.mark.parametrize("length", [2.5, 4.0, 12.0])
def test_the_density_of_k_points_is_at_least_the_protocols(length):
    import math

    divisions = code.k_points(cubic(["Cs", "Cl"], length), SETTINGS)[0]
    least = SETTINGS["k_points_per_inverse_A"] * 2 * math.pi / length
    assert least <= divisions < least + 1 or divisions == 1


def test_a_molecule_in_a_box_has_one_k_point():
    assert code.vacuum_axes(boxed(), 6.0) == [True, True, True]
    assert code.k_points(boxed(), SETTINGS) == [1, 1, 1]


def test_a_slab_has_one_k_point_across_its_vacuum():
    slab = Structure(Lattice.tetragonal(4.0, 15.0), ["Mg", "O"], [[0, 0, 0.98], [0.5, 0.5, 0.02]])
    assert code.vacuum_axes(slab, 6.0) == [False, False, True]
    assert code.k_points(slab, SETTINGS)[2] == 1


def test_a_skew_cell_has_no_more_vacuum_than_its_height():
    flat = Structure(Lattice.from_parameters(8, 8, 8, 30, 30, 30), ["Na"], [[0, 0, 0]])
    assert not any(code.vacuum_axes(flat, 6.0))


def test_spins_and_u_only_where_the_policy_says():
    oxide = code.parameters(cubic(["Ni", "O"], 3.0), SETTINGS)
    assert (oxide["spinpol"], oxide["setups"]) == (True, {"Ni": ":d,6.2,0"})
    sulfide = code.parameters(cubic(["Ni", "S"], 3.0), SETTINGS)
    assert sulfide["spinpol"]
    assert "setups" not in sulfide
    assert not code.parameters(cubic(["Cs", "Cl"], 4.0), SETTINGS)["spinpol"]


def test_changed_settings_reach_the_calculator():
    protocol = get_protocol("gpaw-pbe", {"calculator.nbands": "200%", "mixer.beta": 0.02})
    options = code.parameters(cubic(["Cs", "Cl"], 4.0), protocol.settings)
    assert (options["nbands"], options["mixer"]) == ("200%", {"beta": 0.02})


def test_u_acts_on_the_f_shell_of_lanthanides_and_actinides():
    settings = get_protocol("gpaw-pbe", {"hubbard_u.O": {"Ce": 4.0, "U": 4.0, "Ti": 3.0}}).settings
    setups = {symbol: code.parameters(cubic([symbol, "O"], 4.0), settings)["setups"] for symbol in ("Ce", "U", "Ti")}
    assert setups == {"Ce": {"Ce": ":f,4,0"}, "U": {"U": ":f,4,0"}, "Ti": {"Ti": ":d,3,0"}}


def test_the_flow_relaxes_and_then_starts_from_the_relaxed_cell():
    flow = code.GpawFlowMaker(settings=SETTINGS).make(cubic(["Cs", "Cl"], 4.0))
    relax, static = flow.jobs
    assert (relax.name, static.name) == ("relax", "static")
    assert static.function_args[0].uuid == relax.uuid
    assert [job.function.__self__.relaxing for job in flow.jobs] == [True, False]


def test_what_is_written_is_json_of_the_arguments():
    files = code.input_files(get_protocol("gpaw-pbe-static"), cubic(["Cs", "Cl"], 4.0))
    assert list(files) == ["gpaw.json"]
    content = json.loads(files["gpaw.json"])
    assert content["GPAW"]["mode"] == {"name": "pw", "ecut": SETTINGS["cutoff_eV"]}
    assert content["initial_magnetic_moments"] is None
