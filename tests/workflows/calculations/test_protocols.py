"""Protocols as data: ids, changed settings, what may stand on a hull."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.db.documents import CalculationRequest, CalculationResult, Geometry
from matscout.errors import UserError
from matscout.workflows.calculations import calculate, get_protocol, list_protocols
from matscout.workflows.calculations.overrides import CHOICES, flat, parse_override, setting

# An id is for ever: who changes one of these changes what stands in stores, and raises the protocol's version.
IDS = {
    "chgnet-phonons": "94137221e8c056c1",
    "chgnet-rattled": "2f41c05faf0dbbf5",
    "chgnet-relax": "265c65d7eca5cd5b",
    "chgnet-static": "cc8350460f543fae",
    "gpaw-pbe": "686efe63938f1f9b",
    "gpaw-pbe-phonons": "2c3ed04c4a11f417",
    "gpaw-pbe-rattled": "a842e127520db411",
    "gpaw-pbe-static": "74e4069ed2677722",
    "vasp-mp-gga": "7f6076b985416bfa",
    "vasp-mp-r2scan": "d7d53bae54c202f8",
}


@pytest.mark.parametrize("name", IDS)
def test_the_ids_of_stored_calculations_stay(name):
    assert get_protocol(name).id == IDS[name]


def test_no_two_protocols_have_an_id_in_common():
    assert len({protocol.id for protocol in list_protocols()}) == len(list_protocols())


def test_a_changed_setting_is_recorded_and_is_another_protocol():
    changed = get_protocol("gpaw-pbe", {"smearing": {"width_eV": 0.1}, "cutoff_eV": 400})
    assert changed.overrides == {"cutoff_eV": 400.0, "smearing.width_eV": 0.1}
    assert changed.settings["cutoff_eV"] == 400.0
    assert changed.id != get_protocol("gpaw-pbe").id
    assert changed.label == f"gpaw-pbe [{changed.id[:4]}]"


def test_nested_and_dotted_changes_are_the_same_protocol():
    nested = get_protocol("gpaw-pbe", {"smearing": {"width_eV": 0.1}})
    assert nested.id == get_protocol("gpaw-pbe", {"smearing.width_eV": 0.1}).id


def test_a_change_that_changes_nothing_is_none():
    same = get_protocol("gpaw-pbe", {"cutoff_eV": get_protocol("gpaw-pbe").settings["cutoff_eV"]})
    assert same.overrides == {}
    assert (same.id, same.label) == (get_protocol("gpaw-pbe").id, "gpaw-pbe")


def test_the_protocol_itself_is_never_changed():
    before = copy.deepcopy(get_protocol("vasp-mp-gga").settings)
    get_protocol("vasp-mp-gga", {"incar.ENCUT": 700, "custodian.max_errors": 2})
    assert get_protocol("vasp-mp-gga").settings == before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cutof_eV": 400}, 'no setting "cutof_eV". Nearest: cutoff_eV'),
        ({"smearing.with": 0.1}, 'no setting "smearing.with". Nearest: smearing.width_eV'),
        ({"cutoff_eV.x": 1}, 'no setting "cutoff_eV"'),
        ({"cutoff_eV": "high"}, "cutoff_eV is a number (700.0), and cannot become 'high'"),
        ({"max_steps": 2.5}, "max_steps is a whole number (100), and cannot become 2.5"),
        ({"max_steps": 1}, "max_steps of a relaxation is 2 or more, not 1"),
        ({"pulay_correction": 1}, "pulay_correction is true or false (True), and cannot become 1"),
        ({"mixer": 3}, "mixer is a table, and cannot become 3; {} empties it"),
        ({"hubbard_u": None}, "hubbard_u is a table, and cannot become None; {} empties it"),
        ({"hubbard_u.O": None}, "hubbard_u.O is a table, and cannot become None; {} empties it"),
        ({"hubbard_u.Fe": 4.0}, "written by the anion that it stands beside and its element, such as hubbard_u.O.Fe"),
        ({"hubbard_u.O.Fee": 4.0}, 'hubbard_u.O is by element, and none is called "Fee". Nearest: Fe'),
        ({"magnetism.moments.Fe": "high"}, "magnetism.moments.Fe is a number, or null for none, not 'high'"),
        ({"smearing.name": "fermi"}, 'smearing.name cannot be "fermi". Nearest: fermi-dirac'),
        ({"optimizer": "Newton"}, 'optimizer cannot be "Newton". It is one of BFGS, BFGSLineSearch, FIRE'),
        ({"cell_filter": "FrechetFilter"}, 'cell_filter cannot be "FrechetFilter". Nearest: FrechetCellFilter'),
    ],
    ids=str,
)
def test_a_change_that_does_not_fit_is_named(overrides, message):
    with pytest.raises(UserError) as error:
        get_protocol("gpaw-pbe", overrides)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("chgnet-relax", {"optimizer": "Newton"}, 'optimizer cannot be "Newton"'),
        ("chgnet-relax", {"cell_filter": "StrainFilter"}, 'cell_filter cannot be "StrainFilter"'),
        ("chgnet-relax", {"model": "9"}, 'model cannot be "9". It is one of 0.3.0, 0.2.0'),
        ("vasp-mp-gga", {"magnetism.orderings": 2, "incar.MAGMOM.Fe": 4.0}, "in the place of those of each ordering"),
    ],
    ids=str,
)
def test_what_no_code_could_take_is_refused_before_anything_runs(name, overrides, message):
    with pytest.raises(UserError) as error:
        get_protocol(name, overrides)
    assert message in str(error.value)


def test_the_choices_written_down_are_those_of_the_packages():
    import ase.filters
    from ase import Atoms
    from ase.calculators.emt import EMT
    from atomate2.ase.utils import OPTIMIZERS
    from chgnet.model.model import CHGNet

    atoms = Atoms("Cu", cell=[3.0, 3.0, 3.0], pbc=True, calculator=EMT())
    for name in CHOICES["cell_filter"]:
        moving = getattr(ase.filters, name)(atoms)
        assert len(moving) == len(atoms) + 3  # the atoms, and the cell
        for optimizer in CHOICES["optimizer"]:
            assert OPTIMIZERS[optimizer](moving, logfile=None, maxstep=0.1).maxstep == 0.1
    for model in CHOICES["model"]:
        assert CHGNet.load(model_name=model, use_device="cpu", verbose=False).version == model
    protocols = [protocol.settings for protocol in list_protocols()]
    for key, names in CHOICES.items():
        assert {setting(settings, key) for settings in protocols} - {None} <= set(names)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("chgnet-relax", {"incar.ENCUT": 600}),
        ("chgnet-relax", {"mixer.beta": 0.02}),
        ("chgnet-relax", {"hubbard_u": {}}),
        ("gpaw-pbe", {"incar.ENCUT": 600}),
        ("gpaw-pbe", {"potcar": {"Fe": "Fe"}}),
        ("vasp-mp-gga", {"moments.Fe": 3}),
        ("vasp-mp-gga", {"magnetism.moments.Fe": 3}),
        ("vasp-mp-gga", {"hubbard_u.O.Fe": 3}),
        ("custom", {"calculator.xc": "PBE"}),
        ("custom", {"code": "vasp"}),
    ],
    ids=str,
)
def test_a_table_of_another_code_is_refused(name, overrides):
    with pytest.raises(UserError) as error:
        get_protocol(name, overrides)
    (key,) = flat(overrides)
    said = str(error.value).partition('"')[2].partition('"')[0]
    assert str(error.value).startswith(f"protocol {name} has no setting ")
    assert f"{key}.".startswith(f"{said}.")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("vasp-mp-gga", {"config.INCAR.ENCUT": 600}, "set incar.X, kpoints.X or potcar.X instead"),
        ("vasp-mp-gga", {"config": {"POTCAR": {"Fe": "Fe"}}}, "set incar.X, kpoints.X or potcar.X instead"),
        ("vasp-mp-r2scan", {"stages": []}, "set incar.X, kpoints.X or potcar.X instead"),
        ("vasp-mp-gga", {"flow": "atomate2.vasp.flows.mp.MP24DoubleRelaxStaticMaker"}, "set incar.X"),
        ("gpaw-pbe", {"xc": "PBEsol"}, "for another functional name a Maker of your own by the protocol custom"),
        ("gpaw-pbe", {"calculator.xc": "RPBE"}, "for another functional name a Maker of your own"),
        ("gpaw-pbe", {"relax": "nothing"}, "take the protocol that does the other"),
        ("chgnet-rattled", {"check.kind": "phonons"}, "take the protocol that does the other"),
    ],
    ids=str,
)
def test_a_setting_that_would_change_nothing_or_make_the_record_wrong_is_fixed(name, overrides, message):
    with pytest.raises(UserError) as error:
        get_protocol(name, overrides)
    (key,) = flat(overrides)
    assert f"protocol {name}: {key} cannot be changed: " in str(error.value)
    assert message in str(error.value)


def test_all_settings_of_a_protocol_may_be_given_as_they_are():
    for protocol in list_protocols():
        assert protocol.with_overrides(protocol.settings).overrides == {}


def test_a_table_is_emptied_and_filled_again():
    assert get_protocol("gpaw-pbe", {"hubbard_u": {}}).settings["hubbard_u"] == {}
    refilled = get_protocol("gpaw-pbe", {"hubbard_u": {}, "hubbard_u.O.Fe": 5.3})
    assert refilled.settings["hubbard_u"] == {"O": {"Fe": 5.3}}
    assert get_protocol("gpaw-pbe", refilled.overrides).id == refilled.id


def test_who_calculates_with_chgnet_reads_no_settings_of_vasp(monkeypatch):
    from matscout.workflows.calculations import catalogue

    catalogue.protocol_named.cache_clear()
    monkeypatch.setattr(catalogue, "_vasp_settings", {}.__getitem__)
    assert get_protocol("chgnet-relax").id == IDS["chgnet-relax"]
    with pytest.raises(TypeError):
        get_protocol("vasp-mp-gga")


def test_tables_of_the_users_own_take_any_key():
    protocol = get_protocol("gpaw-pbe", {"mixer.beta": 0.02, "hubbard_u.S.Fe": 2.0, "magnetism.moments.Fe": -1.0})
    assert protocol.settings["mixer"] == {"beta": 0.02}
    assert protocol.settings["hubbard_u"]["S"] == {"Fe": 2.0}


names = st.text("abc", min_size=1, max_size=3)
nested = st.recursive(st.integers(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3), max_leaves=6)


@given(st.dictionaries(names, nested, max_size=3))
def test_writing_changes_flat_twice_is_writing_them_flat_once(overrides):
    assert flat(flat(overrides)) == flat(overrides)


@pytest.mark.parametrize("text", ["cutoff_eV", "=3", "a={"])
def test_an_override_that_cannot_be_read_is_named(text):
    with pytest.raises(UserError, match="override"):
        parse_override(text)


def test_a_retry_changes_the_way_and_not_the_id():
    protocol = get_protocol("gpaw-pbe").adjusted({"mixer": {"beta": 0.02}, "max_scf_steps": 500})
    assert protocol.settings["mixer"] == {"beta": 0.02}
    assert protocol.id == get_protocol("gpaw-pbe").id
    assert protocol.adjustments == {"max_scf_steps": 500, "mixer.beta": 0.02}


def test_a_retry_of_vasp_names_tags():
    protocol = get_protocol("vasp-mp-gga").adjusted({"ALGO": "All"})
    assert protocol.settings["incar"] == {"ALGO": "All"}


def test_a_retry_cannot_make_another_protocol():
    with pytest.raises(UserError, match="not cutoff_eV, which makes another protocol"):
        get_protocol("gpaw-pbe").adjusted({"cutoff_eV": 300})


def test_elements_a_code_has_no_parameters_for():
    assert get_protocol("chgnet-relax").unknown_elements(["O", "Am", "Po", "Fr"]) == ["Po", "Fr", "Am"]
    assert get_protocol("vasp-mp-gga").unknown_elements(["O", "Cf"]) == ["Cf"]


def result_of(name, **fields):
    protocol = get_protocol(name)
    salt = Geometry(lattice=((3, 0, 0), (0, 3, 0), (0, 0, 3)), species=("Fe", "O"), coords=((0, 0, 0), (0.5, 0.5, 0.5)))
    content = {
        "id": "0", "protocol": name, "protocol_id": protocol.id, "subject": "candidate:1", "formula": "FeO",
        "outcome": "completed", "energy": -14.0, "energy_per_atom": -7.0, "geometry": salt,
    }  # fmt: skip
    return CalculationResult.model_validate(content | fields)


def test_an_entry_states_the_protocol_it_was_made_by():
    from matscout.workflows.stability.schemes import protocols_of

    entry = get_protocol("gpaw-pbe").to_entry(result_of("gpaw-pbe", run={"run_type": "PBE", "software": "gpaw"}))
    assert protocols_of([entry]) == ["gpaw-pbe"]
    assert entry.energy_per_atom == -7.0


def test_an_entry_of_the_materials_projects_settings_goes_by_run_type_and_is_corrected_as_theirs():
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility

    from matscout.workflows.stability.schemes import protocols_of

    run = {"run_type": "GGA+U", "hubbards": {"Fe": 5.3, "O": 0.0}, "software": "vasp"}
    run["potcar_spec"] = [
        {"titel": "PAW_PBE Fe_pv 06Sep2000", "hash": None},
        {"titel": "PAW_PBE O 08Apr2002", "hash": None},
    ]
    entry = get_protocol("vasp-mp-gga").to_entry(result_of("vasp-mp-gga", run=run))
    assert protocols_of([entry]) == ["GGA+U"]
    corrected = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry)
    assert corrected.correction < -2.0  # iron's +U and an oxide's oxygen


def test_changed_settings_are_no_longer_the_materials_projects():
    changed = get_protocol("vasp-mp-gga", {"incar.ENCUT": 700})
    entry = changed.to_entry(result_of("vasp-mp-gga", run={"run_type": "GGA"}))
    assert entry.data["protocol"] == changed.label


def test_a_failure_makes_no_entry():
    with pytest.raises(UserError, match="failed: it makes no entry"):
        get_protocol("gpaw-pbe").to_entry(result_of("gpaw-pbe", outcome="failed"))


def test_a_calculation_is_refused_where_the_protocol_has_other_settings():
    salt = result_of("chgnet-relax").geometry
    request = CalculationRequest.of(salt, protocol="chgnet-relax", protocol_id="0" * 16, subject="candidate:1")
    with pytest.raises(UserError, match="install the same version of matscout in both places"):
        calculate(request)


def test_changed_settings_travel_with_the_request():
    protocol = get_protocol("chgnet-static", {"min_volume_A3_per_atom": 99.0})
    request = CalculationRequest.of(
        result_of("chgnet-relax").geometry,
        protocol=protocol.name,
        protocol_id=protocol.id,
        subject="candidate:1",
        overrides=protocol.overrides,
    )
    result = calculate(request)
    assert (result.cause, result.overrides) == ("input", {"min_volume_A3_per_atom": 99.0})
    assert result.evidence == "refused before the code was called: 13.50 Å³/atom is less than any crystal has (99)"


def test_settings_that_a_protocol_of_the_code_lacks_are_left_out_of_a_retry():
    static = get_protocol("chgnet-static")
    assert static.adjusted({"optimizer": "FIRE", "max_steps": 500}).settings == static.settings


def test_a_retry_lowers_no_limit():
    patient = get_protocol("gpaw-pbe", {"max_scf_steps": 2000})
    assert patient.adjusted({"max_scf_steps": 500}).settings["max_scf_steps"] == 2000
    tags = get_protocol("vasp-mp-gga", {"incar.NELM": 300}).adjusted({"NELM": 200, "ALGO": "All"})
    assert tags.settings["incar"] == {"NELM": 300, "ALGO": "All"}


def test_a_package_that_is_missing_is_named_with_the_commands_that_bring_it(monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("matscout.workflows.calculations.protocols._version", missing)
    with pytest.raises(UserError) as error:
        get_protocol("gpaw-pbe").make(result_of("gpaw-pbe").geometry.to_structure())
    for command in ("apt-get install libxc-dev libopenblas-dev libopenmpi-dev", "pip install 'matscout[dft]'"):
        assert command in str(error.value)


def test_planning_with_gpaw_needs_no_gpaw(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gpaw", None)
    assert get_protocol("gpaw-pbe").unknown_elements(["O", "Am"]) == []


def test_nothing_that_chgnet_never_saw_is_calculated():
    assert get_protocol("chgnet-static").unknown_elements(["Po", "At", "Rn", "Fr", "Ra", "Ac"]) == [
        "Po", "At", "Rn", "Fr", "Ra",
    ]  # fmt: skip


def test_a_setting_that_no_package_can_carry_out_is_a_failure_of_the_input():
    protocol = get_protocol("custom", {"maker": "no_such_package.Maker"})
    request = CalculationRequest.of(
        result_of("chgnet-relax").geometry,
        protocol=protocol.name,
        protocol_id=protocol.id,
        subject="candidate:1",
        overrides=protocol.overrides,
    )
    result = calculate(request.model_copy(update={"geometry": SPACIOUS}))
    assert (result.outcome, result.cause) == ("failed", "input")
    assert result.message.startswith("maker no_such_package.Maker cannot be imported")


SPACIOUS = Geometry(
    lattice=((4.2, 0, 0), (0, 4.2, 0), (0, 0, 4.2)), species=("Cs", "Cl"), coords=((0, 0, 0), (0.5, 0.5, 0.5))
)
