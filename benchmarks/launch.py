"""The queue: results taken in, jobs submitted, calculations packed into a job, and a step with nothing to do.

    python benchmarks/launch.py [STEP ...]

Steps: advance (``matscout advance`` on a store of 10,000 calculations, 1,000 of them in running jobs; and how long it
takes to add 10,000), results, packed (what a packed calculation costs beside its own time), peers (the same job, which
costs nothing, through jobflow's ``run_locally`` and FireWorks' ``rlaunch rapidfire``), slurm (jobs submitted to a real
Slurm of one node, which tests/integration/slurm.sh starts and stops; left out where there is none, or one is not root).

Figures are medians of several runs, and wall times, of which a quiet machine gives the better ones. Of ``advance``
there is the processor's time beside it, its own and that of the programs it asks, where other work on the machine does
not count. The exit code is 1 if a figure misses its target; the last lines say which.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from _lib.figures import Clock, Figure, print_figures
from _lib.queue_parts import (
    CAMPAIGN,
    WORKER,
    FreeScheduler,
    keep_candidates,
    keep_ended,
    requests,
    slurm_that_costs_nothing,
    start,
    worker,
)

from matscout.db.store import connect
from matscout.workflows.campaign.files import read_spec
from matscout.workflows.campaign.queued import place_of
from matscout.workflows.launch.allocation import Allocation, Launch, launchers, write_allocation
from matscout.workflows.launch.folders import prepare, read_result
from matscout.workflows.launch.ledger import Ledger
from matscout.workflows.launch.queue import Queue
from matscout.workflows.launch.schedulers import make_scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymatgen.core import Structure

    from matscout.db.documents import CalculationRequest
    from matscout.db.store import Store
    from matscout.workflows.launch.schedulers import Scheduler
    from matscout.workflows.launch.workers_file import Worker

REPEATS = 3
IN_STORE, IN_JOBS, PACKED = 10_000, 1_000, 100
RESULTS = 500
FEW, MANY = 50, 350
PEER_JOBS = 40
SLURM_JOBS = 40
HERE = Path(__file__).parent
SLURM = HERE.parent / "tests" / "integration" / "slurm.sh"


def main() -> int:
    """Run the steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}; all where none is named")
    chosen = parser.parse_args().steps or list(STEPS)
    if unknown := [name for name in chosen if name not in STEPS]:
        parser.error(f"unknown step {unknown[0]}: choose of {', '.join(STEPS)}")
    print(f"{os.cpu_count()} cores, {os.getloadavg()[0]:.1f} processes running before", flush=True)
    missed = [one for name in chosen for one in print_figures(list(STEPS[name]()))]
    for one in missed:
        print(f"MISSED {one}")
    return 1 if missed else 0


# ------------------------------------------------------------------------------------------------- nothing to do


