//! What a demo call must hold to pass. The limits come from the scenario file.

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// Judges a report by the scenario's gates; one entry each, in the order of reading.
pub(super) fn judge(report: &Value, limits: &Value) -> Result<Vec<Value>> {
    let limit = |name: &str| {
        limits[name]
            .as_f64()
            .with_context(|| format!("the scenario has no gate {name}"))
    };
    let spoken: Vec<&Value> = report["turns"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|turn| turn["caller_said"].is_string())
        .collect();
    let taken = report["turns"].as_array().into_iter().flatten().skip(1);
    let answered = spoken
        .iter()
        .filter(|turn| turn["answered"] == true)
        .count();
    let unanswered = taken.filter(|turn| turn["answered"] != true).count();
    let untimed = spoken
        .iter()
        .filter(|turn| turn["voice_to_voice_ms"].is_null())
        .count();
    let barge_in_was_needed = spoken.iter().any(|turn| turn["kind"] == "barge_in");
    let stop = if barge_in_was_needed {
        report["barge_in_stop_ms"].as_f64()
    } else {
        Some(0.0)
    };
    let is_completed = report["outcome"] == "completed" && report["failure"].is_null();
    let latency = report["voice_to_voice_ms"]["p95"].as_f64();
    Ok(vec![
        is_true("call_completed", is_completed),
        is_true("dtmf_received", report["dtmf"]["all_received"] == true),
        at_least("turns_answered", answered, limit("turns_min")?),
        at_most("turns_unanswered", Some(unanswered as f64), 0.0),
        at_most("turns_talked_over", Some(untimed as f64), 0.0),
        at_most("wer", report["wer"].as_f64(), limit("wer_max")?),
        at_most(
            "voice_to_voice_p95_ms",
            latency,
            limit("voice_to_voice_p95_ms_max")?,
        ),
        at_most("barge_in_stop_ms", stop, limit("barge_in_stop_ms_max")?),
    ])
}

fn is_true(name: &str, value: bool) -> Value {
    json!({"name": name, "value": value, "limit": true, "rule": "is", "holds": value})
}

fn at_least(name: &str, value: usize, limit: f64) -> Value {
    json!({
        "name": name, "value": value, "limit": limit, "rule": "at_least",
        "holds": value as f64 >= limit,
    })
}

/// What could not be measured does not hold.
fn at_most(name: &str, value: Option<f64>, limit: f64) -> Value {
    json!({
        "name": name, "value": value, "limit": limit, "rule": "at_most",
        "holds": value.is_some_and(|value| value <= limit),
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::{merge, tests::*};
    use super::*;

    /// The gates that do not hold when the caller's or the appliance's side is changed.
    fn broken(change: impl Fn(&mut Value, &mut Value)) -> Vec<String> {
        let (mut caller, mut server) = (caller(), server());
        change(&mut caller, &mut server);
        let report = merge(&caller, &server, &files(), "c0ffee").unwrap();
        let gates = report["gates"].as_array().unwrap().iter();
        let names: Vec<String> = gates
            .filter(|gate| gate["holds"] != true)
            .map(|gate| gate["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(report["passed"] == true, names.is_empty());
        names
    }

    #[test]
    fn each_fault_breaks_its_own_gate() {
        assert_eq!(broken(|_, _| ()), [""; 0]);
        assert_eq!(
            broken(|_, server| server["call"]["outcome"] = json!("failed")),
            ["call_completed"]
        );
        assert_eq!(
            broken(|caller, _| caller["failure"] = json!("cut off")),
            ["call_completed"]
        );
        assert_eq!(
            broken(|_, server| server["turns"][3]["dtmf"] = json!("4")),
            ["dtmf_received"]
        );
        assert_eq!(
            broken(|_, server| server["turns"][4]["heard"] = json!("choose a piece")),
            ["wer"]
        );
        assert_eq!(
            broken(|caller, _| caller["turns"][2]["voice_to_voice_ms"] = json!(2501.0)),
            ["voice_to_voice_p95_ms"]
        );
        assert_eq!(
            broken(|caller, _| caller["turns"][2]["agent_stopped_after_ms"] = json!(1500.0)),
            ["barge_in_stop_ms"]
        );
        assert_eq!(
            broken(|caller, _| caller["turns"][1]["answered"] = json!(false)),
            ["turns_unanswered"]
        );
        assert_eq!(
            broken(|caller, _| caller["turns"][0]["voice_to_voice_ms"] = Value::Null),
            ["turns_talked_over"]
        );
        assert_eq!(
            broken(|caller, _| caller["gates"]["turns_min"] = json!(3)),
            ["turns_answered"]
        );
    }

    #[test]
    fn a_call_without_words_holds_nothing_that_needs_them() {
        let broken = broken(|caller, server| {
            caller["turns"] = json!([]);
            server["turns"] = json!([]);
        });
        assert_eq!(broken, ["turns_answered", "wer", "voice_to_voice_p95_ms"]);
    }

    #[test]
    fn a_scenario_without_a_gate_is_an_error() {
        assert!(judge(&json!({}), &json!({})).is_err());
    }
}
