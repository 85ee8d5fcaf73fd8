//! The end of the demo in the terminal: one line a turn, then the gates.

use serde_json::Value;

/// Prints a report.
pub(super) fn print(report: &Value) {
    println!();
    println!(
        "{:<4} {:<44} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        "turn", "caller", "wer", "eot", "stt", "llm", "audio", "v2v"
    );
    for turn in list(report, "turns") {
        println!("{}", turn_line(turn));
    }
    println!(
        "     milliseconds: end-of-turn decision, final transcript, first token, first audio,"
    );
    println!("     and voice to voice as the caller measured it\n");
    for gate in list(report, "gates") {
        println!("{}", gate_line(gate));
    }
    println!();
    let field = |name: &str| text(&report[name]);
    println!(
        "outcome       {} ({})",
        field("outcome"),
        field("end_reason")
    );
    if !report["failure"].is_null() {
        println!("failure       {}", field("failure"));
    }
    println!("recording     {}", field("recording"));
    println!("transcript    {}", field("transcript"));
    println!("event log     {}", field("event_log"));
}

fn turn_line(turn: &Value) -> String {
    let what = match (&turn["caller_said"], &turn["keys_pressed"]) {
        (Value::String(said), _) => said.clone(),
        (_, Value::String(keys)) => format!("(keys {keys})"),
        _ => "(greeting)".to_owned(),
    };
    let latency = &turn["latency"];
    let voice_to_voice = match &turn["voice_to_voice_ms"] {
        Value::Null => &turn["reply_after_keys_ms"],
        measured => measured,
    };
    let mut line = format!(
        "{:<4} {:<44} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}",
        turn["index"],
        shortened(&what, 44),
        turn["wer"].as_f64().map_or("-".to_owned(), percent),
        whole(&latency["end_of_turn_ms"]),
        whole(&latency["stt_final_ms"]),
        whole(&latency["llm_first_token_ms"]),
        whole(&latency["first_audio_ms"]),
        whole(voice_to_voice),
    );
    if let Some(ms) = turn["agent_stopped_after_ms"].as_f64() {
        line.push_str(&format!("  agent stopped after {ms:.0}"));
    }
    line
}

fn gate_line(gate: &Value) -> String {
    let mark = if gate["holds"] == true {
        "ok  "
    } else {
        "FAIL"
    };
    let rule = match gate["rule"].as_str() {
        Some("at_most") => "at most",
        Some("at_least") => "at least",
        _ => "is",
    };
    format!(
        "{mark} {:<24} {:>8}  ({rule} {})",
        text(&gate["name"]),
        figure(&gate["value"]),
        figure(&gate["limit"])
    )
}

fn figure(value: &Value) -> String {
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 => format!("{number:.0}"),
        Some(number) if number.abs() < 10.0 => format!("{number:.3}"),
        Some(number) => format!("{number:.0}"),
        None => text(value),
    }
}

fn list<'a>(report: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    report[name].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn whole(value: &Value) -> String {
    value
        .as_f64()
        .map_or("-".to_owned(), |ms| format!("{ms:.0}"))
}

fn percent(rate: f64) -> String {
    format!("{:.0} %", rate * 100.0)
}

fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_gate_shows_its_figure_and_its_limit() {
        let gate =
            json!({"name": "wer", "value": 0.0625, "limit": 0.1, "rule": "at_most", "holds": true});
        assert_eq!(
            gate_line(&gate),
            "ok   wer                         0.062  (at most 0.100)"
        );
        let gate = json!({"name": "call_completed", "value": false, "limit": true, "rule": "is", "holds": false});
        assert_eq!(
            gate_line(&gate),
            "FAIL call_completed              false  (is true)"
        );
    }

    #[test]
    fn long_words_are_cut_to_the_column() {
        assert_eq!(shortened("yes", 5), "yes");
        assert_eq!(shortened("naïveté", 5), "naïv…");
    }
}
