//! What a synthetic caller says and does, read from a TOML file.
//!
//! Before it says or presses something the caller listens until the agent has spoken and fallen
//! silent, as people do, so there is no step for listening.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use trunkline_types::Digit;

/// One scenario file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// A voice of the `flite` program.
    pub(crate) voice: String,
    /// Silence after which the agent has finished, in milliseconds.
    pub(crate) end_of_turn_ms: u64,
    /// How long each wait may take.
    pub(crate) limits: Limits,
    /// What to do, in order.
    #[serde(rename = "step")]
    pub(crate) steps: Vec<Step>,
    /// What the demo is judged by; passed on in the report.
    pub(crate) gates: Gates,
}

/// How long each wait may take, in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// From the INVITE to the answer.
    pub(crate) answer_s: u64,
    /// From the end of the caller's words to the agent's first.
    pub(crate) reply_s: u64,
    /// One stretch of agent speech.
    pub(crate) agent_speech_s: u64,
    /// The whole call.
    pub(crate) call_s: u64,
}

/// One thing that the caller does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Step {
    /// Listens until the agent has finished, then says this.
    Say {
        /// The words.
        text: String,
    },
    /// Says this while the agent speaks.
    BargeIn {
        /// The words.
        text: String,
        /// How long to let the agent speak first, in milliseconds.
        after_ms: u64,
    },
    /// Listens until the agent has finished, then presses keys.
    Dtmf {
        /// The keys, e.g. `4729`.
        digits: Digits,
    },
    /// Waits for the agent to hang up. Must be last.
    ExpectHangup,
}

impl Step {
    /// The words, if it has any.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Say { text } | Self::BargeIn { text, .. } => Some(text),
            Self::Dtmf { .. } | Self::ExpectHangup => None,
        }
    }
}

/// Keys of a telephone pad, written as one text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Digits(pub(crate) Vec<Digit>);

impl TryFrom<String> for Digits {
    type Error = trunkline_types::InvalidDigit;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.chars()
            .map(Digit::try_from)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// What the demo is judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gates {
    /// Largest word error rate of the recogniser, 0.1 is ten in a hundred.
    pub(crate) wer_max: f64,
    /// Largest 95th percentile from the caller's last sound to the agent's first.
    pub(crate) voice_to_voice_p95_ms_max: f64,
    /// Longest time from the caller's first sound to the agent's last, when cutting in.
    pub(crate) barge_in_stop_ms_max: f64,
    /// Fewest spoken turns that must be answered.
    pub(crate) turns_min: usize,
}

impl Scenario {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the scenario {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        let Some((_, before_last)) = scenario.steps.split_last() else {
            bail!("a scenario needs at least one [[step]]");
        };
        if before_last.contains(&Step::ExpectHangup) {
            bail!("expect_hangup must be the last step");
        }
        for step in &scenario.steps {
            if step.text().is_some_and(|text| text.trim().is_empty()) {
                bail!("a step says nothing: text is empty");
            }
        }
        Ok(scenario)
    }

    /// Silence after which the agent has finished.
    pub(crate) fn end_of_turn(&self) -> Duration {
        Duration::from_millis(self.end_of_turn_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT_DESK: &str = include_str!("../scenarios/front-desk.toml");

    #[test]
    fn the_demo_scenario_has_five_spoken_turns_keys_and_a_barge_in() {
        let scenario = Scenario::parse(FRONT_DESK).unwrap();
        let spoken = scenario.steps.iter().filter(|step| step.text().is_some());
        assert_eq!(spoken.count(), 5);
        assert!(
            scenario
                .steps
                .iter()
                .any(|step| matches!(step, Step::Dtmf { .. }))
        );
        assert!(
            scenario
                .steps
                .iter()
                .any(|step| matches!(step, Step::BargeIn { .. }))
        );
        assert_eq!(scenario.steps.last(), Some(&Step::ExpectHangup));
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, named) in [
            ("after_ms", "after_s", "after_s"),
            ("\"4729\"", "\"47x9\"", "'x'"),
            ("\"yes please\"", "\" \"", "text is empty"),
            (
                "action = \"dtmf\"\ndigits = \"4729\"",
                "action = \"expect_hangup\"",
                "must be the last",
            ),
        ] {
            let error = Scenario::parse(&FRONT_DESK.replace(from, to)).unwrap_err();
            assert!(
                format!("{error:#}").contains(named),
                "{error:#} should name {named}"
            );
        }
    }
}
