//! The store on real files.

use std::path::Path;

use tempfile::TempDir;
use trunkline_types::{CallDirection, CallId, CallTime, EndReason, Outcome, Party, Timestamp};

use crate::{
    CallEnd, EventRow, NewCall, RecordingWriter, Store, StoreError, TranscriptLine, TurnRecord,
};

const START_US: u64 = 1_700_000_000_000_000;

fn call(number: u8) -> NewCall {
    let started = Timestamp::from_micros(START_US + u64::from(number) * 1_000_000);
    NewCall {
        id: CallId::new(started, [number; 10]),
        direction: CallDirection::Inbound,
        from: "+442079460001".to_owned(),
        to: "demo".parse().unwrap(),
        trunk: "local".to_owned(),
        workflow: "front-desk".to_owned(),
        workflow_version: "1".to_owned(),
        carrier_call_id: format!("call-{number}@host"),
        started,
    }
}

fn event(seq: u64, at_ms: u64) -> EventRow {
    EventRow {
        seq,
        at: CallTime::from_millis(at_ms),
        kind: "in.final".to_owned(),
        body: format!("{{\"seq\":{seq}}}"),
    }
}

fn turn(call_id: CallId, index: u32) -> TurnRecord {
    TurnRecord {
        call_id,
        index,
        began: CallTime::from_millis(500),
        node: "greeting".to_owned(),
        heard: "I'd like to book".to_owned(),
        dtmf: "1#".to_owned(),
        agent_said: "Certainly. Which day?".to_owned(),
        agent_heard_by_caller: "Certainly.".to_owned(),
        interrupted: true,
        end_of_turn_ms: Some(400),
        stt_final_ms: Some(120),
        llm_first_token_ms: None,
        first_audio_ms: Some(90),
        voice_to_voice_ms: Some(610),
    }
}

fn end(at_us: u64) -> CallEnd {
    CallEnd {
        at: Timestamp::from_micros(at_us),
        reason: EndReason::CallerHungUp,
        detail: Some("Q.850;cause=16".to_owned()),
        disposition: Some("appointment_booked".to_owned()),
        recording: Some("var/recordings/x.wav".to_owned()),
    }
}

async fn open(dir: &TempDir) -> Store {
    Store::open(&dir.path().join("trunkline.db")).await.unwrap()
}

#[tokio::test]
async fn a_call_is_found_with_all_that_was_said_of_it() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let new = call(1);
    store.insert_call(&new).await.unwrap();
    let answered = Timestamp::from_micros(START_US + 2_000_000);
    store
        .mark_answered(new.id, answered, "PCMU/8000")
        .await
        .unwrap();
    store
        .end_call(new.id, &end(START_US + 9_000_000))
        .await
        .unwrap();

    let found = store.get_call(new.id).await.unwrap();
    assert_eq!(found.from, new.from);
    assert_eq!(found.to, new.to);
    assert_eq!(found.started, new.started);
    assert_eq!(found.answered, Some(answered));
    assert_eq!(found.codec.as_deref(), Some("PCMU/8000"));
    assert_eq!(found.end_reason, Some(EndReason::CallerHungUp));
    assert_eq!(found.outcome, Some(Outcome::Abandoned));
    assert_eq!(found.disposition.as_deref(), Some("appointment_booked"));
}

#[tokio::test]
async fn the_first_end_of_a_call_stands() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let new = call(1);
    store.insert_call(&new).await.unwrap();
    store.end_call(new.id, &end(START_US + 5)).await.unwrap();
    store.end_call(new.id, &end(START_US + 9)).await.unwrap();
    let ended = store.get_call(new.id).await.unwrap().ended;
    assert_eq!(ended, Some(Timestamp::from_micros(START_US + 5)));
}

#[tokio::test]
async fn an_unknown_call_is_an_error_by_its_id() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let id = call(7).id;
    assert!(matches!(store.get_call(id).await, Err(StoreError::UnknownCall(which)) if which == id));
    let ended = store.end_call(id, &end(START_US)).await;
    assert!(matches!(ended, Err(StoreError::UnknownCall(_))));
    let answered = store
        .mark_answered(id, Timestamp::from_micros(START_US), "x")
        .await;
    assert!(matches!(answered, Err(StoreError::UnknownCall(_))));
    assert!(
        store.append_events(id, &[event(0, 0)]).await.is_err(),
        "foreign keys hold"
    );
}

#[tokio::test]
async fn pages_of_calls_go_from_the_newest_to_the_oldest_without_overlap() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    for number in [3, 1, 5, 2, 4] {
        store.insert_call(&call(number)).await.unwrap();
    }
    let first = store.list_calls(2, None).await.unwrap();
    let second = store.list_calls(9, Some(first[1].id)).await.unwrap();
    let all: Vec<CallId> = first
        .iter()
        .chain(&second)
        .map(|record| record.id)
        .collect();
    let expected: Vec<CallId> = [5, 4, 3, 2, 1].map(|number| call(number).id).to_vec();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn turns_transcript_and_events_come_back_in_order_and_whole() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let id = call(1).id;
    store.insert_call(&call(1)).await.unwrap();

    let turns = [turn(id, 0), turn(id, 1)];
    store.append_turn(&turns[1]).await.unwrap();
    store.append_turn(&turns[0]).await.unwrap();
    assert_eq!(store.turns_of(id).await.unwrap(), turns);

    let line = |party, at_ms, intended: Option<&str>| TranscriptLine {
        party,
        at: CallTime::from_millis(at_ms),
        until: CallTime::from_millis(at_ms + 700),
        text: format!("at {at_ms}"),
        intended: intended.map(str::to_owned),
    };
    let greeting = line(Party::Agent, 0, Some("at 0 and more"));
    let request = line(Party::Caller, 300, None);
    // An agent's line is known when its playout ends, so it may come after the caller's.
    store.append_transcript(id, &request).await.unwrap();
    store.append_transcript(id, &greeting).await.unwrap();
    assert_eq!(store.transcript_of(id).await.unwrap(), [greeting, request]);

    store
        .append_events(id, &[event(0, 0), event(1, 20)])
        .await
        .unwrap();
    store.append_events(id, &[event(2, 20)]).await.unwrap();
    let events = store.events_of(id).await.unwrap();
    assert_eq!(events, [event(0, 0), event(1, 20), event(2, 20)]);
}

