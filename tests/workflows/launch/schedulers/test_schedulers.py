"""Submission, and what becomes of jobs, on four schedulers that play along."""

import subprocess
import time

import pytest

from matscout.errors import UserError
from matscout.workflows.launch.schedulers import (
    QueueFullError,
    SchedulerDownError,
    SchedulerMissingError,
    commands,
    job_name,
    make_scheduler,
    slurm,
)

from .conftest import NAME, prepared, worker

ENDED = ["completed", "failed", "walltime", "memory", "node", "cancelled"]
CODES = {"completed": 0, "failed": 3}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(commands, "COMMAND_SECONDS", 1.0)


def test_a_submitted_job_waits_then_runs_and_is_asked_about_by_its_number(cluster):
    job = cluster.submit()
    assert cluster.scheduler.jobs([job])[job].state == "waiting"
    cluster.change(job, state="running")
    state = cluster.scheduler.jobs([job])[job]
    assert (state.id, state.name, state.state, state.is_live) == (job, NAME, "running", True)


def test_a_held_job_is_told_from_one_that_waits(cluster):
    job = cluster.submit()
    cluster.change(job, state="held")
    assert cluster.scheduler.jobs([job])[job].state == "held"


@pytest.mark.parametrize("end", ENDED)
def test_every_end_is_told_from_the_others(cluster, end):
    job = cluster.submit()
    cluster.change(job, state=end)
    state = cluster.scheduler.jobs([job])[job]
    assert (state.state, state.is_live) == (end, False)
    assert state.exit_code == CODES.get(end, state.exit_code)


def test_a_job_that_the_scheduler_has_forgotten_has_vanished_and_the_others_are_still_told(cluster):
    gone, here = cluster.submit(), cluster.submit(job_name("another-one-of-them"))
    cluster.forget(gone)
    cluster.change(here, state="running")
    states = cluster.scheduler.jobs([gone, here])
    assert {job: state.state for job, state in states.items()} == {gone: "vanished", here: "running"}


def test_no_job_is_no_question(cluster):
    cluster.day("down")
    assert cluster.scheduler.jobs([]) == {}


def test_a_job_is_found_by_its_name(cluster):
    assert cluster.scheduler.find(NAME) is None
    job = cluster.submit()
    other = cluster.submit(job_name("another-one-of-them"))
    assert cluster.scheduler.find(NAME) == job
    states = cluster.scheduler.jobs([other], [NAME, "ms-never-there"])
    assert sorted(states) == sorted([other, NAME])
    assert states[NAME].id == job


def test_the_newest_of_two_jobs_of_one_name_is_found(cluster):
    cluster.submit()
    newest = cluster.submit()
    assert cluster.scheduler.find(NAME) == newest


def test_a_job_whose_submission_was_cut_off_is_found_by_its_name(cluster):
    cluster.day("lost")
    with pytest.raises(SchedulerDownError, match="was ended by signal 9"):
        cluster.submit()
    cluster.day("well")
    found = cluster.scheduler.find(NAME)
    assert cluster.scheduler.jobs([found])[found].state == "waiting"


def test_a_cancelled_job_is_cancelled_and_one_that_is_gone_is_no_error(cluster):
    job, gone = cluster.submit(), cluster.submit(job_name("another-one-of-them"))
    cluster.forget(gone)
    cluster.scheduler.cancel([job, gone])
    assert cluster.scheduler.jobs([job])[job].state == "cancelled"
    cluster.scheduler.cancel([])


def test_a_full_queue_is_a_reason_to_wait(cluster):
    cluster.submit()
    cluster.day("full")
    with pytest.raises(QueueFullError, match=r"(?i)takes no more jobs of worker cluster now: .*(limit|threshold|only)"):
        cluster.submit()


def test_a_script_that_is_refused_is_told_in_the_schedulers_words(cluster):
    cluster.day("refuses")
    words = "invalid partition specified: none|resource limits|unknown resource|No such queue"
    with pytest.raises(UserError, match=f"refuses a job of worker cluster .*job.sh.*({words})") as caught:
        cluster.submit()
    assert type(caught.value) is UserError


