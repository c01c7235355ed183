"""Time the embedded store beside stock mongomock, which holds the same documents in memory and not on disk.

    python benchmarks/store.py [--documents 100000] [--folder DIR]

Prints medians in milliseconds, and how many times faster the store is. Each write of the store is on disk.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import bson
import mongomock

from matscout.db.store import connect

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 1_000
STATES = ("waiting", "running", "completed", "failed")


def document(number: int) -> dict[str, Any]:
    """Return a document of 3 KB, much like a calculation."""
    return {
        "_id": f"{number:016x}",
        "state": STATES[0] if number % 2 else STATES[2],
        "energy": (number * 7919 % 10_000) / 1000,
        "request": {"protocol": "chgnet-relax", "subject": f"candidate:{number:016x}"},
        "geometry": {"lattice": [[4.0, 0.0, 0.0]] * 3, "coords": [[0.5, 0.5, number / 7]] * 70},
    }


def median_ms(task: Callable[[int], object], *, repeats: int, seconds: float = 4.0) -> float:
    """Return the median time of a task in ms, of at most `repeats` runs and about `seconds` in all, at least one."""
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < repeats and (not times or time.perf_counter() - begun < seconds):
        start = time.perf_counter()
        task(len(times))
        times.append(1000 * (time.perf_counter() - start))
    return statistics.median(times)


def tasks(collection: Any, documents: int) -> dict[str, tuple[Callable[[int], object], int]]:
    """Return each task with the number of its repeats; writes use ids that are still free."""
    free = iter(range(documents, 10**9))
    return {
        "find by _id": (lambda run: collection.find_one({"_id": f"{run * 37 % documents:016x}"}), 500),
        "page of 20, sorted by an index": (
            lambda run: list(collection.find().sort("energy", -1).skip(20 * run).limit(20)),
            50,
        ),
        "page of 20, one state, sorted": (
            lambda run: list(collection.find({"state": "completed"}).sort("energy", 1).skip(20 * run).limit(20)),
            50,
        ),
        "page of 20, sorted by no index": (lambda _: list(collection.find().sort("request.subject", 1).limit(20)), 5),
        "count of a state": (lambda _: collection.count_documents({"state": "completed"}), 50),
        "group by state": (
            lambda _: list(collection.aggregate([{"$group": {"_id": "$state", "n": {"$sum": 1}}}])),
            3,
        ),
        "insert of one": (lambda _: collection.insert_one(document(next(free))), 300),
        f"insert of {BATCH}": (
            lambda _: collection.insert_many([document(next(free)) for _ in range(BATCH)]),
            5,
        ),
        "update by _id": (
            lambda run: collection.update_one({"_id": f"{run * 41 % documents:016x}"}, {"$set": {"energy": 1.5}}),
            300,
        ),
        "find and modify by state": (
            lambda _: collection.find_one_and_update({"state": "waiting"}, {"$set": {"state": "running"}}),
            300,
        ),
    }


def fill(collection: Any, documents: int) -> None:
    """Index and fill a collection."""
    collection.create_index("state")
    collection.create_index("energy")
    for start in range(0, documents, BATCH):
        collection.insert_many([document(number) for number in range(start, min(start + BATCH, documents))])


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--folder", help="where to put the store: the disk to be measured")
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.folder) as folder:
        with connect(folder) as store:
            fill(store.collection("things"), options.documents)
        print(f"{options.documents} documents of {len(bson.encode(document(1)))} bytes\n")
        print(f"{'':34}{'store':>10}{'mongomock':>12}{'times faster':>14}")
        opening = median_ms(lambda _: connect(folder).close(), repeats=20)
        print(f"{'open':34}{opening:>7.2f} ms")
        with connect(folder) as store:
            collection = store.collection("things")
            mine = {
                name: median_ms(task, repeats=repeats)
                for name, (task, repeats) in tasks(collection, options.documents).items()
            }
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        stock = mongomock.MongoClient().matscout.things
        fill(stock, options.documents)
        for name, (task, repeats) in tasks(stock, options.documents).items():
            theirs = median_ms(task, repeats=repeats, seconds=1.0)
            print(f"{name:34}{mine[name]:>7.2f} ms{theirs:>9.2f} ms{theirs / mine[name]:>14.1f}")
        print(f"\nmemory of this process: {memory:.0f} MB with the store alone, ", end="")
        print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB with mongomock")


if __name__ == "__main__":
    main()
