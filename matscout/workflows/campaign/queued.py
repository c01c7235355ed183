"""A campaign whose calculations run on a queue, moved on by one step at a time.

Between two steps no process needs to live: the state is in the store, the calculations in the queue. A step is what
``matscout advance`` does, by hand, in a loop, or from cron.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from matscout.db.documents import ENDED, content_hash
from matscout.db.labels import Summary
from matscout.errors import UserError
from matscout.workflows.campaign.files import with_reference_file
from matscout.workflows.campaign.loop import Campaign, launch_folder
from matscout.workflows.campaign.steering import hold_back
from matscout.workflows.launch.controller import Controller
from matscout.workflows.launch.queue import Queue, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matscout.db.documents import CalculationRequest, CalculationResult
    from matscout.db.store import Store
    from matscout.workflows.launch.schedulers import Scheduler
    from matscout.workflows.launch.workers_file import Worker


class WaitingError(Exception):
    """A stage waits for calculations.

    Attributes
    ----------
    missing
        Their ids.
    """

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(f"{len(missing)} calculations are missing")


@dataclass(frozen=True)
class Advance:
    """What a step came to.

    Attributes
    ----------
    step
        What the queue did.
    summary
        Of a campaign that has ended; None where it waits for calculations.
    """

    step: Step
    summary: Summary | None = None


@dataclass
class QueuedCampaign(Campaign):
    """A campaign on the queue of a worker.

    Attributes
    ----------
    workers
        Workers by name.
    worker
        The one that takes this campaign's calculations; None takes the one that the campaign was submitted to.
    scheduler_of
        Makes what speaks to a worker's scheduler.
    """

    workers: Mapping[str, Worker] = field(default_factory=dict)
    worker: str | None = None
    scheduler_of: Callable[[Worker], Scheduler] | None = None

    def advance(self) -> Advance:
        """Move on by one step: take in results, start again what broke off, choose, submit.

        Raises
        ------
        UserError
            The campaign was never submitted, or as from `Campaign.run`.
        StoreLeased
            Another process is at it.
        """
        self.spec = with_reference_file(self.spec, Path.cwd())
        with self.store.lease(f"matscout advance {self.spec.name}") as lease:
            worker = self._worker()
            # What a killed `matscout run` on this machine left running.
            Controller(self.store, launch_folder(self.store).absolute(), lease.check).recover()
            queue = Queue(
                self.store,
                self.workers,
                place_of(self.store),
                lease.check,
                hold=partial(hold_back, self.store),
                **({} if self.scheduler_of is None else {"scheduler_of": self.scheduler_of}),
            )
            step = queue.step()
            if self._is_paused():
                step.note(f"campaign {self.spec.name} is paused: matscout resume lets it go on")
                return Advance(step)
            if self._still_waiting():
                return Advance(step)
            if (summary := self._finished()) is not None:
                return Advance(step, summary=summary)
            try:
                summary = self._run(partial(self._queued, queue, worker), exhaustive=False)
            except WaitingError as error:
                self._update(worker=worker, awaiting=list(error.missing))
                queue.submit_ready(step)
                return Advance(step)
            self._update(awaiting=[])
            return Advance(step, summary=summary)

    def _is_paused(self) -> bool:
        query = {"_id": self.spec.id, "paused": True}
        return self.store.collection("campaigns").find_one(query, {"_id": 1}) is not None

    def _worker(self) -> str:
        document = self.store.collection("campaigns").find_one({"_id": self.spec.id}, {"worker": 1}) or {}
        name = self.worker or document.get("worker")
        if name is None:
            raise UserError(f"campaign {self.spec.name} was not submitted yet: matscout submit FILE --worker NAME")
        if name not in self.workers:
            raise UserError(f"campaign {self.spec.name} runs on worker {name}, which the workers file does not have")
        return str(name)

    def _still_waiting(self) -> bool:
        """Tell whether calculations are missing that the last step waited for: then nothing is to be decided."""
        document = self.store.collection("campaigns").find_one({"_id": self.spec.id}, {"awaiting": 1}) or {}
        awaiting = document.get("awaiting") or []
        query = {"_id": {"$in": awaiting}, "state": {"$in": list(ENDED)}}
        ended: int = self.store.collection("calculations").count_documents(query) if awaiting else 0
        return ended < len(awaiting)

    def _finished(self) -> Summary | None:
        """Return the summary, without labels, of a campaign that has ended; None where its file now asks for more."""
        document = self.store.collection("campaigns").find_one(
            {"_id": self.spec.id, "state": "finished"}, {"spec": 1, "summary": 1}
        )
        if document is None or document["spec"] != self.spec.model_dump(mode="json"):
            return None
        return Summary.model_validate({**document["summary"], "labels": ()})

    def _queued(
        self, queue: Queue, worker: str, stage: str, requests: Sequence[CalculationRequest]
    ) -> dict[str, CalculationResult]:
        """Results of a stage's calculations; those that are missing are put on the queue."""
        ids = {request.id for request in requests}
        results = queue.attempts.results(ids)
        self.watcher.stage(stage, len(results), len(ids))
        if len(results) < len(ids):
            queue.add(requests, worker)
            raise WaitingError(sorted(ids - set(results)))
        return results


def place_of(store: Store) -> str:
    """Name of a store's folder below the launch folders of workers, which stores may share."""
    return content_hash(str(store.folder.absolute()) if store.folder else store.display_uri)
