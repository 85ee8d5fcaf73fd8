use super::*;

/// What a caller measured who asked, pressed keys and cut in.
pub(crate) fn caller() -> Value {
    json!({
        "sip_call_id": "abc@127.0.0.1", "codec": "PCMU/8000", "voice": "awb", "failure": null,
        "duration_ms": 30000.0,
        "turns": [
            {"kind": "say", "said": "book an appointment please", "digits": null,
             "started_ms": 4000.0, "ended_ms": 6000.0, "answered": true, "talked_over": false,
             "voice_to_voice_ms": 1200.0, "reply_after_keys_ms": null, "agent_stopped_after_ms": null},
            {"kind": "dtmf", "said": null, "digits": "47", "started_ms": 10000.0,
             "ended_ms": 10000.0, "answered": true, "talked_over": false,
             "voice_to_voice_ms": null, "reply_after_keys_ms": 1500.0, "agent_stopped_after_ms": null},
            {"kind": "barge_in", "said": "wednesday please", "digits": null,
             "started_ms": 14000.0, "ended_ms": 15500.0, "answered": true, "talked_over": false,
             "voice_to_voice_ms": 1800.0, "reply_after_keys_ms": null, "agent_stopped_after_ms": 130.0},
        ],
        "gates": {"wer_max": 0.2, "voice_to_voice_p95_ms_max": 2500.0,
                  "barge_in_stop_ms_max": 250.0, "turns_min": 2},
    })
}

/// What the appliance recorded of the same call; one turn was taken for two.
pub(crate) fn server() -> Value {
    let turn = |index: u32, began_us: u64, heard: &str, dtmf: &str, agent: &str, cut: bool| {
        json!({"index": index, "began_us": began_us, "node": "n", "heard": heard, "dtmf": dtmf,
               "agent_said": agent, "agent_heard_by_caller": agent, "interrupted": cut,
               "end_of_turn_ms": 600, "stt_final_ms": 200, "llm_first_token_ms": null,
               "first_audio_ms": 50, "voice_to_voice_ms": 900})
    };
    json!({
        "call": {"id": "01", "outcome": "completed", "end_reason": "workflow_ended"},
        "turns": [
            turn(0, 100_000, "", "", "Good morning.", false),
            turn(1, 4_100_000, "book an", "", "", false),
            turn(2, 5_000_000, "appointment please", "", "Your number?", false),
            turn(3, 9_980_000, "", "47", "We have Monday or", true),
            turn(4, 13_700_000, "tuesday please", "", "Done.", false),
        ],
    })
}

pub(crate) fn files() -> CallFiles {
    CallFiles {
        recording: Some("call/recording.wav".into()),
        transcript: "call/transcript.txt".into(),
        event_log: "call/events.jsonl".into(),
    }
}

#[test]
fn turns_are_matched_by_time_and_a_split_one_is_joined() {
    let report = merge(&caller(), &server(), &files(), "c0ffee").unwrap();
    let heard: Vec<&str> = report["turns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["heard"].as_str().unwrap())
        .collect();
    assert_eq!(
        heard,
        ["", "book an appointment please", "", "tuesday please"]
    );
    assert_eq!(report["turns"][0]["agent_said"], "Good morning.");
    assert_eq!(report["turns"][2]["interrupted"], true);
    assert_eq!(report["turns"][2]["keys_received"], "47");
    assert_eq!(report["turns"][3]["wer"], 0.5);
    assert_eq!(report["turns"][1]["latency"]["stt_final_ms"], 200);
}

#[test]
fn the_whole_is_counted_over_all_words_and_turns() {
    let report = merge(&caller(), &server(), &files(), "c0ffee").unwrap();
    assert_eq!(report["wer"], 1.0 / 6.0);
    assert_eq!(report["voice_to_voice_ms"]["p50"], 1200.0);
    assert_eq!(report["voice_to_voice_ms"]["p95"], 1800.0);
    assert_eq!(report["barge_in_stop_ms"], 130.0);
    assert_eq!(report["dtmf"]["all_received"], true);
    assert_eq!(report["passed"], true, "{report:#}");
}

#[test]
fn a_caller_that_got_nowhere_still_makes_a_report() {
    let mut caller = caller();
    caller["turns"] = json!([]);
    caller["failure"] = json!("no answer within 20 s");
    let mut server = server();
    server["turns"] = json!([]);
    server["call"]["outcome"] = json!("failed");
    let report = merge(&caller, &server, &files(), "c0ffee").unwrap();
    assert_eq!(report["wer"], Value::Null);
    assert_eq!(report["turns"].as_array().unwrap().len(), 1);
    assert_eq!(report["passed"], false);
}

/// Every property that the schema requires is in the report, and the other way round.
#[test]
fn the_documented_schema_has_the_same_fields() {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../docs/demo-report.schema.json")).unwrap();
    let report = merge(&caller(), &server(), &files(), "c0ffee").unwrap();
    same_fields(&report, &schema, "report");
    same_fields(&report["turns"][1], &schema["$defs"]["turn"], "turn");
    same_fields(
        &report["turns"][1]["latency"],
        &schema["$defs"]["latency"],
        "latency",
    );
    same_fields(&report["gates"][0], &schema["$defs"]["gate"], "gate");
    same_fields(&report["dtmf"], &schema["properties"]["dtmf"], "dtmf");
    let latencies = &schema["properties"]["voice_to_voice_ms"];
    same_fields(&report["voice_to_voice_ms"], latencies, "voice_to_voice_ms");
}

fn same_fields(value: &Value, schema: &Value, place: &str) {
    let mut fields: Vec<&String> = value.as_object().unwrap().keys().collect();
    let mut documented: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let mut required: Vec<&str> = schema["required"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    fields.sort();
    documented.sort();
    required.sort_unstable();
    assert_eq!(fields, documented, "{place}");
    assert_eq!(fields, required, "{place}");
}
