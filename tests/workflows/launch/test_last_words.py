"""Files that appear although the disk is full."""

import errno

import pytest

from matscout.db.files import write_text
from matscout.workflows.launch import last_words
from matscout.workflows.launch.last_words import KEPT, KEPT_BYTES, LastWords


@pytest.fixture
def full(monkeypatch, tmp_path):
    """A disk without any space but that which is kept."""
    words = LastWords(tmp_path)

    def written(path, text):
        if (tmp_path / KEPT).exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_text(path, text)

    monkeypatch.setattr(last_words, "write_text", written)
    return words


def test_space_is_kept_and_given_up_for_what_is_to_be_said(full, tmp_path):
    assert (tmp_path / KEPT).stat().st_blocks * 512 >= KEPT_BYTES
    full.write(tmp_path / "said", "the disk is full")
    assert (tmp_path / "said").read_text() == "the disk is full"
    assert not (tmp_path / KEPT).exists()


def test_space_is_kept_while_there_is_other(tmp_path):
    words = LastWords(tmp_path)
    words.write(tmp_path / "said", "all is well")
    assert (tmp_path / KEPT).exists()
    words.close()
    words.close()
    assert [path.name for path in tmp_path.iterdir()] == ["said"]


def test_another_error_is_raised_and_space_still_kept(tmp_path):
    words = LastWords(tmp_path)
    with pytest.raises(FileNotFoundError):
        words.write(tmp_path / "none" / "said", "")
    assert (tmp_path / KEPT).exists()


def test_on_a_disk_that_was_full_before_nothing_is_kept(monkeypatch, tmp_path):
    words = LastWords(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        words.write(tmp_path / "none" / "said", "")


def test_of_a_disk_that_is_nearly_full_nothing_is_taken(monkeypatch, tmp_path):
    usage = last_words.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(last_words.shutil, "disk_usage", lambda _: usage._replace(free=2 * KEPT_BYTES))
    LastWords(tmp_path)
    assert list(tmp_path.iterdir()) == []
