"""Acquisitions by name."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from matscout.errors import UserError, nearest
from matscout.models.acquisition import closed_forms, entropy_search, random_rules
from matscout.models.options import check_options

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

ACQUISITIONS: dict[str, Callable[..., NDArray[np.float64]]] = {
    function.__name__: function
    for function in (
        closed_forms.probability,
        closed_forms.probability_improvement,
        closed_forms.expected_improvement,
        closed_forms.knowledge_gradient,
        closed_forms.lower_confidence_bound,
        closed_forms.upper_confidence_bound,
        closed_forms.greedy,
        closed_forms.uncertainty,
        closed_forms.query_by_committee,
        entropy_search.max_value_entropy_search,
        random_rules.random_choice,
        random_rules.thompson,
        random_rules.epsilon_greedy,
    )
}
"""Known acquisitions by name."""


def keywords(name: str) -> tuple[str, ...]:
    """Names of what an acquisition takes beside mean and std.

    Examples
    --------
    >>> keywords("expected_improvement")
    ('best',)
    """
    parameters = inspect.signature(_known(name)).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)


def get_acquisition(name: str, **options: Any) -> Callable[..., NDArray[np.float64]]:
    """Return the acquisition of a name, with options set where any are given.

    Raises
    ------
    UserError
        The name or an option is unknown.

    Examples
    --------
    >>> get_acquisition("lower_confidence_bound", kappa=2.0)([0.1, 0.2], [0.0, 0.1])
    array([-0.1,  0. ])
    """
    function = _known(name)
    check_options(f"acquisition {name}", tuple(options), keywords(name))
    return partial(function, **options) if options else function


def _known(name: str) -> Callable[..., NDArray[np.float64]]:
    if name not in ACQUISITIONS:
        near = nearest(name, ACQUISITIONS)
        hint = f"Did you mean {near}? " if near else ""
        raise UserError(f'unknown acquisition "{name}". {hint}Known: {", ".join(ACQUISITIONS)}.')
    return ACQUISITIONS[name]
