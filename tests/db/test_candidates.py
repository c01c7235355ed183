from __future__ import annotations

import hashlib
import warnings
from math import gcd

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from matscout.db._formulas import reduced_formulas
from matscout.db.candidate_files import iterate_candidate_file, read_candidates, write_candidates
from matscout.db.candidates import CandidateTable, FilterCount
from matscout.errors import UserError
from matscout.workflows.enumeration import (
    ChargeNeutrality,
    Goldschmidt,
    enumerate_candidates,
    get_prototype,
    iterate_candidates,
)

POOL = ["Li", "Na", "Mg", "Al", "Ti", "O", "F", "Cl"]
CS, PB, BR, SR, TI, OX, K, NA, AL, F, CL, MG, LI, P = 55, 82, 35, 38, 22, 8, 19, 11, 13, 9, 17, 12, 3, 15


@pytest.fixture
def table():
    prototypes = [get_prototype(name) for name in ("cubic-perovskite", "elpasolite", "rock-salt")]
    rows = [[CS, PB, BR, 0], [SR, TI, OX, 0], [K, NA, AL, F], [NA, CL, 0, 0], [OX, MG, 0, 0]]
    return CandidateTable(
        prototypes,
        [0, 0, 1, 2, 2],
        rows,
        [40.0, 11.9, 14.0, 22.4, 9.4],
        [FilterCount("charge-neutrality", 9, 4, 1)],
        {"tolerance_factor": [0.86, 1.0, np.nan, np.nan, np.nan], "note": ["a", "", "b", "ö", "e"]},
    )


def test_formulas_are_written_as_pymatgen_writes_them(table):
    assert table.formulas == ["CsPbBr3", "SrTiO3", "K2NaAlF6", "NaCl", "MgO"]
    assert table.formulas == [s.reduced_formula for s in table.structures(range(5))]


def test_chemical_systems_are_in_alphabetical_order(table):
    assert table.chemical_systems == ["Br-Cs-Pb", "O-Sr-Ti", "Al-F-K-Na", "Cl-Na", "Mg-O"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 103), st.integers(1, 12)), min_size=1, max_size=5))
