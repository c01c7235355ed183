"""Checks of what was found: asked for, carried over, run by the loop, the Flow and the queue, and never a hiding."""

import pytest
import yaml

from matscout.db import connect
from matscout.db.labels import Label, Summary
from matscout.errors import UserError
from matscout.workflows import Campaign, CampaignSpec, ScreeningMaker
from matscout.workflows.campaign.files import read_spec
from matscout.workflows.campaign.stages import enumerate_space
from matscout.workflows.campaign.standing import read_standing
from matscout.workflows.campaign.state import stored_state
from matscout.workflows.campaign.steering import calculations_of, pause, resume
from matscout.workflows.campaign.verdict import is_found
from matscout.workflows.campaign.watcher import Watcher
from matscout.workflows.launch.ledger import Ledger

BOTH = ("chgnet-rattled", "chgnet-phonons")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "checks: [chgnet-phonon]",
            'line 7: unknown protocol "chgnet-phonon" in checks[0]. Nearest: chgnet-phonons.',
        ),
        (
            "checks: [chgnet-phonons, chgnet-static]",
            "line 7: checks: protocol chgnet-static checks nothing: choose of chgnet-phonons, chgnet-rattled",
        ),
        (
            "checks: [gpaw-pbe-rattled]",
            "line 7: checks: protocol gpaw-pbe-rattled is of gpaw, not of chgnet: choose of chgnet-phonons, ",
        ),
        (
            "protocol: vasp-mp-gga\nchecks: [gpaw-pbe-rattled]",
            "line 8: checks: protocol gpaw-pbe-rattled is of gpaw, not of vasp: none fits vasp-mp-gga, so leave ",
        ),
        ("checks: chgnet-phonons", "line 7: checks is 'chgnet-phonons': it must be a list"),
    ],
)
def test_what_cannot_check_a_campaign_is_refused(made_up, tmp_path, lines, message):
    path = tmp_path / "halides.yaml"
    path.write_text(made_up.text + lines)
    with pytest.raises(UserError) as error:
        read_spec(path)
    assert message in str(error.value)


def test_checks_do_not_make_another_campaign(made_up):
    assert made_up.spec(checks=["chgnet-phonons"]).id == made_up.spec().id
    assert made_up.spec(checks=["chgnet-phonons"] * 2).checks == ("chgnet-phonons",)


def test_changed_settings_carry_over_where_a_check_has_none_of_its_own():
    cheap = CampaignSpec.model_validate(
        {
            "name": "cheap",
            "space": {"prototypes": ["rock-salt"], "elements": ["Mg", "O"]},
            "protocol": "gpaw-pbe",
            "overrides": {"cutoff_eV": 400, "hubbard_u": {}, "fmax_eV_per_A": 0.1, "calculator.symmetry": "off"},
            "checks": ["gpaw-pbe-rattled", "gpaw-pbe-phonons"],
            "budget": {"calculations": 1},
        }
    )
    rattled, phonons = (protocol.settings for protocol in cheap.check_protocols())
    for settings in (rattled, phonons):
        assert (settings["cutoff_eV"], settings["hubbard_u"]) == (400, {})
        assert settings["calculator"] == {"symmetry": "off"}
    assert rattled["fmax_eV_per_A"] == 0.1  # alike in both protocols
    assert phonons["fmax_eV_per_A"] == 0.01  # of what frequencies need
    static = CampaignSpec.model_validate(cheap.model_dump() | {"protocol": "gpaw-pbe-static"})
    assert static.check_protocols() == cheap.check_protocols()
    assert all(protocol.relaxes for protocol in static.check_protocols())


def test_a_custom_protocol_has_no_checks(made_up):
    maker = {"maker": "atomate2.forcefields.jobs.CHGNetRelaxMaker", "functional": "PBE"}
    with pytest.raises(ValueError, match="is of chgnet, not of custom: none fits custom"):
        made_up.spec(protocol="custom", overrides=maker, checks=["chgnet-rattled"])


@pytest.fixture
def done(made_up, tmp_path):
    """A store in which the campaign was run with both checks, and its summary."""
    with connect(tmp_path / "store") as store:
        summary = made_up.run(made_up.spec(checks=BOTH), store)
        yield store, summary


def test_what_was_found_is_checked_from_its_relaxed_crystal(made_up, done):
    store, summary = done
    checks = [request for request in made_up.asked if request.protocol in BOTH]
    found = [x for x in summary.labels if is_found(x)]
    assert {x.formula for x in found} == {"KMgF3", "RbMgF3", "CsMgF3", "KCaF3"}
    assert sorted((r.geometry.reduced_formula, r.protocol) for r in checks) == sorted(
        (x.formula, name) for x in found for name in BOTH
    )
    relaxed = {x.calculation_id: x.candidate_id for x in found}
    for document in store.collection("calculations").find({"_id": {"$in": list(relaxed)}}):
        geometries = [
            r.geometry.model_dump(mode="json") for r in checks if r.subject == f"candidate:{relaxed[document['_id']]}"
        ]
        assert geometries == [document["result"]["geometry"]] * 2


