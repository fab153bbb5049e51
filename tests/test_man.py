"""The manual pages and the completions say what the program does: all of it, and in a form that their readers take."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.completion import completions
from tests.manual import PAGE, page
from tests.test_docs import known_keys
from usm import cli
from usm.channels import CHANNELS
from usm.verbs import CONFIGURATION, FAILED, OK, USAGE

DOCS = Path(__file__).parent.parent / "docs"
MAN = DOCS / "man" / "user-session-monitor.8"
BASH = DOCS / "completion" / "user-session-monitor.bash"
ZSH = DOCS / "completion" / "_user-session-monitor"


def plain(path: Path) -> str:
    """Return a manual page's text without its macros."""
    text = path.read_text("utf-8").replace(r"\-", "-").replace(r"\fP", "").replace(r"\fB", "").replace(r"\fI", "")
    return re.sub(r'"', "", text)


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Return the verbs' parsers."""
    actions = cli.parser()._actions
    return next(dict(a.choices) for a in actions if isinstance(a, argparse._SubParsersAction))


def test_every_verb_option_and_exit_code_is_told() -> None:
    """In the section of its verb."""
    text = plain(MAN)
    told = text.partition(".SH VERBS")[2].partition(".SH OPTIONS")[0]
    for verb, parser in verbs().items():
        found = re.search(rf"^\.(?:B|BR|BI) {verb}\b", told, re.MULTILINE)
        assert found is not None, verb
        section = told[found.start() :].split("\n.TP\n")[0]
        for action in parser._actions:
            for option in action.option_strings:
                assert option in section or option in ("-h", "--help", "-c", "--config"), (verb, option)
            for choice in action.choices or ():
                assert str(choice) in section, (verb, choice)
    for option in ("-c", "--config", "--version", "-h", "--help"):
        assert option in text.partition(".SH OPTIONS")[2]
    codes = re.findall(r"^\.B (\d+)$", text.partition(".SH EXIT STATUS")[2], re.MULTILINE)
    assert list(map(int, codes)) == [OK, FAILED, USAGE, CONFIGURATION]


def test_every_key_is_told(tmp_path: Path) -> None:
    """Each channel's, each condition's, and what they mean."""
    text = plain(PAGE)
    asked = ["zzzzzzzz: 1", *(f"notify: {{{name}: {{zzzzzzzz: 1}}}}" for name in CHANNELS)]
    for question in asked:
        for key in known_keys(tmp_path, question):
            assert re.search(rf"\b{key}\b", text), key


def test_the_configurations_page_is_that_of_the_docs() -> None:
    """`make generated` makes it anew."""
    assert PAGE.read_text("utf-8") == page()


def test_the_completions_are_those_of_the_parser() -> None:
    """`make generated` makes them anew."""
    assert {path.name: path.read_text("utf-8") for path in (BASH, ZSH)} == completions()


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc")
@pytest.mark.parametrize("path", sorted((DOCS / "man").glob("*")), ids=lambda path: path.name)
def test_mandoc_finds_nothing_wrong(path: Path) -> None:
    """Every macro is known, every line as it should be."""
    if path.name == "usm.8":
        assert path.read_text("utf-8") == ".so man8/user-session-monitor.8\n"
        return
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("usm st", {"start", "stats", "stop", "status"}),
        ("user-session-monitor rel", {"reload"}),
        ("usm status --format ", {"text", "json", "prometheus"}),
        ("usm outbox dr", {"drop"}),
        ("usm run --or", {"--or-demo"}),
    ],
)
def test_bash_completes(line: str, expected: set[str]) -> None:
    """As the real one asks the function."""
    script = """
        source "$1"; line=$2; COMP_WORDS=($line); [[ $line == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$line; COMP_POINT=${#line}
        name=$(complete -p "${COMP_WORDS[0]}" | sed -E 's/.* -F ([^ ]+) .*/\\1/')
        "$name" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}" 2>/dev/null
        printf '%s\\n' "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "-c", script, "-", BASH, line], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == expected


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_takes_its_completion() -> None:
    """Both names of the command are completed by it."""
    subprocess.run(["zsh", "-n", ZSH], check=True)
    script = f'autoload -U compinit; compinit -D -u; source "{ZSH}"; print $+functions[_shtab_usm]'
    done = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "1"
    assert ZSH.read_text("utf-8").startswith("#compdef user-session-monitor usm\n")
