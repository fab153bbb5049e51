"""The verbs that ask the state file: who was on, what was abnormal and why, what is usual for whom."""

from __future__ import annotations

import os
import shutil
import sys
from itertools import chain
from typing import TYPE_CHECKING, Optional

from usm import columns, config, explain, export, history, ledger, live, pages, query, report, summary
from usm.clock import now
from usm.core.chain import head_of
from usm.core.look import Look
from usm.core.model import END_REASONS, TOLD, micros
from usm.core.moment import moment
from usm.core.tame import clean
from usm.host import local_zone
from usm.people import account_of
from usm.runas import become_owner
from usm.terminal import open_for_reading, say, show

if TYPE_CHECKING:
    import argparse
    import sqlite3
    from collections.abc import Iterable, Iterator
    from datetime import datetime, tzinfo

    from usm.store import Store

OK, FAILED, USAGE = 0, 1, 2
NOBODY = "nobody is on"
_LATEST = 20  # findings that are listed where no event is named
_MOST = 1 << 62  # rows that a limit can be
_BACKWARD = "the span ends before it begins: --since is later than --until"


def sessions(options: argparse.Namespace) -> int:
    """Show who is on, or who was."""
    loaded, store, look = _look(options)
    try:
        wanted = _filter(options, look.zone)
    except ValueError as error:
        say(str(error))
        return USAGE
    if store is None:
        if options.format == "text":
            show(NOBODY)
        return OK
    with store.reading() as db:
        if options.watch and sys.stdout.isatty():
            live.watch(lambda width: _drawn(db, wanted, look, width), lambda: query.version(db))
            return OK
        if options.watch:
            say("this is no terminal, so it is shown once")
        found = query.sessions(db, wanted)
        if options.format == "json":
            _write(report.json_lines([report.session_json(one, look.zone)]) for one in found)
        elif options.format == "csv":
            _write(export.csv_lines(export.SESSION, (report.session_json(one, look.zone) for one in found)))
        elif options.format in ("ecs", "ocsf"):
            _write(report.json_lines([one]) for one in export.session_documents(found, options.format, look))
        else:
            lines = report.session_lines(found, now(), look.zone, loaded.language, _width())
            _table(lines, NOBODY if wanted.open else "there was no such session")
        if query.more(db, wanted, of_sessions=True):
            say(f"there are more: these are the newest {wanted.limit}, --limit 0 shows all")
    return OK


def events(options: argparse.Namespace) -> int:
    """Show what happened, the newest last."""
    _, store, look = _look(options)
    try:
        wanted = _filter(options, look.zone)
    except ValueError as error:
        say(str(error))
        return USAGE
    if store is None:
        return FAILED
    with store.reading() as db:
        found = query.events(db, wanted)
        if options.format == "json":
            _write(report.json_lines([export.entry_json(one)]) for one in found)
        elif options.format == "csv":
            _write(export.csv_lines(export.EVENT, map(export.entry_json, found)))
        elif options.format in ("ecs", "ocsf"):
            _write(report.json_lines([one]) for one in export.event_documents(found, options.format, look))
        else:
            _table(pages.event_lines(found, look, _width()), "nothing happened")
        if query.more(db, wanted):
            say(f"there are more: these are the newest {wanted.limit}, --limit 0 shows all")
    return OK


def user(options: argparse.Namespace) -> int:
    """Show all that is known of a person."""
    known, name = account_of(options.user), _typed(options.user) or ""
    account = {} if known is None else known._asdict()
    _, store, look = _look(options)
    if store is None:
        return FAILED
    with store.reading() as db:
        found = summary.page(db, name, now())
        if found is None:
            say(f"nothing is known of {clean(name, 64)}: no login was seen")
            return FAILED
        if options.format == "json":
            show(report.json_lines([pages.page_json(found, account, look.zone)]))
        else:
            _write(pages.page_text(found, account, now(), look, _width()))
    return OK


def stats(options: argparse.Namespace) -> int:
    """Show what went on: how many logins, whose, from where, when, and what was found."""
    _, store, look = _look(options)
    try:
        since, until = _span(options, look.zone)
    except ValueError as error:
        say(str(error))
        return USAGE
    if store is None:
        return FAILED
    with store.reading() as db:
        found = summary.stats(db, since, until, look.zone)
    if options.format == "json":
        show(report.json_lines([pages.stats_json(found, look.zone)]))
    else:
        blocks = "utf" in (sys.stdout.encoding or "").lower()
        _write(pages.stats_text(found, look, blocks=blocks))
    return OK


