"""Energies as they stand on a hull: corrected by the protocol's scheme, known answers from pymatgen."""

import pytest
from pymatgen.core import Composition
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedEntry

from matscout.db.documents import CalculationResult
from matscout.errors import UserError
from matscout.workflows.calculations.protocols import get_protocol
from matscout.workflows.campaign.energies import check_mixing, hull_energy, hull_entry
from matscout.workflows.campaign.outlook import present_hull
from matscout.workflows.campaign.reference_plan import plan_references
from matscout.workflows.campaign.references import build_references
from matscout.workflows.campaign.spec import CampaignSpec
from matscout.workflows.campaign.stages import enumerate_space, requests_of
from matscout.workflows.campaign.state import StoredState
from matscout.workflows.campaign.verdict import label
from matscout.workflows.stability import Hull

POTENTIALS = {"Fe": "PAW_PBE Fe_pv 06Sep2000", "O": "PAW_PBE O 08Apr2002"}
ENERGIES = {"Fe": -8.4, "O2": -4.95, "FeO": -6.6, "Fe2O3": -6.7}  # eV/atom, nearly those of the Materials Project


def campaign(**more):
    return CampaignSpec.model_validate(
        {
            "name": "iron",
            "space": {"prototypes": ["rock-salt", "zincblende"], "elements": ["Fe", "O"]},
            "protocol": "vasp-mp-gga",
            "references": {"source": "computed", "prototypes_per_stoichiometry": 1},
            "budget": {"calculations": 2, "first_batch": 2},
        }
        | more
    )


def result_of(request):
    formula = Composition("".join(request.geometry.species)).reduced_formula
    symbols = sorted(set(request.geometry.species))
    oxide = len(symbols) > 1
    energy = ENERGIES.get(formula, -6.0)
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=formula,
        outcome="completed",
        overrides=request.overrides,
        energy=energy * len(request.geometry.species),
        energy_per_atom=energy,
        geometry=request.geometry,
        run={
            "run_type": "GGA+U" if oxide else "GGA",
            "hubbards": {"Fe": 5.3, "O": 0.0} if oxide else {},
            "potcar_spec": [{"titel": POTENTIALS[symbol], "hash": None} for symbol in symbols],
            "software": "vasp",
        },
    )


def carried_out(spec):
    space = enumerate_space(spec)
    plan = plan_references(spec, space.table)
    references = build_references(spec, space.table, plan, {r.id: result_of(r) for r in plan.requests})
    results = {i: result_of(r) for i, r in requests_of(spec, space, space.table.ids).items()}
    return space, plan, references, results


def corrected_by_pymatgen(result):
    entry = ComputedEntry(
        Composition("".join(result.geometry.species)),
        result.energy,
        parameters={**result.run, "is_hubbard": bool(result.run["hubbards"])},
        data={"oxide_type": "oxide" if len(set(result.geometry.species)) > 1 else "None"},
    )
    return MaterialsProject2020Compatibility().process_entry(entry).energy_per_atom


@pytest.mark.filterwarnings("ignore:Failed to guess oxidation states")
def test_iron_oxides_are_corrected_as_pymatgen_does():
    _, _, _, results = carried_out(campaign())
    for result in results.values():
        expected = corrected_by_pymatgen(result)
        assert expected < result.energy_per_atom - 1.0  # an anion's correction and +U's
        assert hull_energy(get_protocol("vasp-mp-gga"), result) == pytest.approx(expected)


def test_the_hull_of_a_campaign_stands_on_corrected_energies():
    spec = campaign()
    space, plan, references, results = carried_out(spec)
    hull = present_hull(space, references, results)
    assert (hull.scheme, hull.protocols) == ("mp2020", ("mp2020",))
    labels = label(spec, space, references, results, [])
    assert {x.correction for x in labels} == {"mp2020"}
    rock_salt = labels[0]
    formation = corrected_by_pymatgen(results[rock_salt.candidate_id]) - (ENERGIES["Fe"] + ENERGIES["O2"]) / 2
    assert rock_salt.formation_energy == pytest.approx(formation)
    entries = StoredState(spec, space, plan, references, results).entries()
    assert Hull.from_entries(entries, scheme="mp2020").e_above_hull(
        ["FeO"], [corrected_by_pymatgen(results[rock_salt.candidate_id])]
    ) == pytest.approx([rock_salt.e_above_hull])


def test_energies_of_changed_settings_are_corrected_alike_and_meet_no_others():
    spec = campaign(overrides={"incar.ENCUT": 600})
    space, _, references, results = carried_out(spec)
    hull = present_hull(space, references, results)
    assert (hull.scheme, hull.protocols) == ("none", (spec.full_protocol().label,))
    labels = label(spec, space, references, results, [])
    assert {x.correction for x in labels} == {"mp2020"}
    assert labels[0].formation_energy == pytest.approx(
        label(campaign(), *carried_out_for_labels(), [])[0].formation_energy
    )


def carried_out_for_labels():
    space, _, references, results = carried_out(campaign())
    return space, references, results


def test_an_entry_brings_its_correction():
    _, _, _, results = carried_out(campaign())
    result = next(iter(results.values()))
    entry = hull_entry(get_protocol("vasp-mp-gga"), result, "candidate:1")
    assert entry.uncorrected_energy == pytest.approx(result.energy)
    assert entry.energy_per_atom == pytest.approx(corrected_by_pymatgen(result))


@pytest.mark.parametrize("key", ["incar.LDAUU", "incar.LDAUU.O.Fe", "potcar.Fe"])
def test_what_a_scheme_was_fitted_to_cannot_be_changed_beside_it(key):
    value = "Fe" if key == "potcar.Fe" else 4.0
    with pytest.raises(UserError, match="fitted to its U values"):
        check_mixing(get_protocol("vasp-mp-gga", {key: value}), ["Fe", "O"])


def test_energies_with_and_without_u_meet_on_no_hull_as_they_are():
    with pytest.raises(UserError, match=r"puts a U on Fe, Ni beside O .*hubbard_u: \{\}"):
        check_mixing(get_protocol("gpaw-pbe"), ["Fe", "Ni", "Cs", "O"])
    check_mixing(get_protocol("gpaw-pbe"), ["Fe", "Ni", "Cl"])
    check_mixing(get_protocol("gpaw-pbe", {"hubbard_u": {}}), ["Fe", "O"])


def test_changed_settings_do_not_join_a_file_of_other_energies(data):
    path = data / "entries" / "Fe_Li_O_P_entries.json.gz"
    given = {"source": "file", "path": path, "recompute": False}
    spec = campaign(references={**given, "correction": "mp2020"})
    assert plan_references(spec, enumerate_space(spec).table, entries(path)).counts["calculations"] > 3
    for changed in (
        campaign(overrides={"incar.ENCUT": 600}, references={**given, "correction": "mp2020"}),
        campaign(
            protocol="chgnet-relax",
            overrides={"max_steps": 50},
            references={**given, "correction": "chgnet-as-mp2020"},
        ),
    ):
        with pytest.raises(UserError, match=r"not (for|with) .*\["):
            plan_references(changed, enumerate_space(changed).table, entries(path))


def entries(path):
    from matscout.workflows.stability.entries import read_entries

    return list(read_entries(path))
