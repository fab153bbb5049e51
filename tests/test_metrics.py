"""What Prometheus reads, and what is made of it: the page, its documentation, the dashboard, the alert rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.channels.samples import MESSAGES
from tests.support import slots
from usm.core.message import DEAD, FAILING, FAULT, PENDING, SENT, SUPPRESSED, WAITING, WORKS
from usm.core.route import Slot
from usm.metrics import FAMILIES, prometheus
from usm.outbox import Outbox
from usm.status import ChannelStatus, Problem, Status, status
from usm.store import Store

UTC = timezone.utc
NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parent.parent
PAGE, MONITORING = ROOT / "docs" / "metrics.md", ROOT / "docs" / "monitoring"
DASHBOARD, RULES = MONITORING / "grafana-dashboard.json", MONITORING / "alerts.yml"
WIDTH = 24  # columns of a Grafana dashboard
UNITS = ("seconds", "bytes")  # https://prometheus.io/docs/practices/naming/#base-units
OTHER_UNITS = ("minutes", "hours", "days", "milliseconds", "ms", "us", "kilobytes", "kb", "mb", "mib", "percent")
ODD = 'a "b" \\ c\\n\nd é 李'

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: apt-get install prometheus")

NEW = Status(
    running=False,
    pid=None,
    version=None,
    started=None,
    source=None,
    why=None,
    watched=None,
    behind=0,
    lag=0.0,
    configured=None,
    refused=(),
    problem=None,
    sessions=0,
    channels=(),
    counters={},
)
FULL = Status(
    running=True,
    pid=4242,
    version="1.2.3",
    started=NOW - timedelta(days=1),
    source="file:/var/log/auth.log",
    why="as configured",
    watched=NOW - timedelta(seconds=1.5),
    behind=65536,
    lag=0.25,
    configured=NOW - timedelta(hours=1),
    refused=("notify: must be keys",),
    problem=Problem("error", NOW, "the disk is full"),
    sessions=3,
    channels=(
        ChannelStatus("new", WORKS, None, None, None, {}),
        ChannelStatus(
            "feishu", FAILING, NOW, "timeout", "no answer", {SENT: 7, PENDING: 2}, NOW - timedelta(minutes=1)
        ),
        ChannelStatus("ding", FAULT, NOW, "310000", "x", {PENDING: 3, DEAD: 1, WAITING: 4}, NOW + timedelta(hours=1)),
    ),
    counters={
        ("lines",): 123_456_789_012,
        ("events", "login"): 5,
        ("unrecognised", "sshd"): 2,
        ("unrecognised", "another"): 1,
        ("alerts", "login", "info"): 5,
        ("alerts", "trouble", "critical"): 1,
        ("deliveries", "ding", "dead"): 1,
        ("deliveries", "gone", "sent"): 9,
        ("another", "counter"): 1,
    },
)
NAMED = FULL._replace(
    version=ODD,
    source=ODD,
    channels=(ChannelStatus(ODD, WORKS, None, None, None, {}), ChannelStatus("\udc80", WORKS, None, None, None, {})),
    counters={("alerts", ODD, ODD): 1, ("deliveries", ODD, "sent"): 2, ("unrecognised", ODD): 3},
)
STATUSES = {
    "new": NEW,
    "full": FULL,
    "odd names": NAMED,
    "ended": FULL._replace(running=False, pid=None),
    "nobody is told": FULL._replace(channels=()),
}


class Sample(NamedTuple):
    """One line of a page."""

    name: str
    labels: dict[str, str]
    value: float


def samples(page: str) -> list[Sample]:
    """Return what prometheus_client's parser finds."""
    return [
        Sample(s.name, s.labels, s.value) for family in text_string_to_metric_families(page) for s in family.samples
    ]


def values(found: Status, name: str) -> dict[tuple[str, ...], float]:
    """Return the values of one metric by their labels."""
    return {tuple(s.labels.values()): s.value for s in samples(prometheus(found, NOW)) if s.name == name}


def promtool(*arguments: str, text: Optional[str] = None) -> subprocess.CompletedProcess[str]:
    """Run promtool where the rules are, and return what became of it."""
    call = [PROMTOOL or "promtool", *arguments]
    return subprocess.run(call, input=text, cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False)


def metrics_in(query: str) -> set[str]:
    """Return the metrics of ours that a query names."""
    return set(re.findall(r"\busm_\w+", query))


