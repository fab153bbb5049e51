"""The laws of the house: who may import whom, and who may touch the clock, the database and the network.

One table, `LAW`, and a walk over the syntax trees. A module that is in no row fails, so that a new one gets a place.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

import pytest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

ROOT = Path(__file__).resolve().parent.parent


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


# Python's own library, by what it can do. What is in no set of a row is forbidden there.
PURE = words("""
    __future__ base64 bisect collections collections.abc dataclasses datetime email email.errors email.headerregistry
    email.message email.policy email.utils enum fnmatch functools hashlib heapq hmac html ipaddress itertools json math
    operator re string textwrap types typing unicodedata urllib.parse
""")
FILES = words("""
    bz2 contextlib ctypes errno fcntl grp gzip importlib.resources io logging lzma os pathlib pwd select shutil stat
    struct sys tempfile time zlib zoneinfo
""")
PROCESS = words("argparse gc random signal subprocess threading")
NETWORK = words("http.client http.cookiejar requests smtplib socket ssl urllib3")
CORE, ERRORS = ("usm.core", "usm.core.*"), ("usm.errors",)
REVIEW = tuple(f"usm.review.{part}" for part in ("bits", "controls", "last", "model", "parts", "style", "svg", "words"))
SOURCES, CHANNELS = ("usm.sources", "usm.sources.*"), ("usm.channels", "usm.channels.*")


class Law(NamedTuple):
    """What a module may import: modules of ours, and others."""

    ours: tuple[str, ...]
    others: frozenset[str]


LAW = {
    # the core and the two edges
    "usm.core.*": Law(CORE, PURE),
    "usm.core.programs.*": Law(CORE, PURE),
    "usm.core.rules.*": Law(CORE, PURE),
    "usm.sources.*": Law((*CORE, *ERRORS, *SOURCES), PURE | FILES | {"select", "subprocess"}),
    "usm.channels.*": Law((*CORE, *ERRORS, *CHANNELS), PURE),
    "usm.channels.formats": Law(("usm", *CORE, *CHANNELS), PURE),  # a document names the version that made it
    # each of these has one library that nobody else has
    "usm.schema": Law((), PURE),
    "usm.store": Law((*CORE, *ERRORS, "usm.schema", "usm.transaction"), PURE | FILES | {"sqlite3"}),
    "usm.retention": Law(
        (*CORE, *ERRORS, "usm", "usm.history", "usm.ledger", "usm.store"), PURE | {"logging", "sqlite3"}
    ),
    "usm.transaction": Law((*CORE, *ERRORS, "usm", "usm.history", "usm.ledger"), PURE | {"sqlite3"}),
    "usm.history": Law(CORE, PURE | {"sqlite3"}),
    "usm.outbox": Law((*CORE, *ERRORS, "usm.store", "usm.transaction"), PURE | {"sqlite3"}),
    "usm.transport.*": Law(
        ("usm", "usm.transport", "usm.transport.*", *CORE, *ERRORS), PURE | FILES | PROCESS | NETWORK | {"_typeshed"}
    ),
    "usm.transport.apprise_child": Law((), frozenset({"__future__", "json", "logging", "sys", "typing", "apprise"})),
    "usm.settings": Law((*CORE, *ERRORS), PURE | FILES | {"difflib", "yaml"}),
    "usm.routing": Law((*CORE, *ERRORS, "usm.settings"), PURE),
    "usm.policy": Law((*CORE, "usm.routing", "usm.settings"), PURE | {"os"}),  # a file of holidays beside the other
    "usm.notify": Law((*CORE, *CHANNELS, "usm.routing", "usm.settings"), PURE | {"os"}),
    "usm.config": Law(
        (*CORE, *ERRORS, "usm.notify", "usm.policy", "usm.routing", "usm.settings", "usm.weekly"), PURE | FILES
    ),
    "usm.host": Law((*CORE, *ERRORS), PURE | FILES | {"socket"}),  # to ask the routing table for its own address
    "usm.system": Law((*CORE, *ERRORS), PURE | FILES | {"subprocess"}),
    "usm.people": Law((*CORE, *ERRORS), PURE | FILES | {"binascii", "glob", "socket"}),
    "usm.places": Law((*CORE, *ERRORS), PURE | {"logging", "maxminddb", "os"}),
    "usm.wtmp": Law((*CORE, *SOURCES), PURE | {"lzma", "os", "struct", "zlib"}),
    # the two halves share only the store
    "usm.ledger": Law(CORE, PURE | {"sqlite3"}),
    "usm.daily": Law((*CORE, "usm", "usm.history", "usm.ingest", "usm.ledger", "usm.store"), PURE | {"sqlite3"}),
    "usm.bursts": Law((*CORE, "usm.transaction"), PURE),
    "usm.judging": Law((*CORE, "usm.bursts", "usm.history", "usm.transaction"), PURE),
    "usm.ingest": Law((*CORE, *ERRORS, "usm.judging", "usm.store", "usm.transaction"), PURE),
    "usm.deliver": Law((*CORE, *ERRORS, *CHANNELS, "usm.outbox", "usm.store"), PURE | {"logging", "threading"}),
    # what puts them together
    "usm.columns": Law((), PURE),
    "usm.query": Law((*CORE, "usm.transaction"), PURE | {"sqlite3"}),
    "usm.summary": Law((*CORE, "usm.history", "usm.query", "usm.transaction"), PURE | {"sqlite3"}),
    "usm.export": Law((*CORE, *CHANNELS, "usm.query"), PURE | {"csv", "io"}),
    "usm.pages": Law(
        (*CORE, "usm.columns", "usm.export", "usm.query", "usm.report", "usm.summary", "usm.transaction"), PURE
    ),
    "usm.live": Law((), PURE | FILES | {"signal"}),
    "usm.report": Law((*CORE, *ERRORS, "usm.columns", "usm.outbox", "usm.status", "usm.store"), PURE),
    # an access review: read, counted, shown
    "usm.review": Law((), PURE),
    "usm.review.mail": Law((*CORE, *ERRORS, *CHANNELS, "usm.config", "usm.transport"), PURE | {"sys"}),
    "usm.weekly": Law(("usm.store",), PURE | FILES | {"logging", "subprocess", "sys"}),
    "usm.review.model": Law((*CORE, "usm.ledger"), PURE),
    "usm.review.data": Law((*CORE, "usm.ledger", "usm.store", "usm.transaction"), PURE | {"sqlite3"}),
    "usm.review.count": Law((*CORE, "usm.review.data", "usm.review.model"), PURE),
    "usm.review.controls": Law((), PURE),
    "usm.review.style": Law((), PURE),
    "usm.review.words": Law(CORE, PURE),
    "usm.review.svg": Law((*CORE, "usm.review.model", "usm.review.words"), PURE),
    "usm.review.bits": Law(CORE, PURE),
    "usm.review.parts": Law((*CORE, *REVIEW), PURE),
    "usm.review.last": Law((*CORE, "usm.ledger", *REVIEW), PURE),
    "usm.review.html": Law((*CORE, *REVIEW), PURE),
    "usm.review.forms": Law((*CORE, "usm.columns", "usm.export", "usm.report", *REVIEW), PURE),
    "usm.review.verb": Law(("usm", "usm.*"), PURE | FILES | {"argparse"}),
    "usm.trial": Law((*CORE, *ERRORS, "usm.deliver"), PURE),
    "usm.status": Law((*CORE, *ERRORS, "usm.outbox", "usm.store"), PURE),
    "usm.explain": Law((*CORE, *ERRORS, "usm.history", "usm.ledger", "usm.store"), PURE | {"sqlite3"}),
    "usm.replay": Law((*CORE, *ERRORS, *SOURCES, "usm.ingest", "usm.judging", "usm.store"), PURE | FILES),
    "usm.seed": Law(
        (*CORE, *ERRORS, "usm.history", "usm.ingest", "usm.judging", "usm.store", "usm.wtmp"),
        PURE | {"logging", "threading"},
    ),
    "usm.metrics": Law((*CORE, "usm.outbox", "usm.status"), PURE),
    "usm.demo": Law(
        (*CORE, *ERRORS, *CHANNELS, "usm.store", "usm.ingest", "usm.deliver", "usm.transport"), PURE | FILES
    ),
    "usm.finding": Law((), PURE),
    "usm.runas": Law(("usm.finding",), PURE | FILES),
    "usm.check_source": Law(
        (*ERRORS, *SOURCES, "usm.config", "usm.finding", "usm.host"), PURE | FILES | {"subprocess"}
    ),
    "usm.check_older": Law(("usm.finding",), PURE | FILES),
    "usm.check_machine": Law(("usm.finding", "usm.system"), PURE | FILES | {"subprocess"}),
    "usm.check_sshd": Law(("usm.finding",), PURE | FILES | {"glob", "subprocess"}),
    "usm.check_state": Law(
        (*CORE, *ERRORS, *SOURCES, "usm.check_*", "usm.config", "usm.finding", "usm.outbox", "usm.status", "usm.store"),
        PURE | FILES,
    ),
    "usm.check": Law(
        (*ERRORS, "usm", "usm.check_*", "usm.config", "usm.finding", "usm.notify", "usm.places", "usm.system"),
        PURE | FILES,
    ),
    # the running monitor
    "usm.clock": Law((), frozenset({"__future__", "datetime"})),
    "usm.logs": Law((), PURE | FILES | {"syslog"}),
    "usm.instance": Law(ERRORS, PURE | FILES),
    "usm.orders": Law((), PURE | FILES | {"signal"}),
    "usm.supervisor": Law((), PURE | FILES | {"socket"}),  # a datagram to systemd, on this machine
    "usm.listener": Law(  # a socket that others connect to, on this machine
        (*ERRORS, "usm", "usm.metrics", "usm.status", "usm.store"),
        PURE | FILES | {"socket", "threading"},
    ),
    "usm.workers": Law(
        (*CORE, "usm.config", "usm.deliver", "usm.host", "usm.notify", "usm.store", "usm.transport"),
        PURE | FILES | PROCESS,
    ),
    "usm.inquiry": Law((*CORE, *SOURCES, "usm.ingest", "usm.system"), PURE),
    "usm.monitor": Law(
        (
            *(
                "usm",
                *CORE,
                *ERRORS,
                *SOURCES,
                "usm.config",
                "usm.deliver",
                "usm.host",
                "usm.ingest",
                "usm.inquiry",
                "usm.instance",
            ),
            *("usm.listener", "usm.logs", "usm.orders", "usm.people", "usm.retention", "usm.store", "usm.supervisor"),
            *("usm.daily", "usm.judging", "usm.places", "usm.seed", "usm.system", "usm.weekly", "usm.workers"),
        ),
        PURE | FILES | {"gc", "threading"},
    ),
    "usm.pidfile": Law((*ERRORS, "usm.instance"), PURE | FILES | {"daemon.pidfile", "lockfile"}),
    "usm.daemon": Law(("usm", *ERRORS, "usm.logs", "usm.monitor", "usm.pidfile"), PURE | FILES | {"daemon"}),
    # the command line
    "usm.service": Law(
        (
            *("usm", *CORE, *ERRORS, *CHANNELS, "usm.config", "usm.daemon", "usm.instance", "usm.logs", "usm.monitor"),
            *("usm.notify", "usm.orders", "usm.store", "usm.supervisor"),
        ),
        PURE | FILES | {"random", "signal"},
    ),
    "usm.terminal": Law(("usm.store",), PURE | FILES),
    "usm.questions": Law(("usm", "usm.*"), PURE | FILES | {"argparse", "sqlite3"}),
    "usm.verbs": Law(("usm", "usm.*"), PURE | FILES | {"argparse"}),
    "usm.cli": Law(
        (
            "usm",
            *CORE,
            *ERRORS,
            "usm.config",
            "usm.logs",
            "usm.notify",
            "usm.questions",
            "usm.review.verb",
            "usm.terminal",
            "usm.verbs",
        ),
        PURE | FILES | {"argparse"},
    ),
    "usm.__main__": Law(("usm.cli",), frozenset({"sys"})),
    "usm.errors": Law((), PURE),
    "usm": Law((), frozenset()),
}

CLOCK = re.compile(r"(?:.*\.)?(?:datetime|date)\.(?:now|utcnow|today)|time\.(?:time|time_ns|localtime|gmtime|ctime)")
CLOCK_OWNER = "usm.clock"
SQL = re.compile(
    r"\s*(?:SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA|BEGIN|(?:CREATE|ALTER|DROP) TABLE)\b"
)
SQL_OWNERS = (
    "usm.review.data",
    "usm.schema",
    "usm.retention",
    "usm.store",
    "usm.transaction",
    "usm.history",
    "usm.ledger",
    "usm.daily",
    "usm.outbox",
    "usm.query",
    "usm.summary",
)
PURE_PACKAGES = ("usm.core", "usm.channels")
EFFECTS = ("open", "print", "input", "exec", "eval", "breakpoint")

LONGEST = 300
LONGER = {  # a soft limit: what may be longer, up to where, and why
    "usm.sources.journal": (450, "a place in the journal, the child that reads it, and how both are lost"),
    "usm.monitor": (350, "the life of the one thread that reads: start, batches, looks at the system, reload, end"),
}

UNMIRRORED = {  # modules without a test file of their own, and where they are tested
    "usm": "the version: test_install.py, test_docs.py",
    "usm.__main__": "two lines: tests/test_cli.py runs it",
    "usm.errors": "classes without behaviour",
    "usm.core.chain": "tests/test_ledger.py",
    "usm.notify": "tests/test_config.py",
    "usm.review": "a docstring",
    "usm.review.mail": "tests/review/test_verb.py",
    "usm.core.message": "classes without behaviour",
    "usm.core.words": "tables: tests/core/test_text.py",
    "usm.core.look": "tests/core/test_text.py",
    "usm.core.phrases": "tables: tests/test_findings.py and test_explain.py",
    "usm.core.phrasing": "tests/test_findings.py and test_explain.py",
    "usm.core.rules": "a table: tests/test_findings.py",
    "usm.core.rules.case": "tests/test_findings.py, with the rules",
    "usm.core.rules.login": "tests/test_findings.py: a scene for each rule",
    "usm.core.rules.others": "tests/test_findings.py: a scene for each rule",
    "usm.channels.answers": "tests/channels/test_replies.py and the channels' own",
    "usm.transport": "tests/transport/*: it only tells requests apart",
    "usm.transport.apprise_child": "tests/transport/test_handover.py runs it",
    "usm.transport.deadline": "tests/transport/test_web.py and test_mail.py",
    "usm.transport.reasons": "tests/transport/test_web.py and test_mail.py",
    "usm.clock": "one line",
    "usm.inquiry": "tests/test_monitor.py and tests/system/test_machine.py",
    "usm.finding": "two units, as tests/test_check_*.py expect them",
    "usm.sources.rights": "tests/test_check.py and tests/sources/test_locate.py",
    "usm.service": "tests/test_daemon.py, through the commands",
    "usm.verbs": "tests/test_cli.py",
    "usm.terminal": "tests/test_cli.py",
    "usm.schema": "tests/test_store.py",
    "usm.summary": "tests/test_questions.py",
    "usm.pages": "tests/test_questions.py",
    "usm.live": "tests/test_questions.py, on a terminal",
    "usm.review.model": "classes: tests/review/test_count.py",
    "usm.review.data": "tests/review/test_count.py",
    "usm.review.controls": "tables: tests/review/test_html.py",
    "usm.review.style": "one text: tests/review/test_html.py",
    "usm.review.words": "tables: tests/review/test_html.py",
    "usm.review.svg": "tests/review/test_html.py",
    "usm.review.bits": "tests/review/test_html.py",
    "usm.review.parts": "tests/review/test_html.py",
    "usm.review.last": "tests/review/test_html.py",
    "usm.review.forms": "tests/review/test_verb.py",
    "usm.trial": "`usm test`: tests/test_cli.py",
    "usm.settings": "tests/test_config.py and test_routing.py, as the reader of both",
    "usm.core": "a docstring",
    "usm.core.programs": "a registry: tests/core/programs/*, test_docs.py",
    "usm.sources": "a registry and a protocol",
    "usm.transaction": "tests/test_store.py, as the other half of the store",
    "usm.sources.part": "tests/sources/test_file.py and test_file_model.py",
    "usm.sources.trail": "tests/sources/test_file.py and test_file_model.py",
    "usm.sources.rotated": "tests/sources/test_file.py and test_file_model.py",
    "usm.channels": "a registry and a protocol: tests/channels/* and test_docs.py",
}


def name_of(path: Path, root: Path = ROOT) -> str:
    """`usm/core/pair.py` → `usm.core.pair`; a package is named by its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, str]:
    """Return the text of every module of ours."""
    return {name_of(path): path.read_text(encoding="utf-8") for path in sorted(ROOT.joinpath("usm").rglob("*.py"))}


