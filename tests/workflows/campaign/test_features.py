from __future__ import annotations

import warnings

import numpy as np
import pytest
from pydantic import ValidationError

from matscout.db.documents import CalculationResult
from matscout.errors import MatscoutWarning, UserError
from matscout.featurizers import FeatureMatrix, featurize
from matscout.workflows.campaign.features import candidate_features, warn_of_cost
from matscout.workflows.campaign.spec import SurrogateSpec
from matscout.workflows.enumeration import enumerate_candidates


@pytest.fixture(scope="module")
def table():
    return enumerate_candidates(["cubic-perovskite"], {"A": ["Cs", "Rb"], "B": ["Pb"], "X": ["Cl", "Br"]})


def result(seconds, outcome="completed"):
    return CalculationResult(
        id="x", protocol="p", protocol_id="p", subject="s", formula="NaCl", outcome=outcome, seconds=seconds
    )


def costing(seconds):
    return FeatureMatrix(np.zeros((1, 1)), ("a",), ("",), ("voronoi",), (), seconds_per_row=seconds)


def test_features_of_crystals_are_those_of_the_unrelaxed_candidates_in_a_process_of_its_own(
    table, monkeypatch, tmp_path
):
    ours = candidate_features(table, ["magpie", "geometry"])
    crystals = table.structures(range(len(table)))
    np.testing.assert_allclose(ours.values, featurize(crystals, ["magpie", "geometry"], cache=False).values, rtol=1e-12)
    assert candidate_features(table, ["magpie", "geometry"]).n_cached == len(table)


def test_candidates_without_features_are_named(table):
    squeezed = table.take([0, 1])
    squeezed.volume[0] = 1e-3
    with pytest.warns(MatscoutWarning, match="1 of 2 candidates lack features"):
        features = candidate_features(squeezed, ["magpie", "geometry"])
    assert np.isnan(features.values[0]).any()
    assert not np.isnan(features.values[1, :132]).any()


def test_features_dearer_than_a_tenth_of_a_calculation_are_warned_of():
    with pytest.warns(MatscoutWarning, match=r"voronoi\) cost 0\.5 s, a calculation 2 s"):
        warn_of_cost(costing(0.5), [result(2.0)] * 3)


def test_cheap_features_failed_calculations_and_too_few_of_them_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_cost(costing(0.1), [result(2.0)] * 3)
        warn_of_cost(costing(0.5), [result(2.0, "failed")] * 3)
        warn_of_cost(costing(0.5), [result(2.0)] * 2)


def test_a_campaign_takes_every_feature_set_and_matminer(table):
    assert SurrogateSpec(features=["sites", "voronoi"]).features == ("sites", "voronoi")
    assert SurrogateSpec(features="matminer:DensityFeatures").features == ("matminer:DensityFeatures",)
    with pytest.raises(ValidationError, match="Nearest: voronoi"):
        SurrogateSpec(features=["vornoi"])


def test_a_campaign_whose_every_candidate_lacks_everything_stops(table):
    squeezed = table.take([0, 1])
    squeezed.volume[:] = 1e-3
    with pytest.raises(UserError, match="no candidate has any of the features geometry"):
        candidate_features(squeezed, ["geometry"])


def test_a_space_without_candidates_has_the_columns(table):
    assert candidate_features(table.take([]), ["magpie", "geometry"]).values.shape == (0, 137)