def panels() -> list[dict[str, Any]]:
    """Return the panels of the dashboard."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def queries() -> list[str]:
    """Return the queries of the dashboard's panels."""
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    loaded = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def rows(*head: str) -> list[list[str]]:
    """Return the rows of the table in the documentation that has these heads; a `|` in a cell has a backslash."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    begin = lines.index(f"| {' | '.join(head)} |") + 2
    end = next(at for at in range(begin, len(lines)) if not lines[at].startswith("|"))
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[begin:end]
    ]


def codes(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the documentation in a language."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("found", STATUSES.values(), ids=STATUSES)
def test_the_page_parses(found: Status) -> None:
    """Of a status of every kind: each family once, with its type, its labels, and no series twice."""
    page = prometheus(found, NOW)
    assert page.endswith("\n")
    families = list(text_string_to_metric_families(page))
    assert [f.name for f in families] == [f.name[: -len("_total")] if f.counter else f.name for f in FAMILIES]
    for parsed, family in zip(families, FAMILIES):
        assert (parsed.type, parsed.documentation) == (family.type, family.help)
        for sample in parsed.samples:
            assert sample.name == family.name
            assert tuple(sample.labels) == family.labels
    series = [(s.name, *s.labels.items()) for s in samples(page)]
    assert len(series) == len(set(series))


@pytest.mark.parametrize("found", STATUSES.values(), ids=STATUSES)
@needs_promtool
def test_promtool_finds_nothing(found: Status) -> None:
    """Prometheus' own parser reads it, and its lint says nothing."""
    done = promtool("check", "metrics", text=prometheus(found, NOW))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_names() -> None:
    """Prefixed, in base units, counters and only they end in _total; the help is one line and a sentence."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert re.fullmatch(r"usm(_[a-z]+)+", family.name)
        assert (family.type == "counter") == family.name.endswith("_total") == bool(family.counter)
        words = family.name.split("_")
        assert not {*words} & {*OTHER_UNITS}
        assert all(word not in words[:-1] for word in UNITS), "a unit comes last"
        assert family.help.endswith(".")
        assert "\n" not in family.help
        assert "\\" not in family.help
        assert all(re.fullmatch("[a-z]+", label) for label in family.labels)


def test_gauges() -> None:
    """What a full status says, in seconds and bytes."""
    for name, value in {
        "usm_up": 1,
        "usm_start_time_seconds": FULL.started.timestamp() if FULL.started else 0,
        "usm_watched_timestamp_seconds": NOW.timestamp() - 1.5,
        "usm_source_lag_seconds": 0.25,
        "usm_source_unread_bytes": 65536,
        "usm_sessions_open": 3,
        "usm_config_reload_successful": 0,
        "usm_config_reload_timestamp_seconds": NOW.timestamp() - 3600,
        "usm_lines_read_total": 123_456_789_012,
    }.items():
        assert values(FULL, name) == {(): value}, name
    assert values(FULL, "usm_info") == {("1.2.3", "file:/var/log/auth.log"): 1}


def test_a_new_state_file() -> None:
    """What never was has no time; what never failed is well."""
    assert values(NEW, "usm_up") == {(): 0}
    assert values(NEW, "usm_config_reload_successful") == {(): 1}
    assert values(NEW, "usm_info") == {("", ""): 1}
    for name in (
        "usm_start_time_seconds",
        "usm_watched_timestamp_seconds",
        "usm_config_reload_timestamp_seconds",
        "usm_channel_state",
    ):
        assert values(NEW, name) == {}


def test_channels() -> None:
    """Each is in exactly one state; what was sent is no message that is kept; no age is negative."""
    assert {labels for labels, value in values(FULL, "usm_channel_state").items() if value} == {
        ("new", "works"),
        ("feishu", "failing"),
        ("ding", "fault"),
    }
    assert len(values(FULL, "usm_channel_state")) == 9
    messages = values(FULL, "usm_outbox_messages")
    assert {labels: value for labels, value in messages.items() if value} == {
        ("feishu", "pending"): 2,
        ("ding", "waiting"): 4,
        ("ding", "pending"): 3,
        ("ding", "dead"): 1,
    }
    assert len(messages) == 9
    assert values(FULL, "usm_outbox_oldest_age_seconds") == {("new",): 0, ("feishu",): 60, ("ding",): 0}


def test_counters_begin_with_nothing() -> None:
    """What can be counted is there before its first time, so that an increase is seen; what was counted is there."""
    assert values(NEW, "usm_lines_read_total") == {(): 0}
    kinds = {("login",): 0, ("logout",): 0, ("failed",): 0, ("privilege",): 0}
    assert values(NEW, "usm_events_total") == kinds
    assert values(FULL, "usm_events_total") == {**kinds, ("login",): 5}
    assert values(NEW, "usm_lines_unrecognised_total")["sshd",] == 0
    unrecognised = values(FULL, "usm_lines_unrecognised_total")
    assert {labels: value for labels, value in unrecognised.items() if value} == {("sshd",): 2, ("another",): 1}
    assert values(FULL, "usm_alerts_total") == {("login", "info"): 5, ("trouble", "critical"): 1}
    deliveries = values(FULL, "usm_deliveries_total")
    assert {labels: value for labels, value in deliveries.items() if value} == {
        ("ding", "dead"): 1,
        ("gone", "sent"): 9,
    }
    outcomes = {"sent", "deferred", "dead", "grouped", "suppressed"}
    assert {outcome for name, outcome in deliveries if name == "new"} == outcomes


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and newlines in a name are read back as they are; what is no text is made some."""
    assert values(NAMED, "usm_info") == {(ODD, ODD): 1}
    assert values(NAMED, "usm_alerts_total") == {(ODD, ODD): 1}
    assert values(NAMED, "usm_deliveries_total")[ODD, "sent"] == 2
    assert values(NAMED, "usm_lines_unrecognised_total")[(ODD,)] == 3
    assert {name for name, _ in values(NAMED, "usm_channel_state")} == {ODD, "\\udc80"}


