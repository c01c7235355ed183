"""The documents: what is kept of a calculation and of a choice; `matscout.db.labels` has what is made of them.

Every field is described with its unit where it is defined. Documents are plain data: they open no store, and what is
written is exactly ``model_dump(mode="json")``.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pymatgen.core import Structure

Outcome = Literal["completed", "failed", "gave_up"]
State = Literal["waiting", "running", "completed", "failed", "gave_up"]
ENDED: tuple[Outcome, ...] = ("completed", "failed", "gave_up")
"""States in which nothing more is to be done, unless somebody asks."""
Cause = Literal[
    "memory",  # the process needed more than it could have, most often seen as a kill by signal 9
    "walltime",  # longer than the time limit
    "node",  # the machine under it went away, or its disk was full
    "scf",  # the electrons did not converge
    "relaxation",  # the step limit was reached before the force criterion, or the cell collapsed or flew apart
    "input",  # impossible cell, or species or settings that the protocol or its code cannot take
    "parse",  # the code ended, but what it left is cut off or is no energy of a crystal
    "unknown",  # none of these could be told
]


def now() -> str:
    """Return the present time in UTC as ISO 8601, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def seconds_since(time: str) -> float:
    """Return how long ago a time was that `now` gave, s."""
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


def content_hash(content: Any, length: int = 16) -> str:
    """Hash JSON-able content into `length` hexadecimal characters, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


class Document(BaseModel):
    """Base of all documents: unknown fields are refused, so that a typing error never becomes data."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Geometry(Document):
    """A periodic structure without site properties: what a calculation is asked for."""

    lattice: tuple[tuple[float, float, float], ...] = Field(description="Lattice vectors as rows, Å")
    species: tuple[str, ...] = Field(description="Element symbol of each site")
    coords: tuple[tuple[float, float, float], ...] = Field(description="Fractional coordinates of each site")

    @classmethod
    def from_structure(cls, structure: Structure) -> Geometry:
        """Take lattice, elements and fractional coordinates of an ordered structure."""
        return cls(
            lattice=structure.lattice.matrix.tolist(),
            species=tuple(site.specie.symbol for site in structure),
            coords=structure.frac_coords.tolist(),
        )

    def to_structure(self) -> Structure:
        """Build the pymatgen structure."""
        from pymatgen.core import Structure

        return Structure(self.lattice, self.species, self.coords)

    @property
    def reduced_formula(self) -> str:
        """Reduced formula, as pymatgen writes it."""
        from collections import Counter

        from pymatgen.core import Composition

        return Composition(Counter(self.species)).reduced_formula

    def rounded(self) -> dict[str, Any]:
        """Return the content that identifies the geometry: 1e-6 Å and 1e-6 of a lattice vector."""
        return {
            "lattice": [[round(x, 6) + 0.0 for x in row] for row in self.lattice],
            "species": list(self.species),
            "coords": [[round(x, 6) + 0.0 for x in row] for row in self.coords],
        }


class CalculationRequest(Document):
    """One calculation to be done: its id is a hash of what is asked, so the same question has the same id for ever."""

    id: str = Field(description="Content hash of protocol and geometry")
    protocol: str = Field(description="Name of the protocol")
    protocol_id: str = Field(description="Content hash of all settings of the protocol")
    geometry: Geometry = Field(description="The input geometry")
    subject: str = Field(description="What it is for: candidate:ID or reference:NAME; not part of the id")
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Settings of the protocol that were changed, by dotted name; in protocol_id"
    )
    adjustments: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings changed for a retry, such as mixing: the same energy by another way, so not in any id",
    )

    @classmethod
    def of(
        cls,
        geometry: Geometry,
        *,
        protocol: str,
        protocol_id: str,
        subject: str,
        overrides: dict[str, Any] | None = None,
    ) -> CalculationRequest:
        """Make the request and its id."""
        identity = {"protocol": protocol_id, "geometry": geometry.rounded()}
        return cls(
            id=content_hash(identity),
            protocol=protocol,
            protocol_id=protocol_id,
            geometry=geometry,
            subject=subject,
            overrides=overrides or {},
        )


