"""What people write for a moment → the moment: a date, a time, `yesterday`, `2h` ago."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo

EXAMPLES = "2026-11-25, '2026-11-25 08:30', 2026-11-25T08:30:00+08:00, now, today, yesterday, 2h or 3d (ago)"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"-?(\d{1,9})([smhdw])", re.ASCII)
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)? ?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)
_DAYS = {"today": 0, "yesterday": -1}
_MICROSECOND = timedelta(microseconds=1)
_OPTIONS = ("--at", "--since", "--until")


def moment(text: str, now: datetime, zone: tzinfo, *, last: bool = False) -> datetime:
    """Return the moment, in UTC; `last`: a day means its last microsecond, not its first. Raises ValueError.

    A time without an offset is one of the zone. Of a time that the clock showed twice the first is meant; one that it
    left out is moved forward by what was left out. `3d` ago is 72 hours ago, whatever the clock did.
    """
    try:
        return _moment(text.strip(), now, zone, last=last).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!a} is no time; write it like one of: {EXAMPLES}") from None


def joined(arguments: list[str]) -> list[str]:
    """Return the words of a command in which `--since -3d` is one word, which else looked like two options."""
    words: list[str] = []
    for word in arguments:
        if words and words[-1] in _OPTIONS and _AGO.fullmatch(word):
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def _moment(text: str, now: datetime, zone: tzinfo, *, last: bool) -> datetime:
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    if text in _DAYS:
        today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        return _day(today + timedelta(days=_DAYS[text]), zone, last=last)
    parts = _ISO.fullmatch(text)
    if parts is None:
        raise ValueError
    day = datetime(int(parts[1]), int(parts[2]), int(parts[3]))  # noqa: DTZ001 - the zone is given below
    if parts[4] is None:
        return _day(day, zone, last=last)
    time = day.replace(
        hour=int(parts[4]),
        minute=int(parts[5]),
        second=int(parts[6] or 0),
        microsecond=int((parts[7] or "").ljust(6, "0")),
    )
    return _zoned(time, zone if parts[8] is None else _offset(parts[8]))


def _day(midnight: datetime, zone: tzinfo, *, last: bool) -> datetime:
    return _zoned(midnight + timedelta(days=1), zone) - _MICROSECOND if last else _zoned(midnight, zone)


def _zoned(time: datetime, zone: tzinfo) -> datetime:
    """Return a local time in UTC: `fold` 0 is the first of two, and takes the offset before a gap (PEP 495)."""
    return time.replace(tzinfo=zone, fold=0).astimezone(timezone.utc)


def _offset(text: str) -> tzinfo:
    if text == "Z":
        return timezone.utc
    size = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-size if text[0] == "-" else size)
