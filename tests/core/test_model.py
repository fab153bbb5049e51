"""usm/core/model.py: a secret stays one."""

from __future__ import annotations

from usm.core.message import Post
from usm.core.model import Secret


def test_a_secret_never_shows_itself() -> None:
    """Not printed, not formatted, not as part of something else."""
    secret = Secret("hook-token")
    shown = f"{secret} {secret!r} {secret!s} {Post(secret, b'x')!r} {[secret]} {vars(Secret).get('_value')!s:.0}"
    assert "hook-token" not in shown
    assert secret.reveal() == "hook-token"


def test_secrets_compare_by_value() -> None:
    """So that two configurations can be compared."""
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
