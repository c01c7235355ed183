"""The launcher: what the scheduler's script starts on a node, to run the calculations of an allocation.

``python -P -m matscout.workflows.launch.node FOLDER``

It needs neither a store nor a network, only the folders. Each calculation runs in a process of its own (or one after
the other in a process that has loaded its model), is claimed first, and leaves its result by itself, so that a
``kill -9`` at any moment loses no more than what is running. What it could not finish it says in order: a process that
died leaves a failed result with its cause, one stopped by the clock or a signal leaves ``interrupted.json``.
"""

from __future__ import annotations

import os
import platform
import selectors
import signal
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from matscout.db.documents import now
from matscout.errors import UserError
from matscout.workflows.calculations.causes import Finding, classify
from matscout.workflows.launch.allocation import (
    EXIT_MACHINE,
    LauncherEnd,
    LauncherStart,
    announce,
    read_allocation,
)
from matscout.workflows.launch.folders import (
    INTERRUPTED,
    RESULT,
    Claim,
    Interruption,
    claim,
    failure,
    read_request,
    read_result,
)
from matscout.workflows.launch.last_words import LastWords
from matscout.workflows.launch.node_limits import END_SIGNALS, TIME_SIGNALS, heard_signals, seconds_left
from matscout.workflows.launch.node_processes import GRACE_SECONDS, CalculationProcess

if TYPE_CHECKING:
    from typing import Literal

    from matscout.workflows.launch.allocation import Allocation, Launch

_JOB_IDS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")

MAX_REFUSALS = 3
"""After so many calculations in a row that could not be done at all, it is the machine and not they."""


class MachineError(Exception):
    """The machine cannot calculate: a full disk, a missing package."""


