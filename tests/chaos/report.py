"""What became of the trials: the table that ``make chaos`` prints, and whether it is good."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

HEADS = ("what happened", "trials", "converged", "leaked", "lost", "worst s", "median s")


@dataclass
class Row:
    """All trials of one kind of fault. ``seconds``: from the fault to convergence, each."""

    trials: int = 0
    converged: int = 0
    leaked: int = 0
    lost: int = 0
    seconds: list[float] = field(default_factory=list)


class Report:
    """Collects trials; ``troubles`` says of each that is not good what was found."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.troubles: list[str] = []

    def trial(
        self, what: str, seconds: float | None, *, leaked: Iterable[str] = (), lost: Iterable[str] = (), at: str = ""
    ) -> None:
        """``seconds``: None when it did not converge. ``at``: the point of the fault, for the troubles."""
        leaked, lost = sorted(leaked), sorted(lost)
        row = self.rows.setdefault(what, Row())
        row.trials += 1
        row.converged += seconds is not None
        row.leaked += bool(leaked)
        row.lost += bool(lost)
        if seconds is not None:
            row.seconds.append(round(seconds, 2))
        for kind, found in (("leaked", leaked), ("lost", lost)):
            self.troubles += [f"{what}{at and f', {at}'}: {kind} {text}" for text in found]

    def trouble(self, text: str) -> None:
        """Something is wrong that belongs to no trial, or says more of one."""
        self.troubles.append(text)

    @property
    def is_good(self) -> bool:
        rows = self.rows.values()
        return not self.troubles and all(
            row.converged == row.trials and not row.leaked and not row.lost for row in rows
        )

    def add(self, other: Report) -> None:
        for what, row in other.rows.items():
            mine = self.rows.setdefault(what, Row())
            mine.trials += row.trials
            mine.converged += row.converged
            mine.leaked += row.leaked
            mine.lost += row.lost
            mine.seconds += row.seconds
        self.troubles += other.troubles

    def save(self, path: Path) -> None:
        rows = {what: asdict(row) for what, row in self.rows.items()}
        path.write_text(json.dumps({"rows": rows, "troubles": self.troubles}))

    @classmethod
    def load(cls, path: Path) -> Report:
        return cls.of(path.read_text())

    @classmethod
    def of(cls, text: str) -> Report:
        """What save() has written."""
        report, content = cls(), json.loads(text)
        report.rows = {what: Row(**row) for what, row in content["rows"].items()}
        report.troubles = content["troubles"]
        return report

    def lines(self) -> list[str]:
        """The table, its sum, and what is wrong."""
        whole = Row()
        for row in self.rows.values():
            whole.trials += row.trials
            whole.converged += row.converged
            whole.leaked += row.leaked
            whole.lost += row.lost
            whole.seconds += row.seconds
        table = [HEADS, *(_cells(what, row) for what, row in self.rows.items()), _cells("all", whole)]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(HEADS))]
        lines = [
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
            )
            for cells in table
        ]
        return [*lines, *self.troubles]


def _cells(what: str, row: Row) -> tuple[str, ...]:
    ordered = sorted(row.seconds)
    worst = f"{ordered[-1]:.1f}" if ordered else "-"
    median = f"{ordered[len(ordered) // 2]:.1f}" if ordered else "-"
    return (what, str(row.trials), str(row.converged), str(row.leaked), str(row.lost), worst, median)


@contextmanager
def told(text: str) -> Iterator[None]:
    """Say on the screen what goes on, and how long it took."""
    began = time.monotonic()
    print(f"… {text}", flush=True)
    yield
    print(f"  {text}: {time.monotonic() - began:.0f} s", flush=True)
