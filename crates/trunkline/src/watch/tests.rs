//! A conversation as a reader sees it.

use trunkline_agent::log::{Decision, Input, Latency, LiveEntry, LogEntry, LogEvent, Turn};
use trunkline_types::{CallId, CallTime, EndReason, Timestamp, UtteranceId};

use super::view::{Shown, View};
use crate::terminal::Paint;

fn id(number: u8) -> CallId {
    CallId::new(Timestamp::from_micros(1_000_000), [number; 10])
}

fn entry(call: u8, at_ms: u64, event: LogEvent) -> LiveEntry {
    LiveEntry {
        call_id: id(call),
        kind: event.kind().to_owned(),
        entry: LogEntry {
            seq: 0,
            at: CallTime::from_millis(at_ms),
            event,
        },
    }
}

fn speak(text: &str, clause: u32) -> LogEvent {
    LogEvent::Out(Decision::Speak {
        utterance: UtteranceId(0),
        clause,
        text: text.to_owned(),
    })
}

fn partial(text: &str) -> LogEvent {
    LogEvent::In(Input::Partial {
        utterance: UtteranceId(0),
        text: text.to_owned(),
        audio_ms: 400,
    })
}

fn ended(reason: EndReason) -> LogEvent {
    LogEvent::In(Input::Ended {
        reason,
        detail: None,
    })
}

#[test]
fn words_grow_in_place_and_then_stay() {
    let mut view = View::new(Paint::never());
    let mut show = |event| view.take(&entry(1, 1_500, event));
    assert_eq!(
        show(speak("Good morning.", 0)),
        [Shown::Live("00:01.500  Agent   Good morning.".to_owned())]
    );
    assert_eq!(
        show(speak("How can I help?", 1)),
        [Shown::Live(
            "00:01.500  Agent   Good morning. How can I help?".to_owned()
        )]
    );
    let spoken = LogEvent::Out(Decision::Spoken {
        utterance: UtteranceId(0),
        from: CallTime::from_millis(200),
        text: "Good morning. How can I help?".to_owned(),
        heard: "Good morning. How".to_owned(),
        interrupted: true,
    });
    assert_eq!(
        show(spoken),
        [Shown::Line(
            "00:00.200  Agent   Good morning. How — (cut short)".to_owned()
        )]
    );
    assert_eq!(
        show(partial("I would")),
        [Shown::Live("00:01.500  Caller  I would …".to_owned())]
    );
}

#[test]
fn a_turn_tells_how_long_the_caller_waited_and_for_what() {
    let turn = Turn {
        index: 2,
        node: "book".to_owned(),
        began: CallTime::ZERO,
        heard: String::new(),
        dtmf: String::new(),
        agent_said: String::new(),
        agent_heard: String::new(),
        interrupted: false,
        latency: Latency {
            end_of_turn_ms: Some(400),
            stt_final_ms: Some(120),
            llm_first_token_ms: None,
            first_audio_ms: Some(92),
            voice_to_voice_ms: Some(612),
        },
    };
    let mut view = View::new(Paint::never());
    let shown = view.take(&entry(1, 0, LogEvent::Out(Decision::Turn(turn))));
    let expected = "turn 2: answered after 612 ms: end of turn 400, transcript 120, voice 92";
    assert!(
        matches!(&shown[..], [Shown::Line(line)] if line.ends_with(expected)),
        "{shown:?}"
    );
}

#[test]
fn several_calls_are_told_apart_and_each_ends_by_itself() {
    let mut view = View::new(Paint::never());
    view.take(&entry(1, 0, partial("one")));
    let second = view.take(&entry(2, 0, partial("two")));
    assert!(
        matches!(&second[..], [Shown::Live(line)] if line.starts_with("0202  ")),
        "{second:?}"
    );
    let end = view.take(&entry(2, 9_000, ended(EndReason::CallerHungUp)));
    assert_eq!(
        end,
        [Shown::Ended(
            "0202  00:09.000  call ended: abandoned (caller_hung_up)".to_owned()
        )]
    );
    let alone = view.take(&entry(1, 0, partial("one more")));
    assert!(
        matches!(&alone[..], [Shown::Live(line)] if line.starts_with("00:00")),
        "{alone:?}"
    );
}
