"""The configuration: every problem at once, each with file, place and remedy; and no secret in any of it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from usm import config
from usm.channels import CHANNELS
from usm.channels.console import Console
from usm.channels.feishu import Feishu
from usm.config import Config, load, survey
from usm.core.model import Secret
from usm.core.route import Route
from usm.errors import ConfigError
from usm.notify import Notify
from usm.weekly import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parent / "data" / "config"
URL = "https://open.feishu.cn/open-apis/bot/v2/hook/6f1a2b3c-made-up-token"
TOKEN = "6f1a2b3c-made-up-token"
FEISHU_LIMITS = ((4, 1.0), (80, 60.0))
ROOT = os.geteuid() == 0

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what systemd or a login may have set out of the tests."""
    for name in ("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes config.yaml, and secrets.yaml where there are any, and returns the path."""

    def writer(text: str, secrets: str = "") -> str:
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        if secrets:
            (tmp_path / "secrets.yaml").write_text(secrets, encoding="utf-8")
        return str(path)

    return writer


@pytest.fixture
def public() -> Iterator[Path]:
    """Return a directory that everybody may enter: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        yield Path(path)


def problems(path: str) -> list[str]:
    """Return what is wrong with a configuration, without the directory of the files."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    directory = f"{os.path.dirname(path)}/"
    return [problem.replace(directory, "") for problem in caught.value.problems]


@contextmanager
def nobody() -> Iterator[None]:
    """Be a user without rights for a while."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(65534, 65534, 0)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


def feishu(text: str) -> str:
    """Return a configuration of one Feishu channel with these lines."""
    return "notify:\n  feishu:\n" + "".join(f"    {line}\n" for line in text.splitlines())


# -- what loads


def test_every_key_is_read() -> None:
    """A full configuration, literally."""
    loaded = load(str(DATA / "full.yaml"))
    assert loaded == Config(
        language="en",
        source="file",
        log_file="/var/log/secure",
        state="/srv/usm/state.db",
        pidfile="/srv/usm/usm.pid",
        notify=(
            Notify(
                "feishu",
                "feishu",
                Feishu(Secret(URL), Secret("made-up-secret"), "text", "监控"),
                ((1, 1.0), (30, 60.0), (500, 3600.0), (2, 10.0)),
                Route("feishu"),
            ),
            Notify(
                "night-shift",
                "feishu",
                Feishu(Secret("https://open.larksuite.com/open-apis/bot/v2/hook/7a2b3c4d-made-up-token")),
                (),
                Route("night-shift"),
            ),
            Notify("terminal", "console", Console(), (), Route("terminal")),
        ),
        warnings=(),
        path=str(DATA / "full.yaml"),
    )


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "notify:\nmonitor:\nlanguage:\n", "notify: {}\n"])
def test_an_empty_file_has_every_default(write: Write, text: str) -> None:
    """Keys without a value count as absent."""
    path = write(text)
    assert load(path) == Config(state=config.default_state(), path=path)


def test_the_shipped_example_loads_and_so_does_what_it_comments_out(write: Write) -> None:
    """Taking the comment signs away gives a working file: the only thing to change are the secrets."""
    example = Path(config.__file__).with_name("config.example.yaml").read_text(encoding="utf-8")
    assert load(write(example)).notify == ()
    head, _, body = example.partition("\n\n")
    assert head.startswith("#")
    bare = "\n".join(line.removeprefix("# ") for line in body.splitlines())
    bare = bare.replace("the robot's signing secret", "made-up")
    loaded = load(write(bare))
    assert [n.name for n in loaded.notify] == ["feishu", "night-shift", *list(CHANNELS)[1:-1]]
    assert (loaded.state, loaded.pidfile) == (config.DEFAULT_STATE, config.DEFAULT_PIDFILE)
    assert [w for w in loaded.warnings if "apprise" not in w] == []


@pytest.mark.parametrize("name", ["old-top.yaml", "old-notify.yaml"])
def test_both_files_of_the_older_tool_load(name: str) -> None:
    """Whoever comes from the Go tool keeps the file."""
    loaded = load(str(DATA / name))
    assert loaded.notify[0] == Notify("feishu", "feishu", Feishu(Secret(URL)), FEISHU_LIMITS, Route("feishu"))
    assert [n.type for n in loaded.notify] == (["feishu"] if "top" in name else ["feishu", "dingtalk", "email"])
    assert loaded.log_file == "/var/log/auth.log"


def test_what_is_not_honoured_of_the_older_tool_is_named_once() -> None:
    """One warning for each key without a meaning here; none for what is off."""
    warnings = [w.split(": ", 1)[1] for w in load(str(DATA / "old-notify.yaml")).warnings]
    old = "belongs to the older tool's hardware monitors and has no meaning here; remove it"
    assert warnings == [
        f"monitor.run_mode: {old}",
        f"monitor.system: {old}",
        f"monitor.tcp: {old}",
        f"monitor.hardware: {old}",
        f"monitor.heartbeat: {old}",
    ]
    assert load(str(DATA / "old-top.yaml")).warnings == ()


def test_a_host_that_is_not_the_services_own_is_named(write: Write) -> None:
    """A relay is allowed, and said."""
    loaded = load(write(feishu("webhook_url: https://relay.example.com/hook/abc")))
    assert [w.rpartition(": ")[2] for w in loaded.warnings] == [
        "sends to relay.example.com, which is not Feishu's or Lark's own host"
    ]


# -- secrets


def test_secrets_are_merged_over_the_rest() -> None:
    """`secrets.yaml` beside the file replaces key by key."""
    (notify,) = load(str(DATA / "merged" / "config.yaml")).notify
    assert notify.channel == Feishu(Secret(URL), Secret("made-up-secret"), "card", "login")


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """`x_file` is looked for beside the configuration, wherever the command was called; the line end is not part."""
    monkeypatch.chdir("/")
    (notify,) = load(str(DATA / "files" / "config.yaml")).notify
    assert notify.channel == Feishu(Secret(URL), Secret("made-up-secret"))


def test_a_secret_may_be_a_systemd_credential(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials come first; what is none is looked for beside the file; an absolute path is itself."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "url").write_text(URL)
    (tmp_path / "url").write_text("https://wrong.example.com/")
    (tmp_path / "key").write_text("made-up-secret\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    (notify,) = load(write(feishu("webhook_url_file: url\nsecret_file: key"))).notify
    assert notify.channel == Feishu(Secret(URL), Secret("made-up-secret"))
    (notify,) = load(write(feishu(f"webhook_url_file: {credentials / 'url'}"))).notify
    assert notify.channel == Feishu(Secret(URL))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("absent", "No such file or directory; it must hold the secret and be readable by this user"),
        ("empty", "is empty; it must hold the secret"),
        ("binary", "is not UTF-8 text; it must hold the secret and be readable by this user"),
        (".", "Is a directory; it must hold the secret and be readable by this user"),
    ],
)
def test_a_secret_file_that_gives_none_is_named(tmp_path: Path, write: Write, name: str, said: str) -> None:
    """The path is told and why it was of no use."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (problem,) = problems(write(feishu(f"webhook_url: {URL}\nsecret_file: {name}")))
    assert problem == f"config.yaml: notify.feishu.secret_file: {name}: {said}"


def test_a_secret_file_is_named_by_its_path(write: Write) -> None:
    """Anything else in its place is told, also a name that no file can have."""
    (problem,) = problems(write(feishu(f"webhook_url: {URL}\nsecret_file: 7")))
    assert problem == "config.yaml: notify.feishu.secret_file: must be the path of a file that holds the secret"
    (problem,) = problems(write(feishu(f'webhook_url: {URL}\nsecret_file: "a\\0b"')))
    assert problem.startswith("config.yaml: notify.feishu.secret_file: ")


def test_a_secret_is_given_once(write: Write) -> None:
    """Of two ways to give it, one must go."""
    (problem,) = problems(write(feishu(f"webhook_url: {URL}\nsecret: a\nsecret_file: key")))
    assert problem == "config.yaml: notify.feishu.secret: is given twice, also as secret_file; keep one"


def test_a_configuration_never_shows_a_secret() -> None:
    """Neither its representation nor its text nor its fields hold one."""
    loaded = load(str(DATA / "merged" / "config.yaml"))
    for text in (repr(loaded), str(loaded), f"{loaded}", repr(dataclasses.asdict(loaded)), repr(loaded.notify)):
        assert TOKEN not in text
        assert "made-up-secret" not in text
        assert "***" in text


BROKEN = [
    "notify: {feishu: {secret: S3CRET-word",
    "notify:\n  feishu:\n    secret: *S3CRET-word\n",
    "notify:\n  feishu:\n    secret: !S3CRET-word\n",
    "notify:\n  feishu:\n    secret: !!python/object:S3CRET-word x\n",
    "notify:\n  feishu:\n    secret: @S3CRET-word\n",
    "notify:\n  feishu:\n    secret: %S3CRET-word\n",
    "notify:\n  feishu:\n    secret: 'S3CRET-word\n",
    'notify:\n  feishu:\n    secret: "S3CRET-word\\q"\n',
    "notify:\n  feishu:\n    secret: a: S3CRET-word\n",
    "notify:\n  feishu:\n    secret: &S3CRET-word 1\n    secret2: &S3CRET-word 2\n",
    "notify:\n  feishu:\n\tsecret: S3CRET-word\n",
    "notify:\n  feishu: S3CRET-word\n",
    "notify: {S3CRET-word=yes}\n",
    "notify: {feishu: {secret=S3CRET-word}}\n",
    "notify: {feishu: {secret:S3CRET-word}}\n",
    "notify: {feishu: {'https://S3CRET-word': }}\n",
    "notify: {'https://S3CRET-word': }\n",
    "notify: {feishu: {secret: [S3CRET-word]}}\n",
    "notify: {feishu: {secret: {S3CRET-word: 1}}}\n",
    "notify: {feishu: {webhook_url: 'https://S3CRET-word@x/', secret: 'S3CRET-word word'}}\n",
    "notify: {feishu: {webhook_url: 'ftp://x/S3CRET-word', format: S3CRET-word, rate: S3CRET-word}}\n",
    "notify: {feishu: {webhook_url: !!int S3CRET-word}}\n",
    "- S3CRET-word\n",
    "S3CRET-word\n",
]


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize("where", ["config.yaml", "secrets.yaml"])
def test_no_mistake_shows_the_secret_beside_it(write: Write, where: str, text: str) -> None:
    """Whatever is wrong with a line, its text may be a secret: place and remedy are told, the text is not."""
    found = problems(write(text) if where == "config.yaml" else write("", text))
    assert found
    assert all(problem.startswith(("config.yaml", "secrets.yaml")) for problem in found)
    assert "S3CRET" not in "\n".join(found)


# -- problems


def test_ten_mistakes_are_ten_problems_at_once() -> None:
    """Each has its file, its place, and what to write instead."""
    assert problems(str(DATA / "ten-mistakes.yaml")) == [
        "ten-mistakes.yaml: langauge: is no key that is known here; did you mean `language`?",
        "ten-mistakes.yaml: monitor.source: must be one of auto, journal, file; did you mean `file`?",
        "ten-mistakes.yaml: monitor.log_file: must be `auto` or an absolute path such as /var/log/auth.log",
        "ten-mistakes.yaml: state: must be text, not a number",
        "ten-mistakes.yaml: notify.feishu.colour: is no key that is known here; known are webhook_url, secret, format, "
        "keyword, webhook_url_file, secret_file, type, enabled, rate, language, title, body, proxy, proxy_file, "
        "ca_file, only, except, quiet_hours, group_by, group_wait, group_interval",
        "ten-mistakes.yaml: notify.feishu.webhook_url: must be text, not a number; put it in quotes",
        "ten-mistakes.yaml: notify.feishu.secret: must be text, not a number; put it in quotes",
        "ten-mistakes.yaml: notify.feishu.format: must be one of card, text",
        "ten-mistakes.yaml: notify.feishu.rate: must be a list such as [4/s, 80/min], or [] for none",
        "ten-mistakes.yaml: notify.discord: `discord` is no channel type; known are feishu, dingtalk, wecom, telegram, "
        "slack, email, webhook, syslog, apprise, console; a channel of another name says `type: feishu`",
    ]


MISTAKES = [
    ("language: no", "language: must be text, not true or false"),
    ("language: ''", "language: must be text, not nothing"),
    ("language: de", "language: must be one of zh, en"),
    ("state: 'a\\0'\n", None),
    ('state: "a\\0"', "state: must be one line of visible text"),
    ('state: "a\\nb"', "state: must be one line of visible text"),
    ("state: 1.5", "state: must be text, not a number"),
    ("state: 2026-01-01", "state: must be text, not a date"),
    ("monitor: file", "monitor: must hold keys, not text"),
    ("monitor: [file]", "monitor: must hold keys, not a list"),
    ("monitor: {source: syslog}", "monitor.source: must be one of auto, journal, file"),
    ("monitor: {log_file: auth.log}", "monitor.log_file: must be `auto` or an absolute path such as /var/log/auth.log"),
    ("notify: feishu", "notify: must hold keys, not text"),
    ("notify: {feishu: }", "notify.feishu: must be a name with keys below it, such as `webhook_url:`"),
    ("notify: {feishu: yes}", "notify.feishu: must be a name with keys below it, such as `webhook_url:`"),
    ("feishu: 7", "feishu: must be a name with keys below it, such as `webhook_url:`"),
    (
        "notify: {off: {type: feishu}}",
        "notify.(a key that YAML takes for something else than a word; put it in quotes): must be a name with keys "
        "below it, such as `webhook_url:`",
    ),
    ("notify: {x: {type: feihsu}}", "notify.x.type: `feihsu` is no channel type; did you mean `feishu`?"),
    ("notify: {x: {type: [feishu]}}", "notify.x.type: a list is no channel type"),
    ("notify: {x: {type: {a: b}}}", "notify.x.type: a group of keys is no channel type"),
    ("notify: {x: {type: 7}}", "notify.x.type: a number is no channel type"),
    ("notify: {feishu: {}}", "notify.feishu.webhook_url: is missing; the robot's webhook address"),
    ("notify: {feishu: {webhook_url: ''}}", "notify.feishu.webhook_url: is missing"),
    ("notify: {feishu: {webhook_url: true}}", "notify.feishu.webhook_url: must be text, not true or false"),
    ("notify: {feishu: {webhook_url: {a: 1}}}", "notify.feishu.webhook_url: must be text, not a group of keys"),
    ("notify: {feishu: {webhook_url: nonsense}}", "notify.feishu: webhook_url: is not a web address"),
    ("notify: {console: {colour: 1}}", "notify.console.colour: is no key that is known here"),
    ("notify: {console: {enabled: 'yes'}}", "notify.console.enabled: must be true or false"),
    ("notify: {console: {rate: 4/s}}", "notify.console.rate: must be a list such as [4/s, 80/min], or [] for none"),
    ("notify: {console: {rate: [4]}}", "notify.console.rate: must be a list"),
    ("notify: {console: {rate: [0/s]}}", "notify.console.rate: must be a list"),
    ("notify: {console: {rate: [4/day]}}", "notify.console.rate: must be a list"),
    ("notify: {console: {rate: [4/s, -1/s]}}", "notify.console.rate: must be a list"),
    ("notify: {console: {rate: {4: s}}}", "notify.console.rate: must be a list"),
    ("1: 2", "(a key that YAML takes for something else than a word; put it in quotes): is no key that is known here"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES)
def test_a_mistake_is_told_with_its_place(write: Write, text: str, said: str | None) -> None:
    """One mistake, one problem, with what to write instead."""
    path = write(text)
    if said is None:  # a backslash between single quotes is itself
        assert load(path).state == "a\\0"
        return
    (problem,) = problems(path)
    assert problem.startswith(f"config.yaml: {said}")


def test_the_old_and_the_new_place_of_feishu_exclude_each_other(write: Write) -> None:
    """Which of the two counts is not guessed."""
    (problem,) = problems(write(f"feishu: {{webhook_url: {URL}}}\n" + feishu(f"webhook_url: {URL}")))
    assert problem == "config.yaml: feishu: is given twice, here and as notify.feishu; keep the one under `notify:`"


def test_a_problem_of_the_old_place_is_told_there(write: Write) -> None:
    """The path is the one that stands in the file."""
    assert problems(write("feishu: {webhook: x}"))[0].startswith(
        "config.yaml: feishu.webhook: is no key that is known here; did you mean `webhook_url`?"
    )


def test_a_mistake_in_the_secrets_names_their_file(write: Write) -> None:
    """An operator looks where the mistake is."""
    path = write(feishu("format: cart"), feishu("webhook_url: 7\nsecrte: x"))
    assert [problem.split(":")[0] for problem in problems(path)] == ["secrets.yaml", "secrets.yaml", "config.yaml"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"notify: \xff\xfe\n", "config.yaml: is not UTF-8 text"),
        (b"a: [1\n", "config.yaml, line 2, column 1: is not valid YAML (expected ',' or ']', but got '<stream end>')"),
        (b"a: \0\n", "config.yaml: is not valid YAML (unreadable)"),
        (b"a: *b\n", "config.yaml, line 1, column 4: is not valid YAML (found undefined alias"),
        (b"- a\n", "config.yaml: must hold keys such as `notify:`, not a bare list"),
        (b"hello\n", "config.yaml: must hold keys such as `notify:`, not a bare str"),
        (
            b"a: 2026-99-99\n",
            "config.yaml: holds a value that can't be read, perhaps a date or number that is none; put it in quotes",
        ),
        (b"a: " + b"[" * 1000, "config.yaml"),
    ],
)
def test_a_file_that_is_no_yaml_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    """One problem with line and column where they are known."""
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    (problem,) = problems(str(path))
    assert problem.startswith(said)


