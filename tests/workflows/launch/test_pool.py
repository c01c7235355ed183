"""Answers of workers."""

import fcntl
import json
import struct
import termios
import time

from matscout.workflows.launch.pool import WorkerPool

READY = json.dumps({"ready": True}) + "\n"


def waiting_bytes(stream):
    return struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, b"\0" * 4))[0]


def test_two_answers_that_come_at_once_are_both_heard(tmp_path):
    """A worker may be ready and have refused its first calculation before anybody listens."""
    with WorkerPool(1, tmp_path / "workers.log", time_limit=600) as pool:
        pool.submit(tmp_path / "nothing-here")
        (worker,) = pool._workers
        end = time.monotonic() + 300
        while waiting_bytes(worker.process.stdout) <= len(READY):
            assert time.monotonic() < end, (tmp_path / "workers.log").read_text()
            time.sleep(0.05)
        answers = [answer for _ in range(3) for answer in pool.wait(1)]
    assert [(answer.folder.name, answer.outcome) for answer in answers] == [("nothing-here", "refused")]