class IonicStep(Document):
    """One step of a calculation: the geometry, and what the code gave for it."""

    energy: float = Field(description="Energy of the cell, eV")
    max_force: float = Field(description="Largest force on an atom, eV/Å")
    lattice: tuple[tuple[float, float, float], ...] = Field(description="Lattice vectors as rows, Å")
    coords: tuple[tuple[float, float, float], ...] = Field(description="Cartesian coordinates, Å")
    species: tuple[str, ...] | None = Field(
        default=None, description="Element of each atom, where they are not those of the input in its order"
    )
    forces: tuple[tuple[float, float, float], ...] = Field(description="Forces, eV/Å")
    stress: tuple[float, ...] | None = Field(default=None, description="Stress in Voigt order, eV/Å³")
    magnetic_moments: tuple[float, ...] | None = Field(default=None, description="Moment of each atom, Bohr magnetons")
    stage: str | None = Field(
        default=None, description="Part of the protocol it belongs to; None where the protocol has only one"
    )
    functional: str | None = Field(
        default=None, description="Functional of the step where it is not the protocol's, so that energies never mix"
    )


class MagneticStart(Document):
    """How the magnetic moments of a calculation began, and by which rule."""

    policy: str = Field(description="The protocol's rule, in words")
    ordering: str = Field(description="none, ferromagnetic, or the name of an enumerated ordering")
    moments: tuple[float, ...] | None = Field(
        default=None, description="Starting moment of each atom, Bohr magnetons; None without spin polarisation"
    )
    hubbard_u: dict[str, float] = Field(default_factory=dict, description="U of each element that has one, eV")


class MagneticOrdering(Document):
    """One of several magnetic orderings that a calculation tried."""

    start: MagneticStart = Field(description="The ordering it began with")
    outcome: Outcome = Field(description="completed or failed")
    cause: Cause | None = Field(default=None, description="Why it failed")
    message: str | None = Field(default=None, description="What the failure said, in one line")
    energy_per_atom: float | None = Field(default=None, description="eV/atom")
    magnetic_moments: tuple[float, ...] | None = Field(default=None, description="Final moments, Bohr magnetons")
    geometry: Geometry | None = Field(default=None, description="The final geometry, in the cell of the ordering")


class DynamicStability(Document):
    """Whether a crystal stays what it is when its symmetry is broken, or its atoms vibrate."""

    supercell: tuple[tuple[int, int, int], ...] = Field(description="Rows: supercell vectors in those of the input")
    energy_gain: float | None = Field(
        default=None,
        description="What the rattled crystal gained over the symmetric one, eV/atom; 0 or less: nothing",
    )
    lowest_frequency: float | None = Field(
        default=None, description="Lowest vibration on the supercell's own q-points, THz; imaginary ones as negative"
    )
    imaginary: int | None = Field(
        default=None, description="Vibrations more imaginary than the protocol's tolerance, acoustic ones not counted"
    )
    stable: bool = Field(description="Whether the check was passed")


