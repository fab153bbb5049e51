"""Signals become orders, in whatever moment they come."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from usm import orders as module
from usm.orders import Orders

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(number: int) -> None:
    """Whatever sleeps is woken, and does not sleep again."""
    orders, woken = Orders(), []
    orders.wake = lambda: woken.append(1)
    orders.listen()
    os.kill(os.getpid(), number)
    assert (orders.stopping, orders.reloading, woken) == (True, False, [1])
    orders.wait(1000)


def test_reload() -> None:
    """Once for each signal."""
    orders = Orders()
    orders.listen(background=True)
    os.kill(os.getpid(), signal.SIGHUP)
    assert (orders.stopping, orders.reloading) == (False, True)
    orders.wait(1000)
    before = time.monotonic()
    orders.wait(0.05)  # rung once, heard once
    assert time.monotonic() - before >= 0.04


def test_what_they_meant_before() -> None:
    """Where there is nothing to order, Ctrl-C ends the program."""
    before = [signal.getsignal(number) for number in NUMBERS]
    orders = Orders()
    orders.listen()
    orders.forget()
    assert [signal.getsignal(number) for number in NUMBERS] == before


def test_very_many_signals_block_nothing() -> None:
    """The pipe is full at some time."""
    orders = Orders()
    for _ in range(70_000):
        orders.reload()
    orders.wait(1000)


@pytest.mark.parametrize(("there", "stops"), [(True, False), (False, True)])
def test_a_hangup_at_a_terminal(monkeypatch: pytest.MonkeyPatch, *, there: bool, stops: bool) -> None:
    """Means that it was closed, unless it is still there: then somebody wants a reload."""
    monkeypatch.setattr(module, "_has_terminal", lambda: True)
    orders = Orders()
    orders.listen()
    monkeypatch.setattr(module, "_has_terminal", lambda: there)
    os.kill(os.getpid(), signal.SIGHUP)
    assert (orders.stopping, orders.reloading) == (stops, not stops)


def test_nohup_is_respected_in_the_foreground_only() -> None:
    """A daemon that was started under it can be told to reload all the same."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    orders = Orders()
    orders.listen()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    orders.listen(background=True)
    os.kill(os.getpid(), signal.SIGHUP)
    assert orders.reloading
