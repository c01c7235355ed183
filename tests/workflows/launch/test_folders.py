import os

import pytest

from matscout.db.documents import CalculationRequest, Geometry
from matscout.workflows.launch.folders import prepare, read_request, read_result, write_text

GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Na",), coords=((0, 0, 0),))
REQUEST = CalculationRequest.of(GEOMETRY, protocol="chgnet-static", protocol_id="x", subject="candidate:x")


def test_a_request_comes_back_as_it_was(tmp_path):
    prepare(tmp_path / "one", REQUEST)
    assert read_request(tmp_path / "one") == REQUEST


def test_no_result_is_none(tmp_path):
    assert read_result(tmp_path) is None


def test_half_a_result_is_none(tmp_path):
    (tmp_path / "result.json").write_text('{"id": "x", "outc')
    assert read_result(tmp_path) is None


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_text(path, "old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_colleagues_may_read_what_is_written(tmp_path):
    write_text(tmp_path / "file", "text")
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~mask
