from __future__ import annotations

import gzip

import pytest

from matscout.errors import UserError
from matscout.workflows.stability.files import parse_document, read_content, read_document

PACKED = gzip.compress(b"[1]" * 1000, mtime=0)  # a time would make another id of the test in each process


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_gzip_is_told_by_the_content_not_by_the_name(tmp_path, compress):
    path = tmp_path / "document"
    path.write_bytes(compress(b'{"a": [1, 2]}'))
    assert read_content(path, "numbers") == b'{"a": [1, 2]}'
    assert read_document(str(path), "numbers", "a list of numbers") == {"a": [1, 2]}


def test_mappings_can_be_made_into_something_else(tmp_path):
    assert parse_document(b'[{"a": 1}, 2]', tmp_path, "numbers", object_hook=sorted) == [["a"], 2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"no file of numbers .*document"),
        (b"one, two", r"document is not JSON \(.*\); expected a list of numbers"),
        (b"\xff\xfe", r"document is not JSON \(.*\); expected a list of numbers"),
        (b"[" * 200_000, r"document is not JSON \(.*\); expected a list of numbers"),
        (PACKED[:-9], r"document is damaged or cut short \(.*\); copy or download it again"),
        (b"\x1f\x8bnonsense", r"document is damaged or cut short"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_name(tmp_path, content, words):
    path = tmp_path / "document"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_document(path, "numbers", "a list of numbers")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        read_content(tmp_path, "numbers")
