"""tests/data: what real systems wrote, and what the drivers of their clients know to have happened.

`logs` is a real sshd with rsyslogd in a laboratory, `machines` are booted Debian systems, each of which wrote the same
happenings four times: as Debian, as RHEL and as SUSE write their files, and into the journal.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from usm.core.look import Look
from usm.core.model import KINDS
from usm.replay import replay

DATA = Path(__file__).parent / "data"
LOGS = DATA / "logs"
MACHINES = sorted((DATA / "machines").iterdir())
SOURCES = ("auth.log", "secure.log", "messages.log", "journal.json.xz")
Fact = dict[str, Any]


def events(log: Path) -> list[Fact]:
    """Return what `usm replay` prints."""
    now = datetime(2026, 12, 31, tzinfo=timezone.utc)
    return [json.loads(line) for line in replay([str(log)], frozenset(KINDS), "json", Look("en", timezone.utc), now)]


def rows(path: Path) -> list[Fact]:
    """Return the truth."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda path: path.stem)
def test_a_recording_tells_what_happened(log: Path) -> None:
    """Every event of the truth, in its order, with every fact that the truth names, and no other event."""
    truth, told = rows(log.with_suffix(".jsonl")), events(log)
    assert [{name: event.get(name) for name in fact} for event, fact in zip(told, truth)] == truth
    assert len(told) == len(truth)


def wanted(row: Fact, source: str) -> list[Fact]:
    """Return the facts that one source can show of what happened, and none where it shows nothing.

    A row may say that it shows in one kind of source only, or differently there, or that no line tells it.
    """
    kind = "journal" if source == "journal" else "file"
    facts = {name: value for name, value in row.items() if name not in ("journal", "file", "only", "scenario")}
    facts.update(row.get(kind, {}))
    logged = facts.pop("logged", True)
    return [] if logged is False or row.get("only", kind) != kind else [{**facts, "maybe": logged == "maybe"}]


def shows(event: Fact, fact: Fact) -> bool:
    """Tell whether an event is the one that happened; login(1) says of an unknown name either that, or which."""
    if fact["service"] == "login" and fact.get("invalid_user"):
        named = (event.get("user"), event.get("invalid_user"))
        if named not in ((None, True), (fact["user"], False)):
            return False
        fact = {name: value for name, value in fact.items() if name not in ("user", "invalid_user")}
    return all(event.get(name) == value for name, value in fact.items() if name != "maybe")


def unmatched(told: list[Fact], truth: list[Fact]) -> tuple[list[Fact], list[Fact]]:
    """Return what was told and did not happen, and what happened and was not told (but what chance decides)."""
    left, missing = list(told), []
    for fact in truth:
        found = next((event for event in left if shows(event, fact)), None)
        if found is not None:
            left.remove(found)
        elif not fact["maybe"]:
            missing.append(fact)
    return left, missing


@pytest.mark.parametrize("source", SOURCES, ids=lambda name: name.split(".")[0])
@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_a_machine_tells_what_happened(machine: Path, source: str) -> None:
    """Every event of the truth with every fact that it names, and no other event, in every dress and in the journal."""
    truth = [fact for row in rows(machine / "truth.jsonl") for fact in wanted(row, source.split(".")[0])]
    told = events(machine / source)
    assert len(truth) > 180
    assert unmatched(told, truth) == ([], [])
    opened = [(row["user"], row["source_port"]) for row in truth if row["kind"] == "login"]
    assert [(event["user"], event["source_port"]) for event in told if event["kind"] == "login"] == opened


@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_no_forged_record_counts(machine: Path) -> None:
    """A local user wrote perfect texts in every way there is, and ran a sshd of her own: only what happened is told."""
    truth = [fact for row in rows(machine / "forged.truth.jsonl") for fact in wanted(row, "journal")]
    told = events(machine / "forged.journal.json.xz")
    assert truth
    assert unmatched(told, truth) == ([], [])