def law_of(name: str) -> Optional[Law]:
    """Return the row for a module: its own, or that of its package."""
    package = name if f"{name}.*" in LAW else name.rpartition(".")[0]
    return LAW.get(name) or LAW.get(f"{package}.*")


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a module is one of those; `a.*` are all below `a`, `a_*` all of that beginning."""
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


def imports(tree: ast.AST, known: Collection[str]) -> Iterator[tuple[int, str]]:
    """Yield every imported module with its line, wherever the import stands, also under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in known else base


def permitted(imported: str, others: frozenset[str]) -> bool:
    """Tell whether a foreign module, or a package that it belongs to as a whole, is in the set."""
    whole = imported.split(".")[0]
    return imported in others or (whole in others and whole in ("requests", "urllib3", "email"))


def violations(sources: Mapping[str, str], known: Collection[str]) -> list[str]:
    """Return what breaks a law, as `module:line: what`; `known` are the names of all modules."""
    found: list[str] = []
    for name, text in sources.items():
        law = law_of(name)
        if law is None:
            found.append(f"{name}:1: has no row in LAW: decide what it may import")
            continue
        tree = ast.parse(text)
        for line, imported in imports(tree, known):
            if imported.startswith("."):
                found.append(f"{name}:{line}: imports relatively")
            elif imported.split(".")[0] == "usm":
                if not matches(imported, law.ours):
                    found.append(f"{name}:{line}: may not import {imported}")
            elif not permitted(imported, law.others):
                found.append(f"{name}:{line}: may not import {imported}")
        found += [f"{name}:{line}: {what}" for line, what in deeds(name, tree)]
    return found


