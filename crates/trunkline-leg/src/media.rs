//! Audio in both directions, 20 ms at a time.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkline_types::{CallTime, Digit, UtteranceId};

/// The rate of all audio that crosses this seam.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Samples of one 20 ms frame.
pub const FRAME_SAMPLES: usize = 320;

/// 20 ms of mono PCM at 16 kHz.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(pub Box<[i16; FRAME_SAMPLES]>);

impl Frame {
    /// Digital silence.
    pub fn silence() -> Self {
        Self(Box::new([0; FRAME_SAMPLES]))
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peak = self.0.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
        write!(f, "Frame(peak {peak})")
    }
}

/// 20 ms of a call: what was heard, what was played, and when. The two sides are aligned by
/// the wheel that sends and receives them, so a recorder writes them as they come.
#[derive(Debug, Clone, PartialEq)]
pub struct MediaTick {
    /// The end of this frame on the call's clock. Grows by exactly 20 ms each tick.
    pub at: CallTime,
    /// What the caller said.
    pub caller: Frame,
    /// Where the caller's frame came from.
    pub caller_audio: CallerAudio,
    /// Probability that the caller's frame holds speech: 0 is no, 255 is yes.
    pub speech: u8,
    /// What was sent to the caller in this frame.
    pub agent: Frame,
    /// How far playout has come in what is being played; `None` when silent.
    pub playing: Option<PlayoutMark>,
}

/// Where a caller's frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerAudio {
    /// Decoded from a packet.
    Received,
    /// Invented by concealment for a lost packet.
    Concealed,
    /// Nothing arrived and nothing was due: discontinuous transmission, hold, or a dead peer.
    Absent,
}

/// How far playout has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayoutMark {
    /// The agent's utterance.
    pub utterance: UtteranceId,
    /// The clause in it, from 0.
    pub clause: u32,
    /// Milliseconds of this clause that have been sent, this frame included.
    pub played_ms: u32,
    /// Where the sound comes from.
    pub source: AudioSource,
}

/// Where the agent's sound comes from; what is billed differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AudioSource {
    /// Synthesised for this call.
    Live,
    /// Synthesised before and kept.
    Cached,
    /// A recorded clip.
    Clip,
}

/// Audio to be played after what is queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayoutChunk {
    /// The agent's utterance.
    pub utterance: UtteranceId,
    /// The clause in it, from 0.
    pub clause: u32,
    /// Where it comes from.
    pub source: AudioSource,
    /// Mono PCM at 16 kHz, any length.
    pub pcm: Vec<i16>,
}

/// The media door of a leg. Calls never block and may come from any thread.
pub trait MediaControl: Send + Sync {
    /// Queues audio.
    fn play(&self, chunk: PlayoutChunk);

    /// Drops what is queued; what is being heard fades out over `fade`.
    fn clear(&self, fade: Duration);

    /// Sends keys as telephone events (RFC 4733), one after the other.
    fn send_dtmf(&self, digits: &[Digit]);
}
