"""`usm explain` and `usm baseline`: why something was abnormal or not, and what is usual; as text and for programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.findings import DAY, EN, HOME, KEY, OTHER, SCENES, ZH, World
from usm import cli, config
from usm.core.phrasing import why_not
from usm.core.rules import RULES
from usm.core.rules.case import REASONS
from usm.explain import UnknownError, explained, explanation, explanation_json, findings_rows
from usm.history import latest
from usm.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from usm.core.look import Look

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def world() -> World:
    """Return a machine on which alice is known and comes from elsewhere."""
    world = World("judge: {rules: {dormant: off}}\nsilence: [{rule: new-user}]")
    for day in range(-6, 0):
        world.visit(day * DAY, key=KEY)
    world.login(0 * DAY, ip=OTHER, key=KEY)
    return world


def test_a_finding_is_explained_by_the_id_of_its_message_and_of_its_session(world: World) -> None:
    """The message as it was told, then why the other rules found nothing."""
    alert = world.alerts()[-1]
    for identity in (alert.id, alert.event.session or ""):
        (judged,) = explained(world.store, identity)
        text = explanation(judged, EN).splitlines()
        assert text[0] == "User login (abnormal)"
        assert any(line.startswith("Finding: new source: none of the user's 6 logins") for line in text)
        assert "  new-key: known: SHA256:" + "a" * 43 + " was seen ×6, last at 2026-11-24 12:00:00" in text
        body = explanation_json(judged)
        assert body["event"]["session"] == alert.event.session
        assert [finding["rule"] for finding in body["findings"]] == ["new-source"]
        assert {"rule": "new-user", "reason": "known"}.items() <= body["verdicts"][0].items()
        json.dumps(body)


def test_an_ordinary_login_is_explained_too(world: World) -> None:
    """By its session, with what was compared."""
    session = world.store.sessions(everything=True)[1]
    (judged,) = explained(world.store, session.id)
    text = explanation(judged, EN).splitlines()
    assert text[0] == "User login"
    assert "  new-source: known: 203.0.113.0/24 was seen ×1, last at 2026-11-19 12:00:00" in text
    assert explanation_json(judged)["event"]["user"] == "alice"
    assert explanation_json(judged)["findings"] == []


def test_what_silenced_it_is_named(world: World) -> None:
    """By its number in the configuration."""
    session = world.store.sessions(everything=True)[0]
    (judged,) = explained(world.store, session.id)
    assert "  new-user: silenced by number 1 of `silence:`" in explanation(judged, EN).splitlines()
    assert "  new-user：被 silence 第 1 条静默".replace("：", ": ") in explanation(judged, ZH).splitlines()


def test_the_end_of_a_session_is_beside_its_beginning() -> None:
    """All that was judged of it, oldest first."""
    world = World()
    SCENES["abnormal-end"].play(world)
    session = world.store.sessions(everything=True)[-1]
    kinds = [explanation_json(judged)["event"]["kind"] for judged in explained(world.store, session.id)]
    assert kinds == ["login", "logout"]


@pytest.mark.parametrize(
    "identity", ["", "x", "00C0FFEE00C0FFEE", "00c0ffee00c0ffe", "'; DROP TABLE judgement; --", "\x1b[31m"]
)
def test_what_is_no_id(world: World, identity: str) -> None:
    """It is said what one looks like, and nothing of it reaches the terminal."""
    with pytest.raises(UnknownError, match="is no id of an event; it is the 16 digits of `session` or `id`") as caught:
        explained(world.store, identity)
    assert "\x1b" not in str(caught.value)


def test_an_id_that_is_not_known(world: World) -> None:
    """It may be too old, or have been nothing out of the ordinary."""
    with pytest.raises(UnknownError, match=r"nothing is kept of 0000000000000000: .*older than the retention"):
        explained(world.store, "0" * 16)


def test_the_latest_findings_as_a_table(world: World) -> None:
    """With the id to ask about."""
    with world.store.reading() as db:
        ((identity, time, user, severity, said),) = findings_rows(latest(db, 20), EN)
    assert (identity, time, user, severity) == (world.alerts()[-1].id, "2026-11-25 12:00:00", "alice", "notice")
    assert said.startswith("[new-source] new source: none of the user's 6 logins before came from 198.51.100.0/24")


@pytest.mark.parametrize("look", [ZH, EN], ids=["zh", "en"])
@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_words(reason: str, look: Look) -> None:
    """Also where a verdict has no facts."""
    facts = {"value": "v", "count": "3", "last": "2026-11-25T12:00:00+08:00", "number": "2", "limit": "5"}
    for given in ({}, facts):
        assert not re.search(r"[{}]", why_not(reason, given, look))


@pytest.mark.parametrize("rule", RULES)
def test_every_scene_can_be_explained(rule: str) -> None:
    """In both languages, all that was judged there."""
    world = World(json.dumps({"judge": dict(SCENES[rule].judge)}), SCENES[rule].places)
    SCENES[rule].play(world)
    with world.store.reading() as db:
        found = latest(db, 20)
    for judged in found:
        for look in (ZH, EN):
            assert f"[{rule}]" in explanation(judged, look) or rule not in [f["rule"] for f in judged.findings]
    for session in world.store.sessions(everything=True):
        assert "\n  " in "\n".join(explanation(judged, EN) for judged in explained(world.store, session.id))


# -- the commands


@pytest.fixture
def run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command beside a state file in which all of this is; it gives exit code, output, errors."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    monkeypatch.setattr(config, "DEFAULT_PATH", str(tmp_path / "none.yaml"))
    with world.store.reading() as db:
        db.execute("VACUUM INTO ?", (str(tmp_path / "state.db"),))
    (tmp_path / "config.yaml").write_text(f"state: {tmp_path}/state.db\nlanguage: en\n")

    def runner(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["-c", str(tmp_path / "config.yaml"), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return runner


def test_explain_without_an_event_lists_what_was_found(run: Run, world: World) -> None:
    """As a table, or an object a line."""
    code, out, _ = run("explain")
    assert (code, out.split()[:5]) == (0, ["ID", "TIME", "USER", "SEVERITY", "FINDINGS"])
    assert world.alerts()[-1].id in out
    code, out, _ = run("explain", "--format", "json")
    (body,) = map(json.loads, out.splitlines())
    assert [finding["rule"] for finding in body["findings"]] == ["new-source"]


def test_explain_an_event(run: Run, world: World) -> None:
    """By either id; of one that nobody knows it is said."""
    code, out, _ = run("explain", world.alerts()[-1].id)
    assert (code, out.splitlines()[0]) == (0, "User login (abnormal)")
    code, out, _ = run("explain", world.alerts()[-1].event.session or "", "--format", "json")
    assert (code, json.loads(out)["event"]["source_ip"]) == (0, OTHER)
    code, out, err = run("explain", "0" * 16)
    assert (code, out) == (1, "")
    assert err.startswith(f"usm: nothing is kept of {'0' * 16}: ")
    assert run("explain", "what")[0] == 1


def test_explain_where_nothing_was_found(run: Run, tmp_path: Path) -> None:
    """That is an answer."""
    (tmp_path / "state.db").unlink()
    assert run("explain")[0] == 1  # nothing was started yet
    Store(str(tmp_path / "state.db")).close()
    assert run("explain")[:2] == (0, "nothing was found\n")


def test_baseline_says_what_is_usual(run: Run) -> None:
    """Each value with how often, since when, and last when."""
    code, out, _ = run("baseline", "alice")
    assert code == 0
    rows = [re.split(r"\s{2,}", row.strip()) for row in out.splitlines()]
    assert rows[0] == ["HOST", "FACT", "VALUE", "TIMES", "FIRST", "LAST"]
    assert ["web01", "login", "-", "7", "2026-11-19 12:00:00", "2026-11-25 12:00:00"] in rows
    assert ["web01", "address", HOME, "6", "2026-11-19 12:00:00", "2026-11-24 12:00:00"] in rows


def test_baseline_for_programs(run: Run) -> None:
    """One object a host, every fact a list, times with their offset."""
    code, out, _ = run("baseline", "alice", "--format", "json")
    body: dict[str, Any] = json.loads(out)
    assert (code, body["user"], body["host"]) == (0, "alice", "web01")
    assert body["network"] == [
        {
            "value": "198.51.100.0/24",
            "times": 1,
            "first": "2026-11-25T04:00:00+00:00",
            "last": "2026-11-25T04:00:00+00:00",
        },
        {
            "value": "203.0.113.0/24",
            "times": 6,
            "first": "2026-11-19T04:00:00+00:00",
            "last": "2026-11-24T04:00:00+00:00",
        },
    ]
    assert body["asn"] == []
    assert (body["since"], body["learning_until"]) == ("2026-09-26T04:00:00+00:00", "2026-10-03T04:00:00+00:00")


def test_baseline_of_nobody(run: Run) -> None:
    """It is said, and what was typed acts on no terminal."""
    for form in ("text", "json"):
        code, out, err = run("baseline", "mallory\x1b[31m", "--format", form)
        assert (code, out) == (1, "")
        assert err == "usm: nothing is known of mallory\ufffd[31m: no login was seen\n"
