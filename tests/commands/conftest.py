"""Runs a manage.py command in this process and gives what a shell would see."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError


@dataclass(frozen=True)
class Answer:
    """What was printed on standard output, the error message, and the exit code."""

    out: str
    error: str
    code: int


Run = Callable[..., Answer]


@pytest.fixture
def manage() -> Run:
    def run(*arguments: str, **options: Any) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        try:
            call_command(*arguments, stdout=out, stderr=err, **options)
        except CommandError as error:
            return Answer(out.getvalue(), f"{err.getvalue()}{error}", error.returncode)
        return Answer(out.getvalue(), err.getvalue(), 0)

    return run
