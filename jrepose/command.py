"""What every command line shares: exit statuses, one-line errors, `--config`."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import ConfigDict, config_flags

from jrepose.errors import InputError
from jrepose.host_memory import reuse_freed_memory


def run(command: Callable[[Sequence[str]], int], argv: Sequence[str]) -> int:
    """Runs a command; unusable input becomes one line and exit status 2."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    logging.getLogger("jrepose").setLevel(logging.INFO)
    reuse_freed_memory()
    try:
        return command(argv)
    except InputError as error:
        print(f"{argv[0]}: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse_config(flag_values: flags.FlagValues, argv: Sequence[str]) -> ConfigDict:
    """Defines `--config`, parses `argv` with all flags and returns the config.

    `--help` prints the flags and ends the program.

    Args:
        flag_values: holds the flags that the command defined itself.
        argv: program name, then the arguments.

    Raises:
        InputError: unknown flag or field, unreadable file, or a value of the wrong type.
    """
    if "--help" in argv or "-h" in argv:
        print(f"usage: {argv[0]} --config FILE[:variant] [--config.FIELD=VALUE ...]")
        print(flag_values.get_help())
        raise SystemExit(0)
    config_flags.DEFINE_config_file(
        "config", None, "Config file, optionally FILE:variant.", flag_values=flag_values,
        sys_argv=list(argv),
    )  # fmt: skip
    try:
        rest = flag_values(list(argv))
        if flag_values["config"].value is None:
            raise InputError("--config FILE is missing")
        config = flag_values["config"].value
        list(config)  # a config file that failed to load complains at first use
    except InputError:
        raise
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(_one_line(error)) from error
    except Exception as error:  # a config file is a program and can fail in any way
        raise InputError(f"config file: {type(error).__name__}: {error}") from error
    if len(rest) > 1:
        raise InputError(f"unexpected argument {rest[1]!r}")
    return config


def _one_line(error: Exception) -> str:
    text = str(error.args[0]) if error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    missing = [line for line in lines if line.startswith("[Errno 2]")]
    if missing:
        return "no config file" + missing[0].removeprefix("[Errno 2] No such file or directory")
    if any(line.startswith("Traceback") for line in lines):
        # A failing config file is reported as a traceback; its last line says what happened.
        return lines[-1].removeprefix(f"{InputError.__module__}.{InputError.__name__}: ")
    message = " ".join(lines)
    if isinstance(error, AttributeError | KeyError):
        suggestion = re.search(r'Did you mean "(.+)" instead of "(.+)"', message)
        if suggestion:
            return f"unknown config field {suggestion[2]}; did you mean {suggestion[1]}?"
        return "unknown config field " + re.sub(r"[\\'\"]", "", message)
    return message