def test_the_outcome_is_shown_and_hides_no_find(made_up, done, tmp_path):
    _, summary = done
    assert (summary.checked.n_found, summary.checked.n_passed, summary.checked.n_unstable) == (4, 1, 2)
    labels = {x.formula: x for x in summary.labels}
    assert {f: x.passed for f, x in labels.items()} == {
        "KMgF3": True,
        "RbMgF3": False,
        "CsMgF3": False,
        "KCaF3": None,
        "RbCaF3": None,
    }
    rattled, phonons = (labels["CsMgF3"].checks[name] for name in BOTH)
    assert (rattled.prototype_kept, rattled.passed, phonons.passed) == (False, False, True)
    assert rattled.energy_change == pytest.approx(-0.03)
    assert labels["RbMgF3"].checks["chgnet-phonons"].dynamics.lowest_frequency == -2.5
    failed = labels["KCaF3"].checks["chgnet-rattled"]
    assert (failed.outcome, failed.cause, failed.energy_change, failed.passed) == ("failed", "input", None, None)
    assert labels["RbCaF3"].checks == {}
    with connect(tmp_path / "unchecked") as store:
        unchecked = made_up.run(made_up.spec(), store)
    assert unchecked.checked is None
    assert unchecked.found == summary.found
    assert [x.model_copy(update={"checks": {}}) for x in summary.labels] == list(unchecked.labels)


def test_energies_of_checks_stand_on_no_hull(made_up, done):
    store, _ = done
    spec = made_up.spec(checks=BOTH)
    state = stored_state(store, spec, enumerate_space(spec))
    assert set(state.hull().protocols) == {"chgnet-relax"}
    assert {result.protocol for result in state.results.values()} == {"chgnet-relax"}


def test_the_store_knows_the_checks_as_the_campaign_s_own(made_up, done):
    store, summary = done
    document = store.collection("campaigns").find_one()
    ids = {check.calculation_id for x in summary.labels for check in x.checks.values()}
    assert ids == set(document["check_calculations"]) < set(calculations_of(store, document))
    standing = read_standing(store, document)
    assert (standing.failed, standing.causes) == (2, {"input": 2})  # a candidate and a check
    assert standing.calculated == 6
    stored = store.collection("labels").find({"campaign": document["_id"]})
    again = [Label.model_validate({k: v for k, v in x.items() if k not in {"_id", "campaign"}}) for x in stored]
    assert sorted(again, key=lambda x: x.candidate_id) == sorted(summary.labels, key=lambda x: x.candidate_id)


def test_who_holds_a_campaign_holds_its_checks(made_up, done):
    store, _ = done
    checks = [request for request in made_up.asked if request.protocol in BOTH]
    store.collection("campaigns").update_one({}, {"$set": {"worker": "node", "state": "running"}})
    ledger = Ledger(store)
    ledger.prepare()
    ledger.add(checks, "node")
    document = store.collection("campaigns").find_one()
    assert (pause(store, document), resume(store, document)) == (8, 8)


def test_a_finished_campaign_goes_on_with_the_checks_only(made_up, tmp_path):
    with connect(tmp_path / "store") as store:
        first = made_up.run(made_up.spec(), store)
        made_up.asked.clear()
        second = made_up.run(made_up.spec(checks=["chgnet-phonons"]), store)
        assert {request.protocol for request in made_up.asked} == {"chgnet-phonons"}
        assert (len(made_up.asked), second.stopped, second.found) == (4, first.stopped, first.found)
        made_up.asked.clear()
        assert made_up.run(made_up.spec(checks=["chgnet-phonons"]), store) == second
        assert made_up.asked == []
        assert all(x.checks == {} for x in made_up.run(made_up.spec(), store).labels)  # nor kept once not asked for


def test_what_an_exhaustive_run_finds_is_checked_too(made_up, tmp_path):
    few = made_up.spec(checks=["chgnet-phonons"], budget={"calculations": 1, "first_batch": 1})
    with connect(tmp_path / "store") as store:
        assert made_up.run(few, store).checked.n_found <= 1
        assert made_up.run(few, store, exhaustive=True).checked.n_found == 4


def test_the_flow_checks_as_the_loop_does(made_up, done, tmp_path, monkeypatch):
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    _, summary = done
    monkeypatch.setattr("matscout.workflows.calculations.run.calculate", made_up)
    flow = ScreeningMaker(made_up.spec(checks=BOTH)).make()
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(flow, store=store, create_folders=True, root_dir=tmp_path, ensure_success=True, log=False)
    assert store.get_output(flow.jobs[0].uuid) == summary.model_dump(mode="json")


def test_documents_of_before_there_were_checks_still_load(done):
    _, summary = done
    old = summary.model_dump(mode="json", exclude={"checked": True, "labels": {"__all__": {"checks"}}})
    loaded = Summary.model_validate(old)
    assert loaded.checked is None
    assert {x.passed for x in loaded.labels} == {None}


class Counting(Watcher):
    def __init__(self):
        self.stages, self.results = [], []

    def stage(self, name, done, total):
        self.stages.append((name, total))

    def result(self, result):
        self.results.append(result.protocol)


def test_calcium_fluoride_tilts_and_the_magnesium_one_does_not(tmp_path):
    """Real phonons: the octahedra of KCaF3 tilt below some 550 K, KMgF3 is cubic down to the lowest temperatures."""
    text = """
name: tilts
space:
  prototypes: [cubic-perovskite]
  elements: {A: [K], B: [Mg, Ca], X: [F]}
protocol: chgnet-static
checks: [chgnet-phonons]
references: {source: computed, prototypes_per_stoichiometry: 1, prototypes_per_element: 1}
acquisition: {threshold: 0.2}
budget: {calculations: 2, first_batch: 2}
"""
    seen = Counting()
    with connect(tmp_path / "store") as store:
        summary = Campaign(CampaignSpec.model_validate(yaml.safe_load(text)), store, seen).run()
    assert seen.stages[-1] == ("checks", 2)
    assert seen.results[-2:] == ["chgnet-phonons"] * 2
    verdicts = {x.formula: (x.passed, x.checks["chgnet-phonons"].dynamics.imaginary > 0) for x in summary.labels}
    assert verdicts == {"KMgF3": (True, False), "KCaF3": (False, True)}
