"""A process for rows that may hang or crash: what happens to one does not happen to the next."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from contextlib import suppress
from math import inf
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from matscout.errors import UserError
from matscout.featurizers._row_frames import n_bytes, pack, row_message, unpack
from matscout.featurizers.rows import FeatureRow, failed_row

if TYPE_CHECKING:
    from matscout.featurizers._row_frames import Message
    from matscout.featurizers.base import RowFeaturizer

STARTUP_SECONDS = 600.0
"""How long a process may take to load a featurizer: on a network file system, minutes."""

_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "PYTHONHASHSEED": "0",  # sums over sets come out the same to the last bit
}
_GLANCE = 0.5  # s between looks at whether a process that says nothing still lives
_CHUNK = 1 << 20  # bytes read at once


class RowProcess:
    """Featurizes one row after the other in a child process, for each row within its time.

    A row that runs past its time, or whose process dies, has that as its error, and the next goes on in a new process.
    What featurizers print is not seen. The child starts at the first row and ends with this object, or with this
    process, however that ends.

    Parameters
    ----------
    time_limit
        Longest time for one row of a featurizer that has no limit of its own, s; None for no limit.

    Raises
    ------
    UserError
        The limit is not positive.

    Examples
    --------
    >>> from matscout.crystals.crystal import Crystal
    >>> from matscout.featurizers import StructureFeaturizer
    >>> from pymatgen.core import Lattice, Structure
    >>> crystal = Crystal.from_structure(Structure(Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    >>> with RowProcess(time_limit=60) as process:
    ...     process.run(StructureFeaturizer("geometry"), crystal).values.round(2)
    array([  4.06,  34.46,   1.13,   2.  , 221.  ])
    """

    def __init__(self, time_limit: float | None = None) -> None:
        if time_limit is not None and not time_limit > 0:
            raise UserError(f"the longest time for one row must be positive, got {time_limit!r} s")
        self.time_limit = time_limit
        self._child: _Child | None = None
        self._lock = Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child; a further row would start another."""
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def run(self, featurizer: RowFeaturizer, row: Any) -> FeatureRow:
        """See `RowRunner`.

        Raises
        ------
        UserError
            The featurizer cannot be made in another process: no row is to blame.
        """
        limit = min((one for one in (self.time_limit, featurizer.time_limit) if one is not None), default=inf)
        try:
            message = row_message({"featurizer": featurizer.key}, row)
        except TypeError as error:
            return failed_row(featurizer, error)
        with self._lock:
            try:
                return self._ask(featurizer, message, limit)
            except BaseException:  # Ctrl-C: an answer that comes later must not be taken for the next row's
                self.close()
                raise

    def _ask(self, featurizer: RowFeaturizer, message: bytes, seconds: float) -> FeatureRow:
        child = self._ready_child(featurizer)
        start = time.perf_counter()
        try:
            answer, arrays = child.ask(message, seconds)
            (values,) = arrays
            return FeatureRow(values, answer["error"], answer["seconds"], answer["lasting"])
        except TimeoutError:
            error = f"longer than {seconds:g} s"
        except EOFError:
            error = f"its process {child.last_words()}"
        except (ValueError, KeyError):
            error = "its process gave an answer that cannot be read"
        self.close()
        return failed_row(featurizer, error, time.perf_counter() - start, lasting=False)

    def _ready_child(self, featurizer: RowFeaturizer) -> _Child:
        """Return a living child that has made this featurizer."""
        if self._child is not None and self._child.has_ended:  # between two rows: neither is to blame
            self.close()
        if self._child is None:
            self._child = _Child()
        self._child.make(featurizer)
        return self._child


class _Child:
    """One process, and what is known of it."""

    def __init__(self) -> None:
        self._made: set[str] = set()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        line, self._lifeline = os.pipe()  # nothing is written into it: its closing tells that this process has ended
        try:
            self._process = subprocess.Popen(  # noqa: S603  ourselves
                # -P: a queue.py in the user's folder must not stand in for the library's
                [sys.executable, "-P", "-W", "ignore", "-m", "matscout.featurizers._row_worker", str(line)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                env=os.environ | _ENVIRONMENT,
                start_new_session=True,  # Ctrl-C is for the parent, which ends the child; and what it starts ends too
                pass_fds=(line,),
            )
        except BaseException:
            os.close(self._lifeline)
            self._log.close()
            raise
        finally:
            os.close(line)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._requests.fileno(), False)
        self.end = weakref.finalize(self, _end, os.getpid(), self._process, self._lifeline, self._log)

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def last_words(self) -> str:
        """Say how the process ended."""
        try:
            code = self._process.wait(timeout=1)  # it may have closed its pipe a moment before it ends
        except subprocess.TimeoutExpired:
            return "closed its pipes"
        if code >= 0:
            return f"ended with exit code {code}"
        return f"ended with signal {-code}" + (" (often: out of memory)" if -code == signal.SIGKILL else "")

    def make(self, featurizer: RowFeaturizer) -> None:
        """Make a featurizer there, unless it was made before.

        Raises
        ------
        UserError
            It cannot be made there.
        """
        if featurizer.key in self._made:
            return
        path = [str(Path(folder).absolute()) for folder in sys.path]
        try:
            answer, _ = self.ask(
                pack({"recipe": featurizer.recipe(), "key": featurizer.key, "path": path}), STARTUP_SECONDS
            )
            error = answer["error"]
        except TimeoutError:
            error = f"that takes longer than {STARTUP_SECONDS:g} s"
        except EOFError:
            error = f"the process {self.last_words()}{self._complaint()}"
        if error is None and answer["key"] != featurizer.key:
            error = "its class made another one from its name and options; does it keep all of them?"
        if error is not None:
            raise UserError(f"{featurizer.name} cannot be made in a process of its own: {error}")
        self._made.add(featurizer.key)

    def _complaint(self) -> str:
        """Return the last line that the process wrote while it started."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").split("\n")
        return next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")

    def ask(self, message: bytes, seconds: float) -> Message:
        """Send a message and wait for the answer.

        Raises
        ------
        TimeoutError
            There is no whole answer in time.
        EOFError
            There will be none.
        """
        deadline = time.monotonic() + seconds
        unsent, received = memoryview(message), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._requests, selectors.EVENT_WRITE)
            selector.register(self._answers, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(max(0.0, min(_GLANCE, deadline - time.monotonic())))}
                if self._answers in ready and self._receive(received):
                    return unpack(received)
                if self._requests in ready:
                    unsent = self._send(unsent)
                    if not unsent:
                        selector.unregister(self._requests)
                if not ready and self.has_ended:  # what it started may hold its pipe open
                    raise EOFError
                if time.monotonic() >= deadline:
                    raise TimeoutError

    def _send(self, message: memoryview) -> memoryview:
        try:
            return message[os.write(self._requests.fileno(), message) :]
        except BlockingIOError:
            return message
        except BrokenPipeError:
            raise EOFError from None

    def _receive(self, received: bytearray) -> bool:
        """Read what is there; tell whether the answer is whole."""
        chunk = os.read(self._answers.fileno(), _CHUNK)
        if not chunk:
            raise EOFError
        received += chunk
        length = n_bytes(received)
        if length is not None and len(received) > length:
            raise ValueError("more than was asked for")
        return len(received) == length


def _end(owner: int, process: subprocess.Popen[bytes], lifeline: int, log: Any) -> None:
    """Kill a process and all it started, and let go of it."""
    if os.getpid() != owner:  # a fork of the owner, that shares nothing but memory with it
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, log):
        if stream is not None:
            stream.close()
    os.close(lifeline)
