//! Carries what the models stream into the call's inbox, one small task per stream.
//!
//! A task ends with its stream, or when the call drops the returned handle; either drops the
//! stream and so cancels the work behind it.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use trunkline_inference::{
    AnticipatedTokens, ChatDelta, ChatStream, InferenceError, PendingAnticipated, PendingChoice,
    SpeechEvent, SpeechStream, TranscriptEvent,
};
use trunkline_types::UtteranceId;

use crate::log::Input;

/// What arrives in a call's inbox from its models.
#[derive(Debug)]
pub(crate) enum Report {
    /// Something for the core.
    Core(Input),
    /// A piece of a clause.
    Speech {
        utterance: UtteranceId,
        clause: u32,
        event: SpeechEvent,
    },
}

pub(crate) type Inbox = mpsc::UnboundedSender<Report>;

/// A running stream; dropping it cancels.
#[derive(Debug)]
pub(crate) struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Carries a transcription.
pub(crate) fn transcript(
    utterance: UtteranceId,
    mut events: mpsc::UnboundedReceiver<TranscriptEvent>,
    inbox: Inbox,
) -> Running {
    Running(tokio::spawn(async move {
        let mut ended = false;
        while let Some(event) = events.recv().await {
            ended |= !matches!(event, TranscriptEvent::Partial { .. });
            let input = match event {
                TranscriptEvent::Partial { text, audio, .. } => Input::Partial {
                    utterance,
                    text,
                    audio_ms: u64::try_from(audio.as_millis()).unwrap_or(u64::MAX),
                },
                TranscriptEvent::Final {
                    text,
                    mean_log_prob,
                    no_speech_prob,
                    compute,
                    ..
                } => {
                    let compute_us = micros(compute);
                    Input::Final {
                        utterance,
                        text,
                        mean_log_prob,
                        no_speech_prob,
                        compute_us,
                    }
                }
                TranscriptEvent::Failed(error) => Input::TranscriptFailed {
                    utterance,
                    why: error.to_string(),
                },
            };
            if inbox.send(Report::Core(input)).is_err() {
                return;
            }
        }
        if !ended {
            let why = "the recogniser went away".to_owned();
            let _ = inbox.send(Report::Core(Input::TranscriptFailed { utterance, why }));
        }
    }))
}

/// Carries a scored choice.
pub(crate) fn choice(request: u32, pending: PendingChoice, inbox: Inbox) -> Running {
    Running(tokio::spawn(async move {
        let input = match pending.await {
            Ok(Ok(result)) => Input::Chosen {
                request,
                best: result.best,
                probabilities: result.probabilities,
                compute_us: micros(result.compute),
            },
            Ok(Err(error)) => Input::ModelFailed {
                request,
                why: error.to_string(),
            },
            Err(_) => Input::ModelFailed {
                request,
                why: gone(),
            },
        };
        let _ = inbox.send(Report::Core(input));
    }))
}

/// Carries a generated reply.
pub(crate) fn reply(request: u32, mut stream: ChatStream, inbox: Inbox) -> Running {
    Running(tokio::spawn(async move {
        while let Some(delta) = stream.deltas.recv().await {
            let (input, ended) = match delta {
                ChatDelta::Text(text) => (Input::ReplyText { request, text }, false),
                // The agent asks for neither.
                ChatDelta::LogProbs(_) | ChatDelta::ToolCall(_) => continue,
                ChatDelta::Done {
                    prompt_tokens,
                    reply_tokens,
                    first_token,
                    ..
                } => {
                    let first_token_us = micros(first_token);
                    (
                        Input::ReplyDone {
                            request,
                            prompt_tokens,
                            reply_tokens,
                            first_token_us,
                        },
                        true,
                    )
                }
                ChatDelta::Failed(error) => (
                    Input::ModelFailed {
                        request,
                        why: error.to_string(),
                    },
                    true,
                ),
            };
            if inbox.send(Report::Core(input)).is_err() || ended {
                return;
            }
        }
        let _ = inbox.send(Report::Core(Input::ModelFailed {
            request,
            why: gone(),
        }));
    }))
}

/// Carries the account of what was computed ahead. Nobody cancels it: it is there at once.
pub(crate) fn anticipated(account: PendingAnticipated, inbox: Inbox) {
    tokio::spawn(async move {
        if let Ok(AnticipatedTokens { computed, used }) = account.await {
            let input = Input::Anticipated { computed, used };
            if let Err(unsent) = inbox.send(Report::Core(input))
                && let Report::Core(input) = unsent.0
            {
                // The call is over; the tokens are counted all the same.
                crate::measure::input(&input);
            }
        }
    });
}

/// Carries the speech of one clause.
pub(crate) fn speech(
    utterance: UtteranceId,
    clause: u32,
    mut stream: SpeechStream,
    inbox: Inbox,
) -> Running {
    Running(tokio::spawn(async move {
        while let Some(event) = stream.events.recv().await {
            let ended = !matches!(event, SpeechEvent::Audio(_));
            if inbox
                .send(Report::Speech {
                    utterance,
                    clause,
                    event,
                })
                .is_err()
                || ended
            {
                return;
            }
        }
        let error = InferenceError::Unavailable {
            model: "the voice".to_owned(),
            reason: gone(),
        };
        let event = SpeechEvent::Failed(error);
        let _ = inbox.send(Report::Speech {
            utterance,
            clause,
            event,
        });
    }))
}

fn gone() -> String {
    "its worker went away".to_owned()
}
