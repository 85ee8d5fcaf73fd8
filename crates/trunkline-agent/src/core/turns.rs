//! The turn that is being made: who said what, and how long the caller waited.

use trunkline_types::CallTime;

use crate::log::{Latency, Turn};

/// A turn on its way.
#[derive(Debug, Clone, Default)]
pub(crate) struct TurnDraft {
    began: CallTime,
    heard: String,
    dtmf: String,
    said: Vec<String>,
    played: Vec<String>,
    interrupted: bool,
    latency: Latency,
    /// The caller's last sound or key: from here the caller waits.
    waits_from: Option<CallTime>,
    /// When the caller's words were known.
    transcribed: Option<CallTime>,
    /// When the language model first answered in it.
    model_answered: Option<CallTime>,
    first_words: Option<CallTime>,
    first_sample: Option<CallTime>,
}

fn millis(from: CallTime, to: CallTime) -> Option<u32> {
    u32::try_from(to.since(from).as_millis()).ok()
}

impl TurnDraft {
    /// The agent speaks first.
    pub(crate) fn greeting() -> Self {
        Self::default()
    }

    /// Nobody spoke; the agent goes on by itself.
    pub(crate) fn after_silence(at: CallTime) -> Self {
        Self {
            began: at,
            ..Self::default()
        }
    }

    /// The caller said something.
    pub(crate) fn after_words(
        began: CallTime,
        heard: &str,
        speech_end: CallTime,
        decided: CallTime,
        transcribed: CallTime,
    ) -> Self {
        Self {
            began,
            heard: heard.to_owned(),
            waits_from: Some(speech_end),
            transcribed: Some(transcribed),
            latency: Latency {
                end_of_turn_ms: millis(speech_end, decided),
                stt_final_ms: millis(decided, transcribed),
                ..Latency::default()
            },
            ..Self::default()
        }
    }

    /// The caller pressed a first key.
    pub(crate) fn after_keys(at: CallTime) -> Self {
        Self {
            began: at,
            ..Self::default()
        }
    }

    pub(crate) fn key(&mut self, key: char, at: CallTime) {
        self.dtmf.push(key);
        self.waits_from = Some(at);
    }

    /// The language model's first answer in this turn.
    pub(crate) fn model_answered(&mut self, at: CallTime) {
        if self.latency.llm_first_token_ms.is_none()
            && let Some(transcribed) = self.transcribed
        {
            self.latency.llm_first_token_ms = millis(transcribed, at);
            self.model_answered = Some(at);
        }
    }

    /// Words to say are known.
    pub(crate) fn words_known(&mut self, at: CallTime) {
        self.first_words.get_or_insert(at);
    }

    /// The first sample of a line was sent.
    pub(crate) fn sounds(&mut self, at: CallTime) {
        if self.first_sample.is_some() {
            return;
        }
        self.first_sample = Some(at);
        // From where the last measured part ended, so that the parts add up to the whole.
        let since = self
            .model_answered
            .or(self.transcribed)
            .or(self.waits_from)
            .or(self.first_words);
        self.latency.first_audio_ms = since.and_then(|since| millis(since, at));
        self.latency.voice_to_voice_ms = self.waits_from.and_then(|since| millis(since, at));
    }

    /// A line is over.
    pub(crate) fn line_over(&mut self, text: String, played: String, interrupted: bool) {
        self.said.push(text);
        if !played.is_empty() {
            self.played.push(played);
        }
        self.interrupted |= interrupted;
    }

    /// Whether the agent has answered in it.
    pub(crate) fn is_answered(&self) -> bool {
        self.first_words.is_some() || !self.said.is_empty()
    }

    /// Whether anything at all happened in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.heard.is_empty() && self.dtmf.is_empty() && self.said.is_empty()
    }

    /// The turn as stored.
    pub(crate) fn finish(self, index: u32, node: String) -> Turn {
        Turn {
            index,
            node,
            began: self.began,
            heard: self.heard,
            dtmf: self.dtmf,
            agent_said: self.said.join(" "),
            agent_heard: self.played.join(" "),
            interrupted: self.interrupted,
            latency: self.latency,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn the_parts_add_up_when_a_model_wrote_the_words() {
        let mut draft = TurnDraft::after_words(ms(0), "where", ms(1000), ms(1600), ms(1700));
        draft.model_answered(ms(2000));
        draft.model_answered(ms(2200));
        draft.words_known(ms(2500));
        draft.sounds(ms(2600));
        let latency = draft.finish(0, String::new()).latency;
        assert_eq!(latency.llm_first_token_ms, Some(300));
        assert_eq!(latency.first_audio_ms, Some(600));
        assert_eq!(latency.voice_to_voice_ms, Some(600 + 100 + 300 + 600));
    }

    #[test]
    fn a_greeting_waits_for_its_voice_alone() {
        let mut draft = TurnDraft::greeting();
        draft.words_known(ms(100));
        draft.sounds(ms(250));
        let latency = draft.finish(0, String::new()).latency;
        assert_eq!(latency.first_audio_ms, Some(150));
        assert_eq!(latency.voice_to_voice_ms, None);
    }
}
