import pytest

from matscout.db.documents import CalculationRequest, Geometry
from matscout.workflows.launch.folders import prepare, read_request, read_result

GEOMETRY = Geometry(lattice=((4, 0, 0), (0, 4, 0), (0, 0, 4)), species=("Na",), coords=((0, 0, 0),))
REQUEST = CalculationRequest.of(GEOMETRY, protocol="chgnet-static", protocol_id="x", subject="candidate:x")


def test_a_request_comes_back_as_it_was(tmp_path):
    prepare(tmp_path / "one", REQUEST)
    assert read_request(tmp_path / "one") == REQUEST


def test_no_result_is_none(tmp_path):
    assert read_result(tmp_path) is None


def test_half_a_result_is_an_error_that_says_so(tmp_path):
    (tmp_path / "result.json").write_text('{"id": "x", "outc')
    with pytest.raises(ValueError, match="Invalid JSON"):
        read_result(tmp_path)