def test_both_broken_files_are_told_at_once(write: Write) -> None:
    """Whoever mends one need not run again to hear of the other."""
    assert [p.split(",")[0] for p in problems(write("a: [", "b: ["))] == ["config.yaml", "secrets.yaml"]


def test_a_missing_file_is_a_problem_only_if_it_was_named(tmp_path: Path) -> None:
    """A path that was given must exist, and be a file."""
    assert problems(str(tmp_path / "config.yaml")) == ["config.yaml: No such file or directory; check the path"]
    with pytest.raises(ConfigError, match="Is a directory; check the path"):
        load(str(tmp_path))


def test_without_a_file_everything_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual place may be empty; what stands there is read."""
    usual = tmp_path / "etc" / "config.yaml"
    monkeypatch.setattr(config, "DEFAULT_PATH", str(usual))
    assert load() == Config(state=config.default_state())
    usual.parent.mkdir()
    shutil.copy(DATA / "old-top.yaml", usual)
    assert load().path == str(usual)


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_file_that_may_not_be_read_is_not_taken_for_a_missing_one(
    public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where /etc/user-session-monitor is closed to a user, the user is told so, also of the secrets alone."""
    (public / "etc").mkdir(mode=0o750)
    usual = public / "etc" / "config.yaml"
    monkeypatch.setattr(config, "DEFAULT_PATH", str(usual))
    shutil.copy(DATA / "merged" / "config.yaml", usual)
    secrets = public / "etc" / "secrets.yaml"
    shutil.copy(DATA / "merged" / "secrets.yaml", secrets)
    secrets.chmod(0o640)
    with nobody(), pytest.raises(ConfigError, match=r"config.yaml: Permission denied; this must be run as root"):
        load()
    (public / "etc").chmod(0o755)
    with nobody(), pytest.raises(ConfigError, match=r"secrets.yaml: Permission denied; this must be run as root"):
        load()


