"""What can go wrong outside this program, told to a person: what happened, and what to do.

An unknown log line is not an error, and a refused message is a value (`Rejected`).
Everything that is none of these is a bug: it crashes, systemd restarts, the checkpoint makes that safe.
"""


class UsmError(Exception):
    """Any error whose text is meant for the person who runs the command."""


class ConfigError(UsmError):
    """The configuration can't be used; `problems` holds every reason at once (exit code 78)."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class SourceError(UsmError):
    """The log can't be read: what was tried and what to do."""


class StoreError(UsmError):
    """The state file can't be used: damaged, newer, another program's, or the disk refused it."""


class TransportError(UsmError):
    """The other side was not reached, or did not answer; never holds a URL (a URL is a secret)."""


class ServiceError(UsmError):
    """The monitor can't be started, stopped or told something: why, and what to do."""
