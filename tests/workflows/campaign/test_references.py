import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PhaseDiagram
from pymatgen.core import Composition

from matscout.db.documents import CalculationResult
from matscout.errors import UserError
from matscout.workflows.calculations import get_protocol
from matscout.workflows.campaign.outlook import reference_hull
from matscout.workflows.campaign.reference_plan import (
    charge_balanced_binaries,
    elements_of,
    plan_references,
)
from matscout.workflows.campaign.reference_prototypes import BINARIES, ELEMENTS, MOLECULAR
from matscout.workflows.campaign.references import build_references, element_errors, known_element_energies
from matscout.workflows.campaign.stages import enumerate_space
from matscout.workflows.enumeration import common_oxidation_states, get_prototype
from matscout.workflows.stability import Hull


def finished(request, energy=-3.0):
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=Composition("".join(request.geometry.species)).reduced_formula,
        outcome="completed",
        energy=energy * len(request.geometry.species),
        energy_per_atom=energy,
        geometry=request.geometry,
    )


def failed(request):
    return finished(request).model_copy(
        update={"outcome": "failed", "cause": "relaxation", "message": "0.2 eV/Å after 200 steps"}
    )


@pytest.fixture
def plan(tiny):
    return plan_references(tiny, enumerate_space(tiny).table)


def test_textbook_binaries_are_found():
    found = {
        Composition({c: n, a: m}).reduced_formula for c, a, n, m in charge_balanced_binaries(["Fe-O-Ti", "Al-Mg-N"])
    }
    assert {"FeO", "Fe2O3", "TiO2", "Ti2O3", "AlN", "Mg3N2"} <= found


def test_metals_make_no_charge_balanced_binary():
    assert charge_balanced_binaries(["Mg-Sn", "Fe-Ti"]) == []


@given(st.lists(st.sampled_from(["Cl-Cs-Pb", "F-K-Mg", "O-Sr-Ti", "Fe-O", "Li-N"]), min_size=1))
def test_binaries_are_neutral_and_do_not_depend_on_order_or_repetition(systems):
    binaries = charge_balanced_binaries(systems)
    assert binaries == charge_balanced_binaries([*reversed(systems), *systems])
    for cation, anion, n, m in binaries:
        charges = {
            n * positive + m * negative
            for positive in common_oxidation_states(cation)
            for negative in common_oxidation_states(anion)
        }
        assert 0 in charges


@pytest.mark.parametrize("stoichiometry", BINARIES)
def test_every_named_binary_prototype_has_its_stoichiometry(stoichiometry):
    few, many = stoichiometry
    assert len(BINARIES[stoichiometry]) <= 8
    for label in BINARIES[stoichiometry]:
        low, high = sorted(int(n) for n in get_prototype(label).multiplicity)
        assert low * many == high * few


def test_every_named_elemental_prototype_is_there():
    for label in {label for labels in ELEMENTS.values() for label in labels} | {
        label for label, _ in MOLECULAR.values()
    }:
        assert len(get_prototype(label).roles) == 1


def test_the_cation_sits_on_the_cation_site(tiny, plan):
    """MgF2 in fluorite: one magnesium for two fluorines; rock salt has one of each."""
    by_subject = {request.subject: request.geometry.species for request in plan.requests}
    fluorite = by_subject["reference:MgF2:AB2_cF12_225_a_c"]
    assert (fluorite.count("Mg"), fluorite.count("F")) == (1, 2)


def test_molecules_begin_with_their_bond_length(plan):
    request = next(r for r in plan.requests if r.subject.startswith("reference:F2:"))
    *_, distances = request.geometry.to_structure().get_neighbor_list(3.0)
    assert distances.min() == pytest.approx(MOLECULAR["F"][1])


def test_the_number_of_calculations_is_kept(tiny):
    table = enumerate_space(tiny).table
    for limit in (60, 45, 38):
        options = tiny.references.model_copy(update={"max_calculations": limit, "prototypes_per_stoichiometry": 8})
        plan = plan_references(tiny.model_copy(update={"references": options}), table)
        assert len(plan.requests) <= limit
        assert len(plan.requests) == len({request.id for request in plan.requests})


