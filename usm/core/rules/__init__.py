"""The rules: what is called abnormal, how grave that is, and with which numbers. Ids are promises: none is renamed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from usm.core.model import CRITICAL, NOTICE, WARNING

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class Rule(NamedTuple):
    """How a rule is set where the configuration says nothing else.

    `numbers`: its parameters; those in `SPANS` are seconds. `history`: it compares with what is known of a user, so
    that it finds nothing worth an alarm while that is being learned.
    """

    about: str
    severity: str
    numbers: Mapping[str, float] = {}
    history: bool = False


SPANS = frozenset(("within", "after", "age", "shorter"))
LOGIN, FAILED, LOGOUT, PRIVILEGE, MONITOR = "login", "failed", "logout", "privilege", "monitor"
RULES: Mapping[str, Rule] = {
    "new-user": Rule(LOGIN, NOTICE, history=True),
    "new-source": Rule(LOGIN, NOTICE, history=True),
    "new-key": Rule(LOGIN, WARNING, history=True),
    "new-method": Rule(LOGIN, WARNING, {"logins": 5}, history=True),
    "unusual-service": Rule(LOGIN, NOTICE, {"logins": 5}, history=True),
    "root": Rule(LOGIN, NOTICE, {"usual": 3}),
    "service-account": Rule(LOGIN, WARNING, {"usual": 3}),
    "young-account": Rule(LOGIN, WARNING, {"age": DAY}),
    "dormant": Rule(LOGIN, WARNING, {"after": 30 * DAY}),
    "off-hours": Rule(LOGIN, NOTICE),
    "impossible-travel": Rule(LOGIN, WARNING, {"speed": 900, "distance": 500, "usual": 5}),
    "success-after-failures": Rule(LOGIN, CRITICAL, {"failures": 5, "within": 10 * MINUTE}),
    "slow-guessing": Rule(LOGIN, CRITICAL, {"failures": 10, "sources": 3, "within": DAY}),
    "many-sources": Rule(LOGIN, WARNING, {"sources": 3}),
    "not-allowed": Rule(LOGIN, WARNING),
    "forwarded": Rule(LOGIN, NOTICE, {"usual": 3}),
    "failed-source": Rule(FAILED, NOTICE, {"failures": 10, "within": 10 * MINUTE}),
    "failed-user": Rule(FAILED, NOTICE, {"failures": 20, "within": 10 * MINUTE}),
    "enumeration": Rule(FAILED, NOTICE, {"users": 5, "within": 10 * MINUTE}),
    "spraying": Rule(FAILED, WARNING, {"users": 5, "within": 10 * MINUTE}),
    "abnormal-end": Rule(LOGOUT, WARNING),
    "ended-unobserved": Rule(LOGOUT, NOTICE),
    "too-long": Rule(LOGOUT, NOTICE, {"after": 3 * DAY}),
    "idle": Rule(LOGOUT, NOTICE, {"after": 12 * HOUR}),
    "short-sessions": Rule(LOGOUT, NOTICE, {"sessions": 5, "shorter": 5.0, "within": 10 * MINUTE}),
    "mass-end": Rule(LOGOUT, WARNING, {"sessions": 5, "within": 10.0}),
    "first-privilege": Rule(PRIVILEGE, NOTICE, history=True),
    "root-shell": Rule(PRIVILEGE, WARNING, history=True),
    "privilege-failed": Rule(PRIVILEGE, WARNING, {"failures": 3, "within": 10 * MINUTE}),
    "log-silent": Rule(MONITOR, CRITICAL),
    "log-edited": Rule(MONITOR, CRITICAL),
    "unobserved": Rule(MONITOR, NOTICE),
}
