"""usm/core/tally.py: failures of a batch, one row for each source."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from usm.core.decode import Stamps, decode_syslog
from usm.core.model import Failure
from usm.core.recognize import recognize
from usm.core.sieve import Fold, sift
from usm.core.tally import tally, untally

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


def test_a_fold_knows_its_first_and_last_time() -> None:
    """From when to when a source tried, over all the names it tried."""
    texts = [("01", "a", 1), ("02", "b", 1), ("03", "a", 2), ("04", "b", 1), ("05", "c", 2)]
    data = b"".join(
        f"Nov 23 03:00:{s} h sshd[1]: Failed password for {u} from 192.0.2.{n} port 1 ssh2\n".encode()
        for s, u, n in texts
    )
    first, second = tally([], sift(data).folds, Stamps(timezone.utc, NOW))
    assert (first.source_ip, first.time.second, first.until.second) == ("192.0.2.1", 1, 4)
    assert (second.source_ip, second.time.second, second.until.second) == ("192.0.2.2", 3, 5)
    assert second.who == (("a", "password", False, 1), ("c", "password", False, 1))


def test_failures_that_came_alone_are_added_to_the_folded() -> None:
    """One source is one row, however its failures were found, and its times span both."""
    head = b"Nov 23 03:00:0%d h sshd[1]: "
    data = (
        head % 1
        + b"error: PAM: Authentication failure for bob from 192.0.2.66\n"
        + head % 2
        + b"Failed password for root from 192.0.2.66 port 1 ssh2\n"
        + head % 3
        + b"error: PAM: Authentication failure for bob from 192.0.2.66\n"
    )
    stamps = Stamps(timezone.utc, NOW)
    sifted = sift(data)
    events = [e for e in (recognize(r) for r in (decode_syslog(x, stamps) for x in sifted.lines) if r) if e]
    (failure,) = tally(events, sifted.folds, stamps)
    assert (failure.time.second, failure.until.second) == (1, 3)
    assert failure.who == (("bob", "keyboard-interactive/pam", False, 2), ("root", "password", False, 1))


def test_a_fold_that_is_not_sshd_s_counts_nothing() -> None:
    """No address, no time, or no name that sshd would write."""
    line = b"Nov 23 03:00:01 h sshd[1]: x"
    folds = [
        Fold(b"nowhere", {b"password for a": 1}, line, line),
        Fold(b"192.0.2.1", {b"password for a": 1}, b"no stamp", b"no stamp"),
        Fold(b"192.0.2.1", {b"nonsense": 1}, line, line),
    ]
    assert tally([], folds, Stamps(timezone.utc, NOW)) == []


def test_one_line_without_a_time_hides_no_others() -> None:
    """Where the first or the last line of a fold can't be read, the other one says when it was."""
    line, strange = b"Nov 23 03:00:01 h sshd[1]: x", b"Nov 39 03:00:01 h sshd[1]: x"
    for first, last in ((line, strange), (strange, line)):
        (failure,) = tally([], [Fold(b"192.0.2.1", {b"password for a": 2}, first, last)], Stamps(timezone.utc, NOW))
        assert (failure.time, failure.until, failure.who[0][3]) == (failure.time, failure.time, 2)


def test_a_failure_is_told_by_its_accounts() -> None:
    """Each with how often it was tried; the sum is that of the failure."""
    who = (("root", "password", False, 5), ("", None, True, 2))
    one = Failure("web01", "sshd", "203.0.113.5", NOW, NOW + timedelta(seconds=9), who)
    root, nobody = untally(one)
    assert (root.user, root.method, root.count, root.until) == ("root", "password", 5, NOW + timedelta(seconds=9))
    assert (nobody.user, nobody.method, nobody.invalid_user, nobody.count) == (None, None, True, 2)
    assert {event.kind for event in (root, nobody)} == {"failed"}
    assert untally(one._replace(until=NOW))[0].until is None
