"""What every verb says to whoever runs it: results to standard output, the rest to standard error."""

from __future__ import annotations

import os
import sys
from typing import Optional

from usm.store import Store


def show(text: str) -> None:
    """Print a result, if there is one."""
    if text:
        sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """Tell whoever runs the command something."""
    sys.stderr.write(f"usm: {text}\n")


def open_for_reading(path: str) -> Optional[Store]:
    """Open the state file, or say that there is none yet."""
    try:
        os.stat(path)
    except FileNotFoundError:
        say(f"there is no state file {path} yet: has the monitor been started?")
        return None
    except OSError:
        pass  # opening it says why it can't be
    return Store(path, readonly=True)
