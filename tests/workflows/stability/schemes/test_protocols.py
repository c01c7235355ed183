from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import (
    CompositionEnergyAdjustment,
    ComputedEntry,
    ConstantEnergyAdjustment,
    ManualEnergyAdjustment,
)

from matscout.workflows.stability import protocol_of, protocols_of, read_entries
from matscout.workflows.stability.schemes import ids_by_protocol
from matscout.workflows.stability.schemes.due import hubbard_u, is_due
from matscout.workflows.stability.schemes.mp2020_table import mp2020_table
from matscout.workflows.stability.schemes.protocols import is_gga_of_materials_project


def oxide(value=-0.687, name="MP2020 anion correction (oxide)", n=1):
    return CompositionEnergyAdjustment(value, n, name=name)


def with_adjustments(entry, *adjustments):
    entry.energy_adjustments = list(adjustments)
    return entry


def test_an_entry_goes_by_what_it_states_wherever_it_states_it(run):
    assert protocol_of(ComputedEntry("MgO", -12, data={"protocol": "gpaw-pbe"})) == "gpaw-pbe"
    assert protocol_of(ComputedEntry("MgO", -12, parameters={"protocol": "chgnet-relax"})) == "chgnet-relax"
    assert protocol_of(with_adjustments(run("MgO", data={"protocol": "my own"}), oxide())) == "my own"


@pytest.mark.parametrize(
    ("run_type", "protocol"),
    [
        ("GGA", "GGA"),
        ("GGA+U", "GGA+U"),
        ("GGA_U", "GGA+U"),
        ("PBE", "PBE"),
        ("PBE+U", "PBE+U"),
        ("R2SCAN", "r2SCAN"),
        ("r2SCAN", "r2SCAN"),
        ("HSE06", "HSE06"),
        (None, "not stated"),
    ],
)
def test_run_types_are_protocols(run_type, protocol):
    assert protocol_of(ComputedEntry("Fe2O3", -40, parameters={"run_type": run_type})) == protocol
    assert protocol_of(ComputedEntry("Fe2O3", -40, data={"run_type": run_type})) == protocol


def test_gga_of_another_code_is_another_protocol(run):
    entry = run("MgO")
    entry.parameters["software"] = "gpaw"
    assert protocol_of(entry) == "gpaw GGA"


def test_u_is_told_by_its_values_not_by_the_name_of_the_run():
    nothing = {"run_type": "GGA+U", "hubbards": {"Li": 0.0, "O": 0.0}}
    assert protocol_of(ComputedEntry("Li2O", -14, parameters=nothing)) == "GGA"
    assert protocol_of(ComputedEntry("FeO", -14, parameters={"run_type": "GGA", "hubbards": {"Fe": 5.3}})) == "GGA+U"


def test_a_u_on_an_element_that_is_not_there_is_none():
    assert hubbard_u(ComputedEntry("Li2O", -14, parameters={"run_type": "GGA", "hubbards": {"Fe": 5.3}})) == {}


def test_corrections_show_by_their_names(run):
    assert protocol_of(with_adjustments(run("MgO"), oxide())) == "mp2020"
    assert protocol_of(with_adjustments(run("LiO3"), oxide(0.0, "MP2020 anion correction (ozonide)"))) == "mp2020"
    assert protocol_of(with_adjustments(run("MgO"), ManualEnergyAdjustment(-0.7))) == "mp-legacy"
    mixing = ConstantEnergyAdjustment(0.3, name="MP GGA(+U)/r2SCAN mixing adjustment")
    assert protocol_of(with_adjustments(run("MgO"), oxide(), mixing)) == "mp-gga-r2scan"


def test_corrections_made_for_gga_do_not_make_another_functional_of_it(run):
    assert protocol_of(with_adjustments(run("MgO", run_type="r2SCAN"), oxide())) == "r2SCAN corrected"


def test_a_correction_of_nothing_is_none(run):
    assert protocol_of(with_adjustments(run("MgO"), ManualEnergyAdjustment(0.0))) == "GGA"


