"""Write the shell completions: `python -m tests.completion`. They are made from the parser, by shtab."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import shtab

from usm import cli

PLACE = Path(__file__).parent.parent / "docs" / "completion"
NAMES = ("user-session-monitor", "usm")


def completions() -> dict[str, str]:
    """Return the files' names and texts: for bash and zsh, both names of the command in each."""
    parser = cli.parser()
    parser.prog = "usm"
    for each in (parser, *_verbs(parser)):
        for action in each._actions:
            if action.metavar == "FILE":
                action.complete = shtab.FILE  # type: ignore[attr-defined] # shtab's own
    bash = shtab.complete(parser, "bash")
    zsh = shtab.complete(parser, "zsh")
    return {
        f"{NAMES[0]}.bash": re.sub(r"(?m)^(complete .*) usm$", rf"\1 {' '.join(NAMES)}", bash),
        f"_{NAMES[0]}": zsh.replace("#compdef usm", f"#compdef {' '.join(NAMES)}", 1),
    }


def _verbs(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    subs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return [verb for action in subs for verb in action.choices.values()]


if __name__ == "__main__":
    for name, text in completions().items():
        (PLACE / name).write_text(text, encoding="utf-8")
