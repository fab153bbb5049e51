"""The channels, as they are configured: what each is, how often it may be told, how its messages are written."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

from usm import routing
from usm.channels import CHANNELS, Channel
from usm.core.model import Secret
from usm.settings import Settings, join, nearest, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from usm.core.route import Route

LANGUAGES = ("zh", "en")
_RATE = re.compile(r"(?P<count>[1-9]\d{0,5})/(?P<span>\d{0,4})(?P<unit>s|min|h)")
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
# What every channel may have beside its own keys.
_COMMON = ("type", "enabled", "rate", "language", "title", "body", "proxy", "proxy_file", "ca_file", *routing.KEYS)


@dataclasses.dataclass(frozen=True)
class Notify:
    """One configured channel: its name, its type, how many messages may go in how many seconds, who is told what.

    `language`, `title` and `body` are how its messages are written, where it is not as everywhere else.
    """

    name: str
    type: str
    channel: Channel
    limits: tuple[tuple[int, float], ...]
    route: Route
    language: Optional[str] = None
    title: Optional[str] = None
    body: Optional[str] = None
    proxy: Optional[Secret] = None
    ca_file: Optional[str] = None


def channels(settings: Settings, data: Mapping[str, Any]) -> tuple[Notify, ...]:
    """Read all channels, those of the older tool too."""
    sections = dict(settings.section(data, "notify", ""))
    prefix = {name: join("notify", shown(name)) for name in sections}
    old = data.get("feishu")
    if old is not None:
        if "feishu" in sections:
            settings.problem("feishu", "is given twice, here and as notify.feishu; keep the one under `notify:`")
        else:
            sections["feishu"] = old
            prefix["feishu"] = "feishu"
    found = (_channel(settings, name, section, prefix[name]) for name, section in sections.items())
    return tuple(notify for notify in found if notify is not None)


def _channel(settings: Settings, name: Any, section: Any, where: str) -> Optional[Notify]:  # noqa: ANN401 - from YAML
    if section is None and name == "console":  # it needs nothing below it
        section = {}
    if not isinstance(name, str) or not isinstance(section, dict):
        settings.problem(where, "must be a name with keys below it, such as `webhook_url:`")
        return None
    kind = section.get("type", name)
    if "enabled" in section and not isinstance(section["enabled"], bool):
        settings.problem(f"{where}.enabled", "must be true or false")
    if section.get("enabled") is False:
        return None
    if not isinstance(kind, str) or kind not in CHANNELS:
        settings.problem(
            f"{where}.type" if "type" in section else where,
            f"{quoted(kind)} is no channel type{nearest(kind, tuple(CHANNELS))}; "
            "a channel of another name says `type: feishu`",
        )
        return None
    before = len(settings.problems)
    cls = CHANNELS[kind]
    values = settings.fields(cls, section, where, _COMMON)
    limits = _rate(settings, section, where, cls.limits)
    route = routing.route(settings, section, where, name, digests=cls.digests)
    title, body = (routing.template(settings, section, key, where) for key in ("title", "body"))
    language = settings.choice(section, "language", where, LANGUAGES)
    proxy, ca_file = _proxy(settings, section, where), _ca_file(settings, section, where)
    if len(settings.problems) > before:
        return None
    channel = cls(**values)
    for text in channel.problems():
        settings.problem(where, text)
    for text in channel.notes():
        settings.warn(where, text)
    return Notify(name, kind, channel, limits, route, language, title, body, proxy, ca_file)


def _proxy(settings: Settings, section: Mapping[str, Any], where: str) -> Optional[Secret]:
    """Read a proxy's address, which may hold a password."""
    value = section.get("proxy")
    if "proxy_file" in section:
        if value is not None:
            settings.problem(join(where, "proxy"), "is given twice, also as proxy_file; keep one")
            return None
        value = settings.from_file(section["proxy_file"], join(where, "proxy_file"))
    if value is None:
        return None
    try:
        parts = urlsplit(value) if isinstance(value, str) and re.fullmatch(r"[!-~]+", value) else None
        sound = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts and parts.port  # raises ValueError where it is no number
    except ValueError:
        sound = False
    if not sound:
        settings.problem(
            join(where, "proxy"), "must be the address of an HTTP proxy, such as http://proxy.example:3128"
        )
    return Secret(value) if sound else None


def _ca_file(settings: Settings, section: Mapping[str, Any], where: str) -> Optional[str]:
    """Read where the certificates of an authority of one's own are."""
    path = settings.text(section, "ca_file", where)
    if path is not None and not os.path.isabs(path):
        settings.problem(join(where, "ca_file"), "must be an absolute path, of a file with certificates in PEM")
    return path


def _rate(
    settings: Settings, section: Mapping[str, Any], where: str, default: tuple[tuple[int, float], ...]
) -> tuple[tuple[int, float], ...]:
    rate = section.get("rate")
    if rate is None:
        return default
    matches = [_RATE.fullmatch(str(item)) for item in rate] if isinstance(rate, list) else [None]
    limits = tuple((int(m["count"]), float(m["span"] or 1) * _UNITS[m["unit"]]) for m in matches if m is not None)
    if len(limits) != len(matches):
        settings.problem(f"{where}.rate", "must be a list such as [4/s, 80/min], or [] for none")
    return limits
