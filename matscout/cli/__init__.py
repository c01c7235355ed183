"""The command line: commands, tables, progress. No science here."""

from __future__ import annotations

import errno
import sys
from typing import NoReturn

EXIT_USER_ERROR = 2
EXIT_STOPPED = 130


def main() -> NoReturn:
    """Run the command line.

    Exit codes: 0 done; 2 a mistake that the user can put right, said in one sentence; 130 stopped by Ctrl-C.
    """
    from matscout.cli.app import app
    from matscout.errors import UserError

    try:
        app(prog_name="matscout")
    except UserError as error:
        fail(str(error))
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        fail(f"the disk of {error.filename or 'the store'} is full: free space and run the same command again")
    sys.exit(0)


def fail(message: str) -> NoReturn:
    """Print an error to standard error and end with the exit code of a user's mistake."""
    sys.stderr.write(f"error: {message}\n")
    sys.exit(EXIT_USER_ERROR)
