"""What every command line shares: flags, help, exit statuses, one-line errors."""

from __future__ import annotations

import difflib
import functools
import logging
import os
import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import flags

from jrepose import peers
from jrepose.errors import InputError
from jrepose.host_memory import collect_garbage_less_often, reuse_freed_memory
from jrepose.interrupts import STATUS

_WIDTH = 96


def run(command: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Runs a command; unusable input becomes one line and exit status 2.

    Who reads the output may stop before its end, as `head` does: 141, a shell's status for that.
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("jrepose").setLevel(logging.INFO)
    reuse_freed_memory()
    collect_garbage_less_often()
    try:
        status = command(argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # What is still buffered would fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except InputError as error:
        message = str(error)
    except OSError as error:
        if error.filename is None:  # not about a file of the user's
            raise
        message = str(InputError(f"{error.filename}: {error.strerror}"))
    except KeyboardInterrupt:
        peers.leave("interrupted", STATUS)
        return STATUS
    except Exception as error:
        if (amount := _out_of_memory(error)) is None:
            raise
        message = (
            f"out of memory{amount}; lower training.batch_size or evaluation.batch_size, split "
            "the batch with training.accumulate, or recompute activations with model.remat"
        )
    print(f"{argv[0]}: error: {message}", file=sys.stderr)
    peers.leave(message)
    return 2


def _out_of_memory(error: BaseException | None) -> str | None:
    """How much was asked for, possibly empty, if that is what an error is about; or None."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = str(error)
        if isinstance(error, MemoryError) or re.search(
            "RESOURCE_EXHAUSTED|std::bad_alloc|[Oo]ut of memory", text
        ):
            asked = re.search(
                r"(?:allocat\w*|[Tt]rying to allocate)\s+(\d[\d.]*\s?(?:[KMGT]i?B|bytes)?)", text
            )
            return f" while allocating {_readable(asked[1].strip())}" if asked else ""
        error = error.__cause__ or error.__context__
    return None


def _readable(amount: str) -> str:
    count = amount.removesuffix("bytes").strip()
    return f"{int(count) / 2**30:.1f} GiB" if count.isdecimal() else amount


class CommandLine:
    """The flags and arguments of one command.

        line = CommandLine(argv, __doc__, arguments={"FILE": "what to look at"})
        line.switch("verbose", False, "Say more.")
        (file,) = line.parse()
        if line["verbose"]: ...

    Flags are absl's: `--name=value`, `--name value`, `--switch`, `--noswitch`, before or after
    the arguments.

    Args:
        argv: program name, then what the user typed.
        about: what the command does, and examples; a module's docstring.
        arguments: arguments without a dash, all of them needed, and what they are.
        optional: further ones that may be left out.
        config: how `--config` stands in the usage, `"--config CONFIG"` or, where it may be left
            out, `"[--config CONFIG]"`; the command's `jrepose.config.parse_flags` reads it and
            `--config.FIELD=VALUE`.  None: it takes none.
        fields: config fields to show in the help, and what they are.
    """

    def __init__(
        self,
        argv: Sequence[str],
        about: str,
        *,
        arguments: Mapping[str, str] | None = None,
        optional: Mapping[str, str] | None = None,
        config: str | None = None,
        fields: Mapping[str, str] | None = None,
    ):
        self.argv, self.flags = list(argv), flags.FlagValues()
        self._about = about
        self._arguments, self._optional = dict(arguments or {}), dict(optional or {})
        self._config, self._fields = config, dict(fields or {})
        self._placeholders: dict[str, str] = {}

    def _define(
        self,
        define: Callable[..., Any],
        name: str,
        default: Any,
        text: str,
        *choices: Sequence[str],
        value: str = "",
        **limits: Any,
    ) -> None:
        define(name, default, *choices, text, flag_values=self.flags, **limits)
        # `--workdir=$UNSET`, for instance: the empty path is the folder that one is in.
        empty = ("",) if default in (None, []) else ("", [])
        flags.register_validator(
            name,
            lambda value: value not in empty and not (isinstance(value, list) and "" in value),
            "no value",
            flag_values=self.flags,
        )
        self._placeholders[name] = "|".join(choices[0]) if choices else value

    # (name, default, help), and `value=` for what stands behind the name in the help.
    text = functools.partialmethod(_define, flags.DEFINE_string, value="TEXT")
    whole = functools.partialmethod(_define, flags.DEFINE_integer, value="N")
    number = functools.partialmethod(_define, flags.DEFINE_float, value="X")
    texts = functools.partialmethod(_define, flags.DEFINE_list, value="A,B")
    each = functools.partialmethod(_define, flags.DEFINE_multi_string, value="TEXT")
    switch = functools.partialmethod(_define, flags.DEFINE_bool)

    def choice(self, name: str, default: str, text: str, choices: Sequence[str]) -> None:
        """A flag with one of a few values."""
        self._define(flags.DEFINE_enum, name, default, text, choices)

    def __getitem__(self, name: str) -> Any:
        return self.flags[name].value

    def peek(self, name: str) -> str | None:
        """A flag's value before anything is parsed; None if it is not there.

        Raises:
            InputError: it is empty.
        """
        found, given = None, iter(self.argv[1:])
        for token in given:
            flag, equals, value = token.partition("=")
            if flag in (f"--{name}", f"-{name}"):
                found = value if equals else next(given, None)
                if found == "":
                    raise InputError(f"--{name} has no value")
        return found

    def show_help(self) -> None:
        """Prints the help and ends the program if `--help` or `-h` is asked for."""
        if {"--help", "-help", "-h"} & set(self.argv[1:]):
            print(self.help())
            raise SystemExit(0)

    def help(self) -> str:
        """What `--help` prints."""
        usage = [f"usage: {self.argv[0]}", *self._arguments]
        usage += [f"[{name}]" for name in self._optional]
        if self._config:
            usage.append(self._config)
        usage.append("[FLAGS]")
        if self._config:
            usage.append("[--config.FIELD=VALUE ...]")
        parts = [" ".join(usage), self._about.strip()]
        if self._arguments or self._optional:
            parts.append(_table("arguments:", self._arguments | self._optional))
        rows = {}
        if self._config:
            rows["--config CONFIG"] = (
                "Name of a config that comes with jrepose (`jrepose configs` lists them), a file "
                "with get_config(), or a run's config.json; NAME:VARIANT for a variant."
            )
        for name in self._placeholders:
            flag, value = self.flags[name], self._placeholders[name]
            shown = name if not flag.boolean else name if not flag.default else f"[no]{name}"
            default = flag.default
            known = default not in (None, False, True, [], "")
            default = ",".join(default) if isinstance(default, list) else default
            text = flag.help.removeprefix(f"<{value}>: ")  # absl's, of a choice
            rows[f"--{shown} {value}".strip()] = text + (f" [{default}]" if known else "")
        rows["--help"] = "Show this."
        parts.append(_table("flags:", rows))
        if self._fields:
            fields = {f"--config.{name}": text for name, text in self._fields.items()}
            parts.append(_table("config fields, among others (`jrepose configs NAME`):", fields))
        return "\n\n".join(parts)

    def parse(self) -> list[str]:
        """Parses the command line of a command without a config.

        `--help` prints the help and ends the program.

        Returns:
            The arguments without a dash.

        Raises:
            InputError: an unknown flag, a value that cannot be, arguments missing or too many.
        """
        self.show_help()
        try:
            given = self.flags(self.argv)[1:]
        except flags.Error as error:
            raise InputError(f"{one_line(error)} (see --help)") from error
        names = list(self._arguments)
        if len(given) < len(names):
            raise InputError(f"{names[len(given)]} is missing (see --help)")
        most = len(names) + len(self._optional)
        if len(given) > most:
            raise InputError(f"unexpected argument {given[most]!r} (see --help)")
        if "" in given:
            name = [*names, *self._optional][given.index("")]
            raise InputError(f"{name} is empty (see --help)")
        return given


def one_line(error: BaseException) -> str:
    """An error's message without line breaks."""
    if isinstance(error, flags.UnrecognizedFlagError):
        return f"unknown flag --{error.flagname}" + str(error).partition(".")[2]
    text = str(error.args[0]) if error.args else str(error)
    return " ".join(line.strip() for line in text.splitlines() if line.strip())


def nearest(name: str, known: Sequence[str]) -> str:
    """`"; did you mean NAME?"`, or nothing where no known name resembles."""
    found = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _table(title: str, rows: Mapping[str, str]) -> str:
    column = min(34, 4 + max(map(len, rows)))
    lines = [title]
    for name, text in rows.items():
        wrapped = textwrap.wrap(text, _WIDTH - column) or [""]
        first = f"  {name}".ljust(column)
        if len(f"  {name}") >= column:
            lines.append(first.rstrip())
            first = " " * column
        lines.append(first + wrapped[0])
        lines += [" " * column + line for line in wrapped[1:]]
    return "\n".join(lines)
