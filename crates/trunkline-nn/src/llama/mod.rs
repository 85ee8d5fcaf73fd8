//! The Llama family on one code path: Llama 2 and 3, SmolLM2, Qwen 2.5, Mistral.
//!
//! [`Llama`] is the loaded model and never changes. [`Chat`] is one worker's use of it: it
//! keeps the keys and values of recent prompts, so that the next turn of a conversation, or
//! the next call of the same workflow, computes only what is new. Sequences run one at a time.

mod attention;
mod config;
mod gguf;
mod linear;
mod network;
mod plan;
mod pool;
mod prefixes;
mod reply;
mod rotary;
mod rows;
mod sampler;
mod scores;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod tokens;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::Device;

pub use self::plan::ComputePlan;
pub use self::pool::{BLOCK_TOKENS, KvPool};
pub use self::reply::{Reply, Step, Usage};
pub use self::rows::{Logits, Row};
pub use self::sampler::GenerateOptions;
pub use self::scores::{Choice, Score};
pub use self::template::{Message, Role};

use self::config::Config;
use self::gguf::Gguf;
use self::network::Network;
use self::prefixes::Prefixes;
use self::source::Source;
use self::vocabulary::Vocabulary;
use crate::NnError;
use crate::files::{Safetensors, files_with_extension, read_json};

/// Tokens of a prompt that are computed at once. Few enough that a worker which looks for
/// cancelled requests between steps does so several times a second on two cores.
const CHUNK: usize = 128;

/// A loaded model. Immutable; share it between threads as you like.
pub struct Llama {
    network: Network,
    vocabulary: Vocabulary,
    plan: ComputePlan,
}

impl Llama {
    /// Loads a `.gguf` file, a folder with one, or a folder with `config.json`,
    /// `tokenizer.json` and `*.safetensors`, held as is fastest on `device`.
    ///
    /// # Errors
    /// Names the file, and the field or tensor in it.
    pub fn load(path: &Path, device: &Device) -> Result<Self, NnError> {
        Self::open(path, device, None)
    }

    /// As [`Llama::load`], with the weights held as told.
    ///
    /// # Errors
    /// As [`Llama::load`].
    pub fn load_as(path: &Path, device: &Device, plan: ComputePlan) -> Result<Self, NnError> {
        Self::open(path, device, Some(plan))
    }

    fn open(path: &Path, device: &Device, plan: Option<ComputePlan>) -> Result<Self, NnError> {
        let (source, config, vocabulary) = match gguf_file(path)? {
            Some(file) => {
                let gguf = Gguf::open(&file)?;
                let config = Config::from_gguf(&gguf)?;
                let vocabulary = Vocabulary::from_gguf(&gguf)?;
                (Source::Gguf(gguf), config, vocabulary)
            }
            None => {
                let file = path.join("config.json");
                let config = Config::from_json(&file, read_json(&file)?)?;
                let weights = Source::Safetensors(Safetensors::open(path)?);
                (weights, config, Vocabulary::from_folder(path)?)
            }
        };
        let plan = plan.unwrap_or_else(|| ComputePlan::for_model(config.parameters(), device));
        Ok(Self {
            network: Network::load(&source, config, plan, device)?,
            vocabulary,
            plan,
        })
    }

    /// Tokens that a conversation and its reply may have together.
    pub fn context(&self) -> usize {
        self.network.config().context
    }

    /// How many weights it has, biases and norms aside.
    pub fn parameters(&self) -> usize {
        self.network.config().parameters()
    }

    /// How its weights are held.
    pub fn plan(&self) -> ComputePlan {
        self.plan
    }