def test_any_formula_is_the_one_of_pymatgen(pairs):
    numbers, amounts = zip(*pairs, strict=True)
    amounts = [amount // gcd(*amounts) for amount in amounts]
    total = {}
    for number, amount in zip(numbers, amounts, strict=True):
        symbol = Element.from_Z(number).symbol
        total[symbol] = total.get(symbol, 0) + amount
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen on elements without an electronegativity
        expected = Composition(total).reduced_formula
    assert reduced_formulas(np.array([numbers], dtype=np.uint8), amounts) == [expected]


@pytest.mark.parametrize(
    ("decoration", "amounts", "formula"),
    [
        ([OX], [1], "O2"),
        ([LI, OX], [1, 1], "Li2O2"),
        ([LI, P, OX], [1, 1, 4], "LiPO4"),
        ([CL, NA], [1, 1], "NaCl"),
        ([20, P, OX], [3, 2, 8], "Ca3(PO4)2"),
        ([18, 2], [1, 1], "ArHe"),  # without an electronegativity: alphabetical
    ],
)
def test_special_formulas_are_those_of_pymatgen(decoration, amounts, formula):
    assert reduced_formulas(np.array([decoration], dtype=np.uint8), amounts) == [formula]


def test_ids_are_sixteen_hexadecimal_digits_and_differ(table):
    assert all(len(i) == 16 and int(i, 16) >= 0 for i in table.ids)
    assert len(set(table.ids)) == 5


def test_an_id_does_not_depend_on_the_rest_of_the_table(table):
    alone = table.take([1])
    narrow = CandidateTable([get_prototype("cubic-perovskite")], [0], [[SR, TI, OX]], [99.0])
    assert alone.ids == narrow.ids == table.ids_at([1]) == [table.ids[1]]


def test_an_id_is_the_documented_hash(table):
    digest = hashlib.sha256(get_prototype("cubic-perovskite").key.encode() + bytes([SR, TI, OX]))
    assert table.ids[1] == digest.hexdigest()[:16]


def test_ids_have_not_changed():
    # stores keep them: a change here makes every finished calculation a stranger
    perovskite = CandidateTable([get_prototype("cubic-perovskite")], [0], [[SR, TI, OX]], [1.0])
    elpasolite = CandidateTable([get_prototype("elpasolite")], [0], [[K, NA, AL, F]], [1.0])
    assert perovskite.ids + elpasolite.ids == ["ff720473199590f0", "908bc0c88ca08f79"]


def test_equivalent_decorations_have_one_id():
    elpasolite = [get_prototype("elpasolite")]
    ids = CandidateTable(elpasolite, [0, 0, 0], [[K, NA, AL, F], [K, AL, NA, F], [NA, K, AL, F]], [1, 1, 1]).ids
    assert ids[0] == ids[1] != ids[2]


def test_a_row_is_found_by_its_id(table):
    assert [table.index_of(i) for i in table.ids] == list(range(5))


@pytest.mark.parametrize(
    ("wrong", "message"), [("0" * 16, "no candidate 0{16} among the 5"), ("SrTiO3", "not a candid")]
)
def test_a_wrong_id_is_the_users_mistake(table, wrong, message):
    with pytest.raises(UserError, match=message):
        table.index_of(wrong)


def test_amounts_are_those_of_the_formula(table):
    amounts, elements = table.amounts()
    assert elements == ("O", "F", "Na", "Mg", "Al", "Cl", "K", "Ti", "Br", "Sr", "Cs", "Pb")
    for row, formula in zip(amounts, table.formulas, strict=True):
        found = {e: n for e, n in zip(elements, row.tolist(), strict=True) if n}
        assert found == Composition(formula).get_el_amt_dict()


def test_amounts_of_an_element_in_two_roles_are_reduced():
    table = CandidateTable([get_prototype("elpasolite")], [0, 0], [[NA, K, K, F], [K, K, K, F]], [1, 1])
    amounts, elements = table.amounts()
    assert elements == ("F", "Na", "K")
    assert amounts.tolist() == [[3, 1, 1], [3, 0, 2]]
    assert table.formulas == ["KNaF3", "K2F3"]
    assert table.chemical_systems == ["F-K-Na", "F-K"]


def test_structures_have_the_predicted_volume(table):
    structure = table.structure(2)
    assert structure.volume / len(structure) == pytest.approx(14.0)
    assert structure.reduced_formula == "K2NaAlF6"
    assert table.structure(-1).reduced_formula == "MgO"
    with pytest.raises(IndexError, match="row 5 of a table of 5"):
        table.structure(5)


def same(first, second):
    return (
        [p.to_dict() for p in first.prototypes] == [p.to_dict() for p in second.prototypes]
        and first.filter_counts == second.filter_counts
        and first.columns.keys() == second.columns.keys()
        and all(
            (a == b).all() if a.dtype.kind == "U" else np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            for a, b in [
                (first.prototype_index, second.prototype_index),
                (first.decoration, second.decoration),
                (first.volume, second.volume),
                *((first.columns[name], second.columns[name]) for name in first.columns),
            ]
        )
    )


def test_parquet_keeps_everything(table, tmp_path):
    path = tmp_path / "candidates.parquet"
    table.to_parquet(path)
    again = CandidateTable.from_parquet(path)
    assert same(again, table)
    assert again.ids == table.ids
    assert again.columns["note"].dtype.kind == "U"
    assert [file.name for file in tmp_path.iterdir()] == ["candidates.parquet"]


def test_an_empty_table_can_be_kept_too(table, tmp_path):
    empty = table.take(np.zeros(5, dtype=bool))
    empty.to_parquet(tmp_path / "empty.parquet")
    again = CandidateTable.from_parquet(tmp_path / "empty.parquet")
    assert len(again) == 0
    assert again.ids == again.formulas == again.chemical_systems == again.structures([]) == []
    assert again.amounts()[0].shape == (0, 0)


def test_a_failed_write_leaves_nothing(table, tmp_path):
    table.columns["broken"] = np.array([{}, {}, {}, {}, object()], dtype=object)
    with pytest.raises(pa.ArrowInvalid):
        table.to_parquet(tmp_path / "broken.parquet")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_no_candidates_are_named(tmp_path):
    with pytest.raises(UserError, match=r"no candidate file .*missing\.parquet"):
        CandidateTable.from_parquet(tmp_path / "missing.parquet")
    (tmp_path / "text.parquet").write_text("SrTiO3")
    with pytest.raises(UserError, match=r"text\.parquet is not a Parquet file"):
        CandidateTable.from_parquet(tmp_path / "text.parquet")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="not a table of candidates"):
        CandidateTable.from_parquet(tmp_path / "other.parquet")


def test_parts_keep_their_columns_and_counts(table):
    part = table.take([4, 0])
    assert part.formulas == ["MgO", "CsPbBr3"]
    assert part.columns["note"].tolist() == ["e", "a"]
    assert part.filter_counts == table.filter_counts
    assert table.take(table.volume > 12).formulas == ["CsPbBr3", "K2NaAlF6", "NaCl"]


