"""The documentation is true: its commands run, its examples reproduce, and nothing that exists is missing from it."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

import usm
from usm import cli, config
from usm.channels import CHANNELS, feishu
from usm.core import phrases
from usm.core.alert import alert_for
from usm.core.look import Look
from usm.core.message import Sent
from usm.core.model import DETAIL, END_REASONS, FAILED, HINT, LOGIN, NORMAL_ENDS, Event, Failure, Host, Record
from usm.core.policy import Policy
from usm.core.profile import MOST
from usm.core.programs import PROGRAMS, Program
from usm.core.recent import KEPT
from usm.core.recognize import recognize
from usm.core.rules import RULES, SPANS
from usm.core.text import plain_text
from usm.errors import ConfigError
from usm.history import MOST_RECENT
from usm.judging import Judge
from usm.store import Store

ROOT = Path(__file__).resolve().parent.parent
README, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
RECOGNITION = ROOT / "docs" / "recognition.md"
RULES_PAGE = ROOT / "docs" / "rules.md"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("ansible/*.md")])
SAMPLE = ROOT / "usm" / "config.example.yaml"
# What a shell block may call beside make and usm; the commands that install packages are run by tests/packages.
OTHER_PROGRAMS = {
    ".ci/system-packages",
    "git",
    "gpg",
    "journalctl",
    "rm",
    "rpmbuild",
    "rsync",
    "ssh",
    "systemctl",
    "tail",
}
OTHER_PROGRAMS |= {"ansible-playbook", "apt", "apt-get", "cd", "curl", "dnf", "rpm", "vagrant", "zypper"}
OLD_ONLY = ("feishu", "enabled")  # keys for the older tool's files: the sample configuration does without them
LINES = ("Message", "Event", "End reason", "Versions")  # the heads of a program's table
IN_WORDS = {HINT: "explains an end", DETAIL: "adds to a session"}  # what is never told itself
GROUPS = ("Logins", "Failures", "Logouts", "Privileges", "The monitor itself")  # what rules are about
MOMENT = datetime(2026, 11, 23, tzinfo=timezone.utc)


class Block(NamedTuple):
    """A fenced block: its language and its text."""

    language: str
    text: str


def read(path: Path) -> str:
    """Return a page."""
    return path.read_text(encoding="utf-8")


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", read(path), re.DOTALL | re.MULTILINE)]


def headings(path: Path) -> list[str]:
    """Return the levels of a page's headings, in order."""
    outside = re.sub(r"^```.*?^```$", "", read(path), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^(#+) ", outside, re.MULTILINE)


def table(path: Path, *head: str) -> list[list[str]]:
    """Return the rows of the table that has these heads."""
    return table_in(read(path).splitlines(), path.name, *head)


def table_in(text: list[str], name: str, *head: str) -> list[list[str]]:
    """Return the rows of the table that has these heads, in these lines of a page."""
    lines = iter(text)
    wanted = f"| {' | '.join(head)} |"
    assert wanted in lines, f"{name} has no table {wanted}"
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def codes(text: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


def commands(path: Path) -> list[str]:
    """Return the lines of a page's shell blocks."""
    return [line for block in blocks(path) if block.language == "sh" for line in block.text.splitlines() if line]


def shell(line: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a line as a reader would, with `usm` on the path, in the repository."""
    command = directory / "usm"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m usm "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    path = f"{directory}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TZ": "Asia/Shanghai"}
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def verbs() -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the verbs."""
    actions = cli.parser()._actions
    (found,) = (action.choices for action in actions if isinstance(action, argparse._SubParsersAction))
    return dict(found)


def usage() -> dict[str, str]:
    """Return the rows of the table of commands in README.md: verb → row."""
    return {codes(row[0])[0].split()[1]: " ".join(row) for row in table(README, "Command", "What it does")}


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_every_shell_command_is_known(page: str) -> None:
    """What a shell block calls exists: targets of make, verbs and options of usm."""
    path = ROOT / page
    for part in (part for line in commands(path) for part in line.split(" | ")):
        words = shlex.split(part)
        if words[0] == "make":
            subprocess.run(["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        elif words[0] == "usm":
            cli.parser().parse_args(words[1:])
        else:
            assert words[0] in OTHER_PROGRAMS, part


def test_the_commands_run(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The usm commands of README.md work, with a log, a state file and a channel of the sandbox."""
    log = tmp_path / "auth.log"
    log.write_bytes((ROOT / "usm" / "demo.log").read_bytes())
    settings = tmp_path / "config.yaml"
    settings.write_text(
        f"monitor: {{log_file: {log}}}\nstate: {tmp_path}/state.db\npidfile: {tmp_path}/usm.pid\n"
        "notify: {console: {}}\n",
        encoding="utf-8",
    )
    request.addfinalizer(lambda: shell(f"usm stop -c {settings}", tmp_path))
    lines = [line for line in commands(README) if line.startswith("usm ")]
    assert lines
    for line in lines:
        done = shell(f"{line.replace('/var/log/auth.log', str(log))} -c {settings}", tmp_path)
        warned = "W a channel of type console prints nowhere in the background\n" if line == "usm start" else ""
        assert (done.returncode, done.stderr) == (0, warned), line
        assert done.stdout, line


def test_the_table_of_commands_parses() -> None:
    """Every form in the table of commands is one that the parser takes."""
    forms = [form for row in table(README, "Command", "What it does") for form in codes(row[0]) + codes(row[1])]
    for form in forms:
        if form.startswith("usm "):
            filled = re.sub(r"\[.*?\]", "", form).replace("FILE...", "x.log").replace("ID...", "1")
            cli.parser().parse_args(filled.split()[1:])


@pytest.mark.parametrize("page", [README, CHINESE], ids=lambda path: str(path.name))
def test_every_verb_and_option_is_told(page: Path) -> None:
    """README names each verb in a row of its own, and each option with its verb."""
    text = read(page)
    rows = dict(re.findall(r"^\| `usm (\w+).*?` \|(.*)\|$", text, re.MULTILINE))
    assert sorted(rows) == sorted(verbs())
    for verb, parser in verbs().items():
        for action in parser._actions:
            names = [name for name in action.option_strings if name.startswith("--")]
            assert all(name in rows[verb] or f"`{name}" in text.replace(rows[verb], "") for name in names), (
                verb,
                names,
            )
            if action.option_strings and action.dest not in ("help", "config"):
                assert all(name in rows[verb] for name in names), (verb, names)
    for action in cli.parser()._actions:
        assert all(f"`{name}" in text for name in action.option_strings if name != "-h"), action.option_strings


def test_what_the_demo_shows_is_what_it_shows(tmp_path: Path) -> None:
    """The output in README.md is copied from a run."""
    shown = iter(shell("usm demo --fast", tmp_path).stdout.splitlines())
    excerpt = next(block for block in blocks(README) if block.language == "text")
    for line in excerpt.text.splitlines():
        assert line in shown, f"not in the demo, or not in this order: {line}"


def test_the_refusal_shown_is_real() -> None:
    """The refused test message in README.md is what the channel says."""
    (shown,) = (block.text for block in blocks(README) if "NOT sent" in block.text)
    receipts = [row.receipt for row in feishu.REPLIES if not isinstance(row.receipt, Sent)]
    assert shown in [f"feishu: NOT sent: {receipt.code}: {receipt.detail}\n" for receipt in receipts]


def test_examples_reproduce(tmp_path: Path) -> None:
    """A shell block of `usm replay` before a text block prints exactly that."""
    found = 0
    for page in ROOT.glob("docs/*.md"):
        both = blocks(page)
        for example, output in zip(both, both[1:]):
            if example.language == "sh" and example.text.startswith("usm replay") and output.language == "text":
                assert shell(example.text, tmp_path).stdout == output.text, page.name
                found += 1
    assert found


def test_the_chinese_readme_mirrors_the_english_one() -> None:
    """Same sections in the same order, same commands, same configuration."""
    assert headings(CHINESE) == headings(README)
    assert [block.language for block in blocks(CHINESE)] == [block.language for block in blocks(README)]
    for ours, theirs in zip(blocks(README), blocks(CHINESE)):
        if ours.language != "text":
            assert re.sub(r"\s*#.*", "", theirs.text) == re.sub(r"\s*#.*", "", ours.text)
    assert ("<!-- figures -->" in read(README)) == ("<!-- figures -->" in read(CHINESE))


def known_keys(tmp_path: Path, text: str) -> list[str]:
    """Return what the reader of the configuration says it knows where `zzzzzzzz` stands."""
    path = tmp_path / "asked.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(str(path))
    (problem,) = (problem for problem in caught.value.problems if "zzzzzzzz" in problem)
    return problem.split("known are ")[1].split(", ")


def test_every_key_is_documented(tmp_path: Path) -> None:
    """Every key that the reader takes is in docs/configuration.md and, but for the older tool's, in the sample."""
    page, sample = read(ROOT / "docs" / "configuration.md"), read(SAMPLE)
    told = set(codes(page))
    asked = {"": "zzzzzzzz: 1"}
    asked.update({f"{name}.": f"{name}: {{zzzzzzzz: 1}}" for name in ("monitor", "metrics", "report")})
    asked.update({f"{name}:": f"notify: {{{name}: {{zzzzzzzz: 1}}}}" for name in CHANNELS})
    for prefix, text in asked.items():
        for key in known_keys(tmp_path, text):
            assert key in ("monitor", "metrics", "report") or {key, prefix + key} & told, key
            if key not in (*OLD_ONLY, *config._OLD_MONITORS) and not key.endswith("_file"):
                assert re.search(rf"^#?\s*{key}:", sample, re.MULTILINE), f"{key} is not in {SAMPLE.name}"
    for name in config.Config.__dataclass_fields__:
        assert name in page or name in ("warnings", "path"), name


@pytest.mark.parametrize("name", CHANNELS)
def test_every_channel_has_a_section(name: str) -> None:
    """docs/configuration.md has a heading for each channel; a service has a page of its own."""
    assert re.search(rf"^### {name}$", read(ROOT / "docs" / "configuration.md"), re.MULTILINE)
    assert name == "console" or (ROOT / "docs" / f"{name}.md").is_file()


def uncommented(text: str) -> str:
    """Return a sample configuration with the `# ` before its keys taken away."""
    return re.sub(r"^# ?( *[a-z_-]+:(?: .*)?)$", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize("change", [str, uncommented], ids=["as shipped", "uncommented"])
def test_the_sample_configuration_loads(tmp_path: Path, change: Callable[[str], str]) -> None:
    """The sample is valid as it is, and with every key in use."""
    path = tmp_path / "config.yaml"
    path.write_text(change(read(SAMPLE)), encoding="utf-8")
    loaded = config.load(str(path))
    assert [w for w in loaded.warnings if "notify.apprise" not in w] == []  # what it can not know is always said
    assert bool(loaded.notify) == (change is not str)


def holidays() -> str:
    """Return the file of holidays that docs/rules.md shows."""
    return next(block.text for block in blocks(RULES_PAGE) if block.text.startswith("# 国庆节"))


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_configurations_in_the_docs_load(tmp_path: Path, page: str) -> None:
    """Every YAML block is a configuration that loads."""
    path = ROOT / page
    (tmp_path / "feishu.secret").write_text("made-up", encoding="utf-8")
    (tmp_path / "holidays.txt").write_text(holidays(), encoding="utf-8")
    for block in blocks(path):
        if block.language == "yaml":
            (tmp_path / "config.yaml").write_text(block.text, encoding="utf-8")
            config.load(str(tmp_path / "config.yaml"))


@pytest.mark.parametrize("name", [name for name in CHANNELS if name != "console"])
def test_every_code_is_told(name: str) -> None:
    """A channel's page has a row for each code in the table of replies, and says what it leads to."""
    happens: dict[str, set[str]] = {}
    for code, _, what, _ in table(ROOT / "docs" / f"{name}.md", "Code", "What it means", "What happens", "What to do"):
        happens.setdefault(codes(code)[0], set()).add(what)
    decided: dict[str, set[str]] = {"unreachable": {"waits"}}
    words = {"plain": "as text", "5 tries": "five tries"}
    for row in (line.split("\t") for line in read(ROOT / "tests" / "data" / "replies.tsv").splitlines()[1:]):
        channel, outcome, code = row[0], row[4], row[5]
        if channel == name and outcome != "sent":
            known = code in happens
            decided.setdefault(code if known else "other", set()).add(words.get(outcome, outcome))
    assert happens == decided


def section(path: Path, heading: str) -> list[str]:
    """Return the lines from a heading to the next one of whatever level."""
    lines = read(path).splitlines()
    assert heading in lines, f"{path.name} has no {heading}"
    begin = lines.index(heading) + 1
    length = next((at for at, line in enumerate(lines[begin:]) if line.startswith("#")), len(lines))
    return lines[begin : begin + length]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: str(program.service))
def test_every_recognised_line_is_told(program: Program) -> None:
    """docs/recognition.md has, for each program and in its order, an example of each row and the event that it makes.

    The example is one of a log file; where a file can't use the row, one of the journal, and the page says so.
    """
    text = section(RECOGNITION, f"### {program.service}")
    rows = table_in(text, RECOGNITION.name, *LINES)
    assert len(rows) == len(program.rows)
    assert {*program.tags} <= {*codes("\n".join(text))}
    for (sample, told, reason, versions), row in zip(rows, program.rows):
        message = codes(sample)[0]
        assert next(each for each in program.rows if each.pattern.fullmatch(message)) is row, message
        line = Record(MOMENT, "web01", program.tags[0], 4242, message)
        event = recognize(line)
        where = ""
        if event is None:
            event = recognize(line._replace(uid=0, boot="b" * 32, leader=4242, seat="7"))
            where = " (journal only)"
        assert event is not None, message
        kind = IN_WORDS.get(event.kind, event.kind) + where
        assert (kind, event.end_reason or "", row.versions) == (told, reason, versions), message


def test_the_rows_that_a_users_process_may_write_are_told() -> None:
    """docs/recognition.md lists which rows count from a process of the user's own."""
    told = {first: int(number) for first, number, _ in table(RECOGNITION, "Program", "Rows", "What they can do")}
    assert told == {p.service: sum(row.anyone for row in p.rows) for p in PROGRAMS if any(r.anyone for r in p.rows)}


@pytest.mark.parametrize(
    ("tag", "words"), [("sshd", "message repeated 3 times"), ("sudo", "3 incorrect password attempts")]
)
def test_a_line_that_tells_several_failures_is_told(tag: str, words: str) -> None:
    """The examples beside the tables, rsyslog's folding and sudo's refusal, count as often as the page says."""
    (message,) = (code for code in codes(read(RECOGNITION)) if words in code)
    event = recognize(Record(MOMENT, "web01", tag, 4242, message))
    assert event is not None
    assert (event.kind, event.count) == (FAILED, 3)


def test_every_end_reason_is_told() -> None:
    """docs/recognition.md explains each reason, and says which are normal."""
    rows = table(RECOGNITION, "End reason", "What is known", "Normal")
    assert sorted(reason for row in rows for reason in codes(row[0])) == sorted(END_REASONS)
    normal = {reason for row in rows for reason in codes(row[0]) if row[2] == "yes"}
    assert normal == NORMAL_ENDS


def seconds(value: float) -> str:
    """Return a span as the configuration takes it: `10m`."""
    unit, size = next((u, s) for u, s in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if value % s == 0)
    return f"{value / size:g}{unit}"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_told(rule: str) -> None:
    """docs/rules.md has each rule's names, severity, parameters and texts, and an example that changes it."""
    found = RULES[rule]
    text = section(RULES_PAGE, f"### {rule}")
    told = codes(text[1])
    for language in ("zh", "en"):
        assert phrases.NAMES[language][rule] in text[1]
        assert f"- {language}: `{phrases.FOUND[language][rule]}`" in text
    assert told[0] == found.severity
    assert told[1:] == [
        f"{name}: {seconds(value) if name in SPANS else f'{value:g}'}" for name, value in found.numbers.items()
    ]
    assert ("Compares with history." in text[1]) == found.history
    begin, end = text.index("```yaml"), text.index("```")
    assert rule in "\n".join(text[begin:end])


def test_the_rules_are_told_in_their_order() -> None:
    """docs/rules.md has them below what they are about, and none that is gone."""
    about: dict[str, str] = dict(zip(("login", "failed", "logout", "privilege", "monitor"), GROUPS))
    lines = [line for line in read(RULES_PAGE).splitlines() if line.startswith("##")]
    told = lines[lines.index(f"## {GROUPS[0]}") : lines.index("## Cost and bounds")]
    order = sorted(RULES, key=lambda rule: GROUPS.index(about[RULES[rule].about]))
    wanted = [[f"## {about[RULES[rule].about]}", f"### {rule}"] for rule in order]
    assert list(dict.fromkeys(told)) == list(dict.fromkeys(line for pair in wanted for line in pair))
    assert len(told) == len(RULES) + len(GROUPS)


def test_what_is_noticed_of_a_log_is_told() -> None:
    """docs/rules.md has the texts of `log-edited`."""
    rows = {codes(row[0])[0]: [codes(cell)[0] for cell in row[1:]] for row in table(RULES_PAGE, "What", "zh", "en")}
    assert rows == {how: [phrases.EDITED[language][how] for language in ("zh", "en")] for how in phrases.EDITED["zh"]}


def test_the_bounds_of_judging_are_those() -> None:
    """docs/rules.md names what is kept at most, and the periods."""
    text = read(RULES_PAGE)
    assert f"| {MOST}; " in text
    assert f"| {MOST_RECENT:,}, and {KEPT} entries in each" in text
    assert f"`judge.learning`, {Policy().learning.days} days" in text
    assert f"`judge.history`, {Policy().history.days} days" in text


def test_every_key_of_judging_is_told(tmp_path: Path) -> None:
    """docs/configuration.md has each key below `judge`."""
    rows = [codes(row[0])[0] for row in table(ROOT / "docs" / "configuration.md", "Key", "Default", "Meaning")]
    told = {*rows, *codes(read(ROOT / "docs" / "configuration.md"))}
    assert {f"judge.{key}" for key in known_keys(tmp_path, "judge: {zzzzzzzz: 1}")} <= told


@pytest.mark.parametrize(("page", "language"), [(README, "en"), (CHINESE, "zh")], ids=["en", "zh"])
def test_the_alarm_shown_is_real(page: Path, language: str) -> None:
    """The abnormal login in README.md is what is told of one such as it."""
    zone, host = timezone(timedelta(hours=8)), Host("web01", ("192.0.2.10",))
    time = datetime(2026, 11, 25, 3, 12, 40, tzinfo=zone)
    judge, store = Judge(Policy(), zone), Store(":memory:")
    usual = Event(LOGIN, time, "web01", "sshd", "alice", "203.0.113.5", method="publickey", key="SHA256:WOYw2sMJ")
    with store.transaction() as tx:
        for days in range(23, 0, -1):
            judge.learn(tx, usual._replace(time=time.replace(hour=9) - timedelta(days=days)))
        tried = (("alice", "password", False, 7),)
        judge.failures(tx, [Failure("web01", "sshd", "198.51.100.77", time - timedelta(minutes=3), time, tried)])
        login = usual._replace(source_ip="198.51.100.77", source_port=40112, method="password", key=None)
        (told,) = judge.judge(tx, login)
    store.close()
    alert = alert_for(told.event, host, told.findings, learning=told.learning)
    assert alert is not None
    assert Block("text", plain_text(alert, Look(language, zone)) + "\n") in blocks(page)


def test_the_architecture_names_every_module_once() -> None:
    """docs/architecture.md gives each module one responsibility, and names none that is gone."""
    named = [codes(row[0])[0] for row in table(ROOT / "docs" / "architecture.md", "Module", "Its one responsibility")]
    there = [str(path.relative_to(ROOT)) for path in ROOT.joinpath("usm").rglob("*.py")]
    empty = [name for name in ("usm/__init__.py", "usm/core/__init__.py") if name in there]
    assert sorted([*named, *empty]) == sorted(there)


def test_the_changelog_has_an_entry() -> None:
    """CHANGELOG.md tells of this version, or of what is to become it."""
    assert re.search(rf"^## \[(Unreleased|{re.escape(usm.__version__)})\]", read(ROOT / "CHANGELOG.md"), re.MULTILINE)


@pytest.mark.parametrize("page", [str(page.relative_to(ROOT)) for page in PAGES])
def test_no_link_points_to_nothing(page: str) -> None:
    """Every relative link is a file of the repository."""
    path = ROOT / page
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", read(path)) if "://" not in link]
    assert [link for link in links if not path.parent.joinpath(link.split("#")[0]).exists()] == []