def test_what_the_outbox_counts_is_an_outcome_that_is_known() -> None:
    """From a store: what was sent, tried in vain, given up and kept back is counted under a name that began with 0."""
    with closing(Store(":memory:")) as store:
        outbox = Outbox(store)
        with store.transaction() as tx:
            tx.checkpoint("journal", "c", NOW)
            tx.enqueue(MESSAGES["login"], slots(NOW, "feishu"), NOW)
            tx.enqueue(MESSAGES["login"], [Slot("feishu", SUPPRESSED, NOW, reason="ignore: rule 1")], NOW)
        before = values(status(store, ["feishu"], running=True), "usm_deliveries_total")
        first = outbox.first("feishu")
        assert first is not None
        outbox.settle(first._replace(attempts=1, code="x", detail="y"), NOW)
        outbox.settle(first._replace(state=DEAD, code="x", detail="y"), NOW)
        outbox.settle(first._replace(state=SENT), NOW)
        with store.transaction() as tx:
            tx.enqueue(MESSAGES["login"], slots(NOW, "feishu", "feishu"), NOW)
        assert outbox.gather("feishu", NOW) == 2
        after = values(status(store, ["feishu"], running=True), "usm_deliveries_total")
    assert before.keys() == after.keys()
    assert after == {
        ("feishu", "sent"): 1,
        ("feishu", "deferred"): 1,
        ("feishu", "dead"): 1,
        ("feishu", "grouped"): 2,
        ("feishu", "suppressed"): 1,
    }


def test_every_metric_is_documented() -> None:
    """docs/metrics.md has a row for each, in their order, with type and labels, and names none that is not there."""
    documented = [
        (codes(name)[0], kind, tuple(codes(labels)))
        for name, kind, labels, _ in rows("Metric", "Type", "Labels", "Meaning")
    ]
    assert documented == [(family.name, family.type, family.labels) for family in FAMILIES]
    assert metrics_in(PAGE.read_text(encoding="utf-8")) == {family.name for family in FAMILIES}


def test_every_label_value_that_is_known_is_documented() -> None:
    """The states, kinds and outcomes that a page holds stand in the row of their metric."""
    told = {codes(row[0])[0]: set(codes(row[3])) for row in rows("Metric", "Type", "Labels", "Meaning")}
    for sample in samples(prometheus(FULL, NOW)):
        for label in ("state", "outcome", "kind"):
            if label in sample.labels:
                assert sample.labels[label] in told[sample.name]


def test_the_shell_of_the_docs_writes_the_page(tmp_path: Path) -> None:
    """What the systemd unit and the line for cron call leaves one whole page, else the one before."""
    (unit,) = (block for block in blocks("ini") if "ExecStart=" in block)
    (timer,) = (block for block in blocks("ini") if "[Timer]" in block)
    (cron,) = blocks("text")
    match = re.search(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    assert match is not None
    command = match[1]
    assert cron.rstrip("\n").endswith(command.replace("usm status", "/usr/local/bin/usm status"))
    assert "OnCalendar=minutely" in timer
    program = tmp_path / "bin" / "usm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m usm "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    place = tmp_path / "textfile"
    place.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "STATE_DIRECTORY": str(tmp_path),
    }

    def run() -> int:
        return subprocess.run(["/bin/sh", "-c", command], cwd=place, env=environment, check=False).returncode

    with closing(Store(str(tmp_path / "state.db"))) as store, store.transaction() as tx:
        tx.checkpoint("journal", "c", NOW)
    assert run() == 0
    assert [path.name for path in place.iterdir()] == ["usm.prom"]
    page = (place / "usm.prom").read_text(encoding="utf-8")
    assert Sample("usm_up", {}, 0) in samples(page)
    (tmp_path / "state.db").rename(tmp_path / "away.db")
    assert run() != 0
    assert (place / "usm.prom").read_text(encoding="utf-8") == page