@given(st.integers(1, 7))
def test_chunks_put_together_are_the_table(size):
    prototype = get_prototype("rock-salt")
    whole = CandidateTable([prototype], [0] * 5, [[3, n] for n in range(4, 9)], np.arange(1, 6))
    chunks = list(whole.chunks(size))
    assert max(map(len, chunks)) <= size
    assert [i for chunk in chunks for i in chunk.ids] == whole.ids


def test_a_chunk_needs_a_row(table):
    with pytest.raises(ValueError, match="at least one row, got 0"):
        next(table.chunks(0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoration": [[NA, 0], [NA, CL]]}, "must fill its 2 roles"),
        ({"decoration": [[NA, CL, F], [NA, CL, 0]]}, "and no others"),
        ({"prototype_index": [0, 1]}, "within the 1 prototypes"),
        ({"volume": [1.0]}, "2 rows"),
        ({"columns": {"x": [1]}}, r"column 'x' has the shape \(1,\)"),
        ({"columns": {"x": [None, {}]}}, "can be kept"),
        ({"columns": {"volume": [1, 2]}}, "of its own"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change, message):
    fields = {"prototype_index": [0, 0], "decoration": [[NA, CL], [MG, OX]], "volume": [1.0, 2.0]}
    with pytest.raises(ValueError, match=message):
        CandidateTable([get_prototype("rock-salt")], **(fields | change))


def test_a_mask_must_have_the_length_of_the_table(table):
    with pytest.raises(IndexError, match="a mask of"):
        table.take([True, False])


def test_parts_are_written_and_read_one_by_one(tmp_path):
    whole = enumerate_candidates("elpasolite", POOL[:6])
    path = tmp_path / "parts.parquet"
    assert write_candidates(whole.chunks(17), path) == len(whole)
    assert read_candidates(path).ids == whole.ids
    parts = list(iterate_candidate_file(path, 50))
    assert max(len(part) for part in parts) <= 50
    assert [one for part in parts for one in part.ids] == whole.ids


def test_filter_counts_of_parts_add_up(tmp_path):
    path = tmp_path / "parts.parquet"
    rules = [ChargeNeutrality(), Goldschmidt()]
    write_candidates(iterate_candidates("cubic-perovskite", POOL, rules, chunk=40), path)
    whole = enumerate_candidates("cubic-perovskite", POOL, rules)
    again = read_candidates(path)
    assert again.ids == whole.ids
    assert again.filter_counts == whole.filter_counts
    np.testing.assert_array_equal(again.columns["tolerance_factor"], whole.columns["tolerance_factor"])


def test_restricted_oxidation_states_are_kept(tmp_path):
    table = enumerate_candidates("rock-salt", {"A": ["Fe2+", "Mn2+"], "X": ["O"]})
    table.to_parquet(tmp_path / "ions.parquet")
    assert CandidateTable.from_parquet(tmp_path / "ions.parquet").oxidation_states == {"A": {"Fe": (2,), "Mn": (2,)}}


def test_tables_that_do_not_belong_together_leave_no_file(tmp_path):
    path = tmp_path / "mixed.parquet"
    tables = [enumerate_candidates(name, ["Li", "F"]) for name in ("rock-salt", "cesium-chloride")]
    with pytest.raises(ValueError, match="different prototypes"):
        write_candidates(tables, path)
    with pytest.raises(ValueError, match="no table"):
        write_candidates([], path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_streamed_into_another_keeps_its_counts(tmp_path):
    table = enumerate_candidates("cubic-perovskite", POOL, [ChargeNeutrality()])
    write_candidates(table.chunks(3), tmp_path / "one.parquet")
    write_candidates(iterate_candidate_file(tmp_path / "one.parquet", 5), tmp_path / "two.parquet")
    again = read_candidates(tmp_path / "two.parquet")
    assert again.filter_counts == table.filter_counts
    assert again.ids == table.ids


def test_columns_of_another_kind_are_refused_and_empty_parts_are_of_any_kind(tmp_path):
    table = enumerate_candidates("rock-salt", ["Li", "F", "Cl"])
    empty = table.take([]).replace(columns={"note": np.array([])})
    words = table.replace(columns={"note": np.array(["a", "b", "c"])})
    assert write_candidates([empty, words, empty], tmp_path / "words.parquet") == 3
    assert read_candidates(tmp_path / "words.parquet").columns["note"].tolist() == ["a", "b", "c"]
    numbers = table.replace(columns={"note": np.arange(3)})
    with pytest.raises(ValueError, match="column 'note' holds"):
        write_candidates([words, numbers], tmp_path / "mixed.parquet")


def test_single_rows_are_written_without_the_others(table):
    assert table.formulas_at([3, 0]) == ["NaCl", "CsPbBr3"]
    assert table.chemical_systems_at([1]) == ["O-Sr-Ti"]
