import errno
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from matscout.db.documents import CalculationRequest, Geometry
from matscout.db.files import write_text
from matscout.workflows.calculations.causes import Finding
from matscout.workflows.launch import folders
from matscout.workflows.launch.folders import (
    Claim,
    Interruption,
    claim,
    close_folder,
    create,
    failure,
    look,
    prepare,
    read_request,
    read_result,
)

GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Na",), coords=((0, 0, 0),))
REQUEST = CalculationRequest.of(GEOMETRY, protocol="chgnet-static", protocol_id="x", subject="candidate:x")
FINDING = Finding(cause="memory", evidence="signal 9", message="killed")
RESULT = failure(REQUEST, FINDING)


def claim_of(name):
    return Claim(launcher=name, host="here", pid=1, started="")


def test_a_request_comes_back_as_it_was(tmp_path):
    prepare(tmp_path / "one", REQUEST)
    assert read_request(tmp_path / "one") == REQUEST


def test_no_result_is_none(tmp_path):
    assert read_result(tmp_path) is None


def test_half_a_result_is_an_error_that_says_so(tmp_path):
    (tmp_path / "result.json").write_text('{"id": "x", "outc')
    with pytest.raises(ValueError, match="Invalid JSON"):
        read_result(tmp_path)


def test_of_many_only_one_gets_a_folder(tmp_path):
    prepare(tmp_path / "one", REQUEST)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda n: claim(tmp_path / "one", claim_of(str(n))), range(40)))
    assert sum(taken) == 1
    assert look(tmp_path / "one", alive=True).claim.launcher == str(taken.index(True))
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["claim.json", "job.json"]


def test_a_claim_whose_answer_was_lost_on_the_way_is_still_ours(tmp_path, monkeypatch):
    """NFS: the server made the link, and the client asked again."""
    link = os.link

    def link_and_fail(*args):
        link(*args)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link_and_fail)
    assert create(tmp_path / "claim.json", claim_of("us"))


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links_has_claims_too(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert [create(tmp_path / "claim.json", claim_of(name)) for name in "ab"] == [True, False]
    assert Claim.model_validate_json((tmp_path / "claim.json").read_bytes()) == claim_of("a")


def test_a_full_disk_leaves_no_claim(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    prepare(tmp_path / "one", REQUEST)
    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        claim(tmp_path / "one", claim_of("us"))
    assert look(tmp_path / "one", alive=False).state == "waiting"
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["job.json"]


def test_a_folder_shows_how_far_its_attempt_came(tmp_path):
    folder = tmp_path / "one"
    assert look(folder, alive=True).state == "gone"
    prepare(folder, REQUEST)
    assert look(folder, alive=True).state == "waiting"
    claim(folder, claim_of("us"))
    assert [look(folder, alive=alive).state for alive in (True, False)] == ["running", "interrupted"]
    stopped = Interruption(evidence="signal 15", message="stopped", seconds=1.0)
    write_text(folder / "interrupted.json", stopped.model_dump_json())
    assert look(folder, alive=True)[::2] == ("interrupted", stopped, None)
    write_text(folder / "result.json", RESULT.model_dump_json())
    assert look(folder, alive=True)[:2] == ("done", RESULT)


def test_a_result_cut_off_is_an_interruption_that_says_so(tmp_path):
    prepare(tmp_path / "one", REQUEST)
    (tmp_path / "one" / "result.json").write_text('{"id": "x", "outc')
    seen = look(tmp_path / "one", alive=True)
    assert seen.state == "interrupted"
    assert "result.json: : Invalid JSON" in seen.problem


def test_a_folder_can_be_closed_again(tmp_path):
    prepare(tmp_path / "one", REQUEST)
    assert close_folder(tmp_path / "one") == close_folder(tmp_path / "one") == tmp_path / "one-closed"
    with pytest.raises(FileNotFoundError):
        close_folder(tmp_path / "two")


def test_a_failure_is_a_result(tmp_path):
    assert (RESULT.outcome, RESULT.cause, RESULT.evidence, RESULT.formula) == ("failed", "memory", "signal 9", "Na")


class Attempt(RuleBasedStateMachine):
    """Launchers, workers and the controller at one folder, in any order of their single steps."""

    def __init__(self):
        super().__init__()
        self.root = Path(mkdtemp())
        self.folder = self.root / "1"
        prepare(self.folder, REQUEST)
        self.claims, self.answered, self.closed, self.final = 0, False, False, None

    @rule(name=st.sampled_from("abc"))
    def somebody_claims(self, name):
        taken = claim(self.folder, claim_of(name))
        assert not (taken and (self.closed or self.answered))
        self.claims += taken

    @rule()
    def the_worker_answers(self):
        if self.claims:
            try:
                write_text(self.folder / folders.RESULT, RESULT.model_dump_json())
                self.answered = True
            except FileNotFoundError:
                assert self.closed

    @rule()
    def the_controller_closes(self):
        close_folder(self.folder)
        self.closed = True
        seen = look(self.folder, alive=False).state
        assert self.final in {None, seen}
        self.final = seen

    @invariant()
    def what_is_seen_is_what_was_done(self):
        assert self.claims <= 1
        expected = "done" if self.answered else "interrupted" if self.claims else "waiting"
        assert look(self.folder, alive=False).state == expected

    def teardown(self):
        shutil.rmtree(self.root)


TestAttempt = Attempt.TestCase
TestAttempt.settings = settings(max_examples=40, stateful_step_count=8, deadline=None)
