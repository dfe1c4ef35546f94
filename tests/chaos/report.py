"""What became of the trials, as the table that ``make chaos`` prints."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Row:
    """All trials of one kind of fault. ``seconds``: from the fault to convergence, each."""

    trials: int = 0
    converged: int = 0
    leaked: int = 0
    lost: int = 0
    seconds: list[float] = field(default_factory=list)


class Report:
    """Thread-safe."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.troubles: list[str] = []
        self._lock = threading.Lock()

    def trial(self, fault: str, seconds: float | None, *, leaked: Iterable[str] = (), lost: str = "") -> None:
        """``seconds``: None when it did not converge. ``lost``: what of the data is missing."""
        leaked = sorted(leaked)
        with self._lock:
            row = self.rows.setdefault(fault, Row())
            row.trials += 1
            row.converged += seconds is not None
            row.leaked += bool(leaked)
            row.lost += bool(lost)
            if seconds is not None:
                row.seconds.append(seconds)

    def trouble(self, text: str) -> None:
        with self._lock:
            self.troubles.append(text)

    @property
    def is_good(self) -> bool:
        bad = (row for row in self.rows.values() if row.converged < row.trials or row.leaked or row.lost)
        return not self.troubles and next(bad, None) is None

    def lines(self) -> list[str]:
        head = f"{'fault':44} {'trials':>7} {'converged':>10} {'leaked':>7} {'lost':>5} {'worst s':>8} {'median s':>9}"
        lines = [head]
        for fault, row in sorted(self.rows.items()):
            ordered = sorted(row.seconds)
            worst = f"{ordered[-1]:.1f}" if ordered else "-"
            median = f"{ordered[len(ordered) // 2]:.1f}" if ordered else "-"
            lines.append(
                f"{fault:44} {row.trials:7} {row.converged:10} {row.leaked:7} {row.lost:5} {worst:>8} {median:>9}"
            )
        total = sum(row.trials for row in self.rows.values())
        return [*lines, f"{total} trials", *self.troubles]
