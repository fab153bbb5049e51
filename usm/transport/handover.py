"""Apprise, in a child process: its 40 MB and its threads are gone when the message is, and what it says is bounded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from usm.core.message import Reply
from usm.errors import TransportError
from usm.transport import apprise_child

if TYPE_CHECKING:
    from usm.core.message import Handover

PATIENCE = 60.0  # seconds for all services together; Apprise itself waits some seconds between two
_LARGEST = 65536  # bytes of its answer that are read
_GONE = f"Apprise did not finish within {PATIENCE:.0f} s, or died: whether the message arrived is not known"


def send(request: Handover) -> Reply:
    """Return what Apprise says of the services, as JSON; the URLs go through a pipe only, never through `ps`."""
    order = {"urls": [url.reveal() for url in request.urls], "title": request.title, "body": request.body}
    with subprocess.Popen(  # noqa: S603 - our own interpreter and file
        [sys.executable, "-I", apprise_child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a library's warnings may hold a URL
        start_new_session=True,
    ) as child:
        try:
            said, _ = child.communicate(json.dumps(order).encode(), timeout=PATIENCE)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            said = b""
    if not said:
        raise TransportError(_GONE)
    return Reply(200, said[:_LARGEST])