# -- where the state is


def test_the_state_is_where_systemd_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """$STATE_DIRECTORY may hold several; the first is ours."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")
    assert config.default_state() == "/var/lib/a/state.db"


@pytest.mark.skipif(not ROOT, reason="needs to become another user")
def test_a_user_without_rights_keeps_the_state_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has the system's place, everybody else one of their own."""
    assert config.default_state() == "/var/lib/user-session-monitor/state.db"
    monkeypatch.setenv("HOME", "/home/alice")
    with nobody():
        assert config.default_state() == "/home/alice/.local/state/user-session-monitor/state.db"
        monkeypatch.setenv("XDG_STATE_HOME", "/srv/state")
        assert config.default_state() == "/srv/state/user-session-monitor/state.db"


# -- anything at all


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["notify", "feishu", "monitor", "type", "rate", "secret", "webhook_url", "webhook_url_file", "enabled", ""]
        )
        | st.integers()
        | st.none(),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(TREES)
def test_any_tree_loads_or_is_told_what_is_wrong(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    """Nothing that YAML can hold is a crash."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        loaded = load(str(path))
    except ConfigError as error:
        found = error.problems
    else:
        found = [str(loaded.path)]
    assert all(text.startswith(str(path)) for text in found)
    assert found


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"summary": "8:77"}, 'summary: must be a time of the day such as "08:30"'),
        ({"summary": 1440}, 'summary: must be a time of the day such as "08:30"'),
        ({"summary": True}, 'summary: must be a time of the day such as "08:30"'),
        ({"report": {"day": "mon"}}, "report: needs `directory:` or `mail:`"),
        ({"report": {"directory": "reports"}}, "report.directory: must be an absolute path"),
        ({"report": {"mail": "hook"}}, "report.mail: must be the name of a channel of type email"),
        ({"report": {"day": "noday", "directory": "/srv"}}, "report.day: must be one of mon, tue"),
        ({"retention": "30d"}, "retention: is shorter than judge.history (90d)"),
    ],
)
def test_what_is_wrong_with_the_record_and_its_reports(tmp_path: Path, tree: dict[str, object], problem: str) -> None:
    """Is said, or warned of."""
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(tree), encoding="utf-8")
    found, problems = survey(str(path))
    assert any(f": {problem}" in text for text in (*problems, *found.warnings)), (problems, found.warnings)


def test_when_reports_and_summaries_are_made(tmp_path: Path) -> None:
    """YAML reads some times of the day as a number already."""
    path = tmp_path / "config.yaml"
    mail = "{smtp_host: mail.example.com, from: usm@example.com, to: [a@example.com]}"
    path.write_text(
        f"summary: 10:30\nreport: {{day: fri, at: '06:05', directory: /srv, mail: email}}\nnotify: {{email: {mail}}}\n",
        encoding="utf-8",
    )
    found = load(str(path))
    assert (found.summary, found.report) == (630, Plan(4, 365, "/srv", "email"))
