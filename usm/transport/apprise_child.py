"""What runs in Apprise's own process: an order from standard input, the outcome as JSON on standard output.

It imports nothing of ours: it is started by its path, with an interpreter that may not know where we are installed.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any


def main() -> None:
    """Read the order, hand it on, say what became of it: `sent`, `failed`, `not understood` or `not installed`."""
    order: dict[str, Any] = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    try:
        import apprise  # noqa: PLC0415 - an optional package, and a slow one
    except ImportError:
        _say("not installed")
        return
    sent = 0
    for number, url in enumerate(order["urls"]):
        service = apprise.Apprise()
        if not service.add(url):
            _say("not understood", number)
            return
        # One by one, so that the number of those that took it is known in every version of Apprise.
        sent += bool(service.notify(title=order["title"], body=order["body"], body_format=apprise.NotifyFormat.TEXT))
    _say("sent" if sent == len(order["urls"]) else "failed", sent)


def _say(outcome: str, number: int = 0) -> None:
    sys.stdout.write(json.dumps({"outcome": outcome, "number": number}))


if __name__ == "__main__":
    main()
