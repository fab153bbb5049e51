"""Status → what Prometheus reads: the text format 0.0.4, for a textfile collector or the monitor's own listener.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ ; names: https://prometheus.io/docs/practices/naming/
Counters are kept in the state file, in the transactions that they count: they survive restarts. Those whose labels are
known begin with 0, because Prometheus sees no increase in the first sample of a series.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from usm.core.message import DEAD, FAILING, FAULT, GROUPED, PENDING, SENT, SUPPRESSED, WAITING, WORKS
from usm.core.model import KINDS
from usm.core.programs import PROGRAMS
from usm.outbox import DEFERRED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from usm.status import Status

Labels = tuple[str, ...]
OUTCOMES = (SENT, DEFERRED, DEAD, GROUPED, SUPPRESSED)
_TAGS = tuple(tag for program in PROGRAMS if any(row.hint for row in program.rows) for tag in program.tags)


class Family(NamedTuple):
    """One metric: its type, what it means, and the names of its labels. A counter is stored under `counter`."""

    name: str
    type: str
    help: str
    labels: Labels = ()
    counter: str = ""


FAMILIES = (
    Family("usm_up", "gauge", "1 while the monitor runs."),
    Family("usm_info", "gauge", "Always 1; the version that runs or ran last, and the source.", ("version", "source")),
    Family("usm_start_time_seconds", "gauge", "When the monitor was started, in seconds since 1970."),
    Family(
        "usm_watched_timestamp_seconds", "gauge", "Until when the source is known to be watched; moves once a minute."
    ),
    Family("usm_source_lag_seconds", "gauge", "How old the last record was when it was read."),
    Family("usm_source_unread_bytes", "gauge", "Bytes of the log that were unread behind the last batch."),
    Family("usm_sessions_open", "gauge", "Sessions that are open."),
    Family("usm_config_reload_successful", "gauge", "0 if the configuration that was read last was refused."),
    Family("usm_config_reload_timestamp_seconds", "gauge", "When the configuration was read last."),
    Family(
        "usm_channel_state", "gauge", "1 for the state a channel is in: works, failing, fault.", ("channel", "state")
    ),
    Family("usm_outbox_messages", "gauge", "Messages that wait for a channel, or were given up.", ("channel", "state")),
    Family(
        "usm_outbox_oldest_age_seconds", "gauge", "How long the oldest message has waited; 0 if none.", ("channel",)
    ),
    Family("usm_lines_read_total", "counter", "Lines read from the source.", (), "lines"),
    Family("usm_events_total", "counter", "Events recognised, by kind.", ("kind",), "events"),
    Family(
        "usm_lines_unrecognised_total",
        "counter",
        "Lines that begin like a known one and are none: a program's new version may word it otherwise.",
        ("program",),
        "unrecognised",
    ),
    Family("usm_alerts_total", "counter", "Alerts, by what gave rise to them.", ("rule", "severity"), "alerts"),
    Family("usm_findings_total", "counter", "What rules found abnormal.", ("rule", "severity"), "findings"),
    Family(
        "usm_deliveries_total",
        "counter",
        "What became of messages and tries: sent, deferred (a try failed), dead, grouped, suppressed.",
        ("channel", "outcome"),
        "deliveries",
    ),
)


def prometheus(status: Status, now: datetime) -> str:
    """Return the whole page."""
    gauges = _gauges(status, now)
    lines = []
    for family in FAMILIES:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
        samples = _counted(status, family.counter) if family.counter else gauges[family.name]
        lines += [f"{family.name}{_labels(family.labels, values)} {value:.15g}" for values, value in samples]
    return "\n".join(lines) + "\n"


def _counted(status: Status, counter: str) -> Sequence[tuple[Labels, float]]:
    known: Mapping[str, list[Labels]] = {
        "lines": [()],
        "events": [(kind,) for kind in KINDS],
        "unrecognised": [(tag,) for tag in _TAGS],
        "deliveries": [(c.name, outcome) for c in status.channels for outcome in OUTCOMES],
    }
    counted = dict.fromkeys(known.get(counter, ()), 0)
    counted.update((key[1:], value) for key, value in status.counters.items() if key[0] == counter)
    return list(counted.items())


def _gauges(status: Status, now: datetime) -> Mapping[str, Sequence[tuple[Labels, float]]]:
    def at(time: datetime | None) -> list[tuple[Labels, float]]:
        return [] if time is None else [((), time.timestamp())]

    channels = status.channels
    return {
        "usm_up": [((), int(status.running))],
        "usm_info": [((status.version or "", status.source or ""), 1)],
        "usm_start_time_seconds": at(status.started),
        "usm_watched_timestamp_seconds": at(status.watched),
        "usm_source_lag_seconds": [((), status.lag)],
        "usm_source_unread_bytes": [((), status.behind)],
        "usm_sessions_open": [((), status.sessions)],
        "usm_config_reload_successful": [((), int(not status.refused))],
        "usm_config_reload_timestamp_seconds": at(status.configured),
        "usm_channel_state": [
            ((c.name, state), int(c.state == state)) for c in channels for state in (WORKS, FAILING, FAULT)
        ],
        "usm_outbox_messages": [
            ((c.name, state), c.deliveries.get(state, 0)) for c in channels for state in (WAITING, PENDING, DEAD)
        ],
        "usm_outbox_oldest_age_seconds": [
            ((c.name,), 0 if c.queued is None else max(0.0, (now - c.queued).total_seconds())) for c in channels
        ],
    }


def _labels(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values)) + "}"


def _escaped(value: str) -> str:
    encodable = value.encode("utf-8", "backslashreplace").decode()
    return encodable.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
