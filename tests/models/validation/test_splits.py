from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matscout.errors import MatscoutWarning, UserError
from matscout.models.validation import SCHEMES, make_splits, merge_groups

seeds = st.integers(0, 2**32 - 1)
labellings = st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda rows: len(set(rows)) > 1)
RANDOM = ("hold-out", "k-fold", "monte-carlo")


def same(first, second):
    pairs = zip(first, second, strict=True)
    return all(
        np.array_equal(a.train, b.train) and np.array_equal(a.test, b.test) and a.label == b.label for a, b in pairs
    )


def left_out_of(prototypes, groups):
    """Splits by prototype; none where groups tie all rows together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MatscoutWarning)
        try:
            return make_splits("leave-one-prototype-out", len(prototypes), groups, prototypes=prototypes)
        except UserError:
            return []


def share_no_group(split, groups):
    groups = np.asarray(groups)
    return not set(groups[split.train].tolist()) & set(groups[split.test].tolist())


@given(labellings, st.sampled_from(RANDOM), st.floats(0.01, 0.99), seeds)
def test_random_parts_cut_no_group_and_use_every_row(groups, scheme, test_part, seed):
    for split in make_splits(scheme, len(groups), groups, folds=2, repeats=3, test_part=test_part, seed=seed):
        assert len(split.train)
        assert len(split.test)
        assert share_no_group(split, groups)
        assert sorted([*split.train.tolist(), *split.test.tolist()]) == list(range(len(groups)))


@given(labellings, seeds)
def test_k_fold_tests_each_row_once(groups, seed):
    folds = len(set(groups))
    splits = make_splits("k-fold", groups, groups, folds=folds, seed=seed) if folds > 1 else []
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(len(groups)))


@given(st.integers(5, 60), seeds)
def test_folds_without_groups_differ_by_one_row_at_most(n, seed):
    sizes = [len(split.test) for split in make_splits("k-fold", n, folds=5, seed=seed)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("scheme", RANDOM)
def test_a_seed_gives_the_same_parts_and_another_one_others(scheme):
    first, again, other = (make_splits(scheme, 50, seed=seed) for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


def test_fewer_repeats_are_the_first_ones_of_more():
    few, many = (make_splits("monte-carlo", 30, repeats=repeats, seed=4) for repeats in (2, 6))
    assert [split.test.tolist() for split in few] == [split.test.tolist() for split in many[:2]]


@given(st.integers(10, 200), st.floats(0.1, 0.9), seeds)
def test_the_test_part_has_the_size_asked_for(n, test_part, seed):
    (split,) = make_splits("hold-out", n, test_part=test_part, seed=seed)
    assert abs(len(split.test) - test_part * n) <= 1


def test_a_group_larger_than_the_test_part_can_be_learnt_from():
    (split,) = make_splits("hold-out", 10, [0] * 9 + [1], test_part=0.2)
    assert split.test.tolist() == [9]


@given(labellings, st.lists(st.integers(0, 3), min_size=40, max_size=40), seeds)
def test_what_is_left_out_leaves_the_training_with_its_groups(prototypes, groups, seed):
    groups = groups[: len(prototypes)]
    splits = left_out_of(prototypes, groups)
    for split in splits:
        assert [str(prototypes[row]) for row in split.test] == [split.label] * prototypes.count(int(split.label))
        assert share_no_group(split, groups)
        left = set(range(len(prototypes))) - set(split.train.tolist()) - set(split.test.tolist())
        assert {groups[row] for row in left} <= {groups[row] for row in split.test}


def test_elements_are_left_out_with_all_their_rows():
    formulas = ["LiF", "NaF", "NaCl", "KCl", "MgO", "CaO"]
    found = {split.label: split for split in make_splits("leave-one-element-out", 6, compositions=formulas)}
    assert set(found) == {"Li", "Na", "K", "Mg", "Ca", "F", "Cl", "O"}
    assert found["Na"].test.tolist() == [1, 2]
    assert found["Na"].train.tolist() == [0, 3, 4, 5]


def test_polymorphs_of_a_row_in_the_test_part_teach_nothing():
    formulas = ["LiF", "NaF", "NaCl", "KCl"]
    splits = make_splits("leave-one-element-out", 4, ["a", "b", "a", "c"], compositions=formulas)
    lithium = next(split for split in splits if split.label == "Li")
    assert lithium.test.tolist() == [0]
    assert lithium.train.tolist() == [1, 3]


def test_an_element_of_all_rows_is_passed_over_with_a_warning():
    with pytest.warns(MatscoutWarning, match="O not left out"):
        splits = make_splits("leave-one-element-out", 3, compositions=["MgO", "CaO", "SrO"])
    assert [split.label for split in splits] == ["Mg", "Ca", "Sr"]


def test_rare_elements_may_be_kept_in():
    splits = make_splits("leave-one-element-out", 4, compositions=["LiF", "LiCl", "NaF", "KBr"], smallest_test=2)
    assert [split.label for split in splits] == ["Li", "F"]


def test_clusters_that_lie_apart_are_left_out_one_by_one():
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [1000.0, 0.0], [0.0, 1.0]])  # standardised, both columns count
    cluster = np.repeat([0, 1, 2], 10)
    X = centres[cluster] + rng.normal(0, [10.0, 0.01], (30, 2))
    X = np.column_stack([X, np.ones(30)])
    splits = make_splits("leave-one-cluster-out", 30, X=X, n_clusters=3)
    assert sorted(split.test.tolist() for split in splits) == [list(range(10 * i, 10 * i + 10)) for i in range(3)]
    assert all(len(split.train) == 20 for split in splits)


def test_clusters_do_not_depend_on_unit_or_unknown_features():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 3))
    X[3, 1] = np.nan
    first = make_splits("leave-one-cluster-out", 40, X=X, n_clusters=4)
    assert same(first, make_splits("leave-one-cluster-out", 40, X=X * [1, 1e6, 1e-6] + [0, 5, 0], n_clusters=4))
    assert sorted(np.concatenate([split.test for split in first]).tolist()) == list(range(40))


def test_leave_one_out_warns_of_what_leaks_and_what_it_costs():
    with pytest.warns(MatscoutWarning, match=r"duplicates and polymorphs .* trains 4 times"):
        splits = make_splits("leave-one-out", 4)
    assert [split.test.tolist() for split in splits] == [[0], [1], [2], [3]]
    with pytest.warns(MatscoutWarning) as warned:
        splits = make_splits("leave-one-out", 4, [0, 0, 1, 2])
    assert "duplicates" not in str(warned[0].message)
    assert splits[0].train.tolist() == [2, 3]


@pytest.mark.parametrize(
    ("scheme", "arguments", "said"),
    [
        ("k-folds", {}, "Did you mean k-fold"),
        ("k-fold", {"folds": 7}, "7 folds need at least 7 rows, got 6"),
        ("k-fold", {"groups": [0, 0, 0, 1, 1, 1], "folds": 3}, r"3 groups, got 2 groups \(6 rows\)"),
        ("k-fold", {"folds": 1}, "folds must be an integer >= 2"),
        ("hold-out", {"groups": [0] * 5}, r"one group per row, 6 of them, got the shape \(5,\)"),
        ("hold-out", {"groups": [0] * 6}, "1 group with all 6 rows"),
        ("hold-out", {"test_part": 1.0}, "nothing would be left"),
        ("monte-carlo", {"test_part": 0}, "test_part must be a number > 0"),
        ("leave-one-cluster-out", {}, "needs the features of the rows: give X"),
        ("leave-one-cluster-out", {"X": np.zeros((6, 2)), "n_clusters": 2}, "2 clusters need .* got 1 among 6"),
        ("leave-one-cluster-out", {"X": np.zeros((5, 2)), "n_clusters": 2}, "6 rows in X, got 5"),
        ("leave-one-element-out", {}, "give compositions"),
        ("leave-one-element-out", {"compositions": ["MgO"] * 6}, "without Mg, O no row|without O, Mg no row"),
        ("leave-one-prototype-out", {}, "give prototypes"),
        ("leave-one-prototype-out", {"prototypes": ["A"] * 6}, "without A no row is left"),
        ("leave-one-prototype-out", {"prototypes": ["A"] * 4}, "one prototype per row"),
    ],
)
def test_mistakes_are_named(scheme, arguments, said):
    with pytest.raises(UserError, match=said):
        make_splits(scheme, 6, **arguments)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("scheme", [*RANDOM, "leave-one-out"])
def test_one_row_cannot_be_split(scheme, n):
    with pytest.raises(UserError, match="a split needs a training and a test part"):
        make_splits(scheme, n)


def test_each_split_says_its_scheme():
    arguments = {"X": np.eye(12), "compositions": ["LiF", "NaCl", "MgO"] * 4, "prototypes": [1, 2, 3] * 4}
    for scheme in SCHEMES[:-1]:
        assert {split.scheme for split in make_splits(scheme, 12, **arguments, n_clusters=2)} == {scheme}


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=30))
def test_merged_groups_are_the_finest_that_keep_all_labels_together(rows):
    first, second = zip(*rows, strict=True)
    merged = merge_groups(first, second).tolist()
    group = list(range(len(rows)))  # by brute force: the lowest number spreads until nothing changes
    for _ in rows:
        group = [
            min(group[j] for j in range(len(rows)) if first[i] == first[j] or second[i] == second[j])
            for i in range(len(rows))
        ]
    order = {number: place for place, number in enumerate(dict.fromkeys(group))}
    assert merged == [order[number] for number in group]


def test_labellings_of_another_length_are_refused():
    with pytest.raises(UserError, match="one group per row, 3 of them"):
        merge_groups([1, 2, 3], [1, 2])
    with pytest.raises(UserError, match="at least one"):
        merge_groups()


def test_leaving_out_each_of_many_rows_is_refused():
    with pytest.raises(UserError, match=r"leave-one-out would train 5001 times, .* at most 5000 rows: choose k-fold"):
        make_splits("leave-one-out", 5001)


@given(st.lists(st.integers(0, 2), min_size=6, max_size=60), st.integers(2, 5), seeds)
def test_each_part_has_its_share_of_each_class(classes, folds, seed):
    splits = make_splits("k-fold", len(classes), folds=folds, classes=classes, seed=seed)
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for one in set(classes):
        counts = [sum(classes[row] == one for row in split.test) for split in splits]
        assert max(counts) - min(counts) <= 1
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(len(classes)))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=6, max_size=60), st.integers(3, 5), seeds)
def test_no_part_takes_a_class_away_that_several_groups_have(rows, folds, seed):
    groups, classes = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(groups.tolist())) < folds:
        return
    splits = make_splits("k-fold", len(rows), groups, folds=folds, classes=classes, seed=seed)
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(len(rows)))
    several = [one for one in set(classes.tolist()) if len(set(groups[classes == one].tolist())) > 1]
    for split in splits:
        assert share_no_group(split, groups)
        assert set(classes[split.train].tolist()) >= set(several)


def test_a_rare_class_in_large_groups_is_in_every_training_part():
    groups = np.repeat(np.arange(6), [50, 50, 8, 8, 8, 8])
    classes = np.isin(np.arange(132), [0, 50])  # one row each of the two large groups
    for seed in range(20):
        splits = make_splits("k-fold", 132, groups, folds=2, classes=classes, seed=seed)
        assert [classes[split.train].sum() for split in splits] == [1, 1]


def test_classes_of_other_rows_are_refused():
    with pytest.raises(UserError, match="one class per row, 6 of them"):
        make_splits("k-fold", 6, classes=[0, 1])
