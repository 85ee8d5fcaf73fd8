//! What the worker needs of a language model, and how `trunkline-nn` gives it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use trunkline_inference::{ChatMessage, ChatRequest, ChatRole};
use trunkline_nn::NnError;
use trunkline_nn::llama::{Chat, GenerateOptions, Llama, Message, Role, Score, Step, Usage};

/// Conversations whose keys and values are kept. Each costs memory for its tokens: 46 MB for
/// a thousand of a 135M model, 260 MB of an 8B one.
const KEPT_PREFIXES: usize = 8;

/// Hears each step of a computation, with text when there is some; breaks to cancel it.
pub(super) type Watch<'w> = dyn FnMut(Option<String>) -> ControlFlow<()> + 'w;

/// A language model on one thread.
pub(super) trait LanguageNetwork: Send {
    /// Writes a reply. `None` when it was cancelled.
    fn generate(
        &mut self,
        request: &ChatRequest,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Usage>, NnError>;

    /// Scores options as replies. `None` when it was cancelled.
    fn score(
        &mut self,
        messages: &[ChatMessage],
        options: &[String],
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<Score>>, NnError>;
}

/// A model of the Llama family.
pub(super) struct LlamaNetwork {
    chat: Chat,
}

impl LlamaNetwork {
    pub(super) fn load(folder: &Path) -> Result<Self, NnError> {
        let model = Llama::load(folder, &trunkline_nn::cpu())?;
        Ok(Self {
            chat: Chat::new(Arc::new(model), KEPT_PREFIXES)?,
        })
    }
}

impl LanguageNetwork for LlamaNetwork {
    fn generate(
        &mut self,
        request: &ChatRequest,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Usage>, NnError> {
        let options = GenerateOptions {
            max_tokens: request.max_tokens,
            temperature: request.sampling.temperature,
            top_p: request.sampling.top_p,
            repetition_penalty: request.sampling.repetition_penalty,
            seed: request.sampling.seed,
            stop: request.stop.clone(),
        };
        let mut reply = self.chat.generate(&messages(&request.messages), &options)?;
        loop {
            let text = match reply.step()? {
                Step::Done(usage) => return Ok(Some(usage)),
                Step::Text(text) => Some(text),
                Step::Quiet => None,
            };
            if watch(text).is_break() {
                return Ok(None);
            }
        }
    }

    fn score(
        &mut self,
        conversation: &[ChatMessage],
        options: &[String],
        watch: &mut Watch<'_>,
    ) -> Result<Option<Vec<Score>>, NnError> {
        let conversation = messages(conversation);
        // The prompt is computed in steps that can be cancelled; scoring then finds it known.
        let nothing = GenerateOptions {
            max_tokens: 0,
            ..GenerateOptions::default()
        };
        let mut prompt = self.chat.generate(&conversation, &nothing)?;
        while !matches!(prompt.step()?, Step::Done(_)) {
            if watch(None).is_break() {
                return Ok(None);
            }
        }
        drop(prompt);
        self.chat.score(&conversation, options).map(Some)
    }
}

fn messages(conversation: &[ChatMessage]) -> Vec<Message> {
    conversation
        .iter()
        .map(|message| Message {
            role: match message.role {
                ChatRole::System => Role::System,
                ChatRole::User => Role::User,
                // A worker without tools refuses requests with such messages.
                ChatRole::Assistant | ChatRole::Tool => Role::Assistant,
            },
            content: message.content.clone(),
        })
        .collect()
}