def deeds(name: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield what a module does, and may not, without an import that would tell."""
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    pure = matches(name, tuple(f"{package}.*" for package in PURE_PACKAGES))
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)):
            yield line, "asyncio is not used here"
        elif name != CLOCK_OWNER and reads_clock(node):
            yield line, "reads the clock; it is handed down"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "__import__":
                yield line, "imports at run time"
            elif pure and node.func.id in EFFECTS:
                yield line, f"is not pure: {node.func.id}()"
        elif name not in SQL_OWNERS and id(node) not in told and holds_sql(node):
            yield line, "holds SQL; it belongs into the store"


def reads_clock(node: ast.AST) -> bool:
    """Tell whether the time of day is read here, or what reads it is handed on."""
    if isinstance(node, ast.ImportFrom):
        return node.module == "time" and bool({alias.name for alias in node.names} & {"time", "time_ns", "*"})
    return isinstance(node, ast.Attribute) and CLOCK.fullmatch(ast.unparse(node)) is not None


def holds_sql(node: ast.AST) -> bool:
    """Tell whether this is a text that a database would understand."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value) is not None


def test_nobody_breaks_a_law() -> None:
    """Every import is in the table, and nothing but its owner touches clock, database, network."""
    sources = modules()
    assert violations(sources, sources) == []


def test_every_row_is_used() -> None:
    """The table names no module that is gone."""
    names = list(modules())
    assert [row for row in LAW if not any(matches(name, (row,)) for name in names)] == []


PLANTED = {
    "usm.core.pair": [
        "import time",
        "import os",
        "import random",
        "import threading",
        "import logging",
        "from pathlib import Path",
        "from usm.store import Store",
        "from usm import errors",
        "from usm.channels.feishu import Feishu",
        "def f():\n    import socket",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from usm.config import Config",
        "open('/etc/passwd')",
        "print('x')",
        "async def f(): ...",
        "from datetime import datetime\nx = datetime.now()",
        "from datetime import date\nx = date.today()",
        "import datetime\nclock = datetime.datetime.utcnow",
        "from . import model",
        "__import__('os')",
    ],
    "usm.channels.feishu": [
        "import requests",
        "import urllib.request",
        "import smtplib",
        "from usm.transport import Transport",
        "from usm import config",
        "from usm.sources.file import FileSource",
        "open('x')",
    ],
    "usm.sources.file": [
        "from usm.store import Store",
        "from usm.config import Config",
        "from usm.channels import CHANNELS",
        "import socket",
        "import asyncio",
        "import time\ntime.time()",
        "from time import time",
        "from time import monotonic, time_ns",
    ],
    "usm.ingest": ["from usm.channels import CHANNELS", "from usm.transport import Transport", "import usm.config"],
    "usm.judging": [
        "from usm.store import Store",
        "import sqlite3",
        "from usm.places import Places",
        "import requests",
    ],
    "usm.history": ["import requests", "from usm.store import Store"],
    "usm.places": ["import requests", "import maxminddb, geoip2", "from usm.store import Store"],
    "usm.seed": ["from usm.outbox import Outbox", "x = 'SELECT id FROM seen'"],
    "usm.core.rules.login": ["import maxminddb", "from usm.judging import Judge", "import os"],
    "usm.deliver": ["from usm.sources import SOURCES", "from usm.transport import Transport", "import requests"],
    "usm.store": ["import requests", "from usm.config import Config", "from datetime import datetime\ndatetime.now()"],
    "usm.host": ["import requests", "import sqlite3"],
    "usm.report": ["import sqlite3", "x = 'SELECT id FROM session'", "x = f'UPDATE outbox SET {1}'"],
    "usm.daemon": ["from usm.cli import main", "import usm.cli", "from usm import cli", "import asyncio"],
    "usm.config": ["from usm.store import Store", "import importlib"],
    "usm.cli": ["import sqlite3", "import requests", "x = 'DELETE FROM outbox'"],
    "usm.manager": [""],
    "usm.core.new.deep": [""],
}
ALLOWED = {
    "usm.core.new": "import re\nfrom usm.core import model\nfrom usm.core.pair import pair",
    "usm.channels.new": "import hmac\nfrom urllib.parse import urlsplit\nfrom usm.core.model import Alert",
    "usm.sources.new": "import os, subprocess, time\nfrom usm.core.model import Line\nnow = time.monotonic()",
    "usm.store": "import sqlite3\nx = 'SELECT id FROM session'",
    "usm.clock": "from datetime import datetime, timezone\nx = datetime.now(timezone.utc)",
    "usm.report": '"""SELECT a FROM b is only told of here."""\nx = "Select a channel from the list"',
}


NAMES = tuple(modules())


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in PLANTED.items() for text in texts])
def test_a_planted_violation_is_found(name: str, text: str) -> None:
    """The checker sees what it is there for."""
    assert violations({name: text}, [*NAMES, name])


@pytest.mark.parametrize("name", ALLOWED)
def test_what_is_allowed_is_not_found(name: str) -> None:
    """The checker does not stand in the way of a new channel, source or station."""
    assert violations({name: ALLOWED[name]}, [*NAMES, name]) == []


def test_no_module_is_long() -> None:
    """A module fits into one's head, or is listed with its reason and a limit of its own."""
    lengths = {name: len(text.splitlines()) for name, text in modules().items()}
    assert {n: lines for n, lines in lengths.items() if lines > LONGER.get(n, (LONGEST, ""))[0]} == {}
    assert [name for name in LONGER if lengths.get(name, 0) <= LONGEST] == [], "no longer long: remove from LONGER"


def test_tests_mirror_the_modules() -> None:
    """Whoever changes a module knows where its tests are."""
    missing = []
    for path in ROOT.joinpath("usm").rglob("*.py"):
        name, inner = name_of(path), path.relative_to(ROOT / "usm")
        if name not in UNMIRRORED and not ROOT.joinpath("tests", inner.parent, f"test_{inner.name}").is_file():
            missing.append(name)
    assert sorted(missing) == []
    assert [name for name in UNMIRRORED if name not in modules()] == []
