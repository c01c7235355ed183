"""The documents of a campaign's answers: labels, checks, the count, the summary."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from matscout.db.documents import Cause, Document, DynamicStability, Outcome


class Check(Document):
    """What a check of a found crystal came to: a calculation by a protocol of its own, from the relaxed geometry."""

    calculation_id: str = Field(description="Id of its calculation")
    protocol_id: str = Field(description="Content hash of all settings of its protocol")
    outcome: Outcome = Field(description="completed; failed; gave_up once no retry is left to its cause")
    cause: Cause | None = Field(default=None, description="Why it failed")
    energy_change: float | None = Field(
        default=None, description="Energy of the checked crystal minus that of the candidate, as calculated, eV/atom"
    )
    prototype_kept: bool | None = Field(default=None, description="Whether it is still the candidate's prototype")
    space_group_after: int | None = Field(default=None, description="Space group number then, at 0.1 Å")
    dynamics: DynamicStability | None = Field(default=None, description="What the protocol found")
    passed: bool | None = Field(
        description="Whether it is stable against displacements and keeps its prototype; none where the check failed"
    )


class Label(Document):
    """Where a completed calculation stands relative to the hull."""

    candidate_id: str = Field(description="Id of the candidate")
    calculation_id: str = Field(description="Id of its calculation")
    formula: str = Field(description="Reduced formula")
    prototype: str = Field(description="Prototype it started as")
    round: int | None = Field(description="Round in which it was chosen; none where only an exhaustive run did")
    formation_energy: float = Field(description="eV/atom")
    e_above_hull: float = Field(description="Distance to the hull of references and candidates, eV/atom; 0 when stable")
    decomposition_energy: float = Field(
        description="Distance to that hull without its own composition, eV/atom; negative when stable"
    )
    decomposition: dict[str, float] = Field(description="Competing phases and their atomic fractions")
    within_threshold: bool = Field(description="Whether e_above_hull is at most the campaign's threshold")
    prototype_kept: bool | None = Field(description="Whether it relaxed into its own prototype")
    same_crystal_as: str | None = Field(default=None, description="Candidate it relaxed into the same crystal as")
    known_as: str | None = Field(default=None, description="Reference entry that is the same crystal")
    hull_version: str = Field(description="Content hash of the hull's entries")
    competitors: dict[str, int] = Field(description="Entries considered, by number of elements, itself not among them")
    competing_systems: dict[str, int] = Field(
        default_factory=dict, description="Entries considered in each chemical system; those without any are left out"
    )
    competitor_sources: dict[str, int] = Field(
        default_factory=dict, description="Entries considered, by where they are from"
    )
    judged_against: str = Field(
        default="",
        description="Different compositions among them in words, such as 3 elements and 2 binaries alone, no ternaries",
    )
    protocol: str = Field(description="Protocol of the energies")
    protocol_id: str = Field(description="Its content hash")
    correction: str = Field(description="Correction scheme that joins the energies of the hull")
    correction_version: str = Field(
        default="", description="What the scheme depends on: libraries and a hash of its data"
    )
    hull_protocols: list[str] = Field(default_factory=list, description="Protocols of the hull's entries")
    versions: dict[str, str] = Field(description="Versions of the packages that made the label")
    probability_before: float | None = Field(default=None, description="P(stable, now) when it was chosen")
    checks: dict[str, Check] = Field(
        default_factory=dict, description="Checks that the campaign asks for of what it found, by protocol"
    )

    @property
    def passed(self) -> bool | None:
        """Whether all checks were passed; None where there are none, or some failed and the others were passed."""
        each = {check.passed for check in self.checks.values()}
        return False if False in each else None if None in each or not each else True


class Found(Document):
    """How many were found, and what that must be compared with."""

    n_candidates: int = Field(description="Size of the space")
    n_calculated: int = Field(description="Candidates calculated, failed ones included")
    n_failed: int = Field(description="Candidates whose calculation failed")
    n_found: int = Field(description="Unique crystals within the threshold that no reference holds already")
    n_hits: int = Field(
        description="Candidates within the threshold that are no reference's crystal, duplicates included"
    )
    n_known: int = Field(description="References' crystals that chosen candidates within the threshold became")
    exact: bool = Field(description="Whether every candidate of the space was calculated")
    n_stable: float | None = Field(
        description="Hits in the whole space: counted, or estimated; none without a surrogate"
    )
    random_mean: float | None = Field(description="Hits that random choice of as many candidates finds on average")
    random_low: float | None = Field(description="Lower end of its central 90 % band")
    random_high: float | None = Field(description="Upper end of its central 90 % band")
    enrichment: float | None = Field(description="n_hits over random_mean; none when nothing is to be found")
    ceiling: float | None = Field(description="The largest enrichment possible at this number of calculations")
    promised: float = Field(
        description="Sum of P(stable, now) of the candidates chosen with one, when they were chosen"
    )
    kept: int = Field(description="How many of these lie within the threshold")


class Checked(Document):
    """How many of the crystals found pass the checks that a campaign asks for."""

    n_found: int = Field(description="Crystals found")
    n_passed: int = Field(description="Of these, such as pass all checks")
    n_unstable: int = Field(description="Of these, such as do not pass one of them")


class Summary(Document):
    """The end of a campaign."""

    campaign: str = Field(description="Id of the campaign")
    stopped: str = Field(description="Which stop rule held, and what it leaves")
    found: Found = Field(description="The count, beside random choice")
    checked: Checked | None = Field(default=None, description="How many pass the checks, where any are asked for")
    labels: tuple[Label, ...] = Field(description="Labels, nearest to the hull first")
    failures: tuple[dict[str, Any], ...] = Field(default=(), description="Failed calculations with their causes")
    references: dict[str, Any] = Field(
        default_factory=dict, description="Where the hull's references come from, their error"
    )