def test_too_many_calculations_are_refused_with_the_number(tiny):
    options = tiny.references.model_copy(update={"max_calculations": 20})
    with pytest.raises(UserError, match="need 38 calculations with one prototype for each of 14 binaries"):
        plan_references(tiny.model_copy(update={"references": options}), enumerate_space(tiny).table)


def test_large_cells_are_left_out_where_asked(tiny):
    table = enumerate_space(tiny).table
    options = tiny.references.model_copy(update={"max_sites": 6, "prototypes_per_stoichiometry": 8})
    plan = plan_references(tiny.model_copy(update={"references": options}), table)
    binaries = [r for r in plan.requests if len(set(r.geometry.species)) == 2]
    assert max(len(r.geometry.species) for r in binaries) <= 6


def test_a_failed_reference_is_counted_and_left_off_the_hull(tiny, plan):
    results = {r.id: finished(r) for r in plan.requests}
    lost = next(r for r in plan.requests if len(set(r.geometry.species)) == 2)
    results[lost.id] = failed(lost)
    references = build_references(tiny, enumerate_space(tiny).table, plan, results)
    assert references.report["failed"] == 1
    assert len(references.ids) == len(plan.requests) - 1
    assert lost.subject.removeprefix("reference:") not in references.ids


def test_an_element_without_any_energy_is_named_with_its_causes(tiny, plan):
    results = {r.id: failed(r) if set(r.geometry.species) == {"Mg"} else finished(r) for r in plan.requests}
    with pytest.raises(UserError, match=r"no reference of the element Mg .*A_cF4_225_a: 0\.2 eV/Å after 200 steps"):
        build_references(tiny, enumerate_space(tiny).table, plan, results)


def test_the_error_of_an_element_is_that_of_its_lowest_phase(plan):
    known = known_element_energies()["Mg"]
    magnesium = [r for r in plan.requests if set(r.geometry.species) == {"Mg"}]
    energies = [(r.geometry.reduced_formula, known + 0.3 - 0.1 * n) for n, r in enumerate(magnesium)]
    assert element_errors(energies) == {"Mg": pytest.approx(0.3 - 0.1 * (len(magnesium) - 1))}


def test_known_elements_agree_with_real_entries(data):
    """The table against the Materials Project's own entries."""
    from matscout.workflows.stability.entries import read_entries

    lowest = {}
    for entry in read_entries(data / "entries" / "Fe_Li_O_P_entries.json.gz"):
        if entry.composition.is_element:
            symbol = entry.composition.chemical_system
            lowest[symbol] = min(lowest.get(symbol, 0.0), entry.energy_per_atom)
    known = known_element_energies()
    assert {e: known[e] for e in lowest} == pytest.approx(lowest, abs=1e-3)


def test_file_references_must_hold_every_element(tiny, data):
    from matscout.workflows.campaign.spec import FileReferences
    from matscout.workflows.stability.entries import read_entries

    path = data / "entries" / "Fe_Li_O_P_entries.json.gz"
    spec = tiny.model_copy(update={"references": FileReferences(source="file", path=path)})
    table = enumerate_space(spec).table
    with pytest.raises(UserError, match="no entry of the elements Ca, Cl, Cs, F, K, Mg, Na, Rb, Zn"):
        plan_references(spec, table, read_entries(path))
    assert elements_of(table)[0] == "F"


def test_recomputed_references_are_those_near_the_files_hull(tiny, data):
    from matscout.workflows.campaign.space import SpaceSpec
    from matscout.workflows.campaign.spec import FileReferences
    from matscout.workflows.stability.entries import read_entries

    path = data / "entries" / "Fe_Li_O_P_entries.json.gz"
    space = SpaceSpec(prototypes=["rock-salt"], elements=["Li", "O"])
    options = FileReferences(source="file", path=path, window=0.0)
    spec = tiny.model_copy(update={"space": space, "references": options})
    entries = read_entries(path)
    plan = plan_references(spec, enumerate_space(spec).table, entries)
    diagram = PhaseDiagram([e for e in entries if {x.symbol for x in e.elements} <= {"Li", "O"}])
    stable = {entry.composition.reduced_formula for entry in diagram.stable_entries}
    assert {request.subject.split(":")[1] for request in plan.requests} == stable
    assert {r.protocol_id for r in plan.requests} == {get_protocol(tiny.protocol).id}