def test_a_scheduler_that_is_down_is_told_from_jobs_that_are_gone(cluster, impatient):
    job = cluster.submit()
    cluster.day("down")
    questions = (
        cluster.submit,
        lambda: cluster.scheduler.jobs([job]),
        lambda: cluster.scheduler.find(NAME),
        lambda: cluster.scheduler.cancel([job]),
    )
    for question in questions:
        with pytest.raises(SchedulerDownError, match="does not answer: "):
            question()


@pytest.mark.parametrize("cluster", ["slurm"], indirect=True)
@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: ClusterName needs to be specified\nsbatch: fatal: Unable to process configuration file\n",
        (
            "sbatch: error: fetch_config: DNS SRV lookup failed\n"
            "sbatch: fatal: Could not establish a configuration source\n"
        ),
    ],
    ids=["unreadable", "unreachable"],
)
def test_a_slurm_whose_configuration_is_away_does_not_answer_rather_than_refuse(cluster, monkeypatch, words):
    monkeypatch.setattr(cluster.scheduler, "_run", lambda *_, **__: commands.Answer("sbatch", 1, "", words))
    with pytest.raises(SchedulerDownError, match="Slurm does not answer: sbatch: "):
        cluster.submit()


@pytest.mark.parametrize(
    ("reason", "state", "never_begins"),
    [
        ("Priority", "waiting", False),
        ("QOSMaxJobsPerUserLimit", "waiting", False),
        ("PartitionTimeLimit", "held", True),
        ("BadConstraints", "held", True),
        ("QOSMaxWallDurationPerJobLimit", "held", True),
        ("JobHeldAdmin", "held", False),
    ],
)
def test_a_job_that_slurm_will_never_begin_is_held(reason, state, never_begins):
    job = slurm._from_squeue(f"7 |PENDING |0 |{reason} |ms-a")
    assert (job.state, job.never_begins) == (state, never_begins)


def test_a_scheduler_that_never_answers_is_not_waited_for(cluster, impatient):
    job = cluster.submit()
    cluster.day("silent")
    for question in (cluster.submit, lambda: cluster.scheduler.jobs([job])):
        with pytest.raises(SchedulerDownError, match="was ended after its time"):
            question()


def test_programs_that_are_not_here_are_named(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerMissingError, match=r"(sbatch|qsub|bsub) is not on PATH"):
        cluster.submit()
    with pytest.raises(SchedulerMissingError, match=r"(squeue|qstat|bjobs) is not on PATH"):
        cluster.scheduler.jobs(["1"])


def test_a_complaint_that_nobody_knows_is_not_taken_for_jobs_that_are_gone(cluster):
    for program in ("squeue", "qstat", "bjobs"):
        if (cluster.bin / program).exists():
            (cluster.bin / program).write_text("#!/bin/sh\necho 'the moon is wrong' >&2; exit 9\n")
    with pytest.raises(SchedulerDownError, match=r"could not be asked: .*the moon is wrong"):
        cluster.scheduler.jobs(["1"])


@pytest.mark.parametrize("cluster", ["slurm", "sge"], indirect=True)
def test_accounting_that_fails_is_not_taken_for_jobs_that_are_gone(cluster):
    over, lives = cluster.submit(), cluster.submit(job_name("another-one-of-them"))
    cluster.forget(over)
    cluster.day("well", accounting="fails")
    with pytest.raises(SchedulerDownError, match=r"sacct: .*Connection refused|qacct: .*Stale file handle"):
        cluster.scheduler.jobs([over, lives])
    assert cluster.scheduler.jobs([lives])[lives].state == "waiting"
    assert cluster.scheduler.find(NAME) is None


@pytest.mark.parametrize("cluster", ["slurm", "sge"], indirect=True)
def test_accounting_that_never_answers_is_not_taken_for_jobs_that_are_gone(cluster, impatient):
    job = cluster.submit()
    cluster.forget(job)
    (cluster.bin / ("sacct" if cluster.kind == "slurm" else "qacct")).write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(SchedulerDownError, match="acct was ended after its time"):
        cluster.scheduler.jobs([job])


@pytest.mark.parametrize("cluster", ["slurm", "sge"], indirect=True)
@pytest.mark.parametrize("program", ["is there", "is not there"])
def test_where_there_is_no_accounting_a_job_that_is_forgotten_has_vanished(cluster, program, monkeypatch):
    job = cluster.submit()
    cluster.forget(job)
    cluster.day("well", accounting=False)
    if program == "is not there":
        (cluster.bin / ("sacct" if cluster.kind == "slurm" else "qacct")).unlink()
        monkeypatch.setenv("PATH", str(cluster.bin))
    assert cluster.scheduler.jobs([job])[job].state == "vanished"


