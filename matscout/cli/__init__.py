"""The command line: commands, tables, progress. No science here."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_USER_ERROR = 2
EXIT_STOPPED = 130


def main() -> NoReturn:
    """Run the command line.

    Exit codes: 0 done; 2 a mistake that the user can put right, said in one sentence; 130 stopped by Ctrl-C.
    """
    try:
        from matscout.cli.app import app
        from matscout.errors import UserError
    except KeyboardInterrupt:
        sys.exit(EXIT_STOPPED)
    try:
        with _warnings_as_lines():
            app(prog_name="matscout")
    except UserError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.stderr.write("stopped before anything was calculated\n")
        sys.exit(EXIT_STOPPED)
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        # Typer and rich end with 1 where the reader has gone, as `head` does; but who read us has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        fail(f"{error.filename or 'the disk, or where the output goes'}: {error.strerror}")
    sys.exit(0)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print what matscout warns of as one line each on standard error, once; other packages' warnings as they come."""
    from matscout.errors import MatscoutWarning

    said: set[str] = set()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def say(message: Warning | str, category: type[Warning], *where: Any, **how: Any) -> None:
            if not issubclass(category, MatscoutWarning):
                show(message, category, *where, **how)
            elif str(message) not in said:
                said.add(str(message))
                sys.stderr.write(f"warning: {printable(str(message))}\n")

        warnings.simplefilter("always", MatscoutWarning)
        warnings.showwarning = say
        yield


def printable(text: str) -> str:
    r"""Write control characters out: what a user or a file wrote must not steer the terminal.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)


def fail(message: str) -> NoReturn:
    """Print an error to standard error and end with the exit code of a user's mistake."""
    sys.stderr.write(f"error: {printable(message)}\n")
    sys.exit(EXIT_USER_ERROR)
