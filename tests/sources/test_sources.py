"""usm/sources/__init__.py: where reading goes on when the source is the same as before, or another."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional

import pytest

from usm import sources
from usm.sources import open_source

if TYPE_CHECKING:
    from pathlib import Path

THEN = datetime(2026, 11, 23, 3, 0, tzinfo=timezone.utc)
MICROS = 1795402800000000


class Opened:
    """What a source was opened with."""

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - whatever it is
        self.arguments, self.more = arguments, more


@pytest.fixture(autouse=True)
def _opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "JournalSource", Opened)
    monkeypatch.setattr(sources, "FileSource", Opened)


@pytest.mark.parametrize(
    ("watched", "cursor", "since"),
    [
        (None, "stored", None),
        (("journal", THEN), "stored", MICROS),
        (("file:/var/log/auth.log", THEN), None, MICROS),
    ],
)
def test_the_journal_goes_on_where_anything_was_read_last(
    caplog: pytest.LogCaptureFixture,
    watched: Optional[tuple[str, datetime]],
    cursor: Optional[str],
    since: Optional[int],
) -> None:
    """At its own cursor; after another source at that source's time, or the same would be told twice."""
    name, source = open_source(None, lambda _name: "stored", watched, ("sshd",))
    assert name == "journal"
    assert isinstance(source, Opened)
    assert (source.arguments, source.more) == ((("sshd",), cursor), {"since": since})
    assert ("this machine's lines only" in caplog.text) == (watched is not None and watched[0] != "journal")


@pytest.mark.parametrize(
    ("watched", "cursor", "warned"),
    [
        (None, "stored", False),
        (("file:{}", THEN), "stored", False),
        (("journal", THEN), None, True),
        (("file:/var/log/other", THEN), None, True),
    ],
)
def test_a_file_goes_on_only_after_itself(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    watched: Optional[tuple[str, datetime]],
    cursor: Optional[str],
    warned: bool,  # noqa: FBT001 - a case
) -> None:
    """After another source it is read from now on, and what may be missing is said."""
    path = str(tmp_path / "auth.log")
    last = None if watched is None else (watched[0].format(path), watched[1])
    name, source = open_source(path, lambda _name: "stored", last, ())
    assert name == f"file:{path}"
    assert isinstance(source, Opened)
    assert source.arguments == (path, cursor)
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} is read from now on: what was written to it since 2026-11-23T03:00:00+00:00, when {last[0]} was read "
        "last, is not told"
        for _ in range(warned)
        if last is not None
    ]
