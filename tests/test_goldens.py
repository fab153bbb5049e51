"""tests/data/logs: what a real sshd wrote, and what the drivers of its clients know to have happened."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from usm.core.model import KINDS
from usm.core.text import Look
from usm.replay import replay

LOGS = Path(__file__).parent / "data" / "logs"


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_recording_tells_what_happened(log: Path) -> None:
    """Every event of the truth, in its order, with every fact that the truth names, and no other event."""
    truth = [json.loads(line) for line in log.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()]
    now = datetime(2026, 12, 31, tzinfo=timezone.utc)
    look = Look("en", timezone.utc)
    told = [json.loads(line) for line in replay([str(log)], frozenset(KINDS), "json", look, now)]
    assert [{name: event.get(name) for name in fact} for event, fact in zip(told, truth)] == truth
    assert len(told) == len(truth)
