"""Bytes of one log line → Record: which dress, when, which program.

A line is never searched for its parts: header, tag and message are matched from the first byte on, and
what follows the tag is handed on unread. The dresses are those of RFC 3164 (rsyslog's traditional
format, busybox), RFC 3339 (rsyslog's default) and RFC 5424.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Optional

from usm.core.model import Record

MAX_LINE = 65536  # bytes; no program that we know writes more than 8 kB, longer lines are nobody's

_PRI = rb"(?:<\d{1,3}>)?"
STAMP_3164 = rb"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
STAMP_3339 = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
# busybox's syslogd puts facility.level before the tag; gdm's workers have a stray `]` behind theirs.
_TAG = rb"(?:[a-z0-9]{1,9}\.[a-z]{1,9} )?([^\s:\[\]]{1,48})\]?(?:\[(\d{1,10})\])?:(?: |\Z)(.*)"
_HEADER = re.compile(_PRI + rb"(?:(" + STAMP_3164 + rb")|(" + STAMP_3339 + rb")) (\S{1,255}) " + _TAG, re.DOTALL)
_SD = rb'(?:-|(?:\[(?:[^\]"\\]|"(?:[^"\\\]]|\\.)*"|\\.)*\])+)'
_HEADER_5424 = re.compile(
    rb"<\d{1,3}>1 (" + STAMP_3339 + rb") (\S{1,255}) (\S{1,48}) (\S{1,128}) \S{1,32} " + _SD + rb"(?:  ?(.*))?\Z",
    re.DOTALL,
)
_STAMP = re.compile(rb"(?:<\d{1,3}>)?(?:1 )?(?:(" + STAMP_3164 + rb")|(" + STAMP_3339 + rb"))")
_MONTHS = {m: n for n, m in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_AHEAD = timedelta(days=1)  # how far a sender's clock may run before ours
_HOUR = timedelta(hours=1)
_LAST_YEAR = 9999


def _fix(time: datetime) -> datetime:
    """Freeze the offset: times that share a zone object would be subtracted by the wall clock."""
    return time.replace(tzinfo=timezone(time.utcoffset() or timedelta()), fold=0)


class Stamps:
    """Turns the stamps of one log into aware times; year, zone and summer time are inferred for RFC 3164.

    `now` is the latest time that the lines can have (the clock when following, the file's mtime when
    replaying). A year-less stamp gets the latest year that does not put it more than a day after `now`;
    in the hour that a clock change repeats, the later reading is taken when the earlier would run
    backwards against the line before it.
    """

    def __init__(self, zone: tzinfo, now: datetime) -> None:
        self.zone = zone
        self._limit = now + _AHEAD
        self._previous: Optional[datetime] = None
        # "Nov 23 10" → what every stamp of that hour shares; an hour in which the clocks change has no entry.
        self._hours: dict[bytes, tuple[int, int, int, int, timezone]] = {}

    def advance(self, now: datetime) -> None:
        """Move `now` on; what was inferred is forgotten once an hour, so that a year can't stick."""
        limit = now + _AHEAD
        if limit - self._limit > _HOUR or limit < self._limit:
            self._limit = limit
            self._hours.clear()

    def local(self, stamp: bytes) -> Optional[datetime]:
        """RFC 3164 `Mmm dd hh:mm:ss` → aware time, or None where no calendar has it."""
        minute, second = int(stamp[10:12]), min(int(stamp[13:15]), 59)  # 60: a leap second
        hour = self._hours.get(stamp[:9])
        if hour is not None and minute < 60:  # noqa: PLR2004 - sixty minutes
            year, month, day, number, zone = hour
            time = self._previous = datetime(year, month, day, number, minute, second, tzinfo=zone)
            return time
        return self._infer(stamp, minute, second)

    def _infer(self, stamp: bytes, minute: int, second: int) -> Optional[datetime]:
        month, day, hour = _MONTHS.get(stamp[:3], 0), int(stamp[4:6]), int(stamp[7:9])
        newest = self._limit.astimezone(self.zone).year
        for year in range(newest, newest - 9, -1):  # 29 February may be eight years back (1896 to 1904)
            try:
                naive = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the zone is set next
            except ValueError:
                if (month, day) != (2, 29):
                    return None
                continue
            first, second_reading = (_fix(naive.replace(tzinfo=self.zone, fold=fold)) for fold in (0, 1))
            time = first
            # In the hour that spring leaves out the two readings come in the other order: the first is right there.
            if self._previous is not None and first < self._previous and first < second_reading <= self._limit:
                time = second_reading
            if time <= self._limit:
                steady = {
                    _fix(naive.replace(minute=m, tzinfo=self.zone, fold=fold)).tzinfo
                    for m in (0, 59)
                    for fold in (0, 1)
                }
                if len(steady) == 1:
                    self._hours[stamp[:9]] = (year, month, day, hour, timezone(time.utcoffset() or timedelta()))
                self._previous = time
                return time
        return None

    def of(self, line: bytes) -> Optional[datetime]:
        """Return the time of a line of either BSD dress or RFC 5424, reading no further than its stamp."""
        match = _STAMP.match(line)
        if match is None:
            return None
        return self.local(match[1]) if match[1] is not None else self.absolute(match[2])

    @staticmethod
    def absolute(stamp: bytes) -> Optional[datetime]:
        """RFC 3339 stamp → aware time with the offset that it names."""
        text = stamp.decode("ascii")
        if text[-1] == "Z":
            text = text[:-1] + "+00:00"
        elif text[-3] != ":":
            text = text[:-2] + ":" + text[-2:]
        if text[19] == ".":  # Python 3.9 reads three or six digits only
            text = text[:20] + text[20:-6].ljust(6, "0")[:6] + text[-6:]
        if text[17:19] == "60":
            text = text[:17] + "59" + text[19:]
        try:
            time = datetime.fromisoformat(text)
        except ValueError:
            return None
        # At the ends of Python's calendar a time can't be turned into UTC; no log is from there.
        return time if 1 < time.year < _LAST_YEAR else None


def decode_syslog(line: bytes, stamps: Stamps) -> Optional[Record]:
    """One line (without its LF) → Record, or None where it is no syslog line at all."""
    if len(line) > MAX_LINE:
        return None
    match = _HEADER.match(line)
    if match is None and line[:1] in (b"\0", b"\xef"):  # a power cut leaves NULs before a good line, an editor a BOM
        line = re.sub(rb"\A(?:\0+|\xef\xbb\xbf)", b"", line)
        match = _HEADER.match(line)
    if match is not None:
        local, absolute, host, appname, pid, message = match.groups()
        time = stamps.local(local) if local is not None else stamps.absolute(absolute)
        number = int(pid) if pid is not None else None
    else:
        match = _HEADER_5424.match(line)
        if match is None:
            return None
        absolute, host, appname, pid, message = match.groups()
        time = stamps.absolute(absolute)
        number = int(pid) if pid.isdigit() and len(pid) <= 10 else None  # noqa: PLR2004 - as in _TAG
    if time is None:
        return None
    # rstrip: copied logs end in CR LF, and files cut off by a crash in NULs.
    text = (message or b"").rstrip(b"\r\0").decode("utf-8", "backslashreplace")
    return Record(
        time, host.decode("utf-8", "backslashreplace"), appname.decode("utf-8", "backslashreplace"), number, text
    )
