"""One table for all channels: what each answer of a service leads to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.fakes import dingtalk, feishu, slack, telegram, wecom
from usm.channels import CHANNELS
from usm.config import load
from usm.core.message import Deferred, Receipt, Rejected, Reply, Sent

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA = Path(__file__).resolve().parent.parent / "data"


class Row(NamedTuple):
    """A line of `replies.tsv`; what is `-` there is absent."""

    channel: str
    status: str
    body: str
    retry_after: str
    outcome: str
    code: str
    wait: str


ROWS = [Row(*line.split("\t")) for line in (DATA / "replies.tsv").read_text("utf-8").splitlines()[1:]]


def outcome(receipt: Receipt) -> str:
    """Name a receipt in one word."""
    if isinstance(receipt, Sent):
        return "sent"
    if isinstance(receipt, Rejected):
        return "given up"
    if receipt.plain:
        return "plain"
    return "waits for you" if receipt.fault else f"{receipt.last} tries" if receipt.last else "waits"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.channel}-{row.status}-{row.code}")
def test_what_an_answer_leads_to(row: Row, tmp_path: Path) -> None:
    """Outcome, code, and the wait that the service demands."""
    example = (DATA / "channels" / f"{row.channel}.yaml").read_text("utf-8")
    (tmp_path / "config.yaml").write_text(example, "utf-8")
    channel = load(str(tmp_path / "config.yaml")).notify[0].channel
    body = b"" if row.body == "-" else row.body.encode()
    reply = Reply(int(row.status), body, None if row.retry_after == "-" else float(row.retry_after))
    receipt = channel.receipt(reply)
    assert outcome(receipt) == row.outcome
    assert getattr(receipt, "code", "-") == row.code
    wait = receipt.wait if isinstance(receipt, Deferred) else None
    assert wait == (None if row.wait == "-" else float(row.wait))
    if not isinstance(receipt, Sent):
        assert receipt.detail


@pytest.mark.parametrize(
    ("channel", "codes"),
    [
        ("feishu", feishu.MESSAGES),
        ("dingtalk", {**dingtalk.MESSAGES, 310000: ""}),
        ("wecom", wecom.MESSAGES),
        ("telegram", telegram.PREFIX),
        ("slack", slack.STATUS),
    ],
)
def test_whatever_a_stand_in_can_answer_has_a_row(channel: str, codes: Mapping[object, object]) -> None:
    """So that no real answer is met for the first time at a user's."""
    bodies = " ".join(row.body for row in ROWS if row.channel == channel)
    assert [code for code in codes if not re.search(rf"(?<![\w-]){code}(?!\w)", bodies)] == []


def test_every_channel_has_rows() -> None:
    """The console has no service behind it that could answer."""
    assert {row.channel for row in ROWS} == set(CHANNELS) - {"console"}
