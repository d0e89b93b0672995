"""Config files: those that come with jrepose, found by name, and the user's own.

A config file is a program with a `get_config(variant="")`.  Nothing here imports JAX, so that
listing them and `--help` are quick.
"""

from __future__ import annotations

import ast
import inspect
import pathlib
import traceback

from ml_collections import ConfigDict

from jrepose.command import nearest
from jrepose.errors import InputError


def folder() -> pathlib.Path:
    """Where the configs that come with jrepose are: in the package, or beside it in a checkout.

    Raises:
        InputError: an installation without them.
    """
    package = pathlib.Path(__file__).resolve().parent
    for place in (package / "configs", package.parent / "configs"):
        if (place / "demo.py").is_file():
            return place
    raise InputError("this installation of jrepose has no configs; install it again")


def names() -> list[str]:
    """Names of the configs that come with jrepose."""
    return sorted(path.stem for path in folder().glob("*.py") if path.stem != "__init__")


def find(spec: str) -> tuple[pathlib.Path, str | None]:
    """The file that `--config` names.

    Args:
        spec: `FILE` or `NAME`, either with `:VARIANT` behind it.  A file of the user's goes
            before a config of that name that comes with jrepose.

    Returns:
        The file, and the variant if one is named.

    Raises:
        InputError: no such file or name.
    """
    if pathlib.Path(spec).is_file():
        return pathlib.Path(spec), None
    name, colon, variant = spec.rpartition(":")
    if not colon:
        name, variant = spec, ""
    chosen = variant if colon else None
    path = pathlib.Path(name)
    if path.is_file():
        return path, chosen
    if path.name == name and path.stem in names() and path.suffix in ("", ".py"):
        return folder() / f"{path.stem}.py", chosen
    known = names()
    if path.stem in known and (path.parent.name or ".") in (".", "configs"):
        hint = f"; did you mean --config {path.stem}{colon}{variant}, which comes with jrepose?"
    else:
        hint = nearest(path.stem, known) or f"; jrepose has {', '.join(known)}"
    raise InputError(f"no config file {name!r}{hint}")


def run(path: pathlib.Path, variant: str | None = None) -> ConfigDict:
    """The config that a file makes.

    Args:
        path: the file.  It is a program and is executed.
        variant: what `get_config` is called with; None calls it without argument.

    Raises:
        InputError: not a program, no `get_config`, it fails, or returns something else.
    """
    scope = {"__name__": f"config_{path.stem}", "__file__": str(path)}
    try:
        code = compile(path.read_bytes(), str(path), "exec")
        exec(code, scope)
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"config file {path}: {_what(error)}") from error
    except Exception as error:  # a program can fail in any way
        raise InputError(f"config file {path}: {_what(error, path)}") from error
    get_config = scope.get("get_config")
    if not callable(get_config):
        raise InputError(f"config file {path} has no function get_config()")
    given = () if variant is None else (variant,)
    if given and not _takes(get_config, variant):
        if not variant:
            given = ()
        else:
            raise InputError(f"config file {path} has no variant {variant!r}; it has none")
    try:
        config = get_config(*given)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"config file {path}: {_what(error, path)}") from error
    if not isinstance(config, ConfigDict):
        raise InputError(
            f"config file {path}: get_config() returned a {type(config).__name__}, expected an "
            "ml_collections.ConfigDict"
        )
    return config


def summary(path: pathlib.Path) -> str:
    """The first line of a config file's docstring."""
    return docstring(path).partition("\n")[0]


def docstring(path: pathlib.Path) -> str:
    """A config file's docstring; the file is not executed."""
    return ast.get_docstring(_parsed(path)) or ""


def variants(path: pathlib.Path) -> list[str]:
    """A config file's variants, from its `VARIANTS`; the file is not executed."""
    for statement in _parsed(path).body:
        if isinstance(statement, ast.Assign):
            if [ast.unparse(target) for target in statement.targets] == ["VARIANTS"]:
                return [name for name in ast.literal_eval(statement.value) if name]
    return []


def _takes(function: object, argument: str) -> bool:
    try:
        inspect.signature(function).bind(argument)
    except TypeError:
        return False
    return True


def _what(error: Exception, path: pathlib.Path | None = None) -> str:
    """The error in one line, and the line of the file in which it happened."""
    text = " ".join(str(error).split())
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"line {lines[-1]}: " if lines else ""
    return f"{where}{type(error).__name__}: {text}"


def _parsed(path: pathlib.Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
