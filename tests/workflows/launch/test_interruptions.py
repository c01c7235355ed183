"""Why attempts have no result."""

import pytest

from matscout.workflows.launch.allocations import AllocationRecord
from matscout.workflows.launch.folders import LOG, Interruption, Look
from matscout.workflows.launch.interruptions import why
from matscout.workflows.launch.schedulers import JobState


@pytest.fixture
def tell(tmp_path):
    """Tell why an attempt was interrupted whose job is in a state, and has printed something."""

    def told(state, *, code=None, printed="", seen=None):
        folder = tmp_path / "allocation"
        folder.mkdir()
        (folder / "scheduler.out").write_text(printed)
        launch = tmp_path / "launch"
        launch.mkdir()
        (launch / LOG).touch()
        record = AllocationRecord(id="a", worker="w", name="ms-a", folder=str(folder), calculations=("c",))
        return why(seen or Look("interrupted"), launch, record, JobState("1", "ms-a", state, exit_code=code))

    return told


@pytest.mark.parametrize(
    ("state", "code", "cause", "evidence"),
    [
        ("walltime", None, "walltime", "scheduler: walltime"),
        ("memory", 125, "memory", "scheduler: memory"),
        ("node", 1, "node", "scheduler: node"),
        ("cancelled", 137, "node", "scheduler: cancelled"),  # what it was killed by is how it was cancelled
        ("vanished", None, "node", "scheduler: vanished"),
        ("failed", 137, "memory", "exit code 137, signal 9 (SIGKILL)"),
        ("failed", 3, "node", "exit code 3 of its job"),
        ("failed", 1, "unknown", "exit code 1"),
        ("completed", 0, "unknown", "scheduler: completed"),
    ],
)
def test_without_a_word_of_the_launcher_the_scheduler_tells(tell, state, code, cause, evidence):
    found = tell(state, code=code)
    assert (found.finding.cause, found.finding.evidence) == (cause, evidence)
    assert found.words == found.finding.message


def test_what_the_job_has_printed_tells_more_than_its_exit_code(tell):
    line = "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch cgroup."
    finding = tell("failed", code=1, printed=f"first\n{line}\n").finding
    assert finding.cause == "memory"
    assert finding.evidence.endswith(f"scheduler.out: {line}")


def test_a_code_that_was_at_work_when_its_job_was_cancelled_is_not_to_blame(tmp_path):
    (tmp_path / "vasp.out").write_text("BRMIX: very serious problems\n")
    record = AllocationRecord(id="a", worker="w", name="ms-a", folder=str(tmp_path), calculations=("c",))
    found = why(Look("interrupted"), tmp_path, record, JobState("1", "ms-a", "cancelled"))
    assert (found.finding.cause, found.finding.evidence) == ("node", "scheduler: cancelled")


def test_a_cause_that_the_launcher_gives_is_taken(tell):
    told = Interruption(cause="walltime", evidence="60 s before the end", message="stopped after 9 s", seconds=9.0)
    finding = tell("completed", code=0, seen=Look("interrupted", None, told)).finding
    assert (finding.cause, finding.evidence) == ("walltime", "interrupted.json: 60 s before the end")


def test_who_stopped_a_launcher_is_what_the_scheduler_says(tell):
    told = Interruption(evidence="told to end by signal 15 (SIGTERM)", message="stopped", seconds=9.0)
    assert tell("cancelled", seen=Look("interrupted", None, told)).finding.cause == "node"


def test_one_that_had_too_little_time_left_is_not_to_blame(tell):
    told = Interruption(evidence="60 s before the end", message="stopped after 9 s", seconds=9.0)
    assert tell("walltime", seen=Look("interrupted", None, told)) == (None, "stopped after 9 s")


def test_a_result_that_cannot_be_read_is_named(tell):
    finding = tell("completed", code=0, seen=Look("interrupted", problem="result.json: EOF while parsing")).finding
    assert (finding.cause, finding.evidence) == ("parse", "result.json: EOF while parsing")