def explain_event(options: argparse.Namespace) -> int:
    """Show why an event was judged abnormal, or why not; without one, what was found lately."""
    _, store, look = _look(options)
    if store is None:
        return FAILED
    if options.event is not None:
        found = explain.explained(store, options.event)
    else:
        with store.reading() as db:
            found = history.latest(db, _LATEST)
    if options.format == "json":
        show(report.json_lines(map(explain.explanation_json, found)))
    elif options.event is not None:
        show("\n\n".join(explain.explanation(one, look) for one in found))
    else:
        rows = explain.findings_rows(found, look)
        show(columns.table(("ID", "TIME", "USER", "SEVERITY", "FINDINGS"), rows) if rows else "nothing was found")
    return OK


def baseline(options: argparse.Namespace) -> int:
    """Show what is usual for a user."""
    loaded, store, look = _look(options)
    if store is None:
        return FAILED
    with store.reading() as db:
        if options.format == "json":
            show(report.json_lines(explain.baseline_json(db, options.user, loaded.policy)))
        else:
            rows = explain.baseline_rows(db, options.user, look)
            show(columns.table(("HOST", "FACT", "VALUE", "TIMES", "FIRST", "LAST"), rows))
    return OK


def verify(options: argparse.Namespace) -> int:
    """Prove that nobody changed the record, or name the first entry that was changed, removed or cut."""
    heads = [head_of(text) for text in options.head]
    if None in heads:
        say("--head takes what a daily summary shows, such as 1234:0f3a… (64 digits behind the colon)")
        return USAGE
    _, store, _ = _look(options)
    if store is None:
        return FAILED
    with store.reading() as db:
        proof = ledger.verify(db, [head for head in heads if head is not None])
    if options.format == "json":
        show(report.json_lines([explain.proof_json(proof)]))
    else:
        show(explain.proof_text(proof))
    return OK if proof.fault is None else FAILED


def _look(options: argparse.Namespace) -> tuple[config.Config, Optional[Store], Look]:
    loaded = config.load(options.config)
    become_owner(os.path.dirname(os.path.abspath(loaded.state)))
    return loaded, open_for_reading(loaded.state), Look(loaded.language, local_zone())


def _span(options: argparse.Namespace, zone: tzinfo) -> tuple[datetime, datetime]:
    """Return from when to when. Raises ValueError."""
    moment_now = now()
    since, until = moment(options.since, moment_now, zone), moment(options.until, moment_now, zone, last=True)
    if since > until:
        raise ValueError(_BACKWARD)
    return since, until


def _filter(options: argparse.Namespace, zone: tzinfo) -> query.Filter:
    """Return what is asked for. Raises ValueError where that makes no sense."""
    asked = vars(options)
    times = {name: asked.get(name) for name in ("at", "since", "until")}
    if times["at"] and (times["since"] or times["until"]):
        raise ValueError("--at is one moment, --since and --until are a span: take one of them")
    at, since, until = (
        None if text is None else micros(moment(text, now(), zone, last=name == "until"))
        for name, text in times.items()
    )
    if at is not None:
        since = until = at
    if since is not None and until is not None and since > until:
        raise ValueError(_BACKWARD)
    for name, known in (("end", END_REASONS), ("kind", TOLD)):
        text = asked.get(name)
        if text is not None and text not in known and not set("*?[") & set(text):
            raise ValueError(f"--{name} takes {', '.join(known)}, or a pattern of them")
    if options.source is not None and "/" in options.source and not query.is_network(options.source):
        raise ValueError("--source takes an address, a network such as 203.0.113.0/24, or a pattern such as '203.0.*'")
    if asked.get("watch") and options.format != "text":
        raise ValueError("--watch shows a table: it takes no other --format")
    if options.limit < 0:
        raise ValueError("--limit takes how many, 0 for all")
    patterns = {name: _typed(asked.get(name)) for name in ("user", "source", "key", "end", "kind", "host")}
    abnormal = asked.get("abnormal", False)
    everything = asked.get("all", True) or abnormal or patterns["end"] is not None
    current = not everything and since is None and until is None
    return query.Filter(since, until, **patterns, abnormal=abnormal, open=current, limit=min(options.limit, _MOST))


def _typed(text: Optional[str]) -> Optional[str]:
    """Return what was typed as a log's text is kept: bytes that are not UTF-8 escaped with a backslash."""
    return None if text is None else os.fsencode(text).decode("utf-8", "backslashreplace")


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")


def _table(lines: Iterator[str], nothing: str) -> None:
    """Print a table, or that there is nothing in it."""
    head, first = next(lines), next(lines, None)
    _write([nothing] if first is None else chain((head, first), lines))


def _drawn(db: sqlite3.Connection, wanted: query.Filter, look: Look, width: int) -> list[str]:
    """Return the table of sessions as it is now."""
    moment_now = now()
    lines = list(report.session_lines(query.sessions(db, wanted), moment_now, look.zone, look.language, width))
    return [f"{report.short(moment_now, look.zone)}  {max(0, len(lines) - 1)} sessions; end with Ctrl-C", *lines]


def _width() -> Optional[int]:
    """Return the cells of a line of the terminal, None where this is none: what reads it wants all."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
