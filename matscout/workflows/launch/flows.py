"""Run a jobflow Flow in this process so that an interrupted one goes on where it was.

The Flow is written first, with the uuids of its jobs; each job's output is written as it ends, with the jobs it asked
for in addition. A restart runs the Flow as written, takes over what is there, and starts the first job that has no
output. So a dynamic Flow asks for its further jobs only once.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from matscout.db.files import write_text
from matscout.workflows.launch.folders import CLOSED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jobflow import Flow, Job, JobStore, Response

FLOW = "flow.json"
OUTPUT = "output.json"

INTERRUPTED = ".interrupted"
"""What the folder of a job is called behind its name when the job is started anew."""

FLOW_OUTPUT = "output"
"""The key of the Flow's own output, where it has one."""

_CHILDREN = ("replace", "detour", "addition")
"""Jobs that a job asks for, in the order jobflow runs them."""


class FlowStoppedError(RuntimeError):
    """A job stopped the jobs after it, so that the Flow has no complete output."""


def run_flow(flow_or_job: Flow | Job, folder: Path, *, store: JobStore | None = None) -> dict[str, Any]:
    """Run a Flow or a Job, or the rest of one.

    Parameters
    ----------
    flow_or_job
        What to run, where the folder holds no Flow yet; else the same one made again, which is only compared.
    folder
        A folder of this Flow's own; each job works in a folder below it.
    store
        Where outputs are kept while it runs; None: in memory, with an additional store ``data``.

    Returns
    -------
    Outputs by the names of the jobs, as a later job would receive them: of a job that was replaced the final output,
    under its first name. Further jobs of a name have a number behind it, as ``static 2``. The Flow's own output, or
    that of a single job, stands under `FLOW_OUTPUT`; a Flow without one has no such key.

    Raises
    ------
    FlowStoppedError
        A job asked to stop those that follow it.
    ValueError
        The folder holds another Flow.
    Exception
        Whatever a job raises, with a note that names the job and its folder. No further job is started.
    """
    from jobflow import Job, JobStore
    from maggma.stores import MemoryStore

    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    flow = _the_flow(flow_or_job, folder)
    if store is None:
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    run = _Run(store, folder)
    run.flow(flow)
    if run.skipped:
        names = ", ".join(run.skipped)
        raise FlowStoppedError(f"{run.stopped_by} stopped the jobs after it: {names}")
    outputs = _outputs(flow, run)
    if isinstance(flow_or_job, Job):
        outputs[FLOW_OUTPUT] = outputs[flow_or_job.name]
    return outputs


def _the_flow(flow_or_job: Flow | Job, folder: Path) -> Flow:
    """Return the Flow of the folder, which is written now if there is none."""
    from jobflow.core.flow import get_flow
    from monty.json import MontyDecoder, MontyEncoder

    flow = get_flow(flow_or_job)
    path = folder / FLOW
    if not path.exists():
        write_text(path, json.dumps(flow, cls=MontyEncoder))
    # Also a new one is read back: the first run and a restart must not differ.
    written: Flow = MontyDecoder().decode(path.read_text())
    asked, found = (sorted(job.name for job, _ in _in_order(each)) for each in (flow, written))
    if asked != found:
        raise ValueError(f"{path} holds another flow: {', '.join(found)} instead of {', '.join(asked)}")
    return written


def carry_over(earlier: Path, folder: Path) -> int:
    """Take what an interrupted attempt finished into the folder of the next one, which is to do the same.

    Parameters
    ----------
    earlier
        Launch folder of the earlier attempt, closed or not; Flows may stand anywhere in it. The files of its jobs stay
        there, as later jobs may read them, and so must it until the next attempt has ended.
    folder
        Launch folder of the next attempt, which must have the same settings as the earlier one.

    Returns
    -------
    How many jobs need not run again.
    """
    # A path in an output was true when it was written: the folder has another name since it was closed.
    names = earlier.with_name(earlier.name.removesuffix(CLOSED)), earlier
    before, after = (json.dumps(str(name))[1:-1] for name in names)
    carried = 0
    for flow in sorted(earlier.rglob(FLOW)):
        for path in (flow, *sorted(flow.parent.glob(f"*/{OUTPUT}"))):
            text = path.read_text()
            text = re.sub(re.escape(before) + r'(?=[/"])', lambda _: after, text)
            target = folder / path.relative_to(earlier)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_text(target, text)
            carried += path is not flow
    return carried


def finished_outputs(folder: Path) -> list[tuple[str, Any]]:
    """Return names and outputs of those jobs of a folder's Flow that ended, in this order, as plain data."""
    documents = [json.loads(path.read_text())["document"] for path in folder.glob(f"*/{OUTPUT}")]
    return [(document["name"], document["output"]) for document in sorted(documents, key=itemgetter("completed_at"))]


def unfinished_folders(folder: Path) -> list[tuple[str, Path]]:
    """Return the folders of those jobs of a folder's Flow that began and did not end, with what begins their names."""
    begun = [path for path in sorted(folder.iterdir()) if path.is_dir() and path.suffix != INTERRUPTED]
    return [(path.name.rsplit("-", 2)[0], path) for path in begun if not (path / OUTPUT).exists()]


