//! What the worker is asked to do, as tokens: reading and rendering happened where it was asked.

use tokio::sync::{mpsc, oneshot};
use trunkline_inference::{AnticipatedTokens, ChatDelta, ChoiceResult, InferenceError};
use trunkline_nn::llama::{Constraint, Sampling};
use trunkline_scheduler::{Class, TenantId};

use super::calls::Calls;

/// An order to the worker.
pub(super) enum Command {
    Reply(Box<ReplyOrder>),
    Choose(ChoiceOrder),
    /// Compute the beginning of conversations and keep it.
    WarmUp {
        prompt: Vec<u32>,
    },
    /// Compute ahead for conversation `id`.
    Expect {
        id: u64,
        prompt: Vec<u32>,
    },
    /// Nothing more is computed ahead for it.
    EndAhead {
        id: u64,
        account: Option<oneshot::Sender<AnticipatedTokens>>,
    },
}

pub(super) struct ReplyOrder {
    pub(super) prompt: Vec<u32>,
    pub(super) class: Class,
    pub(super) tenant: TenantId,
    pub(super) max_tokens: usize,
    pub(super) sampling: Sampling,
    pub(super) stop: Vec<String>,
    pub(super) constraint: Option<Constraint>,
    /// Where the reply may call tools.
    pub(super) calls: Option<Calls>,
    /// Alternatives per token.
    pub(super) logprobs: Option<u8>,
    pub(super) events: mpsc::UnboundedSender<ChatDelta>,
}

pub(super) struct ChoiceOrder {
    pub(super) class: Class,
    /// The prompt whose continuation is chosen; none when only the neutral scores are wanted.
    pub(super) prompt: Option<Vec<u32>>,
    /// The prompt in which nothing was said.
    pub(super) neutral: Option<Vec<u32>>,
    /// Each option with the end of the turn.
    pub(super) options: Vec<Vec<u32>>,
    /// Nobody waits for a warm-up.
    pub(super) answer: Option<oneshot::Sender<Result<ChoiceResult, InferenceError>>>,
}

impl Command {
    /// Answers that it will not be done. Nobody listens any more when a send fails.
    pub(super) fn refuse(self, error: &InferenceError) {
        match self {
            Self::Reply(order) => {
                let _ = order.events.send(ChatDelta::Failed(error.clone()));
            }
            Self::Choose(order) => {
                if let Some(answer) = order.answer {
                    let _ = answer.send(Err(error.clone()));
                }
            }
            Self::WarmUp { .. } | Self::Expect { .. } | Self::EndAhead { .. } => {}
        }
    }
}
