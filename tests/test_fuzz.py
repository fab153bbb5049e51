"""The fuzzer's seeds, replayed; and a small run of it that is the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzz

SEEDS = sorted((Path(__file__).parent / "data" / "fuzz" / "seeds").iterdir())


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_a_seed_does_no_harm(path: Path) -> None:
    """What once failed, and the worst lines for each pattern that a hand can make."""
    fuzz.check(path.read_bytes())


def test_there_are_seeds() -> None:
    """So that an empty directory is noticed."""
    assert len(SEEDS) >= 20


def test_a_short_run_finds_nothing() -> None:
    """The same three hundred executions every time."""
    found: list[tuple[str, bytes]] = []
    number, events = fuzz.run(7, lambda n: n < 300, timed=False, found=lambda what, data: found.append((what, data)))
    assert found == []
    assert number == 300
    assert events > 100