class Launcher:
    """Runs the calculations of one allocation on this node.

    Parameters
    ----------
    folder
        The allocation's folder.
    allocation
        What it is to calculate.
    """

    def __init__(self, folder: Path, allocation: Allocation) -> None:
        self.folder = folder
        self.allocation = allocation
        self.name = f"{platform.node()}-{os.getpid()}-{uuid4().hex[:8]}"
        self._waiting = deque(allocation.launches)
        self._processes: list[CalculationProcess] = []
        self._counts: Counter[str] = Counter()
        self._reason: Literal["done", "time", "signal", "machine"] = "done"
        self._message = "every calculation was started"
        self._stop_now = False
        self._began_one = False
        self._refusals = 0

    def run(self) -> LauncherEnd:
        """Calculate until all is done, the time is over, or it is told to end; what runs then is stopped in order."""
        start = LauncherStart(
            launcher=self.name,
            allocation=self.allocation.id,
            host=platform.node(),
            pid=os.getpid(),
            job=next((os.environ[name] for name in _JOB_IDS if name in os.environ), None),
            started=now(),
        )
        self._end_at = time.monotonic() + seconds_left(self.allocation, os.environ, time.time())
        ended_file = announce(self.folder, start)
        self._last_words = LastWords(self.folder)
        with selectors.DefaultSelector() as self._selector, heard_signals() as wakeup:
            self._selector.register(wakeup, selectors.EVENT_READ, None)
            try:
                self._work()
            except MachineError as error:
                self._stop("machine", str(error))
            finally:
                self._stop_all()
        end = LauncherEnd(
            launcher=self.name,
            reason=self._reason,
            message=self._message,
            not_started=len(self._waiting) + self._counts.pop("not_started", 0),
            ended=now(),
            **self._counts,
        )
        self._write(ended_file, end.model_dump_json())
        self._last_words.close()
        return end

    def _work(self) -> None:
        while not self._stop_now:
            self._fill()
            if not any(process.launch for process in self._processes):
                return
            self._wait()

    def _stop(self, reason: Literal["time", "signal", "machine"], message: str) -> None:
        self._stop_now = True
        self._reason, self._message = reason, message

    # -- starting ------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        while self._waiting and sum(p.launch is not None for p in self._processes) < self.allocation.at_once:
            launch = self._waiting.popleft()
            if launch.expected_seconds > self._time_left():
                if self._began_one:
                    self._counts["not_started"] += 1
                    self._reason, self._message = "time", "the time left was too short for some"
                    continue
                # The first is always tried: it is only an estimate, and a longer job is asked for if it is right.
                launch = launch.model_copy(update={"expected_seconds": 0.0})
            try:
                taken = claim(Path(launch.folder), self._claim())
            except OSError as error:
                self._waiting.appendleft(launch)
                raise MachineError(f"{launch.folder} cannot be claimed: {error}") from None
            if not taken:
                self._counts["passed_over"] += 1
                continue
            try:
                process = self._process_for(launch)
            except OSError as error:
                self._interrupt(launch, f"no process could be started: {error}", 0.0)
                raise MachineError(f"no process could be started: {error}") from None
            process.submit(launch)
            self._began_one = True

    def _claim(self) -> Claim:
        return Claim(launcher=self.name, host=platform.node(), pid=os.getpid(), started=now())

    def _time_left(self) -> float:
        """Return the time for calculations, without the reserve, s."""
        return self._end_at - self.allocation.reserve - time.monotonic()

    def _process_for(self, launch: Launch) -> CalculationProcess:
        if not launch.own_process:
            for process in self._processes:
                if process.launch is None and not process.alone:
                    return process
        process = CalculationProcess(
            self.allocation, Path(launch.folder) if launch.own_process else self.folder, alone=launch.own_process
        )
        self._processes.append(process)
        self._selector.register(process.output, selectors.EVENT_READ, process)
        return process

    # -- waiting -------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        deadlines = [process.deadline for process in self._processes if process.launch]
        first = min([*deadlines, self._end_at - self.allocation.reserve])
        for key, _ in self._selector.select(max(0.0, first - time.monotonic())):
            if key.data is None:
                self._hear(os.read(key.fd, 64))
            else:
                self._listen(key.data)
        for process in [p for p in self._processes if p.launch and time.monotonic() >= p.deadline]:
            self._never_ready(process)
        if self._time_left() <= 0 and not self._stop_now:
            self._stop("time", f"{self.allocation.reserve:g} s before the end of {self.allocation.seconds:g} s")

    def _hear(self, numbers: bytes) -> None:
        for number in numbers:
            name = signal.Signals(number).name
            if number in TIME_SIGNALS:
                self._stop("time", f"the scheduler warned by signal {number} ({name})")
            elif number in END_SIGNALS:
                over = self._time_left() <= 0
                self._stop("time" if over else "signal", f"told to end by signal {number} ({name})")

    def _listen(self, process: CalculationProcess) -> None:
        answers = process.answers()
        if answers is None:
            self._died(process)
            return
        for answer in answers:
            launch, seconds = process.launch, process.seconds
            process.launch = None
            if process.alone:
                self._remove(process)
            if launch is not None:
                self._answered(launch, answer, seconds)

    def _answered(self, launch: Launch, answer: dict[str, Any], seconds: float) -> None:
        folder = Path(launch.folder)
        if answer["error"] is None:
            self._counts["completed" if answer["outcome"] == "completed" else "failed"] += 1
            self._refusals = 0
        elif not folder.is_dir():
            self._counts["passed_over"] += 1  # closed by the controller meanwhile
        else:
            evidence = str(answer["error"])[:300]
            finding = Finding(cause="node", evidence=evidence, message="this machine could not calculate it")
            self._fail(launch, finding, seconds)
            self._refusals += 1
            if answer["machine"] or self._refusals >= MAX_REFUSALS:
                raise MachineError(f"{folder}: {evidence}")

    def _died(self, process: CalculationProcess) -> None:
        launch, seconds = process.launch, process.seconds
        code = self._remove(process, tell=False)  # it may be about to end by itself, with a code that tells why
        if -code in (signal.SIGUSR1, signal.SIGUSR2):
            self._hear(bytes([-code]))  # LSF warns every process of a job
        if -code in (*END_SIGNALS, signal.SIGUSR1, signal.SIGUSR2):
            # Schedulers tell every process of a job to end, and this one may hear of it last.
            if launch is not None:
                self._interrupt(launch, f"signal {-code} ({signal.Signals(-code).name}) to its process", seconds)
            return
        if not process.ready:
            if launch is not None:
                self._interrupt(launch, f"exit code {code} of its process before it was ready", seconds)
            raise MachineError(f"a process ended with {code} before it was ready: see the output of this job")
        if launch is None:
            return
        finding = classify(Path(launch.folder), exit_code=None if process.was_killed else code or 1)
        peak = f", at most {process.peak_memory:.0f} MB in memory" if finding.cause == "memory" else ""
        self._fail(launch, finding.model_copy(update={"evidence": finding.evidence + peak}), seconds)

    def _never_ready(self, process: CalculationProcess) -> None:
        launch, seconds = process.launch, process.seconds
        self._remove(process)
        assert launch is not None
        self._interrupt(launch, "its process was never ready", seconds)
        raise MachineError("a process took too long to load what it needs")

    # -- ending --------------------------------------------------------------------------------------------------

    def _remove(self, process: CalculationProcess, *, tell: bool = True) -> int:
        self._selector.unregister(process.output)
        self._processes.remove(process)
        if tell:
            process.tell_to_end()
        return process.end()

    def _stop_all(self) -> None:
        running = [(process, process.launch, process.seconds) for process in self._processes]
        for process, _, _ in running:
            process.tell_to_end()
        give_up = time.monotonic() + GRACE_SECONDS
        for process, _, _ in running:
            process.end(max(0.0, give_up - time.monotonic()))
        self._processes.clear()
        for _, launch, seconds in running:
            if launch is not None:
                self._interrupt(launch, self._message, seconds)

    def _interrupt(self, launch: Launch, evidence: str, seconds: float) -> None:
        if self._has_result(launch):
            return
        # One that was given the time it needs and did not end is to blame itself for it.
        enough = launch.expected_seconds or self.allocation.seconds / 2
        over = self._reason == "time" or self._time_left() <= 0
        content = Interruption(
            cause="walltime" if over and seconds >= enough else None,
            evidence=evidence,
            message=f"stopped after {seconds:.0f} s: {evidence}",
            seconds=round(seconds, 3),
        )
        self._counts["interrupted"] += 1
        self._write(Path(launch.folder) / INTERRUPTED, content.model_dump_json())

    def _fail(self, launch: Launch, finding: Finding, seconds: float) -> None:
        if self._has_result(launch):
            return
        folder = Path(launch.folder)
        try:
            request = read_request(folder)
        except (OSError, ValueError) as error:
            self._interrupt(launch, f"job.json: {error}", seconds)
            return
        self._counts["failed"] += 1
        content = failure(request, finding, seconds=seconds, host=platform.node())
        self._write(folder / RESULT, content.model_dump_json())

    def _has_result(self, launch: Launch) -> bool:
        """Count a result that the process left before it died without a word."""
        try:
            result = read_result(Path(launch.folder))
        except (OSError, ValueError):
            return False  # cut off, which no write of ours can be: it is replaced
        if result is not None:
            self._counts["completed" if result.outcome == "completed" else "failed"] += 1
        return result is not None

    def _write(self, path: Path, text: str) -> None:
        """Write what became of an attempt; where that fails the claim alone tells that it was started."""
        try:
            self._last_words.write(path, text)
        except OSError as error:
            _say(f"{path} could not be written: {error}")


def _say(text: str) -> None:
    print(f"matscout: {text}", file=sys.stderr, flush=True)  # noqa: T201  becomes the output of the scheduler's job


def main(arguments: list[str] | None = None) -> int:
    """Run the allocation of a folder.

    Returns
    -------
    0 when it ended in order, 2 where there is no allocation, 3 where this machine cannot calculate.
    """
    (folder,) = sys.argv[1:] if arguments is None else arguments
    try:
        allocation = read_allocation(Path(folder).absolute())
    except UserError as error:
        _say(str(error))
        return 2
    try:
        end = Launcher(Path(folder).absolute(), allocation).run()
    except OSError as error:  # before anything was claimed: not even its start could be written down
        _say(f"{folder} cannot be written: {error}")
        return EXIT_MACHINE
    _say(
        f"{end.message}: {end.completed} completed, {end.failed} failed, {end.interrupted} interrupted, "
        f"{end.passed_over} passed over, {end.not_started} not started"
    )
    return EXIT_MACHINE if end.reason == "machine" else 0


if __name__ == "__main__":
    sys.exit(main())