@needs_promtool
def test_the_scrape_configuration_of_the_docs(tmp_path: Path) -> None:
    """Prometheus takes it, and it asks where the configuration beside it listens."""
    (scrape,) = blocks("yml")
    (tmp_path / "prometheus.yml").write_text(scrape, encoding="utf-8")
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stderr
    (ours,) = blocks("yaml")
    (job,) = yaml.safe_load(scrape)["scrape_configs"]
    assert job["job_name"] == "usm"
    assert job["static_configs"][0]["targets"] == [yaml.safe_load(ours)["metrics"]["listen"]]


def test_the_dashboard_names_only_metrics_that_exist() -> None:
    """And all of them but none in vain: what is collected is seen."""
    used = {name for query in queries() for name in metrics_in(query)}
    assert used == {family.name for family in FAMILIES}


def test_the_dashboard_is_sound() -> None:
    """Panels have ids of their own, and places that do not overlap; all ask the source and hosts that are chosen."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    assert dashboard["schemaVersion"] == 39
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert metrics_in(variables["instance"]["definition"]) == {"usm_up"}
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= WIDTH
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"]
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
            letters = [target["refId"] for target in panel["targets"]]
            assert len(letters) == len(set(letters))
    for query in queries():
        selectors = re.findall(r"\b(?:usm_\w+|up)\{([^}]*)\}", query)
        assert len(selectors) == len(re.findall(r"\b(?:usm_\w+|up)\b(?!\")", query)), query
        assert all('instance=~"$instance"' in selector for selector in selectors), query


@needs_promtool
def test_every_query_is_promql(tmp_path: Path) -> None:
    """Those of the dashboard and of the documentation, held against Prometheus' own parser."""
    told = [codes(row[1])[0] for row in rows("Question", "Query")]
    texts = [query.replace("$__rate_interval", "5m") for query in (*queries(), *told)]
    group = {"name": "g", "rules": [{"record": f"r{number}", "expr": text} for number, text in enumerate(texts)]}
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [group]}), encoding="utf-8")
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stderr


def test_alert_rules() -> None:
    """Each names only metrics that exist, says what is wrong and what to do, and is in the documentation and tested."""
    known = {family.name for family in FAMILIES}
    tests = (MONITORING / "alerts_test.yml").read_text(encoding="utf-8")
    for rule in rules():
        assert metrics_in(rule["expr"])
        assert metrics_in(rule["expr"]) <= known
        assert set(rule["annotations"]) == {"summary", "action"}
        assert all(text[-1] in ".?" for text in rule["annotations"].values())
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert re.search(rf"alertname: {rule['alert']}\n +exp_alerts:", tests), f"{rule['alert']} never fires in a test"
        assert f"{{eval_time: 30m, alertname: {rule['alert']}}}" in tests, f"{rule['alert']} may fire when all is well"
    assert metrics_in(tests) <= known
    assert [codes(row[0])[0] for row in rows("Alert", "When")] == [rule["alert"] for rule in rules()]


def test_label_values_in_queries_exist() -> None:
    """A rule that compares a label with a value that nobody writes would never fire."""
    known: dict[str, set[str]] = {}
    for sample in samples(prometheus(FULL, NOW)):
        for label, value in sample.labels.items():
            known.setdefault(label, set()).add(value)
    known["severity"] |= {"warning"}
    known["rule"] |= set(known["kind"])
    told = [codes(row[1])[0] for row in rows("Question", "Query")]
    for query in (*queries(), *told, *(rule["expr"] for rule in rules())):
        for label, value in re.findall(r'\b(state|outcome|kind|rule|severity)[!=]=?~?"([^"]*)"', query):
            assert set(value.split("|")) <= known[label], query


@needs_promtool
def test_promtool_takes_the_rules() -> None:
    """They are valid, and fire when they should."""
    checked = promtool("check", "rules", RULES.name)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "alerts_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
