"""`usm report` as it is run: forms, files, times, mistakes."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.fakes.smtp import FakeSMTP
from tests.review_made import UTC, made, session
from usm import cli
from usm.review import verb as review_verb

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
NAME = "=HYPERLINK(1)"


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A configuration whose state file has two sessions; it is the ninth of March."""
    monkeypatch.setattr(review_verb, "now", lambda: NOW)
    monkeypatch.setattr(review_verb, "local_zone", lambda: UTC)
    start = NOW - timedelta(days=2)
    later = session("ann", start + timedelta(hours=1), None)
    made(tmp_path, [session(NAME, start, start + timedelta(hours=1), comment="@x"), later]).close()
    path = tmp_path / "config.yaml"
    path.write_text(f"state: {tmp_path / 'state.db'}\nlanguage: en\n", encoding="utf-8")
    return str(path)


def run(config: str, *arguments: str) -> int:
    """Run the verb."""
    return cli.main(["-c", config, "report", *arguments])


def test_text_is_what_one_gets(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of the last seven days."""
    assert run(configured) == 0
    out = capsys.readouterr().out
    assert "2026-03-02 12:00:00 to 2026-03-09 12:00:00" in out
    assert "sessions: 2\n" in out
    assert run(configured, "--language", "zh") == 0
    assert "会话: 2\n" in capsys.readouterr().out


def test_json_holds_all_of_it(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One object; the sums agree."""
    assert run(configured, "--format", "json", "--since", "2026-03-07", "--until", "2026-03-07") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["since"], found["until"]) == ("2026-03-07T00:00:00+00:00", "2026-03-08T00:00:00+00:00")
    assert found["totals"]["sessions"] == len(found["sessions"]) == 2
    assert found["totals"]["seconds"] == sum(p["seconds"] for p in found["people"]) == 3600 + 11 * 3600
    assert {one["user"]: one["reason_in_span"] for one in found["sessions"]} == {NAME: "disconnected", "ann": "open"}
    assert found["proof"]["fault"] is None


def test_csv_has_no_formula(configured: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each session."""
    assert run(configured, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["user"] for row in rows] == [f"'{NAME}", "ann"]
    assert rows[0]["comment"] == "'@x"
    assert rows[0]["seconds_in_span"] == "3600.0"


def test_a_file_is_for_its_owner_only(configured: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Written whole, in place of the one before, and nothing else is left behind."""
    out = tmp_path / "out"
    out.mkdir()
    target = out / "review.html"
    target.write_text("old")
    target.chmod(0o644)
    assert run(configured, "--format", "html", "--output", str(target), "--user", "ann") == 0
    assert capsys.readouterr().out == ""
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert target.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert NAME not in target.read_text(encoding="utf-8")
    assert os.listdir(out) == ["review.html"]


def test_a_link_or_a_device_is_not_replaced(
    configured: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root must not be led anywhere by a link, and /dev/stdout must stay what it is."""
    target = tmp_path / "link"
    target.symlink_to(tmp_path / "elsewhere")
    assert run(configured, "--output", str(target)) == 1
    assert "it is no file" in capsys.readouterr().err
    assert target.is_symlink()
    assert run(configured, "--output", str(tmp_path / "none" / "x")) == 1
    assert "can't be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--since", "soon"], "is no time"),
        (["--since", "2026-03-08", "--until", "2026-03-01"], "ends before it begins"),
    ],
)
def test_a_span_that_is_none(
    configured: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a mistake of usage."""
    assert run(configured, *arguments) == 2
    assert said in capsys.readouterr().err


def test_without_a_state_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so."""
    path = tmp_path / "config.yaml"
    path.write_text(f"state: {tmp_path / 'none.db'}\n", encoding="utf-8")
    assert run(str(path)) == 1
    assert "there is no state file" in capsys.readouterr().err


@pytest.mark.usefixtures("configured")
def test_a_page_by_mail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Through a real mail server: the summary as text, the page attached; a channel of another type is refused."""
    with FakeSMTP(largest=10 << 20) as server:
        path = tmp_path / "config.yaml"
        mail = {"smtp_host": "127.0.0.1", "smtp_port": server.port, "security": "none"}
        tree = {
            "state": str(tmp_path / "state.db"),
            "language": "en",
            "notify": {"email": {**mail, "from": "usm@example.com", "to": ["auditor@example.com"]}, "console": {}},
        }
        path.write_text(json.dumps(tree), encoding="utf-8")
        assert run(str(path), "--mail", "email") == 0
        (got,) = server.wait_for(1)
        assert run(str(path), "--mail", "console") == 1
        assert run(str(path), "--mail", "nobody") == 1
    assert got.recipients == ("auditor@example.com",)
    assert str(got.message["Subject"]).startswith("Access review: ")
    (attached,) = got.message.iter_attachments()
    assert (attached.get_filename(), attached.get_content_type()) == ("review-2026-03-09.html", "text/html")
    assert attached.get_content().startswith("<!DOCTYPE html>")
    body = got.message.get_body(("plain",))
    assert body is not None
    assert "sessions: 2" in body.get_content()
    said = capsys.readouterr()
    assert said.out == ""
    assert "usm: email: sent" in said.err
    assert "there are: email" in said.err
