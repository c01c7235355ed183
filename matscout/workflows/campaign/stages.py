"""The stages of a campaign: plain functions, documents in and documents out, that open no store.

The jobflow Flow of `ScreeningMaker` and the loop of `Campaign` call the same ones. A round looks so::

    space = enumerate_space(spec)
    plan = plan_references(spec, space.table, entries)          # once
    references = build_references(spec, space.table, plan, {id: calculate(request)})
    selection = select(spec, space, references, results, round)  # results: by candidate id
    results |= {candidate: calculate(request)}                  # requests_of(spec, space, selection)
    labels = label(spec, space, references, results, selections)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from matscout.db.documents import CalculationRequest, CandidatePrediction, Geometry, Selection
from matscout.models.inputs import as_inputs
from matscout.workflows.campaign.features import candidate_features, crystals_of, warn_of_cost
from matscout.workflows.campaign.outlook import finished, look_ahead
from matscout.workflows.campaign.twins import Twins

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pymatgen.core.entries import ComputedEntry

    from matscout.db.candidates import CandidateTable
    from matscout.db.documents import CalculationResult
    from matscout.featurizers import FeatureMatrix
    from matscout.models.inputs import InputKind, Inputs
    from matscout.workflows.campaign.outlook import Outlook
    from matscout.workflows.campaign.references import References
    from matscout.workflows.campaign.spec import CampaignSpec


@dataclass(frozen=True)
class Space:
    """The candidates of a campaign, and what is known of them before any calculation."""

    table: CandidateTable
    feature_names: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Decorations of each prototype, before the filters."""

    @cached_property
    def features(self) -> FeatureMatrix:
        """Features of the unrelaxed candidates, shape (n, n_features); made when first asked for."""
        return candidate_features(self.table, self.feature_names)

    def inputs(self, takes: InputKind) -> tuple[Inputs, NDArray[np.bool_]]:
        """Return what a surrogate learns from, of the candidates that have it, and which these are, shape (n,)."""
        if takes == "features":
            return as_inputs("features", self.features), np.ones(len(self.table), dtype=bool)
        if takes == "compositions":
            return as_inputs("compositions", self.table), np.ones(len(self.table), dtype=bool)
        return self._crystals

    @cached_property
    def _crystals(self) -> tuple[Inputs, NDArray[np.bool_]]:
        crystals, usable = crystals_of(self.table)
        return as_inputs("crystals", crystals), usable

    @cached_property
    def twins(self) -> Twins:
        """Which candidates of different prototypes are the same crystal."""
        return Twins(self.table)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each candidate id."""
        return {candidate_id: row for row, candidate_id in enumerate(self.table.ids)}

    @cached_property
    def amounts(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Amounts of the elements in each candidate's formula, and the elements."""
        return self.table.amounts()

    def compositions(self, rows: Sequence[int] | NDArray[np.int64]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Amounts of some rows, as a hull takes them."""
        amounts, elements = self.amounts
        return amounts[np.asarray(rows, dtype=np.int64)], elements


def enumerate_space(spec: CampaignSpec) -> Space:
    """Decorate the prototypes and filter the candidates.

    The last few spaces are kept, so that the jobs of one process enumerate and featurize once.
    """
    return _enumerate(spec.space.model_dump_json(), spec.surrogate.features)


@lru_cache(maxsize=4)
def _enumerate(space_json: str, features: tuple[str, ...]) -> Space:
    from matscout.workflows.campaign.space import SpaceSpec
    from matscout.workflows.enumeration.filters import apply_filters, make_filter

    spec = SpaceSpec.model_validate_json(space_json)
    filters = [make_filter(f.name, **f.options) for f in spec.filters]
    space = spec.candidate_space()
    return Space(apply_filters(space.table(), filters), features, space.counts)


def read_reference_entries(spec: CampaignSpec) -> list[ComputedEntry]:
    """Read the entries of the campaign's reference file; none when references are computed."""
    if spec.references.source == "computed":
        return []
    from matscout.workflows.stability.entries import read_entries

    return list(read_entries(spec.references.path))


def select(
    spec: CampaignSpec,
    space: Space,
    references: References,
    results: Mapping[str, CalculationResult],
    round_number: int,
) -> Selection:
    """Choose the candidates of a round.

    The first batch is spread over feature space; later ones follow the acquisition. The same spec, seed, versions and
    results choose the same candidates, in whatever order the results arrived. Where the protocol relaxes, a candidate
    that is the same crystal as one calculated or chosen, by another prototype, is passed over.

    Parameters
    ----------
    results
        Results of every candidate chosen so far, by candidate id, failed ones included.
    round_number
        0 for the first batch.
    """
    done = np.zeros(len(space.table), dtype=bool)
    done[[space.rows[i] for i in results]] = True
    calculated = [space.rows[i] for i in finished(references.own, results)[0]]
    wanted = spec.budget.first_batch if round_number == 0 else spec.budget.batch
    size = min(wanted, spec.budget.calculations - len(results), int((~done).sum()))
    outlook = look_ahead(spec, space, references, results) if round_number else None
    if outlook is not None and round_number == 1:
        warn_of_cost(space.features, results.values())
    if outlook is None:
        return _select_diverse(spec, space, done, calculated, size, round_number)
    score = _acquire(spec, outlook, finished(references.own, results), space, round_number)
    score[np.isnan(score)] = np.finfo(float).min  # of which nothing is known: after all others, before what is done
    score[done] = -np.inf
    # Rows come in a fixed order, so a stable sort makes ties fall the same way every time.
    order = np.argsort(-score, kind="stable")[: int((~done).sum())].tolist()
    if spec.acquisition.batch != "top":
        order = _apart_first(spec, space, outlook, score, order, size, done)
    chosen, passed_over = _first_new(spec, space, order, size, calculated)
    left = ~done
    left[[*chosen, *passed_over]] = False
    return Selection(
        round=round_number,
        reason=f"{spec.acquisition.name} by {spec.surrogate.name} on {', '.join(outlook.model['features'])}",
        chosen=tuple(_prediction(space, row, rank, outlook, score) for rank, row in enumerate(chosen, 1)),
        passed_over=_by_id(space, passed_over),
        model=outlook.model,
        expected_stable_left=float(outlook.probability[left].sum()),
        hull_version=outlook.hull_version,
        n_train=len(calculated),
    )


def _apart_first(
    spec: CampaignSpec,
    space: Space,
    outlook: Outlook,
    score: NDArray[np.float64],
    order: Sequence[int],
    size: int,
    done: NDArray[np.bool_],
) -> list[int]:
    """Put candidates in front that have high scores and are not all alike; more than a round's, as twins drop out."""
    from matscout.models.acquisition import batch_options, choose_batch

    method = spec.acquisition.batch
    known = {"mean": outlook.mean - outlook.hull_energy, "std": outlook.std}
    options: dict[str, Any] = {name: known[name] for name in batch_options(method) if name in known}
    unknown = np.isnan(outlook.mean)
    apart = choose_batch(score, 2 * size, space.features.values, method, taken=done | unknown, **options).tolist()
    first = set(apart)
    return [*apart, *(row for row in order if row not in first)]


def _first_new(
    spec: CampaignSpec, space: Space, order: Sequence[int], size: int, calculated: Sequence[int]
) -> tuple[list[int], dict[int, int]]:
    """Take rows in order, without those that a relaxation would make the crystal of another one."""
    if not spec.full_protocol().relaxes:
        return list(order[:size]), {}
    return space.twins.first_new(order, size, calculated)


def _by_id(space: Space, rows: Mapping[int, int]) -> dict[str, str]:
    return dict(zip(space.table.ids_at(list(rows)), space.table.ids_at(list(rows.values())), strict=True))


def _select_diverse(
    spec: CampaignSpec,
    space: Space,
    done: NDArray[np.bool_],
    calculated: Sequence[int],
    size: int,
    round_number: int,
) -> Selection:
    from matscout.featurizers.selection import farthest_points

    chosen: list[int] = []
    passed_over: dict[int, int] = {}
    while len(chosen) < size:
        seen = [*np.flatnonzero(done).tolist(), *chosen, *passed_over]
        farthest = farthest_points(space.features.values, size - len(chosen), seed=spec.seed, chosen=seen).tolist()
        if not farthest:
            break
        more, same = _first_new(spec, space, farthest, len(farthest), [*calculated, *chosen])
        chosen += more
        passed_over |= same
    return Selection(
        round=round_number,
        reason=f"diversity: farthest points in {', '.join(spec.surrogate.features)}",
        chosen=tuple(_prediction(space, row, rank) for rank, row in enumerate(chosen, 1)),
        passed_over=_by_id(space, passed_over),
    )


def _acquire(
    spec: CampaignSpec,
    outlook: Outlook,
    calculated: tuple[list[str], list[float]],
    space: Space,
    round_number: int,
) -> NDArray[np.float64]:
    """Score every candidate by its distance to the hull as it stands, eV/atom."""
    from matscout.models.acquisition import get_acquisition, keywords

    ids, energies = calculated
    rows = [space.rows[i] for i in ids]
    known: dict[str, Any] = {
        "threshold": spec.acquisition.threshold,
        "best": float((np.array(energies) - outlook.hull_energy[rows]).min()),
        "rng": np.random.default_rng([spec.seed, round_number]),
        "epistemic": outlook.epistemic,
    }
    wanted = {name: known[name] for name in keywords(spec.acquisition.name) if name in known}
    rule = get_acquisition(spec.acquisition.name, **spec.acquisition.options)
    return rule(outlook.mean - outlook.hull_energy, outlook.std, **wanted)


def _prediction(
    space: Space,
    row: int,
    rank: int,
    outlook: Outlook | None = None,
    score: NDArray[np.float64] | None = None,
) -> CandidatePrediction:
    table = space.table
    identity: dict[str, Any] = {
        "candidate_id": table.ids_at([row])[0],
        "formula": table.formulas_at([row])[0],
        "prototype": table.prototypes[table.prototype_index[row]].name,
        "rank": rank,
    }
    if outlook is None or score is None or np.isnan(outlook.mean[row]):
        return CandidatePrediction(**identity)
    return CandidatePrediction(
        **identity,
        mean=float(outlook.mean[row]),
        std=float(outlook.std[row]),
        hull_energy=float(outlook.hull_energy[row]),
        probability=float(outlook.probability[row]),
        score=float(score[row]),
    )


def requests_of(spec: CampaignSpec, space: Space, candidate_ids: Sequence[str]) -> dict[str, CalculationRequest]:
    """Make the calculations of candidates, at their predicted volume.

    Returns
    -------
    Request by candidate id, in the order given.
    """
    protocol = spec.full_protocol()
    return {
        candidate_id: CalculationRequest.of(
            Geometry.from_structure(space.table.structure(space.rows[candidate_id])),
            protocol=protocol.name,
            protocol_id=protocol.id,
            subject=f"candidate:{candidate_id}",
            overrides=protocol.overrides,
        )
        for candidate_id in candidate_ids
    }
