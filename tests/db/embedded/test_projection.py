"""Projections that are made without mongomock are those that it would make."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import mongomock
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.db.embedded.projection import picked

names = st.sampled_from("abc")
values = st.recursive(
    st.one_of(st.none(), st.integers(0, 3)),
    lambda below: st.one_of(st.dictionaries(names, below, max_size=3), st.lists(below, max_size=2)),
    max_leaves=8,
)
paths = st.lists(names, min_size=1, max_size=3).map(".".join)


@given(st.dictionaries(names, values), st.sets(paths, min_size=1, max_size=3), st.sampled_from([{}, {"_id": True}]))
def test_what_is_picked_is_what_mongomock_picks(document: dict[str, Any], wanted: set[str], of_id: dict[str, Any]):
    fields: dict[str, Any] = dict.fromkeys(sorted(wanted), 1) | of_id
    found = picked({"_id": 7, **document}, fields)
    if found is None:
        return
    collection = mongomock.MongoClient().db.things
    collection.insert_one({"_id": 7, **deepcopy(document)})
    assert found == collection.find_one({}, dict(fields))


def test_one_id_alone():
    assert picked({"_id": 7, "a": 1}, {"_id": 1}) == {"_id": 7}


@pytest.mark.parametrize(
    "fields",
    [{"a": 0}, {"_id": 0, "a": 1}, {"a": {"$slice": 1}}, {"a.$": 1}, ["a"], {"a": 1, "a.b": 1}, {"a.b": 1}],
    ids=str,
)
def test_the_rest_is_left_to_mongomock(fields):
    assert picked({"_id": 7, "a": [{"b": 1}]}, fields) is None
