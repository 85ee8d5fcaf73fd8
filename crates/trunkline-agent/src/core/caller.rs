//! The caller's utterances: which are open, which wait for their words, which belong together.

use std::collections::BTreeMap;

use trunkline_types::{CallTime, UtteranceId};

/// The caller's side.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    utterances: BTreeMap<UtteranceId, Utterance>,
}

/// One stretch of the caller's speech.
#[derive(Debug, Clone, Default)]
pub(crate) struct Utterance {
    pub(crate) began: CallTime,
    /// Where its own audio begins, whatever it continues.
    from: CallTime,
    /// When the caller fell silent, and when that was taken for the end of the turn.
    pub(crate) ended: Option<(CallTime, CallTime)>,
    /// The one before it that it continues.
    joins: Option<UtteranceId>,
    /// Whether a later one continues it, so that its words wait.
    continued: bool,
    text: Option<String>,
    /// It could not be transcribed.
    has_failed: bool,
    /// The words so far, while `text` is not known.
    partial: String,
    pub(crate) transcribed: CallTime,
}

/// What the caller said, all joined utterances together.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) utterance: UtteranceId,
    pub(crate) began: CallTime,
    pub(crate) speech_end: CallTime,
    pub(crate) decided: CallTime,
    pub(crate) text: String,
    /// Whether a part of it could not be transcribed.
    pub(crate) has_failed: bool,
}

impl Caller {
    pub(crate) fn began(&mut self, utterance: UtteranceId, from: CallTime) {
        self.utterances.insert(
            utterance,
            Utterance {
                began: from,
                from,
                ..Utterance::default()
            },
        );
    }

    /// Where the audio of an utterance begins, unless it is forgotten.
    pub(crate) fn audio_from(&self, utterance: UtteranceId) -> Option<CallTime> {
        self.utterances.get(&utterance).map(|known| known.from)
    }

    pub(crate) fn discarded(&mut self, utterance: UtteranceId) {
        self.utterances.remove(&utterance);
    }

    pub(crate) fn ended(&mut self, utterance: UtteranceId, speech_end: CallTime, at: CallTime) {
        if let Some(open) = self.utterances.get_mut(&utterance) {
            open.ended = Some((speech_end, at));
        }
    }

    /// `utterance` continues `joins`. Says whether the words of `joins` were known already,
    /// so that something may have been begun in answer.
    pub(crate) fn goes_on(&mut self, utterance: UtteranceId, joins: UtteranceId) -> bool {
        let began = self.utterances.get(&joins).map(|before| before.began);
        if let Some(now) = self.utterances.get_mut(&utterance) {
            now.joins = Some(joins);
            now.began = began.unwrap_or(now.began);
        }
        self.utterances.get_mut(&joins).is_some_and(|before| {
            before.continued = true;
            before.text.is_some()
        })
    }

    /// The words of an utterance are known. Gives what the caller said once every part of it
    /// is known and nothing continues it.
    pub(crate) fn transcribed(
        &mut self,
        utterance: UtteranceId,
        text: &str,
        at: CallTime,
    ) -> Option<Said> {
        let part = self.utterances.get_mut(&utterance)?;
        part.text = Some(text.trim().to_owned());
        part.transcribed = at;
        let last = self.last_of(utterance);
        self.said(last)
    }

    /// The words of an utterance will not be known. Gives what [`Caller::transcribed`] would.
    pub(crate) fn not_transcribed(&mut self, utterance: UtteranceId, at: CallTime) -> Option<Said> {
        self.utterances.get_mut(&utterance)?.has_failed = true;
        self.transcribed(utterance, "", at)
    }

    /// What the caller said up to an utterance that ended, if all of it is known already.
    pub(crate) fn said_up_to(&self, utterance: UtteranceId) -> Option<Said> {
        self.said(utterance)
    }

    /// The words of an utterance so far. Gives those of its whole turn; nothing where they come too
    /// late.
    pub(crate) fn partial(&mut self, utterance: UtteranceId, text: &str) -> Option<String> {
        let part = self.utterances.get_mut(&utterance)?;
        if part.text.is_some() {
            return None;
        }
        text.clone_into(&mut part.partial);
        let mut texts = Vec::new();
        let mut part = self.utterances.get(&self.last_of(utterance));
        while let Some(utterance) = part {
            texts.push(utterance.text.as_deref().unwrap_or(&utterance.partial));
            part = utterance
                .joins
                .and_then(|before| self.utterances.get(&before));
        }
        texts.reverse();
        texts.retain(|text| !text.trim().is_empty());
        Some(texts.join(" "))
    }

    /// The utterance that ends the chain in which `utterance` stands.
    fn last_of(&self, utterance: UtteranceId) -> UtteranceId {
        let mut last = utterance;
        for (id, later) in self.utterances.range(utterance..) {
            if later.joins == Some(last) {
                last = *id;
            }
        }
        last
    }

