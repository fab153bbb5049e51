"""The pictures of a review: a heat map of logins, and a line of sessions for each user; plain SVG, coloured by CSS."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from usm.core import model
from usm.core.look import duration, when
from usm.core.tame import clean
from usm.review.model import OPEN, Frame, Stay
from usm.review.words import DAYS, ENDS, REVIEW

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 1000  # units of a time line
_LANE, _LOW = 12, 6  # heights of a lane, and of the bar of a normal end
_LANES = 6  # sessions beside each other that are drawn; more lie on top of one another
MANY = 150  # sessions of one user, above which those next to each other become one bar
_BIN = 2  # units of such a bar at least
_LEAST = 1.5  # units: the shortest bar that can be seen
_DAY_LINES, _WEEK = 16, 7  # days up to which each has a line; then each week has one
_CELL, _ROW, _LEFT, _TOP = 27, 24, 44, 18  # of the heat map
LEVELS = 4
# How an end is drawn, and what most needs a look comes last.
STYLES = ("normal", "on", "lost", "blind", "forced")
STYLE = {
    model.DISCONNECTED: "normal",
    model.SHUTDOWN: "normal",
    OPEN: "on",
    model.TIMEOUT: "lost",
    model.RESET: "lost",
    model.CLOSED: "lost",
    model.UNOBSERVED: "blind",
    model.TERMINATED: "forced",
    model.CRASH: "forced",
    model.VANISHED: "forced",
}
HATCH = (
    '<svg class="defs" width="0" height="0" aria-hidden="true" focusable="false"><defs>'
    '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="forced-fill" width="3" height="5"/></pattern></defs></svg>'
)


class _Bar(NamedTuple):
    left: float
    right: float
    lane: int
    style: str
    text: str


def heat_map(hours: Sequence[Sequence[int]], language: str) -> str:
    """Draw logins by day of the week and hour; each field holds its number too."""
    words, days = REVIEW[language], DAYS[language]
    most, day, hour = max((count, -d, -h) for d, row in enumerate(hours) for h, count in enumerate(row))
    facts = {"total": sum(map(sum, hours)), "day": days[-day], "hour": f"{-hour:02}", "most": most}
    desc = words["heat is"].format(**facts) if most else words["heat none"]
    out = [_head("heat", _LEFT + 24 * _CELL, _TOP + 7 * _ROW, words["heat"], desc)]
    out += [f'<text x="{_LEFT + h * _CELL + _CELL // 2}" y="12" class="axis">{h:02}</text>' for h in range(24)]
    for d, row in enumerate(hours):
        y = _TOP + d * _ROW
        out.append(f'<text x="{_LEFT - 6}" y="{y + 16}" class="day">{days[d]}</text>')
        for h, count in enumerate(row):
            level = -(-count * LEVELS // most) if count else 0
            x, wide = _LEFT + h * _CELL, _CELL - 2
            out.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{_ROW - 2}" rx="3" class="h{level}"/>')
            if count:
                out.append(f'<text x="{x + wide / 2:g}" y="{y + 15}" class="n{level}">{_short(count)}</text>')
    return "".join(out) + "</svg>"


def _short(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.0f}k"  # noqa: PLR2004 - a field has room for three digits


def timeline(number: int, stays: Sequence[Stay], frame: Frame, language: str) -> tuple[str, bool]:
    """Draw one user's sessions; tell too whether some were drawn as one."""
    words = REVIEW[language]
    pooled = len(stays) > MANY
    bars = _pooled(stays, frame, language) if pooled else _single(stays, frame, language)
    height = _LANE * (1 + max((bar.lane for bar in bars), default=0))
    user = clean(stays[0].session.user, 64)
    total = duration(sum(stay.seconds for stay in stays), language)
    name = words["line of"].format(user=user)
    out = [_head(f"line{number}", WIDTH, height, name, words["line is"].format(count=len(stays), total=total), "line")]
    out += [f'<path class="grid" d="M{_x(at, frame):.1f} 0V{height}"/>' for at in ticks(frame)]
    out += map(_drawn, bars)
    return "".join(out) + "</svg>", pooled


