"""Acquisitions: which candidates to calculate next.

Each takes mean and std of the objective, shape (n,), and gives a score of shape (n,): the highest is chosen first. The
objective is to be small: a distance to the hull, in eV/atom. A NaN in mean or std gives a NaN. Where std is 0 the
limit is taken: the objective is then known. `choose_batch` takes several rows at once by such a score, so that they
are not all alike; `joint_batch` does it by what a Gaussian process says of all of them together.

Surveys: Shahriari et al., Taking the human out of the loop, Proc. IEEE 104, 148 (2016),
doi:10.1109/JPROC.2015.2494218; Lookman et al., Active learning in materials science, npj Comput. Mater. 5, 21 (2019),
doi:10.1038/s41524-019-0153-8.
"""

from __future__ import annotations

from matscout.models.acquisition.batches import BATCH_METHODS, batch_options, choose_batch
from matscout.models.acquisition.closed_forms import (
    expected_improvement,
    greedy,
    knowledge_gradient,
    lower_confidence_bound,
    probability,
    probability_improvement,
    query_by_committee,
    uncertainty,
    upper_confidence_bound,
)
from matscout.models.acquisition.entropy_search import max_value_entropy_search
from matscout.models.acquisition.gaussian import JOINT_ACQUISITIONS, joint_batch
from matscout.models.acquisition.random_rules import epsilon_greedy, random_choice, thompson
from matscout.models.acquisition.registry import ACQUISITIONS, get_acquisition, keywords

__all__ = [
    "ACQUISITIONS",
    "BATCH_METHODS",
    "JOINT_ACQUISITIONS",
    "batch_options",
    "choose_batch",
    "epsilon_greedy",
    "expected_improvement",
    "get_acquisition",
    "greedy",
    "joint_batch",
    "keywords",
    "knowledge_gradient",
    "lower_confidence_bound",
    "max_value_entropy_search",
    "probability",
    "probability_improvement",
    "query_by_committee",
    "random_choice",
    "thompson",
    "uncertainty",
    "upper_confidence_bound",
]