def advance() -> Iterator[Figure]:
    """Measure the whole command, import included."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        environment = slurm_that_costs_nothing(folder / "slurm")
        adding = _waiting_campaign(folder, environment)
        command = [sys.executable, "-m", "matscout", "advance", "perovskites.yaml"]
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody compiles everything at each call
        environment["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        seconds, processor = [], []
        for _ in range(2 * REPEATS):
            before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True)
            seconds.append(time.perf_counter() - begun)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            processor.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
            if "nothing has changed" not in done.stdout or f"{IN_STORE - IN_JOBS} of {IN_STORE}" not in done.stdout:
                raise RuntimeError(f"this step was to change nothing: {done.stdout}")
    task = f"a campaign that waits: {IN_STORE} calculations in the store, {IN_JOBS} of them in running jobs"
    for model, times in (("matscout advance, s", seconds), ("matscout advance, s of a core", processor)):
        # the first compiles
        yield Figure(task=task, model=model, score=statistics.median(times[1:]), at_most=2.0)
    yield Figure(task=task, model=f"adding {IN_STORE} calculations to the queue, s", score=adding)


def _waiting_campaign(folder: Path, environment: dict[str, str]) -> float:
    """Make a store whose campaign waits for its jobs; return what adding that many to the queue takes, s."""
    file = folder / "perovskites.yaml"
    file.write_text(CAMPAIGN)
    (folder / "workers.yaml").write_text(
        f"{WORKER}:\n  scheduler: slurm\n  launch_folder: {folder / 'scratch'}\n  walltime: '01:00:00'\n"
        f"  per_allocation: {PACKED}\n  max_queued: {IN_JOBS // PACKED}\n"
    )
    spec, everything = read_spec(file), requests(IN_STORE)
    own = {"_id": spec.id, "name": spec.name, "spec": spec.model_dump(mode="json"), "state": "running"}
    own |= {"stage": "round 0", "worker": WORKER, "reference_calculations": []}
    with connect(folder / "adding") as store, store.lease("benchmark"), Clock() as clock:
        node = worker(folder / "scratch", per_allocation=PACKED)
        Queue(store, {WORKER: node}, "place", scheduler_of=FreeScheduler()).add(everything, WORKER)
    with connect(folder / "matscout-store") as store, store.lease("benchmark") as lease:
        ended, live = everything[:-IN_JOBS], everything[-IN_JOBS:]
        keep_ended(store, spec.id, ended)
        keep_candidates(store, spec.id, everything)
        for path in ("e_above_hull", "decomposition_energy"):
            store.collection("labels").create_index(path)
        store.collection("campaigns").insert_one({**own, "awaiting": [request.id for request in everything]})
        ledger = Ledger(store)
        ledger.prepare()
        ledger.add(ended, WORKER)
        ledger.launchpad.fireworks.update_many({}, {"$set": {"state": "COMPLETED"}})
        before = os.environ["PATH"]
        os.environ["PATH"] = environment["PATH"]
        try:
            queue = _queue(store, worker(folder / "scratch", per_allocation=PACKED), lease.check, make_scheduler)
            queue.add(live, WORKER)
            queue.step()
        finally:
            os.environ["PATH"] = before
        for record in queue.allocations.open():
            start(Path(record.folder))
    return clock.seconds


def _queue(
    store: Store, node: Worker, check: Callable[[], object], scheduler_of: Callable[[Worker], Scheduler]
) -> Queue:
    return Queue(store, {WORKER: node}, place_of(store), check, scheduler_of)


# -------------------------------------------------------------------------------------------------- taking in


def results() -> Iterator[Figure]:
    """Measure how fast results come in from launch folders, and how fast jobs are written for a free scheduler."""
    runs = [_through(requests(RESULTS)) for _ in range(REPEATS)]
    adding, submitting, taking = (statistics.median(run[step].seconds for run in runs) for step in range(3))
    core = statistics.median(run[2].processor_seconds for run in runs)
    task = f"the controller: {RESULTS} calculations, {PACKED} in a job, a scheduler that costs nothing"
    yield Figure(
        task=task,
        model="results taken in, 1/s",
        score=RESULTS / taking,
        at_least=50.0,
        note=f"{1000 * core / RESULTS:.1f} ms of a core each",
    )
    yield Figure(task=task, model="calculations submitted, 1/s", score=RESULTS / submitting)
    yield Figure(task=task, model="calculations added, 1/s", score=RESULTS / adding)


def _through(everything: list[CalculationRequest]) -> tuple[Clock, Clock, Clock]:
    """Send calculations through a queue: return what adding them, submitting them and taking them in took."""
    adding, submitting, taking = Clock(), Clock(), Clock()
    with TemporaryDirectory() as name, connect(Path(name) / "store") as store, store.lease("benchmark") as lease:
        scheduler = FreeScheduler()
        queue = _queue(store, worker(Path(name) / "scratch", per_allocation=PACKED), lease.check, scheduler)
        with adding:
            queue.add(everything, WORKER)
        with submitting:
            queue.step()
        scheduler.finish()
        with taking:
            queue.step()
        if (counts := queue.ledger.counts()) != {"COMPLETED": len(everything)}:
            raise RuntimeError(f"not every result was taken in: {counts}")
    return adding, submitting, taking


# ------------------------------------------------------------------------------------------------ on the node


def packed() -> Iterator[Figure]:
    """Measure what one more calculation costs in a packed job, where it costs nothing itself."""
    each = []
    for _ in range(REPEATS):
        few, many = _launcher(FEW), _launcher(MANY)
        each.append(1000 * (many - few) / (MANY - FEW))
    yield Figure(
        task="a job that costs nothing, ms each",
        model=f"our launcher, packed (of {MANY}, as against {FEW})",
        score=statistics.median(each),
        at_most=20.0,
        note="request read, claimed, checked; result written to disk",
    )


def _launcher(number: int) -> float:
    """Return how long a launcher takes for so many calculations, from its first breath to its last, s."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        launches = []
        for place, request in enumerate(requests(number)):
            prepare(folder / str(place), request)
            launches.append(Launch(folder=str(folder / str(place))))
        allocation = Allocation(id="a", launches=tuple(launches), seconds=3600, preload=("_lib.free_calculation",))
        write_allocation(folder / "allocation", allocation)
        path = os.pathsep.join(filter(None, [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-P", "-m", "matscout.workflows.launch.node", str(folder / "allocation")]
        with Clock() as clock:
            subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True)
        ((_, end),) = launchers(folder / "allocation")
        result = read_result(folder / "0")
        if end is None or end.completed != number or result is None or result.energy_per_atom != -1.0:
            raise RuntimeError(f"not every calculation completed: {end}")
    return clock.seconds


# ----------------------------------------------------------------------------------------------------- peers


def peers() -> Iterator[Figure]:
    """Run the same job by jobflow and by FireWorks, in this process, one flow and one workflow each."""
    logging.disable(logging.INFO)
    structures = [request.geometry.to_structure() for request in requests(PEER_JOBS)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # monty's, of what jobflow uses
        local = [_locally(structures) for _ in range(REPEATS)]
        fireworks = [_rapidfire(structures) for _ in range(REPEATS)]
    task = "the same job elsewhere, ms each"
    for model, clocks, note in (
        ("jobflow's run_locally", local, "a folder each; the outputs stay in memory"),
        ("FireWorks' rlaunch rapidfire", [one for _, one in fireworks], "with its LaunchPad, on our embedded store"),
        ("FireWorks' LaunchPad: adding it", [one for one, _ in fireworks], "before that"),
    ):
        median = statistics.median(clock.seconds for clock in clocks)
        yield Figure(task=task, model=model, score=1000 * median / PEER_JOBS, note=note)


def _locally(structures: list[Structure]) -> Clock:
    from _lib.free_job import free_job
    from jobflow import JobStore, run_locally
    from maggma.stores import MemoryStore

    with TemporaryDirectory() as name, Clock() as clock:
        options = {"store": JobStore(MemoryStore()), "create_folders": True, "root_dir": name, "ensure_success": True}
        for structure in structures:
            run_locally(free_job(structure), log=False, **options)
    return clock


def _rapidfire(structures: list[Structure]) -> tuple[Clock, Clock]:
    from _lib.free_job import free_job
    from fireworks import FWorker
    from fireworks.core.rocket_launcher import rapidfire
    from jobflow import JobStore
    from jobflow.managers.fireworks import flow_to_workflow
    from maggma.stores import MemoryStore

    adding, running = Clock(), Clock()
    with TemporaryDirectory() as name, connect(Path(name) / "store") as store, chdir(name):
        ledger = Ledger(store)
        ledger.prepare()
        with adding:
            for structure in structures:
                ledger.launchpad.add_wf(flow_to_workflow(free_job(structure), store=JobStore(MemoryStore())))
        with running:
            rapidfire(ledger.launchpad, FWorker(), m_dir=name, nlaunches=len(structures), strm_lvl="CRITICAL")
        done = ledger.launchpad.fireworks.count_documents({"state": "COMPLETED"})
        if done != len(structures):
            raise RuntimeError(f"FireWorks completed {done} of {len(structures)}")
    return adding, running


# ----------------------------------------------------------------------------------------------------- Slurm


def slurm() -> Iterator[Figure]:
    """Submit jobs of one calculation, and packed ones, to a Slurm whose node takes none, so that nothing runs."""
    search = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    absent = [name for name in ("sbatch", "slurmctld", "slurmd", "munged") if not shutil.which(name, path=search)]
    if absent or os.geteuid() != 0:
        why = f"there is no {absent[0]} here" if absent else "only root can start it"
        print(f"jobs submitted to Slurm: NOT MEASURED, as {why}")
        return
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        control = ["sh", str(SLURM)]
        try:
            started = subprocess.run(
                [*control, "start", f"{name}/slurm"], check=True, stdout=subprocess.PIPE, text=True
            )
            os.environ["SLURM_CONF"] = started.stdout.split()[-1]
            drain = ["scontrol", "update", "nodename=localhost", "state=drain", "reason=benchmark"]
            subprocess.run(drain, check=True)
            rates = {size: [_submitted(Path(name), size) for _ in range(REPEATS)] for size in (1, PACKED)}
        finally:
            subprocess.run([*control, "stop", f"{name}/slurm"], check=True)
            os.environ.pop("SLURM_CONF", None)
    task = "jobs submitted to a real Slurm, 1/s"
    yield Figure(task=task, model="of one calculation each", score=statistics.median(rates[1]), at_least=5.0)
    yield Figure(task=task, model=f"of {PACKED} calculations each", score=statistics.median(rates[PACKED]))


def _submitted(folder: Path, size: int) -> float:
    """Return how many jobs of that many calculations are submitted in a second."""
    jobs = SLURM_JOBS if size == 1 else 3
    with (
        TemporaryDirectory(dir=folder) as name,
        connect(Path(name) / "store") as store,
        store.lease("benchmark") as lease,
    ):
        queue = _queue(store, worker(Path(name) / "scratch", per_allocation=size), lease.check, make_scheduler)
        queue.add(requests(jobs * size), WORKER)
        with Clock() as clock:
            queue.step()
        records = queue.allocations.open()
        if len([record for record in records if record.job_id]) != jobs:
            raise RuntimeError(f"{len(records)} of {jobs} jobs were submitted")
        queue.cancel(records)
    return jobs / clock.seconds


STEPS: dict[str, Callable[[], Iterator[Figure]]] = {
    "advance": advance,
    "results": results,
    "packed": packed,
    "peers": peers,
    "slurm": slurm,
}


if __name__ == "__main__":
    sys.exit(main())
