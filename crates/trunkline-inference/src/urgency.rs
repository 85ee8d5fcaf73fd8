//! What goes first when models are shared by many calls, and between whom they are shared.

use serde::{Deserialize, Serialize};

/// The classes of work, the most urgent first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// A caller has finished speaking and waits in silence.
    #[default]
    TurnCritical,
    /// The continuation of something that is being played.
    Playing,
    /// May turn out not to be needed: partial transcripts, replies to a turn that may go on.
    Speculative,
    /// Nobody waits.
    Background,
}

/// On whose behalf a request is made. Tenants that wait for the same model have equal shares of it,
/// however much each of them asks for. 0 is whoever does not say.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Tenant(pub u32);
