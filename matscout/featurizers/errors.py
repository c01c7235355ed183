"""Rows that have no features: what was wrong with each, and one report of all."""

from __future__ import annotations

from matscout.errors import UserError, warn

SHOWN = 10
"""Rows that a report names; the others are counted."""

_LONGEST = 500  # characters of one error


class FeatureRowsError(UserError):
    """Some rows have no features.

    Attributes
    ----------
    errors
        What was wrong, by row.
    """

    def __init__(self, message: str, errors: dict[int, str]) -> None:
        super().__init__(message)
        self.errors = errors


class RowErrors(dict[int, str]):
    """What was wrong with rows, by their number."""

    def add(self, row: int, error: str) -> None:
        """Note an error; a second one of the same row is written behind the first."""
        self[row] = f"{self[row]}; {error}" if row in self and error not in self[row] else self.get(row, error)

    def report(self, *, n_rows: int, strict: bool, n_errors: int | None = None) -> None:
        """Raise or warn where there are any, naming the first ten.

        Parameters
        ----------
        n_rows
            How many rows there were.
        strict
            Raise rather than warn.
        n_errors
            How many errors there were, where not all are kept here.

        Raises
        ------
        FeatureRowsError
            With `strict`.
        """
        if not self:
            return
        shown = [f"row {row}: {self[row]}" for row in sorted(self)[:SHOWN]]
        count = len(self) if n_errors is None else n_errors
        more = [f"and {count - len(shown)} more"] if count > len(shown) else []
        message = "\n  ".join([f"{count} of {n_rows} rows have no features, or not all:", *shown, *more])
        if strict:
            raise FeatureRowsError(message, dict(self))
        warn(message)


def row_error(error: BaseException) -> str:
    """Write an error in one line: a user's mistake by its message, anything else with its kind in front.

    Examples
    --------
    >>> row_error(UserError("no such thing")), row_error(ZeroDivisionError("division by zero"))
    ('no such thing', 'ZeroDivisionError: division by zero')
    """
    text = " ".join(str(error).split()).encode(errors="backslashreplace").decode()
    text = text if isinstance(error, UserError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
