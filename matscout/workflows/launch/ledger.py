"""What has become of each calculation on a queue, kept by FireWorks' LaunchPad.

One Firework, in a workflow of its own, is one calculation. The LaunchPad lies in the store, embedded or MongoDB, and
only the controller opens it; on MongoDB ``lpad`` reads it as its users know. As no Firework of ours has a parent or a
child, what happens to one is written with that of all others at once, in the words that FireWorks itself would write,
which does it one by one and in about ten steps each. Its states here:

- ``READY``: to be submitted;
- ``RESERVED``: in an allocation that was submitted, not started yet as far as we know;
- ``RUNNING``: a launcher on a node has claimed it;
- ``COMPLETED``, ``FIZZLED``: its result is in the store, as a success or a failure;
- ``PAUSED``: held back, as its campaign is paused.

``DEFUSED`` and ``ARCHIVED`` are left to those who use ``lpad``.
"""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matscout.db.documents import CalculationRequest
    from matscout.db.store import Store

_MAKING = threading.Lock()

LIVE = ("RESERVED", "RUNNING")
"""States of calculations that an allocation has."""

AT_REST = ("READY", "WAITING", "PAUSED")
"""States of calculations that no allocation has, and that have no result."""

_LEFT_ALONE = frozenset({"PAUSED", "DEFUSED", "ARCHIVED"})
"""States that a user gave, and that the end of a launch does not change."""

_AT_ONCE = 500
"""Calculations that are added in one go: bounds the memory."""


