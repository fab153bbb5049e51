"""The tables of the state file: one script for each version, the oldest first; `user_version` is how many were run.

Times are whole microseconds since 1970 UTC. A script that was released is never changed.
"""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE checkpoint (source TEXT PRIMARY KEY, cursor TEXT NOT NULL, time INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE session (
        id INTEGER PRIMARY KEY, host TEXT NOT NULL, service TEXT NOT NULL, user TEXT NOT NULL,
        source_ip TEXT, source_port INTEGER, method TEXT, key TEXT, tty TEXT, leader INTEGER,
        start INTEGER NOT NULL, "end" INTEGER, end_reason TEXT);
    CREATE INDEX session_start ON session (start);
    CREATE INDEX session_leader ON session (leader) WHERE "end" IS NULL;
    CREATE INDEX session_peer ON session (source_ip, source_port) WHERE "end" IS NULL;
    CREATE TABLE failure (
        id INTEGER PRIMARY KEY, host TEXT NOT NULL, service TEXT NOT NULL, source_ip TEXT,
        time INTEGER NOT NULL, until INTEGER NOT NULL, count INTEGER NOT NULL, who TEXT NOT NULL);
    CREATE INDEX failure_time ON failure (time);
    CREATE TABLE alert (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY, alert INTEGER NOT NULL REFERENCES alert (id), channel TEXT NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL, plain INTEGER NOT NULL,
        code TEXT, detail TEXT, settled INTEGER);
    CREATE INDEX outbox_pending ON outbox (channel, id) WHERE state = 'pending';
    CREATE INDEX outbox_settled ON outbox (channel, settled);
    """,
    """
    ALTER TABLE session ADD COLUMN until INTEGER;
    ALTER TABLE session ADD COLUMN person TEXT;
    ALTER TABLE session ADD COLUMN comment TEXT;
    ALTER TABLE session ADD COLUMN uid INTEGER;
    ALTER TABLE session ADD COLUMN seat TEXT;
    ALTER TABLE session ADD COLUMN boot TEXT;
    ALTER TABLE session ADD COLUMN begun INTEGER;
    ALTER TABLE session ADD COLUMN hint TEXT;
    ALTER TABLE session ADD COLUMN hinted INTEGER;
    CREATE INDEX session_open ON session (host) WHERE "end" IS NULL;
    CREATE TABLE event (
        id INTEGER PRIMARY KEY, kind TEXT NOT NULL, time INTEGER NOT NULL, host TEXT NOT NULL, service TEXT NOT NULL,
        user TEXT, tty TEXT, pid INTEGER, count INTEGER NOT NULL, target TEXT, command TEXT);
    CREATE INDEX event_time ON event (time);
    """,
    """
    ALTER TABLE outbox ADD COLUMN urgent INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN grp TEXT;
    ALTER TABLE outbox ADD COLUMN digest INTEGER;
    ALTER TABLE outbox ADD COLUMN members INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE attempt (channel TEXT NOT NULL, time INTEGER NOT NULL);
    CREATE INDEX attempt_time ON attempt (channel, time);
    INSERT INTO attempt SELECT channel, settled FROM outbox
        WHERE settled > (SELECT max(settled) FROM outbox) - 3600000000;
    DROP INDEX outbox_pending;
    DROP INDEX outbox_settled;
    CREATE INDEX outbox_pending ON outbox (channel, urgent DESC, id) WHERE state = 'pending';
    CREATE INDEX outbox_held ON outbox (channel, due) WHERE state = 'pending' AND attempts > 0;
    CREATE INDEX outbox_waiting ON outbox (channel, due) WHERE state = 'waiting';
    CREATE INDEX outbox_group ON outbox (channel, grp, due) WHERE grp IS NOT NULL;
    CREATE INDEX outbox_digest ON outbox (digest) WHERE digest IS NOT NULL;
    CREATE TABLE channel (
        name TEXT PRIMARY KEY, state TEXT NOT NULL, since INTEGER NOT NULL, code TEXT, detail TEXT) WITHOUT ROWID;
    """,
    """
    ALTER TABLE checkpoint ADD COLUMN behind INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE checkpoint ADD COLUMN lag INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN queued INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE counter (
        name TEXT NOT NULL, label TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (name, label)) WITHOUT ROWID;
    CREATE INDEX session_end ON session ("end") WHERE "end" IS NOT NULL;
    CREATE INDEX outbox_settled ON outbox (settled) WHERE settled IS NOT NULL;
    CREATE INDEX outbox_alert ON outbox (alert);
    """,
    """
    CREATE TABLE seen (
        host TEXT NOT NULL, user TEXT NOT NULL, fact TEXT NOT NULL, value TEXT NOT NULL, first INTEGER NOT NULL,
        last INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (host, user, fact, value)) WITHOUT ROWID;
    CREATE INDEX seen_last ON seen (last);
    CREATE TABLE recent (
        scope TEXT NOT NULL, host TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (scope, host, name)) WITHOUT ROWID;
    CREATE INDEX recent_last ON recent (last);
    CREATE TABLE incident (
        rule TEXT NOT NULL, host TEXT NOT NULL, name TEXT NOT NULL, since INTEGER NOT NULL, last INTEGER NOT NULL,
        count INTEGER NOT NULL, told INTEGER NOT NULL, told_count INTEGER NOT NULL, pause INTEGER NOT NULL,
        names TEXT NOT NULL, PRIMARY KEY (rule, host, name)) WITHOUT ROWID;
    CREATE INDEX incident_last ON incident (last);
    CREATE TABLE judgement (
        id INTEGER PRIMARY KEY, event TEXT, session TEXT, time INTEGER NOT NULL, found INTEGER NOT NULL,
        facts TEXT, findings TEXT NOT NULL, verdicts TEXT NOT NULL);
    CREATE INDEX judgement_time ON judgement (found, time);
    CREATE INDEX judgement_event ON judgement (event) WHERE event IS NOT NULL;
    CREATE INDEX judgement_session ON judgement (session) WHERE found = 1 AND session IS NOT NULL;
    CREATE INDEX session_user ON session (host, user) WHERE "end" IS NULL;
    CREATE TABLE record (
        seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, host TEXT NOT NULL, user TEXT,
        source_ip TEXT, session TEXT, body TEXT NOT NULL, hash BLOB NOT NULL);
    CREATE INDEX record_time ON record (time, kind, user, source_ip);
    CREATE INDEX record_user ON record (user, time) WHERE user IS NOT NULL;
    CREATE INDEX record_source ON record (source_ip, time) WHERE source_ip IS NOT NULL;
    ALTER TABLE failure ADD COLUMN recorded INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX failure_unrecorded ON failure (time) WHERE recorded = 0;
    CREATE INDEX session_name ON session (user, start);
    CREATE INDEX session_source ON session (source_ip, start) WHERE source_ip IS NOT NULL;
    CREATE INDEX session_span ON session (
        (coalesce(until, "end") - start > 3600000000) + (coalesce(until, "end") - start > 86400000000),
        start, coalesce(until, "end")) WHERE "end" IS NOT NULL;
    """,
)
