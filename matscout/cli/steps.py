"""What a step on a queue came to, in words and for programs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from typer import echo

from matscout.cli import printable
from matscout.cli.sentences import check_sentences, failure_sentence, found_sentences, reference_sentences
from matscout.workflows.campaign.standing import read_standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matscout.cli.queueing import Meant
    from matscout.db.store import Store
    from matscout.workflows.campaign.queued import Advance
    from matscout.workflows.campaign.standing import Standing
    from matscout.workflows.launch.queue import Step


def step_as_dict(meant: Meant, store: Store, found: Advance) -> dict[str, Any]:
    """Return what a step came to, and how the campaign stands after it, for programs."""
    step, standing = found.step, standing_of(meant, store)
    return {
        "campaign": standing.campaign,
        "state": standing.state,
        "worker": standing.worker,
        "stage": standing.stage,
        "done": standing.done,
        "total": standing.total,
        "completed": step.completed,
        "failed": step.failed,
        "again": dict(step.again),
        "submitted": dict(step.submitted),
        "jobs": {worker: dict(states) for worker, states in jobs_of(store, step).items()},
        "failures": standing.causes,
        "notes": step.notes,
        "stopped": None if found.summary is None else found.summary.stopped,
    }


def print_step(meant: Meant, store: Store, found: Advance) -> None:
    """Say what a step came to, how the campaign stands, and what can be done next."""
    standing = standing_of(meant, store)
    for note in found.step.notes:
        sys.stderr.write(f"{printable(note)}\n")
    echo(step_words(found.step) or "nothing has changed")
    if found.summary is not None and not found.step.changed:
        echo(f"{standing.name} has ended: {found.summary.stopped}, next: matscout results {meant.path}")
        return
    if found.summary is not None:
        print_end(meant, found, standing)
        return
    jobs = jobs_of(store, found.step)
    echo("; ".join([standing_words(standing), *(f"jobs of {words}" for words in jobs_words(jobs))]))
    if standing.causes:
        echo(failures_words(standing))
    if standing.state == "paused":
        echo(f"next: matscout resume {meant.path}")
    else:
        echo(f"next: matscout advance {meant.path}, or matscout watch {meant.path}")


def print_end(meant: Meant, found: Advance, standing: Standing) -> None:
    """Say how a campaign ended and what it found."""
    assert found.summary is not None
    summary = found.summary
    echo(f"{standing.name} has ended: {summary.stopped}")
    for line in reference_sentences(summary.references):
        echo(line)
    for line in [*found_sentences(summary.found, meant.spec.acquisition.threshold), *check_sentences(summary.checked)]:
        echo(line)
    if standing.causes:
        echo(failures_words(standing))
    echo(f"next: matscout results {meant.path}")


def standing_of(meant: Meant, store: Store) -> Standing:
    """Read how a campaign stands that a step has just been taken of."""
    document = meant.document(store)
    assert document is not None, "a step writes the campaign down"
    return read_standing(store, document)


def step_words(step: Step) -> str:
    """Say what a step changed; nothing where it changed nothing."""
    parts = [f"{len(step.completed)} completed"] if step.completed else []
    parts += [f"{len(step.failed)} failed for good"] if step.failed else []
    parts += [f"{number} to be done again ({why})" for why, number in step.again.items()]
    parts += [f"{number} submitted to {worker}" for worker, number in step.submitted.items()]
    return "; ".join(parts)


def standing_words(standing: Standing) -> str:
    """Say how far a campaign is."""
    done = f"{standing.done} of {standing.total} done"
    if standing.state == "paused":
        return f"{standing.name} is paused, {standing.stage}: {done}"
    return f"{standing.stage}: {done}"


def jobs_words(jobs: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Say of each worker how many of its jobs are in which state."""
    return [
        f"{worker}: {', '.join(f'{number} {state}' for state, number in states.items())}"
        for worker, states in jobs.items()
    ]


def jobs_of(store: Store, step: Step) -> dict[str, dict[str, int]]:
    """Count the jobs in the queues by worker and state: those asked about, and those submitted since."""
    from matscout.workflows.launch.allocations import Allocations

    jobs = {worker: dict(states) for worker, states in step.jobs.items()}
    for record in Allocations(store).open():
        jobs.setdefault(record.worker, {}).setdefault("submitted", 0)
        jobs[record.worker]["submitted"] += 1
    for states in jobs.values():
        asked = sum(number for state, number in states.items() if state != "submitted")
        states["submitted"] = states.get("submitted", 0) - asked
        if states["submitted"] <= 0:
            del states["submitted"]
    return {worker: states for worker, states in jobs.items() if states}


def failures_words(standing: Standing) -> str:
    """Count a campaign's failures by cause, and name the command that lists them."""
    every = [{"cause": cause} for cause, number in standing.causes.items() for _ in range(number)]
    return failure_sentence(every, gave_up=standing.gave_up)
