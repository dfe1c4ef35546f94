"""Renders the templates of templates/host/. A value becomes part of a file only through a quoting filter."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "host"


def python_literal(value: object) -> str:
    """``value`` as a Python literal in ASCII. Raises TypeError for what has no literal form."""
    match value:
        case None | bool() | int() | float() | str():
            return ascii(value)
        case Path():
            return ascii(str(value))
        case list() | tuple():
            return "[" + ", ".join(python_literal(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(f"{python_literal(k)}: {python_literal(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"{type(value).__name__} cannot be written as a Python literal")


@lru_cache(maxsize=1)
def environment() -> Environment:
    """The environment of all host templates."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["python"] = python_literal
    return made


def render(template: str, **values: object) -> str:
    """Raises jinja2.UndefinedError if a value that the template names is missing."""
    return environment().get_template(template).render(**values)
