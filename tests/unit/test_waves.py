"""How an update of many is divided, and when it goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.errors import WavesRefused
from instances.waves import Verdict, WaveCount, judge, normalized, sizes


@pytest.mark.parametrize(
    ("waves", "number", "expected"),
    [
        ("1,5,20%", 60, [1, 5, 12, 12, 12, 12, 6]),
        ("1,5,20%", 6, [1, 5]),
        ("1,5,20%", 3, [1, 2]),
        ("1,5,20%", 1, [1]),
        ("1,5,20%", 0, []),
        ("1, 5, 20 %", 60, [1, 5, 12, 12, 12, 12, 6]),
        ("20%", 7, [2, 2, 2, 1]),
        ("1%", 7, [1, 1, 1, 1, 1, 1, 1]),
        ("100%", 7, [7]),
        ("50%,1", 7, [4, 1, 1, 1]),
        ("3", 7, [3, 3, 1]),
        ("999999", 7, [7]),
        ("1,100%", 1000, [1, 999]),
    ],
)
def test_sizes(waves: str, number: int, expected: list[int]) -> None:
    assert sizes(waves, number) == expected


@pytest.mark.parametrize(
    "waves", ["", ",", "1,,2", "0", "0%", "101%", "-1", "1.5", "five", "%", "1;2", "1" * 7, "٣", ",".join("1" * 21)]
)
def test_what_is_no_wave_is_refused(waves: str) -> None:
    with pytest.raises(WavesRefused):
        sizes(waves, 10)


@settings(deadline=None)
@given(
    parts=st.lists(
        st.one_of(st.integers(1, 999).map(str), st.integers(1, 100).map("{}%".format)), min_size=1, max_size=20
    ),
    number=st.integers(0, 500),
)
def test_everybody_has_one_turn(parts: list[str], number: int) -> None:
    found = sizes(",".join(parts), number)
    assert sum(found) == number
    assert all(found)


def test_it_is_stored_without_blanks_and_leading_zeros() -> None:
    assert normalized(" 01, 5 ,20 % ") == "1,5,20%"


@pytest.mark.parametrize(
    ("wave", "percent", "expected"),
    [
        (WaveCount(waiting=5), 10, Verdict.FILE),
        (WaveCount(waiting=3, running=2), 10, Verdict.FILE),
        (WaveCount(running=2, updated=3), 10, Verdict.WAIT),
        (WaveCount(updated=5), 10, Verdict.NEXT),
        (WaveCount(updated=9, failed=1), 10, Verdict.NEXT),
        (WaveCount(updated=8, failed=1), 10, Verdict.STOP),
        (WaveCount(failed=1), 10, Verdict.STOP),
        (WaveCount(updated=99, failed=1), 0, Verdict.STOP),
        (WaveCount(failed=5), 100, Verdict.NEXT),
        (WaveCount(waiting=1, failed=5), 100, Verdict.FILE),
        # Too many have failed already: nothing new begins, and what runs may end.
        (WaveCount(waiting=17, running=1, failed=2), 10, Verdict.FILE),
        (WaveCount(waiting=16, running=1, failed=3), 10, Verdict.WAIT),
        (WaveCount(waiting=16, updated=1, failed=3), 10, Verdict.STOP),
        # What was skipped is no success.
        (WaveCount(updated=4, failed=1, skipped=15), 10, Verdict.STOP),
        (WaveCount(skipped=3), 10, Verdict.NEXT),
        (WaveCount(), 10, Verdict.NEXT),
    ],
)
def test_verdict(wave: WaveCount, percent: int, expected: Verdict) -> None:
    assert judge(wave, percent) == expected
