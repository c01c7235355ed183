"""The campaign loop and the jobflow Flow on real, small calculations."""

import pytest
import yaml

from matscout.db import connect
from matscout.errors import UserError
from matscout.settings import get_settings
from matscout.workflows import Campaign, ScreeningMaker
from matscout.workflows.campaign.loop import StoppedError
from matscout.workflows.campaign.watcher import Watcher


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_text):
    """One uninterrupted run: its store's folder and its summary."""
    from matscout.workflows.campaign.spec import CampaignSpec

    folder = tmp_path_factory.mktemp("finished")
    spec = CampaignSpec.model_validate(yaml.safe_load(tiny_text))
    with connect(folder / "store") as store:
        return folder / "store", Campaign(spec, store).run()


@pytest.fixture(autouse=True)
def settings_read_anew():
    """Read the settings again in each test, as some change the environment."""
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def story(store, spec):
    """All that a run decided: choices with their predictions, and labels."""
    selections = store.collection("selections").find({"campaign": spec.id}).sort("_id", 1)
    labels = store.collection("labels").find({"campaign": spec.id}).sort("_id", 1)
    return [s["selection"] for s in selections], list(labels)


def test_the_budget_is_spent_and_counted(tiny, finished):
    _, summary = finished
    assert summary.found.n_calculated == 16
    assert len(summary.labels) + len(summary.failures) == 16
    assert summary.stopped == "the budget of 16 calculations is used; 8 candidates are left"
    assert summary.found.n_candidates == 24
    assert not summary.found.exact


def test_labels_agree_with_pymatgen(tiny, finished):
    """e_above_hull of every label, from the stored energies alone."""
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    folder, summary = finished
    with connect(folder, read_only=True) as store:
        done = list(store.collection("calculations").find({"state": "completed"}))
    entries = {c["_id"]: PDEntry(Composition(c["result"]["formula"]), 0.0) for c in done}
    for c in done:
        composition = entries[c["_id"]].composition
        entries[c["_id"]] = PDEntry(composition, c["result"]["energy_per_atom"] * composition.num_atoms)
    for label in summary.labels[::3]:
        elements = set(Composition(label.formula).elements)
        diagram = PhaseDiagram([e for e in entries.values() if set(e.composition.elements) <= elements])
        expected = diagram.get_e_above_hull(entries[label.calculation_id])
        assert label.e_above_hull == pytest.approx(expected, abs=1e-8)


def test_the_same_spec_and_seed_choose_the_same(tiny, finished, tmp_path, monkeypatch):
    """Also where two workers finish in another order than one."""
    folder, summary = finished
    monkeypatch.setenv("MATSCOUT_WORKERS", "2")
    with connect(tmp_path / "again") as store:
        assert Campaign(tiny, store).run() == summary
        again = story(store, tiny)
    with connect(folder, read_only=True) as store:
        assert story(store, tiny) == again


def test_another_seed_chooses_otherwise(tiny, finished, tmp_path):
    _, summary = finished
    other = tiny.model_copy(update={"seed": 4})
    with connect(tmp_path / "other") as store:
        Campaign(other, store).run()
        chosen = {p["candidate_id"] for s in story(store, other)[0] for p in s["chosen"]}
    assert chosen != {label.candidate_id for label in summary.labels}


def test_the_flow_finds_what_the_loop_finds(tiny, finished, tmp_path):
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    _, summary = finished
    flow = ScreeningMaker(tiny).make()
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(flow, store=store, create_folders=True, root_dir=tmp_path, ensure_success=True, log=False)
    output = store.get_output(flow.jobs[0].uuid)
    assert output == summary.model_dump(mode="json")


class StopAfter(Watcher):
    def __init__(self, n):
        self.left = n

    def result(self, _):
        self.left -= 1