    fn said(&self, last: UtteranceId) -> Option<Said> {
        let end = self.utterances.get(&last)?;
        let (speech_end, decided) = end.ended?;
        if end.continued {
            return None;
        }
        let mut texts = Vec::new();
        let mut has_failed = false;
        let mut part = Some(end);
        while let Some(utterance) = part {
            has_failed |= utterance.has_failed;
            texts.push(utterance.text.as_deref()?);
            part = utterance
                .joins
                .and_then(|before| self.utterances.get(&before));
        }
        texts.reverse();
        texts.retain(|text| !text.is_empty());
        let text = texts.join(" ");
        Some(Said {
            utterance: last,
            began: end.began,
            speech_end,
            decided,
            text,
            has_failed,
        })
    }

    /// Forgets what is answered. The last one stays: the caller may go on with it.
    pub(crate) fn forget_before(&mut self, utterance: UtteranceId) {
        let keep_from = self.first_of(utterance);
        self.utterances.retain(|id, _| *id >= keep_from);
    }

    fn first_of(&self, utterance: UtteranceId) -> UtteranceId {
        let mut first = utterance;
        while let Some(before) = self.utterances.get(&first).and_then(|u| u.joins) {
            first = before;
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> CallTime {
        CallTime::from_millis(millis)
    }

    #[test]
    fn a_turn_in_two_parts_is_said_once_both_are_transcribed() {
        let mut caller = Caller::default();
        caller.began(UtteranceId(0), ms(100));
        caller.ended(UtteranceId(0), ms(1000), ms(1600));
        caller.began(UtteranceId(1), ms(1700));
        assert!(!caller.goes_on(UtteranceId(1), UtteranceId(0)));
        assert_eq!(
            caller.transcribed(UtteranceId(0), "on wednesday", ms(1800)),
            None
        );
        caller.ended(UtteranceId(1), ms(2500), ms(3100));
        let said = caller
            .transcribed(UtteranceId(1), " please ", ms(3200))
            .unwrap();
        assert_eq!(said.text, "on wednesday please");
        assert_eq!(
            (said.began, said.speech_end, said.decided),
            (ms(100), ms(2500), ms(3100))
        );
    }

    #[test]
    fn a_late_first_part_still_comes_first() {
        let mut caller = Caller::default();
        caller.began(UtteranceId(0), ms(100));
        caller.ended(UtteranceId(0), ms(1000), ms(1600));
        caller.began(UtteranceId(1), ms(1700));
        caller.goes_on(UtteranceId(1), UtteranceId(0));
        caller.ended(UtteranceId(1), ms(2500), ms(3100));
        assert_eq!(caller.transcribed(UtteranceId(1), "please", ms(3150)), None);
        let said = caller
            .transcribed(UtteranceId(0), "on wednesday", ms(3200))
            .unwrap();
        assert_eq!(said.text, "on wednesday please");
    }

    #[test]
    fn going_on_after_the_words_were_known_is_told() {
        let mut caller = Caller::default();
        caller.began(UtteranceId(0), ms(100));
        caller.ended(UtteranceId(0), ms(1000), ms(1600));
        assert!(
            caller
                .transcribed(UtteranceId(0), "hello", ms(1650))
                .is_some()
        );
        caller.began(UtteranceId(1), ms(1700));
        assert!(caller.goes_on(UtteranceId(1), UtteranceId(0)));
    }

    #[test]
    fn the_words_so_far_are_those_of_the_whole_turn() {
        let mut caller = Caller::default();
        caller.began(UtteranceId(0), ms(100));
        let so_far = caller.partial(UtteranceId(0), "on when");
        assert_eq!(so_far.as_deref(), Some("on when"));
        caller.ended(UtteranceId(0), ms(1000), ms(1600));
        caller.began(UtteranceId(1), ms(1700));
        caller.goes_on(UtteranceId(1), UtteranceId(0));
        let so_far = caller.partial(UtteranceId(1), "please");
        assert_eq!(so_far.as_deref(), Some("on when please"));
        caller.transcribed(UtteranceId(0), "on wednesday", ms(1800));
        let so_far = caller.partial(UtteranceId(1), "please do");
        assert_eq!(so_far.as_deref(), Some("on wednesday please do"));
        assert_eq!(caller.partial(UtteranceId(0), "too late"), None);
    }

    #[test]
    fn words_of_a_discarded_utterance_say_nothing() {
        let mut caller = Caller::default();
        caller.began(UtteranceId(0), ms(100));
        caller.discarded(UtteranceId(0));
        assert_eq!(caller.transcribed(UtteranceId(0), "hm", ms(200)), None);
    }
}
