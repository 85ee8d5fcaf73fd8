//! One open utterance: how much was spoken, since when it is silent, and what it joins.

use std::time::Duration;

use trunkline_types::{CallTime, TICK, UtteranceId};

use crate::onset::Onset;

/// After this much silence a single voiced frame is a click, not speech that goes on.
const CLICK_GUARD: Duration = Duration::from_millis(40);

/// A transcript may end so much before the last frame that was taken for voice: the detector lets
/// go of a voice a little late.
const HEARD_SLACK: Duration = Duration::from_millis(60);

/// Silence long enough to cut an over-long utterance without cutting a word.
const CUT_SILENCE: Duration = Duration::from_millis(60);

/// An utterance that has begun and not ended.
#[derive(Debug)]
pub(crate) struct Utterance {
    pub(crate) id: UtteranceId,
    /// Where its audio begins.
    pub(crate) from: CallTime,
    /// Start of its first voiced frame.
    pub(crate) onset: CallTime,
    /// End of its last voiced frame.
    pub(crate) last_voice: CallTime,
    /// Its transcript so far.
    pub(crate) partial: String,
    /// The end of the audio that the transcript covers.
    pub(crate) heard_until: CallTime,
    /// Whether it was reported to join the one before it.
    pub(crate) joined: bool,
    /// Whether it has stopped the agent, or its beginning did.
    pub(crate) barged: bool,
    pub(crate) paused: bool,
    /// Voiced frames in all.
    voiced: u32,
    /// Voiced frames in a row, up to now.
    run: u32,
    /// The stretch of speech over the agent's line.
    overlap: Option<Onset>,
}

impl Utterance {
    /// Begins with the speech of `onset`.
    pub(crate) fn begin(id: UtteranceId, from: CallTime, onset: Onset, over_agent: bool) -> Self {
        Self {
            id,
            from,
            onset: onset.start,
            last_voice: onset.last_voice,
            partial: String::new(),
            heard_until: CallTime::ZERO,
            joined: false,
            barged: false,
            paused: false,
            voiced: onset.voiced,
            run: 1,
            overlap: over_agent.then_some(onset),
        }
    }

    /// Goes on from `cut`, which was closed at `at` because of its length.
    pub(crate) fn continue_from(cut: &Self, at: CallTime) -> Self {
        Self {
            id: cut.id.next(),
            from: at,
            onset: at,
            last_voice: cut.last_voice,
            partial: String::new(),
            heard_until: CallTime::ZERO,
            joined: true,
            barged: cut.barged,
            paused: false,
            voiced: 0,
            run: cut.run,
            overlap: cut.overlap,
        }
    }

    /// Whether the frame before was voiced.
    pub(crate) fn in_voice(&self) -> bool {
        self.run > 0
    }

    /// Takes the frame that ended at `at`. Gives whether it is speech, clicks left out.
    pub(crate) fn frame(&mut self, at: CallTime, voiced: bool, agent_playing: bool) -> bool {
        self.overlap = if agent_playing {
            Onset::follow(self.overlap, at, voiced)
        } else {
            None
        };
        if !voiced {
            self.run = 0;
            return false;
        }
        self.run += 1;
        let silent_before = at.since(self.last_voice).saturating_sub(TICK);
        if self.run == 1 && silent_before >= CLICK_GUARD {
            return false;
        }
        self.voiced += 1;
        self.last_voice = at;
        true
    }

    /// Whether the transcript covers all that was spoken.
    pub(crate) fn is_heard(&self) -> bool {
        !self.partial.is_empty() && self.heard_until + HEARD_SLACK >= self.last_voice
    }

    /// Silence since the last voiced frame.
    pub(crate) fn silence(&self, at: CallTime) -> Duration {
        at.since(self.last_voice)
    }

    /// Whether at least `needed` was spoken, or it belongs to a turn where that is so.
    pub(crate) fn is_speech(&self, needed: Duration) -> bool {
        self.joined || TICK * self.voiced >= needed
    }

    /// Start of the speech over the agent's line, once it has lasted for `needed`.
    pub(crate) fn overlap_of(&self, needed: Duration) -> Option<CallTime> {
        self.overlap
            .filter(|overlap| overlap.lasts(needed))
            .map(|overlap| overlap.start)
    }

    /// Whether it must be cut now: at the longest length, or at a pause in the last quarter of it.
    pub(crate) fn is_due_for_cut(&self, at: CallTime, longest: Duration) -> bool {
        let length = at.since(self.from);
        length >= longest || (length >= longest * 3 / 4 && self.silence(at) >= CUT_SILENCE)
    }
}
