from __future__ import annotations

import gzip
import json

import numpy as np
import pandas as pd
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
    assert np.isnan(parts[1].columns["gap"][0])
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
        assert rows(source)[0].columns["y"].tolist() == [1.0, 2.0]


def test_a_candidate_table_is_read_part_by_part(tmp_path):
    table = enumerate_candidates(["cubic-perovskite"], {"A": ["Cs", "Rb"], "B": ["Pb", "Sn"], "X": ["Cl", "Br"]})
    path = tmp_path / "candidates.parquet"
    table.to_parquet(path)
    source = read_source(path)
    assert (source.kind, source.n_rows, len(rows(source, 3))) == ("candidates", 8, 3)
    np.testing.assert_array_equal(
        featurize(source, ["sites", "magpie"], chunk_rows=3).values, featurize(table, ["sites", "magpie"]).values
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
    with pytest.raises(UserError, match="is not a Parquet file"):
        read_source(path)
