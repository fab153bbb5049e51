"""What Prometheus reads, and the dashboard and alert rules that are made of it."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support import slots
from usm.core.alert import alert_for
from usm.core.message import SENT
from usm.core.model import LOGIN, Event, Host
from usm.metrics import FAMILIES, prometheus
from usm.outbox import Outbox
from usm.status import status
from usm.store import Store

NOW = datetime(2026, 11, 23, 2, 5, 7, tzinfo=timezone.utc)
DOCS = Path(__file__).parent.parent / "docs"
NAMES = {family.name for family in FAMILIES}
ODD = 'a "b"\\c\nd 飞书'


def filled() -> Store:
    """Return a store with a source, an alert on two channels, and what the monitor says of itself."""
    store = Store(":memory:")
    made = alert_for(Event(LOGIN, NOW, "web01", "sshd", "alice", session="00c0ffee00c0ffee"), Host("web01"))
    assert made is not None
    with store.transaction() as tx:
        tx.enqueue(made, slots(NOW, "feishu", ODD), NOW)
        tx.count("lines", by=7)
        tx.count("events", LOGIN)
        tx.count("unrecognised", "sshd")
        tx.checkpoint("journal", "c", NOW, 512, timedelta(milliseconds=1500))
    store.note(pid="7", version="1.2.3", started=NOW.isoformat(), configured=NOW.isoformat(), refused="bad\nworse")
    outbox = Outbox(store)
    first = outbox.first("feishu")
    assert first is not None
    outbox.settle(first._replace(state=SENT), NOW)
    return store


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return all samples as Prometheus' own parser reads them: name and values of the labels → value."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_number_is_there() -> None:
    """With the labels' values as they are, whatever is in them."""
    found = samples(prometheus(status(filled(), ["feishu", ODD], running=True), NOW + timedelta(seconds=90)))
    expected: dict[tuple[str, tuple[str, ...]], float] = {
        ("usm_up", ()): 1,
        ("usm_info", ("1.2.3", "journal")): 1,
        ("usm_start_time_seconds", ()): NOW.timestamp(),
        ("usm_watched_timestamp_seconds", ()): NOW.timestamp(),
        ("usm_source_lag_seconds", ()): 1.5,
        ("usm_source_unread_bytes", ()): 512,
        ("usm_sessions_open", ()): 0,
        ("usm_config_reload_successful", ()): 0,
        ("usm_channel_state", ("feishu", "works")): 1,
        ("usm_channel_state", (ODD, "fault")): 0,
        ("usm_outbox_messages", ("feishu", "pending")): 0,
        ("usm_outbox_messages", (ODD, "pending")): 1,
        ("usm_outbox_oldest_age_seconds", ("feishu",)): 0,
        ("usm_outbox_oldest_age_seconds", (ODD,)): 90,
        ("usm_lines_read_total", ()): 7,
        ("usm_events_total", ("login",)): 1,
        ("usm_lines_unrecognised_total", ("sshd",)): 1,
        ("usm_alerts_total", ("login", "info")): 1,
        ("usm_deliveries_total", ("feishu", "sent")): 1,
    }
    assert {key: found[key] for key in expected} == expected


def test_a_new_state_file() -> None:
    """Everything that has no label is there from the beginning, or is not known."""
    found = samples(prometheus(status(Store(":memory:"), [], running=False), NOW))
    assert found[("usm_up", ())] == 0
    assert found[("usm_lines_read_total", ())] == 0
    assert found[("usm_config_reload_successful", ())] == 1
    assert ("usm_start_time_seconds", ()) not in found


def test_names_follow_the_conventions() -> None:
    """One prefix, base units, `_total` for what only grows; and every name and label is documented."""
    page = (DOCS / "metrics.md").read_text("utf-8")
    for family in FAMILIES:
        assert re.fullmatch(r"usm_[a-z]+(_[a-z]+)*", family.name)
        assert family.name.endswith("_total") == (family.type == "counter") == bool(family.counter)
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb)(_|$)", family.name)
        assert f"| `{family.name}` | {family.type} | " in page
        assert all(f"`{label}`" in page for label in family.labels)


def test_the_dashboard_is_sound() -> None:
    """Unique panels that do not overlap, and no metric that there is not."""
    dashboard: dict[str, Any] = json.loads((DOCS / "monitoring" / "grafana-dashboard.json").read_text("utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 10
    cells = [
        cell
        for panel in panels
        for p in [panel["gridPos"]]
        for cell in itertools.product(range(p["x"], p["x"] + p["w"]), range(p["y"], p["y"] + p["h"]))
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
    asked = {name for panel in panels for target in panel["targets"] for name in re.findall(r"usm_\w+", target["expr"])}
    assert asked == NAMES - {"usm_config_reload_timestamp_seconds"}


def test_the_alert_rules_are_sound() -> None:
    """No metric that there is not, and each says what to do."""
    text = (DOCS / "monitoring" / "alerts.yml").read_text("utf-8")
    assert set(re.findall(r"usm_\w+", text)) <= NAMES
    assert text.count("- alert:") == text.count("summary:") == text.count("description:") > 5


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_prometheus_takes_the_rules_and_the_page() -> None:
    """As its own tool says; the rules fire when they should."""
    rules = DOCS / "monitoring"
    subprocess.run(["promtool", "check", "rules", rules / "alerts.yml"], check=True, capture_output=True)
    subprocess.run(["promtool", "test", "rules", rules / "alerts_test.yml"], check=True, capture_output=True)
    page = prometheus(status(filled(), ["feishu"], running=True), NOW)
    done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