def test_a_job_that_qacct_does_not_find_has_vanished(tmp_path, monkeypatch):
    sge = prepared("sge", tmp_path, monkeypatch)
    (sge.bin / "qacct").write_text("#!/bin/sh\necho 'error: job id 101 not found' >&2; exit 1\n")
    assert sge.scheduler.jobs(["101"])["101"].state == "vanished"


def test_no_secret_of_the_shell_gets_to_a_scheduler(slurm, monkeypatch, tmp_path):
    monkeypatch.setenv("SOME_PASSWORD", "s3cret")
    monkeypatch.setenv("MATSCOUT_STORE", "mongodb://me:s3cret@host")
    monkeypatch.setenv("SBATCH_PARTITION", "another")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    (slurm.bin / "sbatch").write_text(f"#!/bin/sh\nenv >{tmp_path}/env; echo Submitted batch job 7\n")
    assert slurm.submit() == "7"
    known = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert known["SLURM_CONF"] == "/etc/slurm.conf"
    assert "s3cret" not in str(known)
    assert "SBATCH_PARTITION" not in known


@pytest.mark.parametrize("where", ["scontrol", "accounting"])
def test_slurm_is_asked_elsewhere_about_jobs_that_squeue_does_not_show(slurm, where):
    job, named = slurm.submit(), slurm.submit(job_name("another-one-of-them"))
    slurm.day("well", accounting=where == "accounting")
    slurm.change(job, state="cancelled", where=where)
    slurm.change(named, state="failed", where=where)
    states = slurm.scheduler.jobs([job], [job_name("another-one-of-them")])
    assert states[job].state == "cancelled"
    assert (states[job_name("another-one-of-them")].state, states[job_name("another-one-of-them")].exit_code) == (
        "failed",
        3,
    )


@pytest.mark.parametrize("mood", ["full", "unnamed limit"])
def test_slurms_limit_on_jobs_is_a_mistake_where_no_job_is_in_the_queue(slurm, mood):
    """So it answers a user without an account; one whose queue is full has jobs there."""
    slurm.day(mood)
    with pytest.raises(UserError, match="violates accounting/QOS policy") as caught:
        slurm.submit()
    assert type(caught.value) is UserError
    slurm.day("well")
    slurm.submit()
    slurm.day(mood)
    with pytest.raises(QueueFullError):
        slurm.submit()


def test_slurms_other_limits_are_mistakes(slurm):
    slurm.submit()
    slurm.day("too long")
    with pytest.raises(UserError, match="QOSMaxWallDurationPerJobLimit") as caught:
        slurm.submit()
    assert type(caught.value) is UserError


def test_pbs_without_a_history_still_tells_of_living_jobs(tmp_path, monkeypatch):
    pbs = prepared("pbs", tmp_path, monkeypatch)
    lives, over = pbs.submit(), pbs.submit()
    pbs.change(lives, state="running")
    pbs.change(over, state="completed")
    pbs.day("no history")
    states = pbs.scheduler.jobs([lives, over])
    assert (states[lives].state, states[over].state) == ("running", "vanished")


@pytest.mark.parametrize(
    ("letters", "state"), [("Eqw", "held"), ("s", "held"), ("S", "running"), ("dr", "running"), ("t", "running")]
)
def test_grid_engines_letters(tmp_path, monkeypatch, letters, state):
    sge = prepared("sge", tmp_path, monkeypatch)
    job = sge.submit()
    sge.change(job, letters=letters)
    assert sge.scheduler.jobs([job])[job].state == state


def test_what_a_program_started_ends_with_it(monkeypatch, tmp_path, impatient):
    (tmp_path / "squeue").write_text(f"#!/bin/sh\nsleep 60 & echo $! >{tmp_path}/number; wait\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SchedulerDownError):
        make_scheduler(worker("slurm")).jobs(["1"])
    number = (tmp_path / "number").read_text().strip()
    for _ in range(50):
        state = subprocess.run(["ps", "-o", "stat=", number], capture_output=True, text=True, check=False).stdout
        if not state or state.startswith("Z"):
            return
        time.sleep(0.1)
    pytest.fail("it still runs")
