-- Calls and what was kept of them. Common subset of SQLite and PostgreSQL: times are microseconds
-- UTC (started_us …) or microseconds on the call's own clock (at_us), ids are UUIDv7 text.

CREATE TABLE calls (
    id               TEXT   NOT NULL PRIMARY KEY,
    direction        TEXT   NOT NULL,
    from_number      TEXT   NOT NULL,
    to_number        TEXT   NOT NULL,
    trunk            TEXT   NOT NULL,
    workflow         TEXT   NOT NULL,
    workflow_version TEXT   NOT NULL,
    carrier_call_id  TEXT   NOT NULL,
    started_us       BIGINT NOT NULL,
    answered_us      BIGINT,
    ended_us         BIGINT,
    codec            TEXT,
    end_reason       TEXT,
    end_detail       TEXT,
    disposition      TEXT,
    recording        TEXT
);

-- Start-up recovery asks for the few rows without an end.
CREATE INDEX calls_unfinished ON calls (id) WHERE ended_us IS NULL;

CREATE TABLE turns (
    call_id            TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    turn_index         INTEGER NOT NULL,
    began_us           BIGINT  NOT NULL,
    node               TEXT    NOT NULL,
    heard              TEXT    NOT NULL,
    dtmf               TEXT    NOT NULL,
    agent_said         TEXT    NOT NULL,
    agent_heard        TEXT    NOT NULL,
    interrupted        INTEGER NOT NULL,
    end_of_turn_ms     INTEGER,
    stt_final_ms       INTEGER,
    llm_first_token_ms INTEGER,
    first_audio_ms     INTEGER,
    voice_to_voice_ms  INTEGER,
    PRIMARY KEY (call_id, turn_index)
);

CREATE TABLE transcript_lines (
    call_id     TEXT    NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    line_index  INTEGER NOT NULL,
    party       TEXT    NOT NULL,
    at_us       BIGINT  NOT NULL,
    until_us    BIGINT  NOT NULL,
    text        TEXT    NOT NULL,
    intended    TEXT,
    PRIMARY KEY (call_id, line_index)
);

CREATE TABLE events (
    call_id TEXT   NOT NULL REFERENCES calls (id) ON DELETE CASCADE,
    seq     BIGINT NOT NULL,
    at_us   BIGINT NOT NULL,
    kind    TEXT   NOT NULL,
    body    TEXT   NOT NULL,
    PRIMARY KEY (call_id, seq)
);