@dataclass
class _Run:
    """One run through a Flow, in the order of jobflow's own local runner."""

    store: JobStore
    folder: Path
    names: dict[str, str] = field(default_factory=dict)
    """First name of each uuid, in the order they ran: the same in every run."""
    skipped: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    stopped_by: str = ""
    stopped_all: bool = False

    def flow(self, flow: Flow) -> None:
        """Run the jobs of a Flow, and what they ask for."""
        for job, parents in _in_order(flow):
            if self.stopped_all or self.stopped.intersection(parents):
                self.stopped.add(job.uuid)
                self.skipped.append(job.name)
                continue
            self.names.setdefault(job.uuid, job.name)
            response = self._finished(job) or self._started(job)
            if response.stop_children:
                self.stopped.add(job.uuid)
            if response.stop_jobflow:
                self.stopped_all = True
            if response.stop_children or response.stop_jobflow:
                self.stopped_by = job.name
            if response.stop_jobflow:
                continue
            for kind in _CHILDREN:
                if (children := getattr(response, kind)) is not None:
                    self.flow(children)

    def _started(self, job: Job) -> Response[Any]:
        from jobflow import CURRENT_JOB

        folder = self.folder / _folder_name(job)
        if folder.exists():
            # What an interrupted start left could mislead a code; the last such is kept to be looked at.
            left = folder.with_name(folder.name + INTERRUPTED)
            shutil.rmtree(left, ignore_errors=True)
            folder.rename(left)
        folder.mkdir()
        try:
            with chdir(folder):
                response = job.run(store=self.store, job_dir=folder)
        except BaseException as error:
            error.add_note(f"in job {job.name}, folder {folder}")
            raise
        finally:
            CURRENT_JOB.reset()  # type: ignore[no-untyped-call]
        self._write(job, response, folder)
        return response

    def _write(self, job: Job, response: Response[Any], folder: Path) -> None:
        from monty.json import MontyEncoder

        document = self.store.query_one({"uuid": job.uuid, "index": job.index}, load=True)
        assert document is not None
        document.pop("_id", None)
        content = {
            "document": document,
            **{kind: getattr(response, kind) for kind in _CHILDREN},
            "stop_children": response.stop_children,
            "stop_jobflow": response.stop_jobflow,
        }
        write_text(folder / OUTPUT, json.dumps(content, cls=MontyEncoder))

    def _finished(self, job: Job) -> Response[Any] | None:
        """Take over a job that ended in an earlier run."""
        from jobflow import Response
        from monty.json import MontyDecoder

        try:
            content = json.loads((self.folder / _folder_name(job) / OUTPUT).read_text())
        except FileNotFoundError:
            return None
        children = {kind: MontyDecoder().process_decoded(content.pop(kind)) for kind in _CHILDREN}
        # As it was stored: the objects in it are made where a reference is resolved, and not before.
        save = {key: "output" if value is True else value for key, value in job._kwargs.items()}  # noqa: SLF001
        self.store.update(_with_dates(content.pop("document")), key=["uuid", "index"], save=save)
        return Response(**children, **content)


def _in_order(flow: Flow) -> Iterator[tuple[Job, list[str]]]:
    """Yield the jobs of a Flow with the uuids of those before them, in an order that is the same in every process.

    jobflow's own order of jobs that are not connected depends on hashes of strings.
    """
    from networkx import lexicographical_topological_sort  # type: ignore[import-untyped]

    graph = flow.graph
    place = {uuid: number for number, uuid in enumerate(flow.job_uuids)}
    for uuid in lexicographical_topological_sort(graph, key=lambda uuid: place.get(uuid, -1)):
        if "job" in graph.nodes[uuid]:
            yield graph.nodes[uuid]["job"], [before for before, _ in graph.in_edges(uuid)]


def _folder_name(job: Job) -> str:
    words = re.sub(r"[^A-Za-z0-9.+-]+", "-", job.name).strip("-.")[:40] or "job"
    return f"{words}-{job.uuid[:8]}-{job.index}"


def _with_dates(content: Any) -> Any:
    """Undo what JSON cannot hold of a stored document: dates and ids of a database, and nothing else."""
    if isinstance(content, list):
        return [_with_dates(item) for item in content]
    if not isinstance(content, dict):
        return content
    match content:
        case {"@module": "datetime", "@class": "datetime", "string": str(text)}:
            return datetime.fromisoformat(text)
        case {"@module": "bson.objectid", "@class": "ObjectId", "oid": str(text)}:
            from bson import ObjectId

            return ObjectId(text)
    return {key: _with_dates(value) for key, value in content.items()}


def _outputs(flow: Flow, run: _Run) -> dict[str, Any]:
    from jobflow import OutputReference
    from jobflow.core.reference import find_and_resolve_references

    outputs: dict[str, Any] = {}
    for uuid, name in run.names.items():
        key, number = name, 1
        while key in outputs:
            number += 1
            key = f"{name} {number}"
        outputs[key] = OutputReference(uuid).resolve(run.store)
    if flow.output is not None:
        outputs[FLOW_OUTPUT] = find_and_resolve_references(flow.output, run.store)
    return outputs