#[tokio::test]
async fn entries_are_kept_all_or_none() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let id = call(1).id;
    store.insert_call(&call(1)).await.unwrap();
    store.append_events(id, &[event(1, 0)]).await.unwrap();
    assert!(
        store
            .append_events(id, &[event(0, 0), event(1, 0)])
            .await
            .is_err()
    );
    assert_eq!(store.events_of(id).await.unwrap(), [event(1, 0)]);
}

#[tokio::test]
async fn many_writers_and_a_second_process_do_not_disturb_each_other() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let other = open(&dir).await;
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..20 {
        let store = if number % 2 == 0 {
            store.clone()
        } else {
            other.clone()
        };
        writers.spawn(async move {
            let new = call(number);
            store.insert_call(&new).await?;
            for seq in 0..10 {
                store.append_events(new.id, &[event(seq, seq)]).await?;
            }
            store.make_durable().await
        });
    }
    for result in writers.join_all().await {
        result.unwrap();
    }
    assert_eq!(store.list_calls(100, None).await.unwrap().len(), 20);
}

#[tokio::test]
async fn recovery_ends_open_calls_at_their_last_event_and_closes_their_recordings() {
    let dir = TempDir::new().unwrap();
    let recordings = dir.path().join("recordings");
    let now = Timestamp::from_micros(START_US + 3_600_000_000);
    {
        let store = open(&dir).await;
        for number in [1, 2, 3] {
            store.insert_call(&call(number)).await.unwrap();
        }
        let answered = Timestamp::from_micros(START_US + 2_000_000);
        store
            .mark_answered(call(1).id, answered, "PCMA/8000")
            .await
            .unwrap();
        store
            .append_events(call(1).id, &[event(0, 0), event(1, 4_000)])
            .await
            .unwrap();
        store
            .end_call(call(3).id, &end(START_US + 4_000_000))
            .await
            .unwrap();
        let mut writer = RecordingWriter::create(&recordings, call(1).id).unwrap();
        writer.push(&[7; 16_000], &[9; 16_000]).unwrap();
        // The process dies here: nothing is finished.
    }
    let store = open(&dir).await;
    let recovery = store.recover(&recordings, now).await.unwrap();
    assert_eq!(recovery.calls.len(), 2);
    assert_eq!(recovery.recordings.len(), 1);
    assert!(store.unfinished_calls().await.unwrap().is_empty());

    let first = store.get_call(call(1).id).await.unwrap();
    assert_eq!(first.end_reason, Some(EndReason::Interrupted));
    assert_eq!(
        first.ended,
        Some(Timestamp::from_micros(START_US + 6_000_000))
    );
    let wav = hound::WavReader::open(first.recording.unwrap()).unwrap();
    assert_eq!(wav.duration(), 16_000);
    let unanswered = store.get_call(call(2).id).await.unwrap();
    assert_eq!(unanswered.ended, Some(unanswered.started));
    let untouched = store.get_call(call(3).id).await.unwrap();
    assert_eq!(untouched.end_reason, Some(EndReason::CallerHungUp));

    let again = store.recover(&recordings, now).await.unwrap();
    assert!(again.calls.is_empty() && again.recordings.is_empty());
}

#[tokio::test]
async fn an_exported_call_is_a_folder_of_plain_files() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir).await;
    let id = call(1).id;
    store.insert_call(&call(1)).await.unwrap();
    store
        .append_events(id, &[event(0, 0), event(1, 20)])
        .await
        .unwrap();
    let line = TranscriptLine {
        party: Party::Caller,
        at: CallTime::from_millis(1_200),
        until: CallTime::from_millis(2_000),
        text: "hello there".to_owned(),
        intended: None,
    };
    store.append_transcript(id, &line).await.unwrap();
    let mut writer = RecordingWriter::create(dir.path(), id).unwrap();
    writer.push(&[1; 320], &[2; 320]).unwrap();
    let recording = writer.finish().unwrap().path;
    let mut how = end(START_US + 9);
    how.recording = Some(recording.display().to_string());
    store.end_call(id, &how).await.unwrap();

    let out = dir.path().join("out");
    let files = store.export(id, &out).await.unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert!(read(&files.transcript).contains("00:01.200  Caller  hello there"));
    assert_eq!(read(&files.events), "{\"seq\":0}\n{\"seq\":1}\n");
    let json: serde_json::Value = serde_json::from_str(&read(&files.transcript_json)).unwrap();
    assert_eq!(json["call"]["end_reason"], "caller_hung_up");
    assert_eq!(json["lines"][0]["party"], "caller");
    assert_eq!(files.recording, Some(out.join("recording.wav")));
}

#[tokio::test]
async fn a_database_that_is_none_is_an_error_that_names_the_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("trunkline.db");
    std::fs::write(&path, vec![b'x'; 8_192]).unwrap();
    let error = Store::open(&path).await.unwrap_err().to_string();
    assert!(error.contains("trunkline.db"), "{error}");
    let missing = dir.path().join("nowhere/trunkline.db");
    let error = Store::open(&missing).await.unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
}
