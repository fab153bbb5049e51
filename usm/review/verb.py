"""The verb `report`: an access review of a span, as a page, as data, or as a summary."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Optional

import usm
from usm import config
from usm.clock import now
from usm.core.moment import moment
from usm.errors import UsmError
from usm.host import identify, local_zone
from usm.review.count import review
from usm.review.data import read
from usm.review.forms import summary_csv, summary_json, summary_text
from usm.review.html import page
from usm.review.mail import send
from usm.review.model import Frame, Review
from usm.review.words import REVIEW
from usm.runas import become_owner
from usm.terminal import open_for_reading, say

if TYPE_CHECKING:
    import argparse

FORMATS = ("html", "json", "csv", "text")
_OK, _FAILED, _USAGE = 0, 1, 2
_INSTANT = timedelta(microseconds=1)


class OutputError(UsmError):
    """The file can't be written: why, and what to do."""


def report(options: argparse.Namespace) -> int:
    """Write an access review."""
    made, zone = now(), local_zone()
    try:
        since, until = moment(options.since, made, zone), moment(options.until, made, zone, last=True) + _INSTANT
    except ValueError as error:
        say(str(error))
        return _USAGE
    if since >= until:
        say("the span ends before it begins: --since is later than --until")
        return _USAGE
    loaded = config.load(options.config)
    user = become_owner(os.path.dirname(os.path.abspath(loaded.state)))
    store = open_for_reading(loaded.state)
    if store is None:
        return _FAILED
    frame = Frame(since, until, made, zone, options.user or "*", identify().name, usm.__version__)
    language = options.language or loaded.language
    found = review(read(store, since, until, frame.pattern), frame)
    text = shown(found, options.format, language)
    if options.mail is not None:
        name = f"review-{until.astimezone(zone).date()}.html"
        subject = REVIEW[language]["title"].format(hosts=", ".join(found.hosts))
        body, attached = shown(found, "text", language), shown(found, "html", language)
        said = send(loaded, options.mail, subject, body, name, attached, made)
        say(f"{options.mail}: {said}")
    if options.mail is not None and options.output is None:
        return _OK
    if options.output is None:
        sys.stdout.write(text)
    else:
        write(options.output, text, user)
    return _OK


def shown(found: Review, form: str, language: str) -> str:
    """Return a review in one of the forms."""
    if form == "html":
        return page(found, language)
    if form == "json":
        return json.dumps(summary_json(found), ensure_ascii=False) + "\n"
    if form == "csv":
        return "".join(f"{line}\n" for line in summary_csv(found))
    return summary_text(found, language) + "\n"


def write(path: str, text: str, user: Optional[str] = None) -> None:
    """Write a file that only its owner may read, whole or not at all. Raises OutputError."""
    whole = os.path.abspath(path)
    made = ""
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(whole).st_mode):  # neither a device nor where a stranger's link leads
                raise OutputError(
                    f"{path} can't be written: it is no file; without --output it goes to standard output"
                )
        descriptor, made = tempfile.mkstemp(dir=os.path.dirname(whole), prefix=".usm-report-")  # made with mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, whole)
    except OSError as error:
        with suppress(OSError):
            os.unlink(made)
        who = f" as {user}, who runs the service" if user else ""
        hint = f"; or let the shell write it: usm report > {path}" if user else ""
        raise OutputError(f"{path} can't be written{who}: {error.strerror}{hint}") from error
