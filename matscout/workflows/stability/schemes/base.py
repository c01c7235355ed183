"""What a correction scheme is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError
from matscout.workflows.stability.blocks import NOT_STATED
from matscout.workflows.stability.naming import some
from matscout.workflows.stability.schemes.protocols import ids_by_protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pymatgen.core.entries import ComputedEntry, EnergyAdjustment


@dataclass(frozen=True)
class Corrected:
    """Entries as a scheme leaves them.

    Attributes
    ----------
    entries
        Entries with the scheme's energy adjustments, in their order: new ones wherever anything changed.
    left_out
        Name of each entry that the scheme cannot correct, as `names_of` has it, and why.
    report
        What was done, for files and for `--json`: numbers, names and lists of names.
    lines
        The same for people, a line each.
    """

    entries: tuple[ComputedEntry, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    report: dict[str, Any] = field(default_factory=dict)
    lines: tuple[str, ...] = ()

    def describe_left_out(self) -> str:
        """Name what is left out, and why; empty where nothing is.

        Examples
        --------
        >>> Corrected((), (("mp-135", "Invalid U value of 0.0 on Fe, expected 5.3"),)).describe_left_out()
        '1 left out: mp-135: Invalid U value of 0.0 on Fe, expected 5.3'
        """
        return told_left_out(self.left_out) if self.left_out else ""


class CorrectionScheme(ABC):
    """A rule that lets energies of several protocols stand on one hull, or refuses to.

    A scheme of one's own, such as coordination-corrected enthalpies, has the three names below, says in
    `check_protocols` what it joins, changes energies in `correct`, and is made known by `register_scheme`. Corrected
    entries state their new protocol in `data["protocol"]`, unless their adjustments tell it.

    Attributes
    ----------
    name
        What campaigns, hulls and the command line call it.
    summary
        One line for people.
    version
        What its energies depend on beside the entries: versions of libraries and a hash of its data, for labels.
    """

    name: str
    summary: str

    @property
    def version(self) -> str:
        """Versions and data behind the scheme's energies; a scheme that changes none has nothing to name."""
        return "energies unchanged"

    @abstractmethod
    def check_protocols(self, entries_of: Mapping[str, Sequence[object]]) -> None:
        """Raise a UserError unless energies of these protocols may stand on one hull, once they are corrected.

        Parameters
        ----------
        entries_of
            Ids of the entries of each protocol; the error names some of them.
        """

    def joins(self, protocols: Iterable[str]) -> bool:
        """Whether entries of these protocols can be brought onto one hull: as they are, or by `correct`."""
        try:
            self.check_protocols({protocol: [] for protocol in protocols})
        except UserError:
            return False
        return True

    def check_references(self, entries: Sequence[ComputedEntry]) -> None:
        """Raise a UserError unless reference entries from a file are what the scheme takes them for.

        Here, entries whose energies may stand on one hull as they are. A scheme that corrects them takes more.
        """
        self.check_protocols(ids_by_protocol(entries))

    def correct(self, entries: Sequence[ComputedEntry]) -> Corrected:
        """Give entries the scheme's energies; those passed in stay as they are.

        Raises
        ------
        UserError
            Entries are of a protocol that the scheme cannot correct; their ids and protocols are named.
        """
        listed = tuple(entries)
        return Corrected(listed, report={"scheme": self.name, "version": self.version, "entries": len(listed)})


def in_words(entries_of: Mapping[str, Sequence[object]]) -> str:
    """Name protocols with some entries of each.

    Examples
    --------
    >>> in_words({"mp2020": ["mp-1", "mp-2"], "gpaw-pbe": ["KCl", "NaCl", "LiF", "RbF"]})
    'gpaw-pbe (KCl, NaCl, LiF and 1 more) and mp2020 (mp-1, mp-2)'
    """
    return " and ".join(
        f"{protocol} ({some(entries_of[protocol])})" if entries_of[protocol] else protocol
        for protocol in sorted(entries_of)
    )


def what_to_do(other: Mapping[str, Sequence[object]]) -> str:
    """Begin an advice about entries of protocols that a scheme refuses."""
    if NOT_STATED in other:
        return 'Let them state how they were calculated (parameters["run_type"], "hubbards" and so on), leave them out'
    return "Leave them out"


def adjusted(entry: ComputedEntry, adjustments: Sequence[EnergyAdjustment], protocol: str) -> ComputedEntry:
    """Return the same entry with other adjustments and the protocol they make of it; structure and rest are shared."""
    new = copy(entry)
    new.energy_adjustments = list(adjustments)
    new.data = {**entry.data, "protocol": protocol}
    return new


def with_reasons(left_out: Iterable[tuple[str, str]]) -> str:
    """Name some entries, each with the reason why it is left out."""
    return some(f"{name}: {why}" for name, why in left_out)


def told_left_out(left_out: Sequence[tuple[str, str]]) -> str:
    """Say how many entries are left out, and name some with their reasons."""
    return f"{len(left_out)} left out: {with_reasons(left_out)}"
