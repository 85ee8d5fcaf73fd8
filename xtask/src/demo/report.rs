//! The report of the demo: what the caller measured and what the appliance recorded, matched
//! turn by turn. Its shape is described in docs/demo-report.md.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::CallFiles;
use super::gates;
use super::words::WordErrors;

/// The two clocks of a call begin with the answer, a few packets apart, and a recogniser may
/// date the beginning of speech late: a turn of the appliance belongs to the last turn of the
/// caller that began before it, give or take this.
const CLOCK_SLACK_MS: f64 = 700.0;

/// What the latency of a turn is split into, as the appliance saw it.
const LATENCY_PARTS: &[&str] = &[
    "end_of_turn_ms",
    "stt_final_ms",
    "llm_first_token_ms",
    "first_audio_ms",
    "voice_to_voice_ms",
];

/// Puts the two sides of a call together and judges them.
pub(super) fn merge(
    caller: &Value,
    server: &Value,
    files: &CallFiles,
    commit: &str,
) -> Result<Value> {
    let caller_turns = list(caller, "turns")?;
    let server_turns = list(server, "turns")?;
    let turns = turns(caller_turns, server_turns);
    let errors = caller_turns
        .iter()
        .zip(&turns[1..])
        .filter_map(|(said, turn)| Some((said["said"].as_str()?, turn["heard"].as_str()?)))
        .map(|(said, heard)| WordErrors::between(said, heard))
        .fold(WordErrors::default(), WordErrors::and);
    let mut report = json!({
        "passed": false,
        "commit": commit,
        "outcome": server["call"]["outcome"],
        "end_reason": server["call"]["end_reason"],
        "disposition": server["call"]["disposition"],
        "failure": caller["failure"],
        "call_id": server["call"]["id"],
        "sip_call_id": caller["sip_call_id"],
        "codec": caller["codec"],
        "voice": caller["voice"],
        "answered_after_ms": caller["answered_after_ms"],
        "duration_ms": caller["duration_ms"],
        "turns": turns,
        "wer": errors.rate(),
        "dtmf": keys(caller_turns, server_turns),
        "voice_to_voice_ms": latencies(caller_turns),
        "barge_in_stop_ms": worst(caller_turns, "agent_stopped_after_ms"),
        "recording": files.recording.as_ref().map(|path| path.display().to_string()),
        "transcript": files.transcript.display().to_string(),
        "event_log": files.event_log.display().to_string(),
    });
    let gates = gates::judge(&report, &caller["gates"])?;
    report["passed"] = gates.iter().all(|gate| gate["holds"] == true).into();
    report["gates"] = gates.into();
    Ok(report)
}

fn list<'a>(value: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    value[name]
        .as_array()
        .with_context(|| format!("there is no list of {name}"))
}

/// The greeting, then one entry for each turn of the caller.
fn turns(caller_turns: &[Value], server_turns: &[Value]) -> Vec<Value> {
    let starts: Vec<f64> = caller_turns
        .iter()
        .map(|turn| turn["started_ms"].as_f64().unwrap_or_default())
        .collect();
    let mut parts: Vec<Vec<&Value>> = vec![Vec::new(); caller_turns.len() + 1];
    for turn in server_turns {
        let began_ms = turn["began_us"].as_f64().unwrap_or_default() / 1000.0;
        let before = starts
            .iter()
            .take_while(|start| **start <= began_ms + CLOCK_SLACK_MS)
            .count();
        let is_greeting = turn["index"] == 0;
        parts[if is_greeting { 0 } else { before }].push(turn);
    }
    let mut entries = vec![entry(0, &Value::Null, &parts[0])];
    for (index, turn) in caller_turns.iter().enumerate() {
        entries.push(entry(index + 1, turn, &parts[index + 1]));
    }
    entries
}

fn entry(index: usize, caller: &Value, server: &[&Value]) -> Value {
    let heard = joined(server, "heard");
    let said = caller["said"].as_str();
    let latency: Map<String, Value> = LATENCY_PARTS
        .iter()
        .map(|part| {
            let value = server.iter().rev().map(|turn| &turn[*part]);
            let value = value.into_iter().find(|value| !value.is_null());
            ((*part).to_owned(), value.cloned().unwrap_or_default())
        })
        .collect();
    json!({
        "index": index,
        "node": server.last().map_or(&Value::Null, |turn| &turn["node"]),
        "kind": caller["kind"].as_str().unwrap_or("greeting"),
        "caller_said": said,
        "heard": heard,
        "wer": said.and_then(|said| WordErrors::between(said, &heard).rate()),
        "keys_pressed": caller["digits"],
        "keys_received": joined(server, "dtmf").replace(' ', ""),
        "agent_said": joined(server, "agent_said"),
        "agent_heard_by_caller": joined(server, "agent_heard_by_caller"),
        "interrupted": server.iter().any(|turn| turn["interrupted"] == true),
        "answered": caller["answered"],
        "voice_to_voice_ms": caller["voice_to_voice_ms"],
        "reply_after_keys_ms": caller["reply_after_keys_ms"],
        "agent_stopped_after_ms": caller["agent_stopped_after_ms"],
        "started_ms": caller["started_ms"],
        "ended_ms": caller["ended_ms"],
        "latency": latency,
    })
}

fn joined(turns: &[&Value], field: &str) -> String {
    let texts: Vec<&str> = turns
        .iter()
        .filter_map(|turn| turn[field].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    texts.join(" ")
}

fn keys(caller_turns: &[Value], server_turns: &[Value]) -> Value {
    let all = |turns: &[Value], field: &str| -> String {
        turns
            .iter()
            .filter_map(|turn| turn[field].as_str())
            .collect()
    };
    let pressed = all(caller_turns, "digits");
    let received = all(server_turns, "dtmf");
    json!({ "pressed": pressed, "received": received, "all_received": pressed == received })
}

fn latencies(turns: &[Value]) -> Value {
    let mut values: Vec<f64> = turns
        .iter()
        .filter_map(|turn| turn["voice_to_voice_ms"].as_f64())
        .collect();
    values.sort_by(f64::total_cmp);
    json!({
        "p50": percentile(&values, 0.5),
        "p95": percentile(&values, 0.95),
        "max": values.last(),
        "count": values.len(),
    })
}

/// Nearest rank.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank - 1).copied()
}

fn worst(turns: &[Value], field: &str) -> Option<f64> {
    turns
        .iter()
        .filter_map(|turn| turn[field].as_f64())
        .max_by(f64::total_cmp)
}

#[cfg(test)]
pub(super) mod tests;
