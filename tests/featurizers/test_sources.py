from __future__ import annotations

import gzip
import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Lattice, Structure

from matscout.errors import UserError
from matscout.featurizers import featurize, read_source
from matscout.workflows.enumeration import enumerate_candidates

ROCK_SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def rows(source, size=2):
    return list(source.parts(size))


def formulas(source):
    return [formula for part in rows(source) for formula in part.formulas]


def test_a_csv_keeps_its_other_columns_and_ids(tmp_path):
    path = tmp_path / "known.csv"
    path.write_text("id,composition,gap\nmp-1,NaCl,5.0\nmp-2,MgO,7.8\nmp-3,Si,\n")
    source = read_source(path)
    parts = rows(source)
    assert (source.kind, source.n_rows) == ("formulas", 3)
    assert parts[0].ids == ["mp-1", "mp-2"]
    assert parts[1].formulas == ["Si"]
    assert parts[1].columns["gap"].to_pylist() == [None]
    output = tmp_path / "features.parquet"
    featurize(source, "stoichiometry", output=output)
    assert pd.read_parquet(output)["gap"].tolist()[:2] == [5.0, 7.8]


def test_sodium_nitride_is_no_gap(tmp_path):
    path = tmp_path / "nitrides.csv"
    path.write_text("formula\nNaN\nNa3N\n")
    matrix = featurize(read_source(path), "fractions")
    assert not matrix.errors
    assert matrix.values[0, matrix.names.index("Na")] == 0.5


def test_a_gzipped_csv_and_a_named_column(tmp_path):
    path = tmp_path / "known.csv.gz"
    with gzip.open(path, "wt") as file:
        file.write("compound,e\nNaCl,1\n")
    assert formulas(read_source(path, column="compound")) == ["NaCl"]
    with pytest.raises(UserError, match="has no column of formulas"):
        read_source(path)
    with pytest.raises(UserError, match=r'no column "compund"\. Did you mean compound\?'):
        read_source(path, column="compund")


def test_lines_of_a_text_file(tmp_path):
    path = tmp_path / "formulas.txt"
    path.write_text("NaCl\n\n MgO \n")
    assert formulas(read_source(path)) == ["NaCl", "MgO"]


