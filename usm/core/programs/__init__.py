"""The programs that log people in or let them act as others: each module is a table, each program one line here."""

from __future__ import annotations

from usm.core.programs.accounts import USERADD
from usm.core.programs.dropbear import DROPBEAR
from usm.core.programs.logind import LOGIND, SYSTEMD
from usm.core.programs.privilege import DOAS, SU, SUDO
from usm.core.programs.row import Program, Row
from usm.core.programs.seats import COCKPIT, GDM, LIGHTDM, LOGIN, SDDM, VSFTPD
from usm.core.programs.sshd import SSHD

__all__ = ["IDENTIFIERS", "PROGRAMS", "READ", "Program", "Row"]

_IN = (SSHD, DROPBEAR, LOGIN, GDM, LIGHTDM, SDDM, COCKPIT, VSFTPD)
PROGRAMS = (*_IN, SU, SUDO, DOAS, USERADD, LOGIND, SYSTEMD)
READ = frozenset(program.service for program in _IN)  # whose logins the log tells
# What the journal is asked for; gdm's workers really sign with a stray bracket.
IDENTIFIERS = tuple(tag + "]" if program is GDM else tag for program in PROGRAMS for tag in program.tags)
