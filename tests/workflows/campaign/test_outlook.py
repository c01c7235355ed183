"""A campaign takes any surrogate, acquisition and way of making a batch by its name."""

from __future__ import annotations

import numpy as np
import pytest

from matscout.db.documents import CalculationResult
from matscout.errors import UserError
from matscout.models import SURROGATES
from matscout.models.acquisition import ACQUISITIONS, BATCH_METHODS
from matscout.models.inputs import as_inputs
from matscout.workflows.campaign.outlook import look_ahead
from matscout.workflows.campaign.reference_plan import plan_references
from matscout.workflows.campaign.references import build_references
from matscout.workflows.campaign.spec import CampaignSpec
from matscout.workflows.campaign.stages import enumerate_space, requests_of, select

QUICK = {  # enough to show that it is trained and asked
    "extra_trees": {"n_trees": 10},
    "random_forest": {"n_trees": 10},
    "adaboost_trees": {"n_rounds": 5},
    "xgboost": {"n_members": 2, "n_trees": 10},
    "composition_network": {"n_members": 2, "epochs": 2},
    "crystal_graph": {"n_members": 2, "epochs": 2},
}


def campaign(surrogate="xgboost", **acquisition):
    return CampaignSpec.model_validate(
        {
            "name": "salts",
            "space": {
                "prototypes": ["rock-salt"],
                "elements": {"A": ["Li", "Na", "K", "Rb", "Cs", "Ag"], "X": ["F", "Cl", "Br", "I"]},
            },
            "protocol": "chgnet-static",
            "budget": {"calculations": 20, "first_batch": 12, "batch": 4},
            "surrogate": {
                "name": surrogate,
                "features": ["magpie"],
                "options": {"folds": 2, **QUICK.get(surrogate, {})},
            },
            "acquisition": acquisition,
        }
    )


@pytest.fixture(scope="module")
def space():
    return enumerate_space(campaign())


def result_of(request, energy):
    return CalculationResult(
        id=request.id,
        protocol=request.protocol,
        protocol_id=request.protocol_id,
        subject=request.subject,
        formula=request.geometry.to_structure().reduced_formula,
        outcome="completed",
        energy=energy * len(request.geometry.species),
        energy_per_atom=energy,
        geometry=request.geometry,
        seconds=1.0,
    )


@pytest.fixture(scope="module")
def references(space):
    """Elements at -1 eV/atom."""
    plan = plan_references(campaign(), space.table)
    done = {request.id: result_of(request, -1.0) for request in plan.requests}
    return build_references(campaign(), space.table, plan, done)


@pytest.fixture(scope="module")
def results(space):
    """Energies of fourteen candidates, which their elements decide."""
    ids = space.table.ids[:14]
    requests = requests_of(campaign(), space, ids)
    numbers = space.table.decoration.astype(float)
    return {one: result_of(requests[one], -2.0 - 0.05 * numbers[n, 0] ** 0.5 + 0.02 * n) for n, one in enumerate(ids)}


@pytest.mark.parametrize("name", sorted(SURROGATES))
def test_any_surrogate_may_be_named(name, space, references, results):
    spec = campaign(name)
    outlook = look_ahead(spec, space, references, results)
    assert np.isfinite(outlook.mean).all()
    assert (outlook.std > 0).all()
    assert outlook.model["surrogate"] == name
    selection = select(spec, space, references, results, 1)
    assert len(selection.chosen) == 4
    assert not {one.candidate_id for one in selection.chosen} & set(results)
    assert selection == select(spec, space, references, results, 1)


@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_any_acquisition_may_be_named(name, space, references, results):
    selection = select(campaign("extra_trees", name=name), space, references, results, 1)
    assert selection.reason.startswith(name)
    assert len({one.candidate_id for one in selection.chosen} - set(results)) == 4


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_a_batch_may_be_kept_apart(method, space, references, results):
    spec = campaign("extra_trees", batch=method)
    chosen = select(spec, space, references, results, 1).chosen
    assert len({one.candidate_id for one in chosen} - set(results)) == 4
    best = select(campaign("extra_trees"), space, references, results, 1).chosen[0]
    assert chosen[0].candidate_id == best.candidate_id


@pytest.mark.parametrize("method", BATCH_METHODS)
def test_a_candidate_without_a_crystal_is_chosen_last_and_breaks_no_batch(
    method, space, references, results, monkeypatch
):
    usable = np.ones(len(space.table), dtype=bool)
    usable[-1] = False
    monkeypatch.setattr(
        type(space), "_crystals", property(lambda self: (as_inputs("crystals", self.table.take(usable)), usable))
    )
    spec = campaign("crystal_graph", batch=method)
    outlook = look_ahead(spec, space, references, results)
    assert np.isnan(outlook.mean).tolist() == (~usable).tolist()
    assert outlook.probability[-1] == 0
    chosen = select(spec, space, references, results, 1).chosen
    assert len(chosen) == 4
    assert space.table.ids[-1] not in {one.candidate_id for one in chosen}


@pytest.mark.parametrize(
    ("acquisition", "message"),
    [
        ({"name": "query_by_committee", "options": {"threshold": 0.2}}, "write it as acquisition.threshold"),
        ({"name": "expected_improvement", "options": {"best": 0.0}}, "the campaign gives it each round"),
        ({"name": "epsilon_greedy", "options": {"epsilon": 7}}, "acquisition.options of epsilon_greedy"),
        ({"name": "knowledge_gradient", "options": {"noise": -1}}, "acquisition.options of knowledge_gradient"),
        ({"name": "max_value_entropy_search", "options": {"n_values": 0}}, "acquisition.options of max_value"),
    ],
)
def test_wrong_options_of_an_acquisition_are_said_before_anything_is_calculated(acquisition, message):
    with pytest.raises(ValueError, match=message):
        campaign(**acquisition)


def test_settings_at_their_default_make_no_other_campaign():
    assert campaign().id == campaign(batch="top").id != campaign(batch="determinantal").id


def test_equal_results_teach_nothing_and_stop_nothing(space, references, results):
    flat = {one: result.model_copy(update={"energy": -2.0, "energy_per_atom": -1.0}) for one, result in results.items()}
    spec = campaign("extra_trees")
    learns = spec.surrogate.model_copy(update={"target": "formation-energy"})
    selection = select(spec.model_copy(update={"surrogate": learns}), space, references, flat, 1)
    assert selection.reason.startswith("diversity")
    assert len(selection.chosen) == 4


@pytest.mark.parametrize(
    ("surrogate", "message"),
    [
        ({"missing": "median", "name": "composition_network"}, "does not learn from features"),
        ({"options": {"missing": "median"}}, "write it as surrogate.missing"),
        ({"missing": "native", "name": "ridge"}, "option missing must be one of refuse, median"),
        ({"options": {"folds": 1}}, "option folds must be an integer >= 2"),
        ({"options": {"task": "classification"}}, "energies are learnt as they are"),
        ({"options": {"transform": "log"}}, "energies are learnt as they are"),
    ],
)
def test_wrong_options_of_a_surrogate_are_said(surrogate, message):
    from matscout.workflows.campaign.spec import SurrogateSpec

    with pytest.raises((UserError, ValueError), match=message):
        SurrogateSpec.model_validate(surrogate)