def test_a_folder_of_crystals_names_rows_after_files_and_keeps_those_it_cannot_read(tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    ROCK_SALT.to(filename=str(folder / "salt.cif"))
    ROCK_SALT.to(filename=str(folder / "POSCAR"))
    (folder / "broken.cif").write_text("data_x\n_cell_length_a oops\n")
    (folder / "notes.txt").write_text("not a crystal")
    source = read_source(folder)
    matrix = featurize(source, "geometry", cache=False)
    assert source.kind == "crystals"
    assert list(matrix.formulas) == ["NaCl", "", "NaCl"]
    assert list(matrix.errors) == [1]
    assert matrix.errors[1].startswith("broken: ")
    assert matrix.ids[2] == "salt"
    assert formulas(source) == list(matrix.formulas)  # a second time


def test_a_folder_without_crystals_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no file of crystals"):
        read_source(tmp_path)


def test_a_single_file_that_cannot_be_read_is_refused(tmp_path):
    path = tmp_path / "empty.cif"
    path.write_text("")
    with pytest.raises(UserError, match="empty"):
        rows(read_source(path))


def test_a_frame_of_structures_in_parquet_and_in_csv(tmp_path):
    frame = pd.DataFrame({"id": ["a", "b"], "structure": [json.dumps(ROCK_SALT.as_dict()), "{}"], "y": [1.0, 2.0]})
    frame.to_parquet(tmp_path / "frame.parquet")
    frame.to_csv(tmp_path / "frame.csv", index=False)
    for name in ("frame.parquet", "frame.csv"):
        source = read_source(tmp_path / name)
        matrix = featurize(source, "geometry", cache=False)
        assert source.kind == "crystals"
        assert matrix.ids == ("a", "b")
        assert list(matrix.errors) == [1]
        assert rows(source)[0].columns["y"].to_pylist() == [1.0, 2.0]


def test_a_candidate_table_is_read_part_by_part(tmp_path):
    table = enumerate_candidates(["cubic-perovskite"], {"A": ["Cs", "Rb"], "B": ["Pb", "Sn"], "X": ["Cl", "Br"]})
    path = tmp_path / "candidates.parquet"
    table.to_parquet(path)
    source = read_source(path)
    assert (source.kind, source.n_rows, len(rows(source, 3))) == ("candidates", 8, 3)
    np.testing.assert_array_equal(
        featurize(source, ["sites", "magpie"], rows_at_once=3).values, featurize(table, ["sites", "magpie"]).values
    )


def test_the_frame_of_matbench_is_read_whole(data):
    source = read_source(data / "matbench" / "phonons_structures.json.gz")
    assert next(source.parts(3)).formulas


def test_what_is_not_there_is_answered_with_the_nearest(tmp_path):
    (tmp_path / "formulas.csv").write_text("formula\nNaCl\n")
    with pytest.raises(UserError, match=r"Did you mean .*formulas\.csv\?"):
        read_source(tmp_path / "formula.csv")


def test_a_parquet_file_that_is_none_is_said_so(tmp_path):
    path = tmp_path / "features.parquet"
    path.write_text("nothing")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        read_source(path)


def test_a_comma_at_the_end_shifts_no_column_and_a_field_too_many_is_refused(tmp_path):
    path = tmp_path / "known.csv"
    path.write_text("id,formula,parent\na,NaCl,KCl,\nb,Fe2O3,FeO,\n")
    part = rows(read_source(path))[0]
    assert (part.ids, part.formulas) == (["a", "b"], ["NaCl", "Fe2O3"])
    path.write_text("id,formula\na,NaCl,KCl\n")
    with pytest.raises(UserError, match="more fields than the header"):
        read_source(path)


def test_columns_with_gaps_and_of_mixed_kinds_keep_one_type_from_part_to_part(tmp_path):
    path, output = tmp_path / "known.csv", tmp_path / "features.parquet"
    n = 300
    frame = pd.DataFrame({"formula": ["NaCl"] * n, "note": [None] * n, "flag": [None] * n, "n": range(n), "mixed": "1"})
    frame["note"] = frame["note"].astype(object)
    frame.loc[200, ["note", "flag", "mixed"]] = ["hello", True, "abc"]
    frame.to_csv(path, index=False)
    featurize(read_source(path), "stoichiometry", output=output, rows_at_once=50)
    read = pd.read_parquet(output)
    assert read["note"].dropna().tolist() == ["hello"]
    assert read["flag"].dropna().tolist() == [True]
    assert read.loc[[0, 200], "mixed"].tolist() == ["1", "abc"]
    frame.to_parquet(path.with_suffix(".parquet"))
    featurize(read_source(path.with_suffix(".parquet")), "stoichiometry", output=output, rows_at_once=50)
    assert pd.read_parquet(output)["note"].dropna().tolist() == ["hello"]


def test_the_index_of_a_frame_is_a_column_like_others(tmp_path):
    path = tmp_path / "known.parquet"
    pd.DataFrame({"id": ["mp-1"], "formula": ["NaCl"]}).set_index("id").to_parquet(path)
    assert rows(read_source(path))[0].ids == ["mp-1"]


def test_features_are_made_anew_of_a_file_of_features(tmp_path):
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    featurize(["NaCl", "salt"], "stoichiometry", output=first)
    featurize(read_source(first), ["stoichiometry", "fractions"], output=second)
    again = pd.read_parquet(second)
    assert again["id"].tolist() == ["0", "1"]
    assert again["2-norm"].tolist()[0] == pd.read_parquet(first)["2-norm"].tolist()[0]


def test_a_formula_column_that_is_not_chosen_is_kept_under_another_name(tmp_path):
    path, output = tmp_path / "known.csv", tmp_path / "features.parquet"
    path.write_text("formula,composition\nsalt,NaCl\n")
    featurize(read_source(path, column="composition"), "stoichiometry", output=output)
    assert pd.read_parquet(output).loc[0, ["formula", "input formula"]].tolist() == ["NaCl", "salt"]


def test_structures_as_documents_in_parquet(tmp_path):
    path = tmp_path / "frame.parquet"
    sites = [
        {"species": [{"element": str(site.specie), "occu": 1.0}], "abc": site.frac_coords.tolist()}
        for site in ROCK_SALT
    ]
    document = {"lattice": {"matrix": ROCK_SALT.lattice.matrix.tolist()}, "sites": sites}
    pd.DataFrame({"structure": [document] * 2}).to_parquet(path)
    assert not featurize(read_source(path), "geometry", cache=False).errors


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = tmp_path / "frame.parquet"
    pq.write_table(pa.table([["NaCl"], [1], [2]], names=["formula", "x", "x"]), path)
    with pytest.raises(UserError, match='two columns "x"'):
        read_source(path)


def test_damaged_files_are_said_to_be_so(tmp_path):
    path = tmp_path / "known.csv.gz"
    packed = bytearray(gzip.compress(b"formula\n" + b"NaCl\n" * 1000))
    packed[20:30] = bytes(10)
    path.write_bytes(packed)
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_source(path)


def test_a_file_whose_name_is_no_text_is_a_row_like_others(tmp_path):
    folder = tmp_path / "cifs"
    folder.mkdir()
    ROCK_SALT.to(filename=str(folder / "salt.cif"))
    (folder / "salt.cif").rename(os.fsdecode(bytes(folder) + b"/caf\xe9.cif"))
    featurize(read_source(folder), "stoichiometry", output=tmp_path / "features.parquet")
    assert pd.read_parquet(tmp_path / "features.parquet")["id"].tolist() == ["caf\\udce9"]