def test_an_uncorrected_file_is_judged_corrected_and_calculated_again_all_the_same(tiny, data):
    """GGA and GGA+U have no hull of their own: the phases near it are those near the corrected one."""
    from matscout.workflows.campaign.space import SpaceSpec
    from matscout.workflows.campaign.spec import FileReferences
    from matscout.workflows.stability.entries import read_entries

    path = data / "entries" / "Fe_Li_O_P_entries.json.gz"
    space = SpaceSpec(prototypes=["rock-salt"], elements=["Fe", "O"])
    options = FileReferences(source="file", path=path, window=0.0)
    spec = tiny.model_copy(update={"space": space, "references": options})
    table = enumerate_space(spec).table
    entries = read_entries(path)
    corrected = plan_references(spec, table, entries)
    for entry in entries:
        entry.energy_adjustments = []
    uncorrected = plan_references(spec, table, entries)
    assert uncorrected.requests == corrected.requests
    assert [entry.energy_adjustments for entry in uncorrected.entries] == [[]] * len(corrected.entries)


def entry_of(formula, *adjustments, data=None, run_type="GGA"):
    """An entry of Materials Project settings in eV per cell, with a structure that nobody calculates."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    symbols = [symbol for symbol, n in Composition(formula).items() for _ in range(int(n))]
    structure = Structure(Lattice.cubic(5), symbols, [[n / len(symbols)] * 3 for n in range(len(symbols))])
    return ComputedStructureEntry(
        structure,
        -3.0 * len(symbols),
        energy_adjustments=list(adjustments),
        parameters={"run_type": run_type, "hubbards": {}} if run_type else {},
        data=data,
        entry_id=f"mp-{formula}",
    )


def correction(value=-0.687, kind="oxide"):
    from pymatgen.entries.computed_entries import CompositionEnergyAdjustment

    return CompositionEnergyAdjustment(value, 1, name=f"MP2020 anion correction ({kind})")


@pytest.fixture
def against_file(tiny):
    """The plan and spec of a campaign in a chemical system, against entries of a file that are taken as they are."""

    def made(system, entries):
        from matscout.workflows.campaign.space import SpaceSpec
        from matscout.workflows.campaign.spec import FileReferences

        options = FileReferences(source="file", path="mp.json", recompute=False, correction="chgnet-as-mp2020")
        space = SpaceSpec(prototypes=["rock-salt"], elements=system.split("-"))
        spec = tiny.model_copy(update={"space": space, "references": options})
        table = enumerate_space(spec).table
        return spec, table, plan_references(spec, table, entries)

    return made


@pytest.mark.parametrize(
    ("system", "entries", "words"),
    [
        ("Cd-Te", [entry_of("Cd"), entry_of("Te"), entry_of("CdTe")], r"1 are not corrected \(GGA\).*mp-CdTe"),
        (
            "Li-O",
            [entry_of("Li"), entry_of("O2"), entry_of("Li2O", correction()), entry_of("LiO2")],
            r"1 are not corrected \(GGA\).*mp-LiO2",
        ),
        (
            "Mg-O",
            [entry_of("Mg"), entry_of("O2"), entry_of("MgO", correction()), entry_of("MgO2", correction(-0.9))],
            r"another version of MP2020 \(anion correction \(oxide\) -0\.9 eV/atom\): mp-MgO2",
        ),
        ("Cu-Mg", [entry_of("Mg", run_type=None), entry_of("Cu")], r"1 do not state how .*: mp-Mg"),
        ("Cu-Mg", [entry_of("Mg", data={"protocol": "mp2020-gpaw"}), entry_of("Cu")], r"1 are of mp2020-gpaw: mp-Mg"),
    ],
)
def test_a_file_whose_energies_are_not_all_mp2020_is_refused_before_anything_is_calculated(
    against_file, system, entries, words
):
    with pytest.raises(UserError, match=words):
        against_file(system, entries)


@pytest.mark.parametrize(
    ("system", "entries"),
    [
        ("Mg-O", [entry_of("Mg"), entry_of("O2"), entry_of("MgO", correction())]),
        ("Cu-Mg", [entry_of("Mg"), entry_of("Cu"), entry_of("MgCu2")]),
        ("Cu-Mg", [entry_of("Mg", data={"protocol": "mp2020"}), entry_of("Cu", data={"protocol": "chgnet-static"})]),
    ],
)
def test_every_reference_of_a_file_carries_its_own_protocol(against_file, system, entries):
    spec, table, plan = against_file(system, entries)
    results = {request.id: finished(request) for request in plan.requests}
    references = build_references(spec, table, plan, results)
    stated = [entry.data.get("protocol", "mp2020") for entry in entries]
    assert references.protocols == tuple(stated)
    hull = Hull(
        references.formulas,
        references.energies,
        references.ids,
        protocols=references.protocols,
        scheme=references.scheme,
    )
    assert hull.columns().protocols == tuple(stated)
    assert hull.columns().energies.tolist() == pytest.approx([entry.energy_per_atom for entry in entries])
    assert [entry.energy_adjustments for entry in plan.entries] == [entry.energy_adjustments for entry in entries]


def test_calculated_references_are_of_the_campaigns_protocol(tiny, plan):
    references = build_references(tiny, enumerate_space(tiny).table, plan, {r.id: finished(r) for r in plan.requests})
    assert references.protocols == (tiny.protocol,) * len(plan.requests)
    assert reference_hull(references).protocols == (tiny.protocol,)


def with_protocol(spec, name, **references):
    return type(spec).model_validate(
        spec.model_dump() | {"protocol": name, "references": spec.references.model_dump() | references}
    )


def test_a_code_that_knows_vacuum_calculates_molecules_in_boxes(tiny):
    from matscout.workflows.calculations.gpaw import vacuum_axes

    dft = with_protocol(tiny, "gpaw-pbe")
    requests = {one.subject: one for one in plan_references(dft, enumerate_space(dft).table).requests}
    box = requests["reference:F2:molecule"].geometry.to_structure()
    assert box.get_distance(0, 1) == pytest.approx(1.412)  # Huber and Herzberg
    assert vacuum_axes(box, get_protocol("gpaw-pbe").settings["vacuum_A"]) == [True] * 3
    assert "reference:Cl2:molecule" in requests
    usual = {one.subject for one in plan_references(tiny, enumerate_space(tiny).table).requests}
    assert not any(subject.endswith(":molecule") for subject in usual)


def test_with_one_structure_an_element_is_what_it_is_at_room_temperature(tiny):
    one = with_protocol(tiny, "chgnet-relax", prototypes_per_element=1)
    requests = plan_references(one, enumerate_space(one).table).requests
    labels = {
        r.subject.split(":")[1]: r.subject.split(":")[2] for r in requests if r.geometry.reduced_formula in "NaMgKCa"
    }
    bcc, fcc, hcp = "A_cI2_229_a", "A_cF4_225_a", "A_hP2_194_c"
    assert labels == {"Na": bcc, "Mg": hcp, "K": bcc, "Ca": fcc}


def test_changed_settings_reach_every_reference(tiny):
    changed = type(tiny).model_validate(tiny.model_dump() | {"overrides": {"min_volume_A3_per_atom": 3.0}})
    requests = plan_references(changed, enumerate_space(changed).table).requests
    assert {str(r.overrides) for r in requests} == {"{'min_volume_A3_per_atom': 3.0}"}
    assert {r.protocol_id for r in requests} == {changed.full_protocol().id}
    references = build_references(
        changed,
        enumerate_space(changed).table,
        plan_references(changed, enumerate_space(changed).table),
        {r.id: finished(r).model_copy(update={"overrides": r.overrides}) for r in requests},
    )
    assert set(references.protocols) == {changed.full_protocol().label}


def test_energies_of_another_zero_are_not_compared_with_the_materials_project(tiny):
    dft = with_protocol(tiny, "gpaw-pbe")
    table = enumerate_space(dft).table
    plan = plan_references(dft, table)
    references = build_references(dft, table, plan, {r.id: finished(r) for r in plan.requests})
    assert references.report["elements"] == {}
