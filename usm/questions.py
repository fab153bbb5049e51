"""The verbs that ask the state file: who was on, what was abnormal and why, what is usual for whom."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from usm import config, explain, ledger, report
from usm.clock import now
from usm.core.chain import head_of
from usm.core.look import Look
from usm.host import local_zone
from usm.runas import become_owner
from usm.terminal import open_for_reading, say, show

if TYPE_CHECKING:
    import argparse

    from usm.store import Store

OK, FAILED, USAGE = 0, 1, 2


def sessions(options: argparse.Namespace) -> int:
    """Show who is on."""
    loaded = config.load(options.config)
    become_owner(os.path.dirname(os.path.abspath(loaded.state)))
    store = open_for_reading(loaded.state)
    found = store.sessions(everything=options.all) if store else []
    zone = local_zone()
    if options.format == "json":
        show(report.json_lines(report.session_json(s, zone) for s in found))
    else:
        show(report.sessions_table(found, now(), zone, loaded.language) if found else "nobody is on")
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
            found = explain.lately(db)
    if options.format == "json":
        show(report.json_lines(map(explain.explanation_json, found)))
    elif options.event is not None:
        show("\n\n".join(explain.explanation(one, look) for one in found))
    else:
        rows = explain.findings_rows(found, look)
        show(report.table(("ID", "TIME", "USER", "SEVERITY", "FINDINGS"), rows) if rows else "nothing was found")
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
            show(report.table(("HOST", "FACT", "VALUE", "TIMES", "FIRST", "LAST"), rows))
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