def test_elements_and_alloys_belong_to_the_corrected_set_and_an_uncorrected_oxide_does_not(run):
    entries = [run("Mg"), run("MgCu2"), with_adjustments(run("MgO"), oxide()), run("CaO")]
    assert protocols_of(entries) == ["mp2020", "mp2020", "mp2020", "GGA"]
    assert protocols_of(entries[:2]) == ["GGA", "GGA"]


def test_a_stated_protocol_is_not_taken_into_the_set(run):
    entries = [run("Mg", data={"protocol": "GGA"}), with_adjustments(run("MgO"), oxide())]
    assert protocols_of(entries) == ["GGA", "mp2020"]


def test_another_functional_never_belongs_to_the_corrected_set(run):
    entries = [run("Mg", run_type="r2SCAN"), ComputedEntry("Cu", -4), with_adjustments(run("MgO"), oxide())]
    assert protocols_of(entries) == ["r2SCAN", "not stated", "mp2020"]


def test_a_u_on_an_element_is_one_protocol_until_the_element_comes_without(run):
    together = [run("Li"), run("Li2O"), run("LiFeO2", Fe=5.3), run("Fe2O3", Fe=5.3)]
    assert protocols_of(together) == ["GGA+U"] * 4
    assert protocols_of([*together, run("Fe")]) == ["GGA", "GGA", "GGA+U", "GGA+U", "GGA"]


def test_two_values_of_u_are_two_protocols(run):
    entries = [run("Fe2O3", Fe=5.3), run("FeO", Fe=4.0), run("NiO", Ni=6.2)]
    assert protocols_of(entries) == ["GGA+U (Fe 5.3)", "GGA+U (Fe 4)", "GGA+U"]


def test_a_u_on_unknown_elements_meets_nothing_without(run):
    unknown = ComputedEntry("FeO", -14, parameters={"run_type": "GGA+U"})
    assert protocols_of([unknown, run("Li2O")]) == ["GGA+U", "GGA"]
    assert protocols_of([unknown, unknown]) == ["GGA+U", "GGA+U"]


def test_two_versions_of_the_corrections_are_two_protocols(run):
    entries = [with_adjustments(run(f), oxide()) for f in ("MgO", "CaO")]
    older = with_adjustments(run("Li2O"), oxide(-0.702))
    assert protocols_of([*entries, older, run("Li")]) == [
        "mp2020",
        "mp2020",
        "mp2020 with anion correction (oxide) -0.702 eV/atom",
        "mp2020",
    ]


def test_entries_of_the_mixing_scheme_belong_together(run):
    mixing = ConstantEnergyAdjustment(0.3, name="MP GGA(+U)/r2SCAN mixing adjustment")
    entries = [
        with_adjustments(run("MgO"), oxide()),
        with_adjustments(run("CaO", run_type="r2SCAN"), mixing),
        run("Mg", run_type="r2SCAN"),
        run("Ca"),
    ]
    assert set(protocols_of(entries)) == {"mp-gga-r2scan"}


def test_real_files_hold_one_protocol_each_or_show_that_they_do_not(data, iron_phosphates, uncorrected, compounds):
    older = read_entries(data / "entries" / "Li-Fe-P-O_entries.json.gz")
    assert Counter(protocols_of(iron_phosphates)) == {"mp2020": 943}
    assert Counter(protocols_of(older)) == {"mp-legacy": 859}
    assert Counter(protocols_of(uncorrected)) == {"GGA": 128, "GGA+U": 815}
    assert Counter(protocols_of(compounds)) == {"GGA": 170, "GGA+U": 104}


@given(st.randoms(use_true_random=False))
def test_protocols_do_not_depend_on_the_order(run_all, randoms):
    names = dict(zip([entry.entry_id for entry in run_all], protocols_of(run_all), strict=True))
    shuffled = list(run_all)
    randoms.shuffle(shuffled)
    assert protocols_of(shuffled) == [names[entry.entry_id] for entry in shuffled]


@pytest.fixture(scope="module")
def run_all():
    def one(formula, hubbards=None, *adjustments, **parameters):
        parameters = {"run_type": "GGA", "hubbards": hubbards or {}, **parameters}
        return ComputedEntry(
            formula,
            -5,
            energy_adjustments=list(adjustments),
            parameters=parameters,
            entry_id=str(len(formula)) + formula,
        )

    return [
        one("Fe"),
        one("Li"),
        one("FeO", {"Fe": 5.3}),
        one("Fe2O3", {"Fe": 4.0}),
        one("MgO", {}, oxide()),
        one("CaO", {}, oxide()),
        one("SrO", {}, oxide(-0.7)),
        one("MgCu2"),
        one("BaO"),
        one("Cu", run_type="r2SCAN"),
    ]


