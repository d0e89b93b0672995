"""What goes wrong with a file, said in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jrepose.errors import InputError


@contextmanager
def reading(where: str, kind: str = "file") -> Iterator[None]:
    """Turns whatever goes wrong while a file is read into an `InputError`.

    Args:
        where: what the message starts with: the file, and the entry in it.
        kind: what a damaged one is called.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror or error}") from None
    except RecursionError:
        raise InputError(f"{where}: nested too deeply") from None
    except MemoryError:
        raise InputError(f"{where}: not enough memory to read it") from None
    except Exception as error:  # pickle, zip, JSON and NumPy each fail in their own ways
        reason = shown(next(iter(str(error).splitlines()), "")) or type(error).__name__
        raise InputError(f"{where}: damaged {kind} ({reason})") from None


def shown(text: str) -> str:
    """Text out of a file, fit for a message of one line."""
    text = text if len(text) <= 200 else text[:200] + "..."
    return text if text.isprintable() else ascii(text)
