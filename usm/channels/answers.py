"""What the channels share: tables that say what an answer means, and what makes an address acceptable."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union
from urllib.parse import SplitResult, parse_qs, urlsplit

from usm.core.message import Deferred, Receipt, Rejected, Reply
from usm.core.tame import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from usm.core.model import Secret

OTHER = "*"  # stands for every code but 0
ANY, OK, MOVED, REFUSED, BROKEN = range(1000), range(200, 300), range(300, 400), range(400, 500), range(500, 600)
BUSY = range(429, 430)
Code = Union[int, str]


class Row(NamedTuple):
    """What a reply means, if every condition holds.

    `code`: the code in the reply; None holds for any reply, also for one without a code. `says`: part of its message,
    in lower case. Where the receipt asks for plain dress and the message already was plain, it is rejected.
    """

    receipt: Receipt
    code: Optional[Code] = None
    says: str = ""
    status: range = ANY
    empty: bool = False


class Answer(NamedTuple):
    """A reply as its service means it: the code, None where it holds none, and what it says to it."""

    code: Optional[Code]
    said: str = ""
    wait: Optional[float] = None


def fault(code: str, detail: str) -> Deferred:
    """Return the receipt for a setting that somebody must mend."""
    return Deferred(code, detail, fault=True)


def http_rows(service: str, option: str) -> tuple[Row, ...]:
    """Return the rows for what HTTP itself says, for the end of a table; `option`: the setting with the address."""
    proxy = f"the answer is not {service}'s: a proxy or login page is in between, or {option} is wrong"
    return (
        Row(Deferred("http-429", f"{service} limits how fast messages may come", wait=2.0), status=BUSY),
        Row(Deferred("http-5xx", f"{service}, or a proxy on the way, has an internal error"), status=BROKEN),
        Row(Deferred("other", f"{service} refused the message", last=5), OTHER),
        Row(fault("http-4xx", proxy), status=REFUSED),
        Row(Deferred("empty", "the answer was empty: whether the message arrived is not known"), status=OK, empty=True),
        Row(fault(f"not-{service.lower()}", proxy)),
    )


REDIRECT = Row(fault("redirect", "redirects are not followed: check the URL"), status=MOVED)


def judge(rows: Sequence[Row], reply: Reply, answer: Answer, secrets: Sequence[str], *, plain: bool = True) -> Receipt:
    """Return the receipt of the first row that holds.

    `secrets`: what must not be repeated, should the service say it. `plain`: the message was in its simplest dress.
    """
    row = next(row for row in rows if _holds(row, reply, answer))
    receipt = row.receipt
    if not isinstance(receipt, Deferred):
        return receipt
    if receipt.plain and plain:
        return Rejected(receipt.code, "refused even as plain text: too long or malformed")
    if row.code == OTHER:
        said = redacted(answer.said, secrets) or "no reason given"
        receipt = receipt._replace(code=clean(str(answer.code)[:16]), detail=f"{receipt.detail}: {said}")
    waits = [wait for wait in (reply.retry_after, answer.wait) if wait is not None]
    return receipt._replace(wait=max(waits)) if waits else receipt


def _holds(row: Row, reply: Reply, answer: Answer) -> bool:
    coded = row.code in (None, answer.code) or (row.code == OTHER and answer.code not in (None, 0))
    said = row.says in answer.said.lower()
    return coded and said and reply.status in row.status and not (row.empty and reply.body.strip())


def redacted(said: str, secrets: Sequence[str]) -> str:
    """Return what a service said, as clean text without the secrets in it."""
    for secret in secrets:
        said = said.replace(secret, "***") if secret else said
    return clean(said)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a reply; an empty one where it is something else."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, or JSON made to hurt
        return {}
    return answer if isinstance(answer, dict) else {}


def coded(answer: dict[str, Any], code_keys: Sequence[str], said_keys: Sequence[str]) -> Answer:
    """Return the code (a whole number) and the text of a JSON reply, each under the first of its keys that is there."""
    code = next((answer[key] for key in code_keys if key in answer), None)
    said = next((answer[key] for key in said_keys if key in answer), None)
    # Exactly int: true would pass for 1.
    return Answer(code if type(code) is int else None, said if isinstance(said, str) else "")


def to_json(body: object) -> bytes:
    """Return the shortest JSON in UTF-8."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def split(url: str) -> Optional[SplitResult]:
    """Return the parts of a URL, None where it has none that could be told apart."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine itself."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def url_problems(option: str, url: Secret, shape: str) -> Iterator[str]:
    """Yield what is wrong with any service's address; never the address itself, which is a secret."""
    text = url.reveal()
    parts = split(text)
    if parts is None or not parts.hostname or not re.fullmatch(r"[!-~]+", text):
        yield f"{option}: is not a web address; it looks like {shape}"
        return
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        yield f"{option}: must begin with https:// (plain http:// is accepted to this machine itself only)"
    if "@" in parts.netloc:
        yield f"{option}: must not hold a user name or password"


def robot_problems(url: Secret, host: str, path: str, parameter: str) -> Iterator[str]:
    """Yield what is wrong with the address of a robot that is named by one parameter of a fixed path."""
    shape = f"https://{host}{path}?{parameter}=<{parameter.rpartition('_')[2]}>"
    yield from url_problems("webhook_url", url, shape)
    parts = split(url.reveal())
    if parts is None or parts.hostname != host:
        return
    if parts.path != path or parts.fragment or not parse_qs(parts.query).get(parameter):
        yield f"webhook_url: is not that of such a robot, which looks like {shape}"


def parameter(url: Secret, name: str) -> list[str]:
    """Return the values of a parameter in an address."""
    parts = split(url.reveal())
    return [] if parts is None else parse_qs(parts.query).get(name, [])


def host_notes(option: str, url: Secret, hosts: Sequence[str], service: str) -> list[str]:
    """Name the host if it is not the service's own: a relay is allowed, a mistake is seen."""
    parts = split(url.reveal())
    if parts is None or parts.hostname is None or parts.hostname in hosts:
        return []
    return [f"{option}: sends to {clean(parts.hostname)}, which is not {service}'s own host"]


def key_problems(option: str, secret: Optional[Secret]) -> Iterator[str]:
    """Yield what is wrong with a signature key."""
    if secret is not None and not re.fullmatch(r"[!-~]+", secret.reveal()):
        yield f"{option}: must be the robot's signature key, without spaces; leave it out if there is none"


def keyword_problems(keyword: Optional[str]) -> Iterator[str]:
    """Yield what is wrong with a keyword that a robot demands."""
    if keyword is not None and (not keyword.strip() or clean(keyword) != keyword):
        yield "keyword: must be one line of visible text; leave it out if the robot demands none"


def keyed(headline: str, keyword: Optional[str], searched: str) -> str:
    """Put the keyword before `headline` where the robot would not find it in what it searches."""
    return headline if keyword is None or keyword in searched else f"{keyword} {headline}"
