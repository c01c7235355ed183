"""Causes of failure. The lines of output are those of the programs, as their sources and users' logs have them."""

import errno
import gzip
import json
import os
import random
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.db.documents import Attempt
from matscout.workflows.calculations import signs
from matscout.workflows.calculations.causes import (
    RETRY_POLICIES,
    Retry,
    RetryPolicy,
    classify,
    is_of_machine,
    next_attempt,
    retry_policy,
)
from matscout.workflows.calculations.protocols import get_protocol, list_protocols


class KohnShamConvergenceError(Exception):
    """GPAW's, by its name."""


class ReturnCodeError(RuntimeError):
    """Custodian's, by its name."""


@pytest.mark.parametrize(
    ("name", "line", "cause"),
    [
        (
            "slurm-12.out",
            "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch cgroup. Some of your processes",
            "memory",
        ),
        ("slurm-12.out", "srun: error: o0616: task 0: Out Of Memory", "memory"),
        ("std_err.txt", "forrtl: severe (41): insufficient virtual memory", "memory"),
        ("std_err.txt", "forrtl: severe (174): SIGSEGV, segmentation fault occurred", "memory"),
        ("log.txt", "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array", "memory"),
        ("log.txt", "RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", "memory"),
        ("job.o17", "=>> PBS: job killed: mem 4197356kb exceeded limit 4194304kb", "memory"),
        ("lsf.out", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit.", "memory"),
        ("vasp.out", "=   KILLED BY SIGNAL: 9 (Killed)", "memory"),
        ("vasp.out", "=   EXIT CODE: 137", "memory"),
        ("vasp.out", "YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)", "memory"),
        (
            "log.txt",
            "mpirun noticed that process rank 0 with PID 7 on node n exited on signal 9 (Killed).",
            "memory",
        ),
        (
            "slurm-12.out",
            "slurmstepd: error: *** JOB 12 ON node7 CANCELLED AT 2026-11-22T03:24:08 DUE TO TIME LIMIT ***",
            "walltime",
        ),
        ("job.e17", "=>> PBS: job killed: walltime 3611 exceeded limit 3600", "walltime"),
        ("lsf.out", "TERM_RUNLIMIT: job killed after reaching LSF run time limit.", "walltime"),
        (
            "slurm-12.out",
            "slurmstepd: error: *** JOB 3 ON a150 CANCELLED AT 2020-07-29T18:45:16 DUE TO NODE FAILURE, SEE SLURMCTLD",
            "node",
        ),
        ("log.txt", "OSError: [Errno 28] No space left on device", "node"),
        ("vasp.out", "ORTE has lost communication with a remote daemon.", "node"),
        ("std_err.txt", "slurmstepd: error: execve(): vasp_std: No such file or directory", "node"),
        ("std_err.txt", "[proxy:0:0@n1] execvp error on file vasp_std (No such file or directory)", "node"),
        ("std_err.txt", "prterun was unable to find the specified executable file, and therefore did not", "node"),
        ("std_err.txt", "/bin/bash: line 1: vasp_std: command not found", "node"),
        ("std_err.txt", "/bin/sh: 1: vasp_std: not found", "node"),
        ("std_err.txt", "vasp_std: error while loading shared libraries: libmkl_rt.so.2: cannot open", "node"),
        ("vasp.out", " Error EDDDAV: Call to ZHEGV failed. Returncode =   7 1  16", "scf"),
        ("vasp.out", "|     The electronic self-consistency was not achieved in the given           |", "scf"),
        ("gpaw.txt", "Did not converge!", "scf"),
        ("log.txt", "gpaw.KohnShamConvergenceError: Did not converge!  See text output for help.", "scf"),
        ("vasp.out", " ZBRENT: fatal error in bracketing", "relaxation"),
        ("vasp.out", "BRIONS problems: POTIM should be increased", "relaxation"),
        ("vasp.out", " VERY BAD NEWS! internal error in subroutine SGRCON:", "input"),
        ("vasp.out", "Error reading item 'ENCUT' from file INCAR.", "input"),
        ("vasp.out", "ERROR: number of potentials on File POTCAR incompatible with number", "input"),
        ("log.txt", "TypeError: Unknown GPAW parameter: poisson", "input"),
        ("log.txt", "TypeError: GPAW() got an unexpected keyword argument 'poisson'", "input"),
        ("log.txt", 'FileNotFoundError: Could not find required PAW dataset file "O.LDA".', "input"),
        ("vasp.out", " VERY BAD NEWS! internal error in subroutine XYZ:", "unknown"),
    ],
    ids=lambda value: value[:28] if isinstance(value, str) else None,
)
def test_a_line_of_output_tells_the_cause(tmp_path, name, line, cause):
    folder = tmp_path / "relax-1"
    folder.mkdir()
    (folder / name).write_text(f"first line\n{line}\nlast line\n")
    finding = classify(tmp_path)
    assert finding.cause == cause
    assert finding.evidence == f"relax-1/{name}: {line.strip().strip('|').strip()[: signs.LONGEST]}"


@pytest.mark.parametrize(
    ("code", "cause", "evidence"),
    [
        (-9, "memory", "signal 9 (SIGKILL)"),
        (137, "memory", "exit code 137, signal 9 (SIGKILL)"),
        (-24, "walltime", "signal 24 (SIGXCPU)"),
        (143, "node", "exit code 143, signal 15 (SIGTERM)"),
        (127, "node", "exit code 127"),
        (134, "unknown", "exit code 134, signal 6 (SIGABRT)"),
        (139, "unknown", "exit code 139, signal 11 (SIGSEGV)"),
        (1, "unknown", "exit code 1"),
    ],
)
def test_an_exit_code_tells_the_cause(tmp_path, code, cause, evidence):
    finding = classify(tmp_path, exit_code=code)
    assert (finding.cause, finding.evidence) == (cause, evidence)


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        ("memory", "memory"),
        ("walltime", "walltime"),
        ("node", "node"),
        ("cancelled", "node"),
        ("vanished", "node"),
        ("failed", "unknown"),
    ],
)
def test_the_schedulers_state_tells_the_cause(tmp_path, state, cause):
    finding = classify(tmp_path, job_state=state)
    assert (finding.cause, finding.evidence) == (cause, f"scheduler: {state}")


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (MemoryError("no"), "memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "node"),
        (OSError(errno.EFBIG, "File too large"), "node"),
        (TypeError("GPAW() got an unexpected keyword argument 'poisson'"), "input"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (KohnShamConvergenceError("Did not converge!"), "scf"),
        (subprocess.TimeoutExpired("vasp_std", 5), "walltime"),
        (subprocess.CalledProcessError(137, "vasp_std"), "memory"),
        (ReturnCodeError("Job return code is -9. Terminating..."), "memory"),
        (RuntimeError("cluster: srun said DUE TO TIME LIMIT CANCELLED AT 3 DUE TO TIME LIMIT"), "walltime"),
        (json.JSONDecodeError("Expecting value", "{", 1), "parse"),
        (RuntimeError("?"), "unknown"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_exception_tells_the_cause(tmp_path, error, cause):
    finding = classify(tmp_path, error)
    assert finding.cause == cause
    assert type(error).__name__ in finding.evidence or "exit code" in finding.evidence


MPICH = """\
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   PID 1234 RUNNING AT node1
=   EXIT CODE: 9
=   CLEANING UP REMAINING PROCESSES
YOUR APPLICATION TERMINATED WITH THE EXIT STRING: Killed (signal 9)
This typically refers to a problem with your application.
"""


@pytest.mark.parametrize("lines", [MPICH.splitlines(), MPICH.splitlines()[::-1]])
def test_a_signal_that_mpich_tells_of_counts_more_than_its_exit_code(tmp_path, lines):
    (tmp_path / "vasp.out").write_text("\n".join(lines))
    finding = classify(tmp_path)
    assert (finding.cause, finding.evidence.rpartition(": ")[2]) == ("memory", "Killed (signal 9)")


def raised_by(call):
    try:
        call()
    except OSError as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_run_command_that_is_not_there_is_a_fault_of_the_machine_and_another_missing_file_is_none(tmp_path):
    command = raised_by(lambda: subprocess.Popen(["vasp_std_that_is_nowhere"]))
    finding = classify(tmp_path, command)
    assert (finding.cause, is_of_machine(command)) == ("node", True)
    assert "vasp_std_that_is_nowhere" in finding.evidence
    other = raised_by((tmp_path / "CONTCAR").read_text)
    assert (classify(tmp_path, other).cause, is_of_machine(other)) == ("unknown", False)


def test_an_exception_is_asked_for_what_led_to_it(tmp_path):
    error = RuntimeError("job 3 failed")
    error.__cause__ = KohnShamConvergenceError("Did not converge!")
    assert classify(tmp_path, error).cause == "scf"


def test_an_exception_without_words_is_told_with_the_line_that_the_code_wrote_last(tmp_path):
    assert classify(tmp_path, KohnShamConvergenceError()).evidence == "KohnShamConvergenceError:"
    (tmp_path / "gpaw.txt").write_text("iter:   1\niter:   2  -9.93\n\n")
    finding = classify(tmp_path, KohnShamConvergenceError())
    assert (finding.cause, finding.evidence) == ("scf", "KohnShamConvergenceError: gpaw.txt: iter:   2  -9.93")
    (tmp_path / "gpaw.txt").write_text("Did not converge!\n\nHere are some tips:\n")
    assert classify(tmp_path, KohnShamConvergenceError()).evidence.endswith("gpaw.txt: Did not converge!")


@pytest.mark.parametrize("state", ["cancelled", "vanished"])
def test_a_job_that_somebody_ended_says_nothing_about_the_code_that_was_at_work(tmp_path, state):
    (tmp_path / "vasp.out").write_text("BRMIX: very serious problems\n")
    assert classify(tmp_path, job_state=state).cause == "node"


def test_attempts_that_somebody_else_has_ended_count_as_interruptions_and_failures_of_a_machine_do_not():
    policy = RetryPolicy(causes={"node": Retry(retries=1)}, interruptions=3)

    def attempts(outcome, number):
        return [Attempt(number=n, folder="f", started="", outcome=outcome, cause="node") for n in range(number)]

    assert next_attempt(policy, attempts("interrupted", 3)) is not None
    assert next_attempt(policy, attempts("interrupted", 4)) is None
    assert next_attempt(policy, attempts("failed", 1)) is not None
    assert next_attempt(policy, attempts("failed", 2)) is None


def test_what_the_machine_says_is_believed_before_what_the_code_says(tmp_path):
    (tmp_path / "vasp.out").write_text("ZBRENT: fatal error in bracketing\n")
    (tmp_path / "log.txt").write_text("slurmstepd: error: *** JOB 1 ON n CANCELLED AT 1 DUE TO TIME LIMIT ***\n")
    assert classify(tmp_path, RuntimeError("?")).cause == "walltime"
    assert classify(tmp_path, RuntimeError("?"), job_state="memory").cause == "memory"


def test_an_output_that_tells_is_believed_before_the_failure_to_read_it(tmp_path):
    (tmp_path / "vasp.out").write_text("Error EDDDAV: Call to ZHEGV failed.\n")
    assert classify(tmp_path, json.JSONDecodeError("Expecting value", "{", 1)).cause == "scf"


HANDLER = {"@module": "custodian.vasp.handlers", "@class": "SomeHandler"}


def custodian(folder, *, errors, actions, **more):
    """Write the log of a run as custodian does; `more` says what it gave up by."""
    corrections = [{"errors": errors, "actions": actions, "handler": HANDLER}]
    flags = {"handler": None, "validator": None, "max_errors": False, "nonzero_return_code": False}
    content = json.dumps([{"job": {}, "corrections": []}, {"job": {}, "corrections": corrections, **flags, **more}])
    (folder / "custodian.json").write_text(content)


@pytest.mark.parametrize(
    ("errors", "actions", "cause"),
    [
        (["Walltime reached"], None, "walltime"),
        (["Non-converging job"], None, "scf"),
        (["zbrent"], [], "relaxation"),
        (["Unconverged"], [{"dict": "INCAR", "action": {"_set": {"ALGO": "Normal"}}}], "scf"),
        (["Unconverged"], [{"dict": "INCAR", "action": {"_set": {"IBRION": 1}}}], "relaxation"),
        (["Frozen job"], None, "node"),
    ],
)
@pytest.mark.parametrize("gave_up_by", [{"handler": HANDLER}, {"max_errors": True}, {"max_errors_per_job": True}])
def test_custodians_log_tells_the_cause(tmp_path, errors, actions, cause, gave_up_by):
    custodian(tmp_path, errors=errors, actions=actions, **gave_up_by)
    finding = classify(tmp_path, RuntimeError("Max errors reached"))
    assert finding.cause == cause
    assert finding.evidence == f"custodian.json: custodian: SomeHandler found {errors[0]}"


@pytest.mark.parametrize("ended", [{}, {"nonzero_return_code": True}, {"handler": {"@class": "OtherHandler"}}])
def test_what_custodian_has_put_right_is_no_cause(tmp_path, ended):
    custodian(tmp_path, errors=["edddav"], actions=[{"dict": "INCAR", "action": {"_set": {"ALGO": "All"}}}], **ended)
    assert classify(tmp_path, KeyError("energy")).cause == "unknown"


def test_an_earlier_stage_that_custodian_gave_up_on_is_not_asked_about_a_later_one(tmp_path):
    for number, gave_up in enumerate((True, False), 1):
        (tmp_path / f"relax-{number}").mkdir()
        custodian(tmp_path / f"relax-{number}", errors=["edddav"], actions=[], max_errors=gave_up)
        os.utime(tmp_path / f"relax-{number}" / "custodian.json", (number, number))
    assert classify(tmp_path, KeyError("energy")).cause == "unknown"


@pytest.mark.parametrize("content", ['[{"corrections": [1], "max_errors": true}]', "[[]]", "{}", "[]", "3"])
def test_a_strange_log_of_custodian_harms_nothing(tmp_path, content):
    (tmp_path / "custodian.json").write_text(content)
    assert classify(tmp_path).cause == "unknown"


def test_half_a_log_of_custodian_tells_nothing_and_harms_nothing(tmp_path):
    (tmp_path / "custodian.json").write_text('[{"job": {}, "corr')
    assert classify(tmp_path).cause == "unknown"


def test_long_outputs_are_read_at_their_ends(tmp_path):
    with (tmp_path / "OUTCAR").open("w") as file:
        file.write("filler\n" * (2 * (signs.HEAD + signs.TAIL) // 7))
        file.write("BRMIX: very serious problems\n" + "filler\n" * (2 * (signs.HEAD + signs.TAIL) // 7))
        file.write("ZBRENT: fatal error in bracketing\n")
    assert classify(tmp_path).cause == "relaxation"


def test_compressed_outputs_are_read(tmp_path):
    with gzip.open(tmp_path / "vasp.out.gz", "wt") as file:
        file.write("ZBRENT: fatal error in bracketing\n")
    assert classify(tmp_path).cause == "relaxation"


def test_a_packed_output_that_is_damaged_in_the_middle_tells_nothing_and_harms_nothing(tmp_path):
    dice = random.Random(1)
    packed = bytearray(gzip.compress("\n".join(str(dice.random()) for _ in range(5_000)).encode()))
    packed[9_000:11_000] = b"\xff" * 2_000
    with pytest.raises(zlib.error):
        gzip.decompress(packed)
    (tmp_path / "OUTCAR.gz").write_bytes(packed)
    (tmp_path / "custodian.json.gz").write_bytes(packed)
    (tmp_path / "vasp.out").write_text("ZBRENT: fatal error in bracketing\n")
    assert classify(tmp_path).cause == "relaxation"


def test_logs_elsewhere_count_too(tmp_path):
    log = tmp_path / "slurm-1.out"
    log.write_text("*** JOB 1 ON n CANCELLED AT 1 DUE TO TIME LIMIT ***\n")
    finding = classify(tmp_path / "nothing-here", logs=[log])
    assert finding.cause == "walltime"
    assert finding.evidence.startswith(str(log))


@given(st.binary(max_size=400), st.sampled_from(["OUTCAR", "log.txt", "custodian.json", "vasp.out.gz"]))
def test_whatever_is_in_the_files_a_finding_comes_out(tmp_path_factory, content, name):
    folder = tmp_path_factory.mktemp("any")
    (folder / name).write_bytes(content)
    finding = classify(folder)
    assert finding.evidence
    assert "\n" not in finding.evidence


def attempts(*causes):
    return [
        Attempt(number=n, folder=str(n), started="", outcome="failed" if cause else "interrupted", cause=cause)
        for n, cause in enumerate(causes, 1)
    ]


def test_memory_and_time_grow_together():
    again = next_attempt(retry_policy("vasp"), attempts("memory", "walltime", "memory"))
    assert (again.memory_factor, again.walltime_factor) == (4.0, 2.0)


def test_other_mixing_is_tried_and_then_given_up():
    policy = retry_policy("gpaw")
    first, second = next_attempt(policy, attempts("scf")), next_attempt(policy, attempts("scf", "scf"))
    assert first.overrides["mixer"]["beta"] == 0.02
    assert second.overrides["eigensolver"]["niter"] == 3
    assert next_attempt(policy, attempts("scf", "scf", "scf")) is None


def test_a_relaxation_that_takes_smaller_steps_takes_more_of_them():
    relax, policy = get_protocol("gpaw-pbe"), retry_policy("gpaw")
    rows = [("relaxation",), ("relaxation", "relaxation")]
    again = [relax.adjusted(next_attempt(policy, attempts(*row)).overrides).settings for row in rows]
    assert [one["optimizer"] for one in again] == [relax.settings["optimizer"], "FIRE"]
    for one in again:
        assert one["max_step_A"] < relax.settings["max_step_A"]
        assert one["max_steps"] > relax.settings["max_steps"]


def test_what_chgnet_ended_with_by_itself_is_not_done_again_and_what_broke_off_is():
    policy = retry_policy("chgnet")
    for cause in ("parse", "unknown"):
        (ended,) = attempts(cause)
        assert next_attempt(policy, [ended]) is None
        assert next_attempt(retry_policy("gpaw"), [ended]) is not None
        assert next_attempt(policy, [ended.model_copy(update={"outcome": "interrupted"})]) is not None


def test_a_wrong_input_is_given_up_at_once():
    assert all(next_attempt(policy, attempts("input")) is None for policy in RETRY_POLICIES.values())


def test_an_interruption_costs_nothing_until_it_never_ends():
    policy = RetryPolicy(causes={"node": Retry(retries=1)}, interruptions=3)
    assert next_attempt(policy, attempts(None, None, None)) == next_attempt(policy, [])
    assert next_attempt(policy, attempts(None, None, None, None)) is None


def test_an_attempt_that_runs_is_no_failure():
    running = Attempt(number=1, folder="1", started="", outcome="running")
    with pytest.raises(ValueError, match="attempt 1 did not fail"):
        next_attempt(retry_policy("vasp"), [running])


@given(st.sampled_from(sorted(RETRY_POLICIES)), st.data())
def test_every_row_of_failures_ends(code, data):
    policy = RETRY_POLICIES[code]
    causes = ["memory", "walltime", "node", "scf", "relaxation", "input", "parse", "unknown", None]
    history, before = [], next_attempt(policy, [])
    while (again := next_attempt(policy, attempts(*history))) is not None:
        assert again.memory_factor >= before.memory_factor
        assert again.walltime_factor >= before.walltime_factor
        before = again
        history.append(data.draw(st.sampled_from(causes)))
    assert len(history) <= policy.attempts + policy.interruptions + 1


def test_every_change_of_a_policy_is_one_its_protocols_allow():
    for protocol in list_protocols():
        for cause, retry in retry_policy(protocol.code).causes.items():
            if cause == "relaxation" and not protocol.relaxes:
                continue
            for overrides in retry.overrides:
                assert protocol.adjusted(overrides).id == protocol.id
