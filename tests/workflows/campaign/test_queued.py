"""A campaign on a queue comes to the same end as one on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from matscout.db.files import write_text
from matscout.db.store import connect
from matscout.errors import UserError
from matscout.workflows.calculations.run import calculate
from matscout.workflows.campaign.loop import Campaign
from matscout.workflows.campaign.queued import QueuedCampaign
from matscout.workflows.campaign.standing import read_standing
from matscout.workflows.launch.allocation import LauncherStart, announce, read_allocation
from matscout.workflows.launch.folders import RESULT, Claim, claim, read_request
from matscout.workflows.launch.schedulers import JobState
from matscout.workflows.launch.workers_file import Worker


class Cluster:
    """A scheduler whose jobs are over as soon as they are submitted, and asked about at the next step."""

    def __init__(self):
        self.jobs_ = {}

    def __call__(self, worker):
        return self

    def script(self, request):
        return f"# {request.name}\n"

    def submit(self, script):
        number = str(len(self.jobs_) + 1)
        allocation = read_allocation(script.parent)
        start = LauncherStart(launcher="l", allocation=allocation.id, host="n", pid=1, started="2026-01-01T00:00:00Z")
        announce(script.parent, start)
        for launch in allocation.launches:
            folder = Path(launch.folder)
            assert claim(folder, Claim(launcher="l", host="n", pid=1, started="2026-01-01T00:00:00Z"))
            write_text(folder / RESULT, calculate(read_request(folder), folder).model_dump_json())
        self.jobs_[number] = JobState(number, script.read_text().split()[-1], "completed")
        return number

    def jobs(self, ids, names=()):
        return {number: self.jobs_[number] for number in ids}


@pytest.fixture
def worker(tmp_path):
    return Worker(
        name="node",
        scheduler="slurm",
        launch_folder=tmp_path / "scratch",
        walltime="01:00:00",
        per_allocation=50,
        max_queued=20,
    )


def test_it_comes_to_the_same_end_as_on_this_machine(tiny, tmp_path, worker):
    with connect(tmp_path / "here") as store:
        expected = Campaign(tiny, store).run()
    with connect(tmp_path / "there") as store:
        campaign = QueuedCampaign(tiny, store, workers={"node": worker}, worker="node", scheduler_of=Cluster())
        seen = []
        for _ in range(30):
            advance = campaign.advance()
            if advance.summary is not None:
                break
            seen.append(store.collection("campaigns").find_one({}, {"stage": 1})["stage"])
        assert seen[0] == "references"
        assert advance.summary.model_dump(exclude={"failures"}) == expected.model_dump(exclude={"failures"})
        again = campaign.advance()
        assert not again.step.changed
        assert again.summary == advance.summary.model_copy(update={"labels": ()})
    assert not list((tmp_path / "scratch").rglob("job.json"))  # cleaned up


def test_what_was_found_is_checked_on_the_queue(made_up, tmp_path, worker, monkeypatch):
    monkeypatch.setitem(globals(), "calculate", made_up)
    spec = made_up.spec(checks=["chgnet-rattled", "chgnet-phonons"])
    with connect(tmp_path / "here") as store:
        expected = made_up.run(spec, store)
    with connect(tmp_path / "there") as store:
        campaign = QueuedCampaign(spec, store, workers={"node": worker}, worker="node", scheduler_of=Cluster())
        standings = []
        while (advance := campaign.advance()).summary is None:
            standings.append(read_standing(store, store.collection("campaigns").find_one()))
    assert [(x.stage, x.total, x.in_jobs) for x in standings[-1:]] == [("checks", 8, 8)]
    assert advance.summary == expected


def test_one_that_was_never_submitted_says_how(tiny, tmp_path, worker):
    with connect(tmp_path / "there") as store, pytest.raises(UserError, match="matscout submit FILE --worker NAME"):
        QueuedCampaign(tiny, store, workers={"node": worker}).advance()