def ticks(frame: Frame) -> list[datetime]:
    """Return the midnights within the span by the clock on the wall; of a long span those of Mondays, then fewer."""
    first = frame.since.astimezone(frame.zone).date() + timedelta(days=1)
    days = (frame.until - frame.since) // timedelta(days=1)
    every = [first + timedelta(days=n) for n in range(days + 1)]
    if days > _DAY_LINES:
        every = [day for day in every if day.weekday() == 0]
    every = every[:: 1 + len(every) // 40]
    at = [datetime.combine(day, time(), frame.zone) for day in every]
    return [one for one in at if one < frame.until]


def _head(name: str, width: int, height: int, title: str, desc: str, style: str = "") -> str:
    stretch = ' preserveAspectRatio="none"' if style else ""
    size = f' height="{height}"' if style else ""
    return (
        f'<svg class="{style or name}" viewBox="0 0 {width} {height}"{size}{stretch} role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(title)}</title>'
        f'<desc id="{name}-d">{escape(desc)}</desc>'
    )


def _x(moment: datetime, frame: Frame) -> float:
    """Return how far along the line a time is; `timestamp`, since the clock on the wall may be put forward."""
    start, end = frame.since.timestamp(), frame.until.timestamp()
    return min(WIDTH, max(0, WIDTH * (moment.timestamp() - start) / max(1, end - start)))


def _single(stays: Sequence[Stay], frame: Frame, language: str) -> list[_Bar]:
    """Return a bar for each session, beside those that it overlaps."""
    words, ends, zone = REVIEW[language], ENDS[language], frame.zone
    free = [frame.since] * _LANES  # until when each lane is taken
    bars = []
    for stay in stays:
        left = min(_x(stay.begin, frame), WIDTH - _LEAST)
        right = max(_x(stay.end, frame), left + _LEAST)
        lane = next((n for n, taken in enumerate(free) if taken <= stay.begin), _LANES - 1)
        free[lane] = stay.end
        facts = {"reason": ends[stay.reason], "source": clean(stay.session.source_ip or words["local"], 64)}
        text = words["bar"].format(**{"from": when(stay.begin, zone), "to": when(stay.end, zone)}, **facts)
        bars.append(_Bar(left, right, lane, STYLE[stay.reason], text))
    return bars


def _pooled(stays: Sequence[Stay], frame: Frame, language: str) -> list[_Bar]:
    """Return a bar for each run of sessions that touch, and on it a mark where some ended otherwise than normally."""
    words, ends, zone = REVIEW[language], ENDS[language], frame.zone
    runs: list[list[Stay]] = []
    marks: dict[tuple[str, int], list[Stay]] = {}
    reached = -1.0
    for stay in stays:
        if not runs or _x(stay.begin, frame) // _BIN > reached + 1:
            runs.append([])
        runs[-1].append(stay)
        right = _x(stay.end, frame)
        reached = max(reached, right // _BIN)
        if STYLE[stay.reason] != "normal":
            marks.setdefault((stay.reason, int(right // _BIN)), []).append(stay)

    def bar(some: Sequence[Stay], left: float, right: float, style: str, reason: str) -> _Bar:
        first, last = min(stay.begin for stay in some), max(stay.end for stay in some)
        facts = {"from": when(first, zone), "to": when(last, zone), "count": len(some), "reason": reason}
        left = min(left, WIDTH - 2 * _BIN)
        return _Bar(left, max(right, left + _BIN), 0, style, words["bars"].format(**facts).rstrip(words["comma"]))

    bars = [bar(r, _x(r[0].begin, frame), _x(max(s.end for s in r), frame), "normal", "") for r in runs]
    for (reason, at), some in sorted(marks.items(), key=lambda mark: STYLES.index(STYLE[mark[0][0]])):
        bars.append(bar(some, (at - 1) * _BIN, (at + 1) * _BIN, STYLE[reason], ends[reason]))
    return bars


def _drawn(bar: _Bar) -> str:
    """Colour is never the only sign: height, filling and outline differ too."""
    low = bar.style in ("normal", "on")
    top = bar.lane * _LANE + ((_LANE - _LOW) / 2 if low else 0.5)
    high = _LOW if low else _LANE - 1
    shape = f'x="{bar.left:.1f}" y="{top:g}" width="{bar.right - bar.left:.1f}" height="{high}"'
    arrow = ""
    if bar.style == "on":
        middle, tip = bar.lane * _LANE + _LANE / 2, bar.right
        points = f"M{tip - 6:.1f} {middle - 5.5:g}L{tip:.1f} {middle:g}L{tip - 6:.1f} {middle + 5.5:g}z"
        arrow = f'<path class="on" d="{points}"/>'
    return f'<g><title>{escape(bar.text)}</title><rect class="{bar.style}" {shape}/>{arrow}</g>'


def sample(style: str) -> str:
    """Draw one bar for the legend."""
    bar = _drawn(_Bar(1, 27, 0, style, "")).replace("<title></title>", "")
    return f'<svg class="sample" viewBox="0 0 28 {_LANE}" width="28" height="{_LANE}" aria-hidden="true">{bar}</svg>'


def share(part: float) -> str:
    """Draw a share between 0 and 1 as a bar; the number stands beside it."""
    width = max(1, round(120 * part))
    rest = f'<rect class="share" width="{width}" height="10" rx="2"/>'
    return f'<svg class="shares" viewBox="0 0 120 10" width="120" height="10" aria-hidden="true">{rest}</svg>'