class CalculationResult(Document):
    """What one calculation gave, whether it completed or failed."""

    id: str = Field(description="Id of the request")
    protocol: str = Field(description="Name of the protocol")
    protocol_id: str = Field(description="Content hash of all settings of the protocol")
    subject: str = Field(description="What it was first asked for")
    formula: str = Field(description="Reduced formula")
    outcome: Outcome = Field(description="completed; failed; gave_up once no retry is left to its cause")
    cause: Cause | None = Field(default=None, description="Why it failed")
    message: str | None = Field(default=None, description="What the failure said, in one line")
    evidence: str | None = Field(
        default=None, description="The line of output, signal or exit code that tells the cause, with its file"
    )
    overrides: dict[str, Any] = Field(default_factory=dict, description="Changed settings, as in the request")
    adjustments: dict[str, Any] = Field(default_factory=dict, description="Changes for a retry, as in the request")
    traceback: str | None = Field(default=None, description="Last lines of the code's own traceback")
    energy: float | None = Field(default=None, description="Energy of the final cell, eV")
    energy_per_atom: float | None = Field(default=None, description="The same, eV/atom")
    geometry: Geometry | None = Field(default=None, description="The final geometry, also of a failure that has one")
    initial_volume: float | None = Field(default=None, description="Volume of the input, Å³/atom")
    final_volume: float | None = Field(default=None, description="Volume of the final cell, Å³/atom")
    max_force: float | None = Field(default=None, description="Largest final force on an atom, eV/Å")
    n_steps: int = Field(default=0, description="Ionic steps taken")
    prototype_kept: bool | None = Field(
        default=None, description="Whether the final crystal is still the input's prototype"
    )
    space_group_before: int | None = Field(default=None, description="Space group number of the input, at 0.1 Å")
    space_group_after: int | None = Field(default=None, description="Space group number of the final crystal, at 0.1 Å")
    magnetic_moments: tuple[float, ...] | None = Field(
        default=None, description="Final moment of each atom, Bohr magnetons"
    )
    magnetism: MagneticStart | None = Field(default=None, description="Starting moments and U, and their rule")
    orderings: tuple[MagneticOrdering, ...] = Field(
        default=(), description="Every magnetic ordering tried, where several were asked for; the lowest is the result"
    )
    dynamics: DynamicStability | None = Field(default=None, description="Of protocols that check the stability")
    run: dict[str, Any] = Field(
        default_factory=dict,
        description="What the code says of the run: run_type, hubbards, potcar_spec, k-points, stages; as entries need",
    )
    seconds: float = Field(default=0.0, description="Wall time, s")
    host: str = Field(default="", description="Machine it ran on")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the packages that made the number")
    steps: tuple[IonicStep, ...] = Field(default=(), description="Ionic steps; kept in a collection of their own")


class Attempt(Document):
    """One start of a calculation."""

    number: int = Field(description="1 for the first")
    folder: str = Field(description="Launch folder")
    allocation: str | None = Field(default=None, description="Id of the allocation that has it, on a queue")
    started: str = Field(description="UTC, ISO 8601")
    ended: str | None = Field(default=None, description="UTC, ISO 8601")
    outcome: Literal["running", "completed", "failed", "interrupted"] = Field(description="How it ended")
    cause: Cause | None = Field(default=None, description="Why it failed or was interrupted, where that is known")
    evidence: str | None = Field(default=None, description="The line, signal or exit code that tells the cause")
    message: str | None = Field(default=None, description="Why it was interrupted or failed")


class Calculation(Document):
    """A calculation as the store keeps it: the request, every attempt, the result."""

    request: CalculationRequest = Field(description="What was asked")
    state: State = Field(description="waiting, running, completed, failed or gave_up")
    attempts: tuple[Attempt, ...] = Field(default=(), description="Every start, in order")
    result: CalculationResult | None = Field(default=None, description="The result, without its ionic steps")
    forgiven: int = Field(
        default=0, description="Attempts before somebody asked for a new start: no policy counts them"
    )


class CandidatePrediction(Document):
    """What the surrogate said of a chosen candidate before it was calculated."""

    candidate_id: str = Field(description="Id of the candidate")
    formula: str = Field(description="Reduced formula")
    prototype: str = Field(description="Prototype of the candidate")
    mean: float | None = Field(default=None, description="Predicted energy, absolute, eV/atom; none in the first batch")
    std: float | None = Field(default=None, description="Calibrated standard deviation, eV/atom")
    hull_energy: float | None = Field(
        default=None, description="Energy of the hull at the composition when chosen, absolute, eV/atom"
    )
    probability: float | None = Field(default=None, description="P(stable, now) when chosen")
    score: float | None = Field(default=None, description="Value of the acquisition")
    rank: int = Field(description="Place in the round's order, from 1")


class Selection(Document):
    """One round's choice, with all that led to it."""

    round: int = Field(description="0 for the first batch")
    reason: str = Field(description="How this round chose")
    chosen: tuple[CandidatePrediction, ...] = Field(description="The chosen candidates, in order")
    passed_over: dict[str, str] = Field(
        default_factory=dict, description="Candidates that are the same crystal as another one, with that one's id"
    )
    model: dict[str, Any] | None = Field(default=None, description="Surrogate, options, features, calibration report")
    expected_stable_left: float | None = Field(
        default=None, description="Sum of P(stable, now) over candidates neither calculated nor chosen"
    )
    hull_version: str | None = Field(default=None, description="Content hash of the hull's entries")
    n_train: int = Field(default=0, description="Completed calculations the surrogate learned from")
