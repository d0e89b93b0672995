"""The one exception that a command line turns into one clear line.

Library code raises `InputError` for anything that a user can mend: a malformed file, an
unknown configuration field, a batch that does not divide over the devices.  The message is
a single line that says what is wrong, where, and what was expected.
"""

from __future__ import annotations

from collections.abc import Sequence

_LISTED = 6


class InputError(ValueError):
    """Input that cannot be used; the message is one line written for the user.

    Names out of files and folders may hold anything: what is not printable is escaped.
    """

    def __init__(self, message: str):
        text = str(message)
        if not text.isprintable():
            text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
        super().__init__(text)


class MissingExtra(InputError):
    """An optional package is needed for what was asked.

    Args:
        package: name of the missing package on the package index.
        purpose: what it is needed for, completing "... needs PACKAGE".
        extra: name of the `jrepose` extra that installs it.
    """

    def __init__(self, package: str, purpose: str, extra: str):
        super().__init__(f"{purpose} needs {package}: pip install '.[{extra}]'")


def listed(names: Sequence[str]) -> str:
    """Names for a message: the first six, and how many more there are."""
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