@pytest.mark.filterwarnings("ignore:Failed to guess oxidation states:UserWarning")
def test_due_corrections_are_those_that_pymatgen_makes(uncorrected, compounds):
    """The rule told without the corrections, against pymatgen's class on over a thousand real entries."""
    scheme = MaterialsProject2020Compatibility()
    checked = [entry for entry in (*uncorrected, *compounds) if not entry.is_element]
    wrong = []
    for entry in checked:
        copied = ComputedEntry(entry.composition, 0, parameters=entry.parameters, data=dict(entry.data))
        corrected = any(adjustment.value for adjustment in scheme.get_adjustments(copied))
        if is_due(entry) != corrected:
            wrong.append(entry.reduced_formula)
    assert wrong == []
    assert len(checked) > 1000


def test_entries_without_an_id_go_by_their_formula_and_place(run):
    entries = [run("Mg"), ComputedEntry("MgO", -12), ComputedEntry("MgO", -11)]
    assert ids_by_protocol(entries) == {"GGA": ["mp-Mg"], "not stated": ["MgO (entries[1])", "MgO (entries[2])"]}


COMPOSITIONS = [
    "CdTe",
    "ZnTe",
    "CdSe",
    "CdH2",
    "NaAlH4",
    "Mg2Si",
    "FeSi",
    "InSb",
    "GaSb",
    "Li2S5",
    "SiTe2",
    "SbSI",
    "CS2",
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "formula", [*COMPOSITIONS, "SeS2", "BiTeI", "NH4Cl", "Li3N", "NaN3", "Mg3Sb2", "MgCu2", "HgTe", "Cu5Si", "SiCu5"]
)
@pytest.mark.parametrize("states", [None, {}])
def test_due_corrections_of_every_anion_are_those_that_pymatgen_makes(run, formula, states):
    entry = run(formula, data={} if states is None else {"oxidation_states": states})
    copied = ComputedEntry(entry.composition, 0, parameters=entry.parameters, data=dict(entry.data))
    adjustments = MaterialsProject2020Compatibility(check_potcar=False).get_adjustments(copied)
    assert is_due(entry) == bool(adjustments)


def test_the_table_is_the_one_that_pymatgen_corrects_by():
    by_name = mp2020_table().by_name
    scheme = MaterialsProject2020Compatibility()
    assert {symbol: by_name[f"MP2020 anion correction ({symbol})"] for symbol in mp2020_table().anions} == {
        symbol: {value} for symbol, value in scheme.comp_correction.items() if symbol[0].isupper()
    }
    assert by_name["MP2020 GGA/GGA+U mixing correction (Fe)"] == {scheme.u_corrections["O"]["Fe"]}


@pytest.mark.parametrize(
    ("protocol", "theirs"),
    [
        ("GGA", True),
        ("GGA+U", True),
        ("GGA+U (Fe 4)", True),
        ("GGA+U (Fe 4, Ni 6.2)", True),
        ("mp2020", True),
        ("mp2020 with anion correction (oxide) -0.702 eV/atom", True),
        ("mp-legacy", True),
        ("mp2020-gpaw", False),
        ("mp2020 as I run it", False),
        ("GGA+U-QE", False),
        ("GGA+U of my own code", False),
        ("GGA+U (QE)", False),
        ("GGA (QE)", False),
        ("mp-legacy-2", False),
    ],
)
def test_protocols_of_the_materials_project_are_told_by_their_whole_name(protocol, theirs):
    assert is_gga_of_materials_project(protocol) == theirs


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_versions_the_published_one_is_the_usual(run, order):
    older, published = with_adjustments(run("Li2O"), oxide(-0.702)), with_adjustments(run("MgO"), oxide())
    names = protocols_of([older, published][::order])[::order]
    assert names == ["mp2020 with anion correction (oxide) -0.702 eV/atom", "mp2020"]