    /// Tokens of a text on its own.
    ///
    /// # Errors
    /// [`NnError::Tokenizer`].
    pub fn count_tokens(&self, text: &str) -> Result<usize, NnError> {
        Ok(self.vocabulary.encode(text)?.len())
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn ends_turn(&self, token: u32) -> bool {
        self.vocabulary.ends_turn(token)
    }

    fn decode(&self, tokens: &[u32]) -> Result<String, NnError> {
        self.vocabulary.decode(tokens)
    }

    /// A pool for the keys and values of sequences of this model.
    ///
    /// # Errors
    /// [`NnError::Compute`] when the memory is not there.
    pub fn new_pool(&self, blocks: usize, block_tokens: usize) -> Result<KvPool, NnError> {
        self.network.new_pool(blocks, block_tokens)
    }

    /// Computes the new tokens of several sequences at once. A row's result does not depend on
    /// which other rows there are.
    ///
    /// # Errors
    /// [`NnError::PromptTooLong`] when a row goes beyond the context or is empty,
    /// [`NnError::BlocksMissing`], [`NnError::OutsidePool`], [`NnError::Tokenizer`] for a token
    /// that the model does not have, or [`NnError::Compute`].
    pub fn step(&self, pool: &mut KvPool, rows: &[Row<'_>]) -> Result<Logits, NnError> {
        in_pool(|| self.network.step(pool, rows))
    }
}

/// Computes inside rayon's pool. From outside, every product that is split between threads
/// would put the caller to sleep and wake it again; from inside, it takes its own share.
fn in_pool<T: Send>(compute: impl FnOnce() -> Result<T, NnError> + Send) -> Result<T, NnError> {
    rayon::scope(|_| compute())
}

/// The GGUF file that a path means, if it means one.
fn gguf_file(path: &Path) -> Result<Option<PathBuf>, NnError> {
    if path.extension().is_some_and(|found| found == "gguf") {
        return Ok(Some(path.to_owned()));
    }
    let mut files = files_with_extension(path, "gguf")?;
    match files.len() {
        0 | 1 => Ok(files.pop()),
        several => {
            let reason = format!("the folder has {several} GGUF files, name one of them");
            Err(NnError::unsupported(path, reason))
        }
    }
}

/// One worker's use of a model, with the prefixes that it keeps.
pub struct Chat {
    model: Arc<Llama>,
    prefixes: Prefixes,
}

impl Chat {
    /// Keeps at most `kept_prefixes` prefixes: one per running conversation and one per
    /// workflow is a good number. Each takes memory for its tokens.
    ///
    /// # Errors
    /// [`NnError::Compute`] when the memory is not there.
    pub fn new(model: Arc<Llama>, kept_prefixes: usize) -> Result<Self, NnError> {
        let prefixes = Prefixes::new(&model.network, kept_prefixes)?;
        Ok(Self { model, prefixes })
    }

    /// The model.
    pub fn model(&self) -> &Llama {
        &self.model
    }

    /// Begins a reply to a conversation. Nothing is computed before the first step.
    ///
    /// # Errors
    /// [`NnError::PromptTooLong`], [`NnError::Template`] or [`NnError::Tokenizer`].
    pub fn generate(
        &mut self,
        messages: &[Message],
        options: &GenerateOptions,
    ) -> Result<Reply<'_>, NnError> {
        let prompt = self.prompt(messages, 1)?;
        let at = self.prefixes.begin(&prompt)?;
        let (prefix, pool) = self.prefixes.at(at);
        Ok(Reply::new(
            &self.model,
            (prefix, pool),
            prompt,
            options.clone(),
        ))
    }

    /// Scores each of `options` as the whole reply to a conversation.
    ///
    /// # Errors
    /// [`NnError::NoOptions`], or as [`Chat::generate`].
    pub fn score(
        &mut self,
        messages: &[Message],
        options: &[String],
    ) -> Result<Vec<Score>, NnError> {
        let replies: Vec<Vec<u32>> = options
            .iter()
            .map(|option| self.model.vocabulary.reply(option))
            .collect::<Result<_, _>>()?;
        let said = options.iter().all(|option| !option.trim().is_empty());
        if options.is_empty() || !said || replies.iter().any(Vec::is_empty) {
            return Err(NnError::NoOptions);
        }
        let longest = replies.iter().map(Vec::len).max().unwrap_or(0);
        let prompt = self.prompt(messages, longest)?;
        let at = self.prefixes.begin(&prompt)?;
        let spare = self.prefixes.spare();
        let (prefix, pool) = self.prefixes.at(at);
        let known = prefix.tokens.len();
        let mut logits = None;
        for chunk in prompt[known..].chunks(CHUNK) {
            logits = Some(in_pool(|| prefix.extend(&self.model.network, pool, chunk))?);
        }
        let after = logits.as_mut().and_then(|logits| logits.last_mut(0));
        let after: &[f32] = after.map_or(&[], |after| after);
        scores::score(&self.model, (prefix, pool, &spare), after, &replies)
    }

    /// Says which of `options` is the likeliest reply. `neutral` is a conversation like
    /// `messages` with nothing said in it, see [`Choice::of`].
    ///
    /// # Errors
    /// As [`Chat::score`].
    pub fn choose(
        &mut self,
        messages: &[Message],
        options: &[String],
        neutral: Option<&[Message]>,
    ) -> Result<Choice, NnError> {
        let scores = self.score(messages, options)?;
        let neutral = neutral
            .map(|neutral| self.score(neutral, options))
            .transpose()?;
        Ok(Choice::of(&scores, neutral.as_deref()))
    }

    /// The prompt, if it leaves room for so many tokens of reply.
    fn prompt(&self, messages: &[Message], room: usize) -> Result<Vec<u32>, NnError> {
        let prompt = self.model.vocabulary.prompt(messages)?;
        let limit = self.model.context().saturating_sub(room);
        if prompt.is_empty() || prompt.len() > limit {
            return Err(NnError::PromptTooLong {
                tokens: prompt.len(),
                limit,
            });
        }
        Ok(prompt)
    }
}
