"""The calculations of a campaign that failed, chosen by what is known of them, and grouped by their cause."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from matscout.db.documents import Cause
from matscout.errors import UserError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matscout.db.store import Store

FAILED = ("failed", "gave_up")
"""States of calculations that failed: at once, or after all attempts that their cause allows."""

CAUSES: tuple[str, ...] = get_args(Cause)

FORMULA = re.compile(r"[A-Za-z0-9.()]{1,100}")
"""The characters of a formula, none of which is anything else."""


@dataclass(frozen=True)
class Failure:
    """A calculation that failed.

    Attributes
    ----------
    calculation_id
        Of the request.
    subject, formula, protocol
        What was calculated, and how.
    cause
        Class of the cause.
    outcome
        ``failed``, or ``gave_up`` once no attempt was left.
    message, evidence
        What the failure said, and the line that tells its cause.
    attempts
        How often it was started.
    """

    calculation_id: str
    subject: str
    formula: str
    protocol: str
    cause: str
    outcome: str
    message: str
    evidence: str
    attempts: int


@dataclass(frozen=True)
class Wanted:
    """Which failed calculations are meant; all conditions that are given must hold.

    Attributes
    ----------
    ids
        First characters of ids; any if none.
    cause
        Class of the cause.
    formula
        Formula, in any multiple and order of elements.
    elements
        Elements that the crystal must hold, others beside them allowed.
    protocol
        Name of the protocol.
    """

    ids: tuple[str, ...] = ()
    cause: str | None = None
    formula: str | None = None
    elements: tuple[str, ...] = ()
    protocol: str | None = None

    def check(self) -> Wanted:
        """Return this with its formula reduced.

        Raises
        ------
        UserError
            There is no such cause, formula or element.
        """
        from pymatgen.core import Element

        if self.cause is not None and self.cause not in CAUSES:
            close = nearest(self.cause, CAUSES)
            hint = f" Nearest: {close}." if close else ""
            raise UserError(f'unknown cause "{self.cause}": choose of {", ".join(CAUSES)}.{hint}')
        for symbol in self.elements:
            if not Element.is_valid_symbol(symbol):
                raise UserError(f'"{symbol}" is no element: write symbols with commas between them, such as Cs,F')
        return self if self.formula is None else Wanted(**{**self.__dict__, "formula": reduced_formula(self.formula)})

    def __str__(self) -> str:
        parts = [f"id {' or '.join(self.ids)}"] if self.ids else []
        parts += [f"cause {self.cause}"] if self.cause else []
        parts += [f"formula {self.formula}"] if self.formula else []
        parts += [f"elements {', '.join(self.elements)}"] if self.elements else []
        parts += [f"protocol {self.protocol}"] if self.protocol else []
        return " and ".join(parts)

    def holds(self, failure: Failure) -> bool:
        """Whether a failure is meant, ids apart."""
        if self.cause not in (None, failure.cause) or self.protocol not in (None, failure.protocol):
            return False
        if self.formula not in (None, failure.formula):
            return False
        return set(self.elements) <= set(re.findall(r"[A-Z][a-z]?", failure.formula))


def reduced_formula(formula: str) -> str:
    """Return a formula as pymatgen writes it.

    Raises
    ------
    UserError
        It is none.
    """
    from pymatgen.core import Composition

    try:
        if FORMULA.fullmatch(formula):
            return Composition(formula, strict=True).reduced_formula
    except (ValueError, OverflowError):
        pass
    raise UserError(f'"{formula}" is no formula: write one such as CsCaF3')


def failures_of(store: Store, calculation_ids: Sequence[str] | None, wanted: Wanted | None = None) -> list[Failure]:
    """Return failed calculations in the order of their ids.

    Parameters
    ----------
    store
        An open store.
    calculation_ids
        Only of these; of the whole store if None.
    wanted
        Which are meant.

    Raises
    ------
    UserError
        An id that is asked for is of no failed calculation, or of several; or `wanted` asks for what does not exist.
    """
    wanted = (wanted or Wanted()).check()
    query: dict[str, Any] = {"state": {"$in": list(FAILED)}}
    if calculation_ids is not None:
        query["_id"] = {"$in": list(calculation_ids)}
    columns = {"request.subject": 1, "request.protocol": 1, "attempts.number": 1, "state": 1}
    columns |= {f"result.{name}": 1 for name in ("formula", "cause", "message", "evidence")}
    every = [_failure(document) for document in store.collection("calculations").find(query, columns).sort("_id", 1)]
    if wanted.ids:
        named = {_the_one(start, every).calculation_id for start in wanted.ids}
        every = [failure for failure in every if failure.calculation_id in named]
    return [failure for failure in every if wanted.holds(failure)]


def _failure(document: dict[str, Any]) -> Failure:
    result = document["result"]
    return Failure(
        calculation_id=document["_id"],
        subject=document["request"]["subject"],
        formula=result["formula"],
        protocol=document["request"]["protocol"],
        cause=result["cause"] or "unknown",
        outcome=document["state"],
        message=result["message"] or "",
        evidence=result.get("evidence") or "",
        attempts=len(document["attempts"]),
    )


def _the_one(start: str, failures: Sequence[Failure]) -> Failure:
    found = [failure for failure in failures if failure.calculation_id.startswith(start)]
    if not found:
        raise UserError(f"no failed calculation has an id that begins with {start}: matscout failures lists them")
    if len(found) > 1:
        listed = ", ".join(f"{one.calculation_id} ({one.formula})" for one in found[:4])
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        raise UserError(f"{len(found)} failed calculations have ids that begin with {start}: {listed}{more}")
    return found[0]


def by_cause(failures: Iterable[Failure]) -> dict[str, list[Failure]]:
    """Group failures by cause, the most frequent first."""
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(failure.cause, []).append(failure)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def trying_again(store: Store, calculation_ids: Sequence[str] | None) -> dict[str, int]:
    """Count calculations that failed or broke off and are, or will be, tried again, by the cause of the last time."""
    query: dict[str, Any] = {"state": {"$in": ["waiting", "running"]}, "attempts.0": {"$exists": True}}
    if calculation_ids is not None:
        query["_id"] = {"$in": list(calculation_ids)}
    counts: dict[str, int] = {}
    columns = {"attempts.outcome": 1, "attempts.cause": 1}
    for document in store.collection("calculations").find(query, columns):
        ended = [one for one in document["attempts"] if one["outcome"] != "running"]
        if ended:
            cause = ended[-1]["cause"] or "stopped"
            counts[cause] = counts.get(cause, 0) + 1
    return counts
