"""Write user-session-monitor.yaml(5): `python -m tests.manual`. It is made from docs/configuration.md.

That page is held against the code by tests/test_docs.py. Macros: man(7); text: groff_char(7) for what has a meaning.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markdown_it.token import Token

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "man" / "user-session-monitor.yaml.5"
SOURCE = DOCS / "configuration.md"
HEAD = """.\\" Made from docs/configuration.md by `make generated`: change that.
.TH USER-SESSION-MONITOR.YAML 5 2026-11-25 "user-session-monitor" "File Formats"
.SH NAME
user-session-monitor.yaml \\- configuration of user-session-monitor
.SH SYNOPSIS
.I /etc/user-session-monitor/config.yaml
.br
.I /etc/user-session-monitor/secrets.yaml
.SH DESCRIPTION
"""
TAIL = """.SH SEE ALSO
.BR user-session-monitor (8),
.BR systemd.exec (5)
"""


def page() -> str:
    """Return the whole page."""
    tokens = MarkdownIt().enable("table").parse(SOURCE.read_text(encoding="utf-8"))
    text = HEAD + "\n".join(_blocks(tokens)) + "\n" + TAIL
    return re.sub(
        r"^(\.S[HS] .*)(\n\.\\\")?\n\.PP$", r"\1", text, flags=re.MULTILINE
    )  # a section begins with a paragraph anyway


def _blocks(tokens: Sequence[Token]) -> Iterator[str]:
    """Yield the lines of each block, by what it is in."""
    cells: list[str] = []
    for before, token in zip(tokens, tokens[1:]):
        if token.type == "inline" and before.type in ("td_open", "th_open"):
            cells.append(_text(token))
        elif token.type == "tr_close":
            yield from _row(cells)
            cells = []
        elif token.type == "inline":
            yield _heading(before.tag, token) if before.type == "heading_open" else _text(token)
        elif token.type == "paragraph_open":
            yield ".IP \\(bu 2" if before.type == "list_item_open" else ".PP"
        elif token.type == "fence":
            yield from (".PP", ".EX", *(_roff(line) for line in token.content.splitlines()), ".EE")


def _heading(tag: str, token: Token) -> str:
    """The page's own title is left out, since a manual page has a name."""
    text = "".join(child.content for child in token.children or ())
    if tag == "h1":
        return '.\\"'
    return f".SH {_roff(text.upper())}" if tag == "h2" else f".SS {_roff(text)}"


def _row(cells: Sequence[str]) -> Iterator[str]:
    """A row is a tagged paragraph; of three cells the middle one is the default, of a head nothing is said."""
    first, *rest = cells
    if first in ("Key", "Condition", "Fact", r"\fBsource\fP"):
        return
    yield ".TP"
    yield first
    if len(rest) > 1 and rest[0]:
        yield f"{rest[-1]} (default: {rest[0]})"
    else:
        yield " ".join(rest)


def _text(token: Token) -> str:
    """Running text: code in bold, links without their address."""
    parts = [
        rf"\fB{_roff(child.content)}\fP" if child.type == "code_inline" else _roff(child.content or " ")
        for child in token.children or ()
        if child.type in ("text", "code_inline", "softbreak")
    ]
    text = "".join(parts)
    return rf"\&{text}" if text.startswith((".", "'")) else text


def _roff(text: str) -> str:
    """Escape what roff would take for itself."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("…", "...").replace("^", r"\(ha").replace("~", r"\(ti")
    text = text.replace("`", r"\(ga").replace("'", r"\(aq")
    return re.sub(r"^([.'])", r"\\&\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
