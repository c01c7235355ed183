"""A campaign whose state is in a store, so that it can stop at any moment and go on.

`Campaign` runs the stages that the Flow runs. After each it writes what came of it before it goes on: a round's choice
before its calculations start, a result before it is counted. The stages are imported when they are run: a campaign that
only waits for its jobs needs none of them.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matscout.db.documents import CalculationResult, Selection, content_hash, now
from matscout.errors import UserError
from matscout.settings import get_settings
from matscout.workflows.campaign.files import with_reference_file
from matscout.workflows.campaign.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from matscout.db.documents import CalculationRequest
    from matscout.db.labels import Label, Summary
    from matscout.db.store import Store
    from matscout.workflows.campaign.reference_plan import ReferencePlan
    from matscout.workflows.campaign.references import References
    from matscout.workflows.campaign.spec import CampaignSpec
    from matscout.workflows.campaign.stages import Space
    from matscout.workflows.launch.controller import Controller
    from matscout.workflows.launch.pool import WorkerPool

    Calculate = Callable[[str, Sequence[CalculationRequest]], dict[str, CalculationResult]]


class StoppedError(Exception):
    """The campaign was asked to stop, and did, with everything in the store."""


@dataclass
class Campaign:
    """Run a campaign with its state in a store.

    Parameters
    ----------
    spec
        The campaign.
    store
        An open store; `run` leases it.
    watcher
        Is told what happens.
    stopping
        Once this is true nothing new is started and `run` raises `StoppedError` after what is running.

    Examples
    --------
    >>> from matscout.db import connect
    >>> with connect("my-store") as store:  # doctest: +SKIP
    ...     summary = Campaign(spec, store).run()
    """

    spec: CampaignSpec
    store: Store
    watcher: Watcher = field(default_factory=Watcher)
    stopping: Callable[[], bool] = lambda: False

    def run(self, *, exhaustive: bool = False) -> Summary:
        """Run until a stop rule holds; go on where an earlier run ended.

        Parameters
        ----------
        exhaustive
            Then calculate every candidate that is left, so that what there was to find is known and not estimated.

        Raises
        ------
        UserError
            The store is leased by another run, its disk is full, or the campaign cannot be carried out as described.
        StoppedError
            It was asked to stop.
        """
        from matscout.workflows.launch.allocations import preload
        from matscout.workflows.launch.controller import Controller
        from matscout.workflows.launch.pool import WorkerPool

        for protocol in (self.spec.full_protocol(), *self.spec.check_protocols()):
            protocol.versions()  # a missing package is said before anything is written
        self.spec = with_reference_file(self.spec, Path.cwd())
        with ExitStack() as stack:
            lease = stack.enter_context(self.store.lease(f"matscout run {self.spec.name}"))
            folder = self._launch_folder()
            controller = Controller(self.store, folder, lease.check)
            taken, interrupted = controller.recover()
            if taken or interrupted:
                self.watcher.recovered(taken, interrupted)
            # Workers take seconds to load their calculator: they start while the space is enumerated.
            modules = preload([self.spec.protocol])
            pool = stack.enter_context(WorkerPool(get_settings().workers, folder / "workers.log", preload=modules))
            return self._run(partial(self._calculate, controller, pool), exhaustive=exhaustive)

    def _run(self, calculate: Calculate, *, exhaustive: bool) -> Summary:
        """Go through all stages; `calculate` gives the results of a stage's calculations, or raises to stop."""
        from matscout.workflows.campaign.references import build_references
        from matscout.workflows.campaign.verdict import decide, label

        space, plan = self._plan()
        by_id = calculate("references", plan.requests)
        references = build_references(self.spec, space.table, plan, by_id)
        selections = self._selections()
        results: dict[str, CalculationResult] = {}
        stopped = None
        while stopped is None:
            if len(selections) and len(results) < sum(len(s.chosen) for s in selections):
                results |= self._candidates(calculate, space, selections)
            self.watcher.thinking("labels")
            labels = label(self.spec, space, references, results, selections)
            self._keep_labels(labels)
            stopped = decide(self.spec, space, results, selections, labels)
            if stopped is None:
                self.watcher.thinking(f"round {len(selections)}: surrogate and choice")
                selections.append(self._choose(space, references, results, len(selections)))
        if exhaustive or self._was_exhausted():
            rest = self._rest(calculate, space, results)
            results |= rest
            stopped += f"; then these {len(rest)} were calculated too" if rest else ""
        checks = self._checks(calculate, space, references, results, selections)
        return self._finish(space, references, results, selections, stopped, checks)

    def _was_exhausted(self) -> bool:
        """Whether an earlier run calculated every candidate: then nothing is left to estimate, and it costs nothing."""
        document = self.store.collection("campaigns").find_one({"_id": self.spec.id}, {"exhausted": 1})
        return bool(document and document.get("exhausted"))

    def _plan(self) -> tuple[Space, ReferencePlan]:
        from matscout.workflows.campaign.reference_plan import plan_references
        from matscout.workflows.campaign.stages import enumerate_space, read_reference_entries

        space = enumerate_space(self.spec)
        plan = plan_references(self.spec, space.table, read_reference_entries(self.spec))
        self._register(space, plan)
        self.watcher.planned(space, plan)
        return space, plan

    def _register(self, space: Space, plan: ReferencePlan) -> None:
        """Write the campaign down, or check that it is the one that was begun."""
        campaigns = self.store.collection("campaigns")
        reference_file = _file_hash(self.spec)
        known = campaigns.find_one({"_id": self.spec.id})
        if known and known["reference_file_sha256"] != reference_file:
            raise UserError(
                f"the reference file changed since campaign {self.spec.name} began, and its labels with it: "
                "give the campaign another name, or bring the old file back"
            )
        protocol = self.spec.full_protocol()
        if known and known["protocol_id"] != protocol.id:
            raise UserError(
                f"protocol {protocol.name} is another than when campaign {self.spec.name} began "
                f"({protocol.id}, then {known['protocol_id']}): give the campaign another name, so that one protocol "
                "stands on its hull"
            )
        campaigns.update_one(
            {"_id": self.spec.id},
            {
                "$addToSet": {"versions": protocol.installed()},
                "$set": {
                    "state": "running",
                    "stage": "references",
                    "spec": self.spec.model_dump(mode="json"),
                    "name": self.spec.name,
                    "n_candidates": len(space.table),
                    "filters": [
                        {"name": f.name, "before": f.before, "removed": f.removed, "unknown": f.unknown}
                        for f in space.table.filter_counts
                    ],
                    "references": plan.description,
                    "reference_calculations": [request.id for request in plan.requests],
                    "reference_file_sha256": reference_file,
                    "protocol": protocol.name,
                    "protocol_id": protocol.id,
                    "updated": now(),
                },
                "$setOnInsert": {"created": now(), "stopped": None, "summary": None},
            },
            upsert=True,
        )

    def _update(self, **fields: Any) -> None:
        self.store.collection("campaigns").update_one({"_id": self.spec.id}, {"$set": {**fields, "updated": now()}})

    def _calculate(
        self, controller: Controller, pool: WorkerPool, name: str, requests: Sequence[CalculationRequest]
    ) -> dict[str, CalculationResult]:
        ids = {request.id for request in requests}
        self.watcher.stage(name, len(controller.results(ids)), len(ids))
        results = controller.run(requests, pool, on_result=self.watcher.result, stopping=self.stopping)
        if len(results) < len(ids):
            self._update(state="stopped")
            raise StoppedError
        return results

    def _candidates(
        self, calculate: Calculate, space: Space, selections: Sequence[Selection]
    ) -> dict[str, CalculationResult]:
        """Results of all that was chosen so far, calculated where they are not in the store."""
        chosen = [p.candidate_id for selection in selections for p in selection.chosen]
        self._update(stage=f"round {selections[-1].round}")
        return self._of_candidates(calculate, space, f"round {selections[-1].round}", chosen)

    def _of_candidates(
        self, calculate: Calculate, space: Space, name: str, candidate_ids: Sequence[str]
    ) -> dict[str, CalculationResult]:
        from matscout.workflows.campaign.stages import requests_of

        requests = requests_of(self.spec, space, candidate_ids)
        by_id = calculate(name, list(requests.values()))
        return {candidate_id: by_id[request.id] for candidate_id, request in requests.items()}

    def _rest(
        self, calculate: Calculate, space: Space, results: dict[str, CalculationResult]
    ) -> dict[str, CalculationResult]:
        left = [candidate_id for candidate_id in space.table.ids if candidate_id not in results]
        self._update(stage="exhaustive")
        self._keep_candidates(space, left, None)
        rest = self._of_candidates(calculate, space, "all that is left", left)
        self._update(exhausted=True)
        return rest

    def _checks(
        self,
        calculate: Calculate,
        space: Space,
        references: References,
        results: dict[str, CalculationResult],
        selections: Sequence[Selection],
    ) -> dict[str, CalculationResult]:
        """Results of the checks of what was found, by calculation id."""
        if not self.spec.checks:
            return {}
        from matscout.workflows.campaign.checks import by_id, check_requests
        from matscout.workflows.campaign.verdict import is_found, label

        found = filter(is_found, label(self.spec, space, references, results, selections))
        requests = by_id(check_requests(self.spec, found, results))
        self._update(stage="checks", check_calculations=list(requests))
        return calculate("checks", list(requests.values()))

    def _selections(self) -> list[Selection]:
        found = self.store.collection("selections").find({"campaign": self.spec.id}).sort("selection.round", 1)
        return [Selection.model_validate(document["selection"]) for document in found]

    def _choose(
        self, space: Space, references: References, results: dict[str, CalculationResult], round_number: int
    ) -> Selection:
        """Choose a round's candidates and write the choice down before any of them is calculated."""
        from matscout.workflows.campaign.stages import select

        selection = select(self.spec, space, references, results, round_number)
        with self.store.transaction():
            self._keep_candidates(space, [p.candidate_id for p in selection.chosen], round_number)
            self.store.collection("selections").insert_one(
                {
                    "_id": f"{self.spec.id}/{round_number:06d}",
                    "campaign": self.spec.id,
                    "selection": selection.model_dump(mode="json"),
                    "time": now(),
                }
            )
        return selection

    def _keep_candidates(self, space: Space, candidate_ids: Sequence[str], round_number: int | None) -> None:
        """Write down chosen candidates; those of an exhaustive run have no round."""
        from matscout.workflows.campaign.stages import requests_of

        candidates = self.store.collection("candidates")
        with self.store.transaction():
            for candidate_id, request in requests_of(self.spec, space, candidate_ids).items():
                row = space.rows[candidate_id]
                key = f"{self.spec.id}/{candidate_id}"
                document = {
                    "_id": key,
                    "campaign": self.spec.id,
                    "candidate_id": candidate_id,
                    "formula": space.table.formulas_at([row])[0],
                    "prototype": space.table.prototypes[space.table.prototype_index[row]].name,
                    "round": round_number,
                    "calculation_id": request.id,
                }
                candidates.replace_one({"_id": key}, document, upsert=True)

    def _keep_labels(self, labels: Iterable[Label]) -> None:
        collection = self.store.collection("labels")
        for path in ("e_above_hull", "decomposition_energy"):  # by which the best is found
            if f"{path}_1" not in collection.index_information():
                collection.create_index(path)
        with self.store.transaction():
            for one in labels:
                key = f"{self.spec.id}/{one.candidate_id}"
                document = {"_id": key, "campaign": self.spec.id, **one.model_dump(mode="json")}
                collection.replace_one({"_id": key}, document, upsert=True)
        self.watcher.labelled(list(labels))

    def _finish(
        self,
        space: Space,
        references: References,
        results: dict[str, CalculationResult],
        selections: Sequence[Selection],
        stopped: str,
        checks: dict[str, CalculationResult],
    ) -> Summary:
        from matscout.workflows.campaign.verdict import summarise

        self.watcher.thinking("summary")
        summary = summarise(self.spec, space, references, results, selections, stopped, checks)
        self._keep_labels(summary.labels)
        self._update(
            state="finished",
            stage="finished",
            stopped=stopped,
            summary=summary.model_dump(mode="json", exclude={"labels"}),
        )
        return summary

    def _launch_folder(self) -> Path:
        folder = launch_folder(self.store)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the launch folder {folder} cannot be made: {error.strerror}") from None
        return folder.absolute()


def launch_folder(store: Store) -> Path:
    """Return where a store's calculations run: a folder of its own, as all stores give them the same names."""
    shared = get_settings().launch_folder
    if shared is None and store.folder is not None:
        return store.folder / "launches"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = str(store.folder.absolute()) if store.folder else store.display_uri
    return (shared or cache / "matscout" / "launches") / content_hash(place)


def _file_hash(spec: CampaignSpec) -> str | None:
    if spec.references.source == "computed":
        return None
    return hashlib.sha256(spec.references.path.read_bytes()).hexdigest()