@pytest.mark.parametrize("n", [2, 29])
def test_a_stopped_campaign_goes_on_and_ends_the_same(tiny, finished, tmp_path, n):
    folder, summary = finished
    watcher = StopAfter(n)
    with connect(tmp_path / "store") as store, pytest.raises(StoppedError):
        Campaign(tiny, store, watcher, lambda: watcher.left <= 0).run()
    with connect(tmp_path / "store") as store:
        assert Campaign(tiny, store).run() == summary
        resumed = story(store, tiny)
        attempts = [len(c["attempts"]) for c in store.collection("calculations").find()]
    with connect(folder, read_only=True) as store:
        assert story(store, tiny) == resumed
    assert set(attempts) == {1}


def test_a_finished_campaign_calculates_nothing_again(tiny, finished):
    folder, summary = finished
    watcher = StopAfter(0)
    with connect(folder) as store:
        assert Campaign(tiny, store, watcher).run() == summary
    assert watcher.left == 0


def test_a_larger_budget_goes_on(tiny, finished, tmp_path):
    import shutil

    folder, summary = finished
    shutil.copytree(folder, tmp_path / "store")
    more = tiny.model_copy(update={"budget": tiny.budget.model_copy(update={"calculations": 20})})
    with connect(tmp_path / "store") as store:
        longer = Campaign(more, store).run()
    assert longer.found.n_calculated == 20
    assert {x.candidate_id for x in summary.labels} < {x.candidate_id for x in longer.labels}


def test_exhaustive_counts_what_there_was_to_find(tiny, finished, tmp_path):
    import shutil

    folder, summary = finished
    shutil.copytree(folder, tmp_path / "store")
    with connect(tmp_path / "store") as store:
        complete = Campaign(tiny, store).run(exhaustive=True)
        assert Campaign(tiny, store).run(exhaustive=True) == complete
    with connect(tmp_path / "store") as store:  # what was counted is not estimated again
        assert Campaign(tiny, store).run().found == complete.found
    assert complete.found.exact
    assert complete.found.n_calculated == summary.found.n_calculated
    assert len(complete.labels) + len(complete.failures) == 24
    assert complete.found.n_stable == int(complete.found.n_stable)


def test_a_second_run_is_told_who_holds_the_store(tiny, tmp_path):
    with (
        connect(tmp_path / "store") as first,
        first.lease("matscout run other"),
        connect(tmp_path / "store") as second,
        pytest.raises(UserError, match="matscout run other"),
    ):
        Campaign(tiny, second).run()


def test_two_campaigns_share_their_calculations(tiny, finished, tmp_path):
    import shutil

    folder, _ = finished
    shutil.copytree(folder, tmp_path / "store")
    counter = StopAfter(0)
    with connect(tmp_path / "store") as store:
        Campaign(tiny.model_copy(update={"name": "twin"}), store, counter).run()
    assert counter.left == 0


def test_a_campaign_ends_once_little_is_left_to_find(tiny, finished, tmp_path):
    import shutil

    folder, _ = finished
    shutil.copytree(folder, tmp_path / "store")
    never = tiny.model_copy(
        update={
            "acquisition": tiny.acquisition.model_copy(update={"threshold": 0.05}),
            "stop": tiny.stop.model_copy(update={"expected_left": 1000.0}),
        }
    )
    with connect(tmp_path / "store") as store:
        summary = Campaign(never, store).run()
    assert "are still to be found among the" in summary.stopped


def test_a_missing_extra_is_said_before_anything_is_written(tiny, tmp_path, monkeypatch):
    from importlib.metadata import PackageNotFoundError

    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("matscout.workflows.calculations.protocols._version", missing)
    with connect(tmp_path / "store") as store, pytest.raises(UserError, match=r"pip install 'matscout\[gnn\]'"):
        Campaign(tiny, store).run()


def test_workers_are_as_many_as_the_settings_say(monkeypatch):
    monkeypatch.setenv("MATSCOUT_WORKERS", "0")
    with pytest.raises(UserError, match=r"environment variable MATSCOUT_WORKERS='0'"):
        get_settings()
