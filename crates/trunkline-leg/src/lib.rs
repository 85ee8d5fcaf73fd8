//! One side of a call as the agent sees it, whoever carries it: SIP trunk, browser, carrier
//! media stream or another PBX.
//!
//! A gateway makes a [`CallLeg`] and hands it to the agent. Events come out in one ordered
//! stream; the 20 ms [`MediaTick`]s in it are the call's clock. Signalling commands and media
//! commands go in by two doors, because audio must not wait behind SIP.
//!
//! Audio is mono signed 16-bit PCM at 16 kHz whatever the codec on the wire.
#![forbid(unsafe_code)]

mod media;
mod signalling;

use tokio::sync::mpsc;
use trunkline_types::{CallDirection, CallId, DialledNumber, Timestamp};

pub use media::{
    AudioSource, CallerAudio, FRAME_SAMPLES, Frame, MediaControl, MediaTick, PlayoutChunk,
    PlayoutMark, SAMPLE_RATE_HZ,
};
pub use signalling::{LegEvent, RejectReason, SignallingCommand};

/// A call handed to the agent. Dropping it hangs up.
pub struct CallLeg {
    /// What is known of the call.
    pub info: LegInfo,
    /// What happens, in order. Ends after [`LegEvent::Ended`].
    pub events: mpsc::Receiver<LegEvent>,
    /// Signalling commands.
    pub signalling: mpsc::UnboundedSender<SignallingCommand>,
    /// Media commands. Present once the call has media; see [`LegEvent::Answered`].
    pub media: std::sync::Arc<dyn MediaControl>,
}

/// What is known of a call at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegInfo {
    /// Ours.
    pub call_id: CallId,
    /// Who placed it.
    pub direction: CallDirection,
    /// When the INVITE (or its like) came or went.
    pub started: Timestamp,
    /// The user part of the calling party, as asserted by the trunk (P-Asserted-Identity,
    /// RFC 3325, before From).
    pub from: String,
    /// The called number.
    pub to: DialledNumber,
    /// The name of the trunk in the configuration.
    pub trunk: String,
    /// The name of the workflow that the called number is routed to.
    pub workflow: String,
    /// The carrier's own id, e.g. the SIP Call-ID.
    pub carrier_call_id: String,
}