class Ledger:
    """The LaunchPad of a store, in words of calculations.

    Parameters
    ----------
    store
        An open store, leased by this process if anything is to be written.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._fireworks = store.collection("fireworks")
        self._launches = store.collection("launches")
        self._workflows = store.collection("workflows")
        self._numbers = store.collection("fw_id_assigner")

    @cached_property
    def launchpad(self) -> Any:
        """FireWorks' own way to it, which takes half a second to import."""
        return _launchpad(self._store)

    def prepare(self) -> None:
        """Make FireWorks' counters and indexes where the store has none yet."""
        if self._numbers.find_one({}) is None:
            self.launchpad.tuneup(bkground=False)
            self._fireworks.create_index("spec.calculation")
            # Last, as it tells that all of it is there.
            self._numbers.insert_one({"_id": -1, "next_fw_id": 1, "next_launch_id": 1})

    def add(self, requests: Iterable[CalculationRequest], worker: str) -> int:
        """Add calculations that are not there yet; return how many."""
        wanted = {request.id: request for request in requests}
        for known in self.known(list(wanted)):
            del wanted[known]
        new = list(wanted.values())
        for start in range(0, len(new), _AT_ONCE):
            self._add(new[start : start + _AT_ONCE], worker)
        return len(new)

    def _add(self, requests: Sequence[CalculationRequest], worker: str) -> None:
        from fireworks import Firework, Workflow

        from matscout.workflows.launch.firetask import CalculationTask

        task = CalculationTask()
        with self._store.transaction():
            first = self._next_number("next_fw_id", len(requests))
            workflows = []
            for number, request in enumerate(requests, first):
                spec = {
                    "calculation": request.id,
                    "protocol": request.protocol,
                    "subject": request.subject,
                    "request": request.model_dump(mode="json"),
                    "_category": worker,
                    "_priority": 0,  # `lpad set_priority` may change it
                }
                name = f"{request.geometry.reduced_formula} {request.protocol}"
                firework = Firework([task], spec=spec, name=name, state="READY", fw_id=number)
                workflows.append(Workflow([firework], name=name))
            # In this order: what has no Firework yet is not submitted.
            self._workflows.insert_many([one.to_db_dict() for one in workflows])
            self._fireworks.insert_many([one.fws[0].to_db_dict() for one in workflows])

    def known(self, calculation_ids: Sequence[str]) -> set[str]:
        """Return those that are on the LaunchPad."""
        return set(self._of(calculation_ids))

    def ready(self, worker: str, limit: int) -> list[str]:
        """Return ids of calculations to be submitted to a worker, those of highest priority first."""
        query = {"state": "READY", "spec._category": worker}
        order = [("spec._priority", -1), ("fw_id", 1)]
        found = self._fireworks.find(query, {"spec.calculation": 1}).sort(order).limit(limit)
        return [document["spec"]["calculation"] for document in found]

    def drop(self, calculation_ids: Sequence[str]) -> None:
        """Forget calculations that no allocation has: they ended elsewhere, or are to run elsewhere."""
        query = {"spec.calculation": {"$in": list(calculation_ids)}, "state": {"$in": list(AT_REST)}}
        numbers = [document["fw_id"] for document in self._fireworks.find(query, {"fw_id": 1})]
        with self._store.transaction():  # LaunchPad.delete_wf prints what it does; each workflow is one calculation
            self._workflows.delete_many({"nodes": {"$in": numbers}})
            self._launches.delete_many({"fw_id": {"$in": numbers}})
            self._fireworks.delete_many({"fw_id": {"$in": numbers}})

    def move(self, calculation_ids: Sequence[str], worker: str) -> int:
        """Give calculations that no allocation has to a worker; return how many."""
        query = {"spec.calculation": {"$in": list(calculation_ids)}, "state": {"$in": list(AT_REST)}}
        moved: int = self._fireworks.update_many(query, {"$set": {"spec._category": worker}}).matched_count
        return moved

    def reserve(self, folders: Mapping[str, Path], worker: str, allocation_id: str) -> None:
        """Give calculations to an allocation that is about to be submitted.

        Parameters
        ----------
        folders
            The launch folder of each, by its id.

        Raises
        ------
        KeyError
            One is not ready: nothing was changed.
        """
        from fireworks import FWorker
        from fireworks.core.firework import Launch
        from fireworks.utilities.fw_utilities import get_my_host, get_my_ip

        fireworks = self._of_all(folders)
        for calculation_id, firework in fireworks.items():
            if firework["state"] != "READY":
                raise KeyError(f"calculation {calculation_id} is not ready but {firework['state']}")
        here = FWorker(worker, category=worker), get_my_host(), get_my_ip()
        with self._store.transaction():
            first = self._next_number("next_launch_id", len(folders))
            launches = {
                firework["fw_id"]: Launch(
                    "RESERVED", str(folders[calculation_id]), *here, launch_id=number, fw_id=firework["fw_id"]
                )
                for number, (calculation_id, firework) in enumerate(fireworks.items(), first)
            }
            for launch in launches.values():
                launch.set_reservation_id(allocation_id)
            self._launches.insert_many([launch.to_db_dict() for launch in launches.values()])
            self._become(
                "RESERVED", {number: {"$push": {"launches": launch.launch_id}} for number, launch in launches.items()}
            )

    def started(self, hosts: Mapping[str, str]) -> None:
        """Note that launchers have claimed calculations.

        Parameters
        ----------
        hosts
            The node of each, by its id.
        """
        reserved = {one: fw for one, fw in self._of_all(hosts).items() if fw["state"] == "RESERVED"}
        with self._store.transaction():
            launches = self._last_launches(reserved)
            for calculation_id, launch in launches.items():
                launch.host = hosts[calculation_id]
                launch.state = "RUNNING"
            self._write_launches(launches.values())
            self._become("RUNNING", {firework["fw_id"]: {} for firework in reserved.values()})

    def ended(self, outcomes: Mapping[str, tuple[bool, dict[str, Any]]]) -> None:
        """Note that the results of calculations are in the store; whatever state they were in.

        Parameters
        ----------
        outcomes
            Whether it completed, and what `lpad` is to show of its result, by its id.
        """
        if not outcomes:
            return
        from fireworks import FWAction

        fireworks = self._of_all(outcomes)
        for completed, state in ((True, "COMPLETED"), (False, "FIZZLED")):
            changed = {
                one: firework
                for one, firework in fireworks.items()
                if outcomes[one][0] is completed and firework["launches"] and firework["state"] != state
            }
            with self._store.transaction():
                launches = self._last_launches(changed)
                for calculation_id, launch in launches.items():
                    launch.action = FWAction(stored_data=outcomes[calculation_id][1])
                    launch.state = state
                self._write_launches(launches.values())
                free = [one for one in changed.values() if one["state"] not in _LEFT_ALONE]
                self._become(state, {firework["fw_id"]: {} for firework in free})

    def release(self, calculation_ids: Sequence[str]) -> None:
        """Make calculations ready again: their attempts were interrupted or failed, or never submitted."""
        fireworks = {
            one: firework
            for one, firework in self._of_all(calculation_ids).items()
            if firework["state"] not in {"READY", "WAITING", "DEFUSED", "ARCHIVED"}
        }
        with self._store.transaction():
            launches = self._last_launches({one: fw for one, fw in fireworks.items() if fw["state"] in LIVE})
            for launch in launches.values():
                launch.state = "FIZZLED"
            self._write_launches(launches.values())
            self._become(
                "READY",
                {
                    firework["fw_id"]: {
                        "$set": {
                            "launches": [],
                            "archived_launches": sorted({*firework["archived_launches"], *firework["launches"]}),
                        }
                    }
                    for firework in fireworks.values()
                },
            )

    def hold(self, calculation_ids: Sequence[str], *, held: bool) -> int:
        """Hold calculations back that are ready, or let held ones go; return how many changed."""
        before, after = ("READY", "PAUSED") if held else ("PAUSED", "READY")
        found = [one for one in self._of(calculation_ids).values() if one["state"] == before]
        with self._store.transaction():
            self._become(after, {firework["fw_id"]: {} for firework in found})
        return len(found)

    def ids_in(self, states: Sequence[str]) -> list[str]:
        """Return the ids of the calculations in some states."""
        return [one["spec"]["calculation"] for one in self._documents({"state": {"$in": list(states)}})]

    def counts(self) -> dict[str, int]:
        """Count calculations by state."""
        return dict(Counter(document["state"] for document in self._documents({})))

    def astray(self, workers: Sequence[str]) -> dict[str, int]:
        """Count the calculations to be submitted to others than some workers, by the names of those."""
        ready = self._fireworks.count_documents({"state": "READY"})
        if ready == self._fireworks.count_documents({"state": "READY", "spec._category": {"$in": list(workers)}}):
            return {}  # as it is all but always, told from the indexes alone
        query = {"state": "READY", "spec._category": {"$nin": list(workers)}}
        return dict(Counter(document["spec"]["_category"] for document in self._documents(query)))

    # -- FireWorks' documents ------------------------------------------------------------------------------------

    def _next_number(self, name: str, quantity: int) -> int:
        """Take the next numbers of Fireworks or launches, and return the first of them."""
        return int(self._numbers.find_one_and_update({}, {"$inc": {name: quantity}})[name])

    def _of(self, calculation_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Fireworks of those calculations that are there, without their requests."""
        query = {"spec.calculation": {"$in": list(calculation_ids)}}
        return {document["spec"]["calculation"]: document for document in self._documents(query)}

    def _of_all(self, calculation_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Fireworks of calculations that must be there, in the order asked for."""
        wanted = list(calculation_ids)
        found = self._of(wanted)
        for one in wanted:
            if one not in found:
                raise KeyError(f"no calculation {one} on the LaunchPad")
        return {one: found[one] for one in wanted}

    def _documents(self, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        columns = {"fw_id": 1, "state": 1, "launches": 1, "archived_launches": 1}
        yield from self._fireworks.find(query, {**columns, "spec.calculation": 1, "spec._category": 1})

    def _last_launches(self, fireworks: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
        """FireWorks' own objects of the last launches, by the calculations' ids."""
        if not fireworks:
            return {}
        from fireworks.core.firework import Launch

        numbers = {firework["launches"][-1]: one for one, firework in fireworks.items()}
        found = self._launches.find({"launch_id": {"$in": list(numbers)}})
        return {numbers[document["launch_id"]]: Launch.from_dict(document) for document in found}

    def _write_launches(self, launches: Iterable[Any]) -> None:
        changes = [UpdateOne({"launch_id": one.launch_id}, {"$set": one.to_db_dict()}) for one in launches]
        if changes:
            self._launches.bulk_write(changes, ordered=False)

    def _become(self, state: str, changes: Mapping[int, dict[str, Any]]) -> None:
        """Change the state of Fireworks and of their workflows, and what else is to change in the Fireworks."""
        if not changes:
            return
        now = datetime.now(UTC)
        fireworks, workflows = [], []
        for number, change in changes.items():
            fields = {"state": state, "updated_on": now.isoformat(), **change.get("$set", {})}
            fireworks.append(UpdateOne({"fw_id": number}, {**change, "$set": fields}))
            fields = {"state": state, "updated_on": now, f"fw_states.{number}": state}
            workflows.append(UpdateOne({"nodes": number}, {"$set": fields}))
        self._fireworks.bulk_write(fireworks, ordered=False)
        self._workflows.bulk_write(workflows, ordered=False)


def _launchpad(store: Store) -> Any:
    """Make a LaunchPad on the store's own connection: no second one, and no password in its hands."""
    from fireworks.core import launchpad as module

    with _MAKING:
        client, fallback = module.MongoClient, module.GRIDFS_FALLBACK_COLLECTION
        module.MongoClient = lambda *_, **__: store.client
        module.GRIDFS_FALLBACK_COLLECTION = None  # what goes there never grows beyond a document
        try:
            return module.LaunchPad(name=store.database.name, strm_lvl="CRITICAL")
        finally:
            module.MongoClient, module.GRIDFS_FALLBACK_COLLECTION = client, fallback
