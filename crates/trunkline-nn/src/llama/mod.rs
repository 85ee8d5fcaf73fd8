//! The Llama family on one code path: Llama 2 and 3, SmolLM2, Qwen 2.5 and 3, Mistral.
//!
//! [`Llama`] is the loaded model and never changes. One [`step`](Llama::step) computes the new
//! tokens of many sequences at once; their keys and values lie in a [`KvPool`] of the caller, who
//! decides what runs when and which sequences share a beginning. Beside it stand the parts of a
//! reply: what is drawn ([`Sampler`]), in which form ([`Constraint`]), and its text
//! ([`TextStream`]).

mod attention;
#[cfg(feature = "cuda")]
mod card;
mod config;
mod constraint;
mod gguf;
mod linear;
mod network;
mod plan;
mod pool;
mod rotary;
mod rows;
mod sampler;
mod scores;
mod source;
mod spelling;
mod template;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod tools;
mod vocabulary;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_core::Device;

pub use self::constraint::{Allowed, Constraint, Form};
pub use self::plan::ComputePlan;
pub use self::pool::{BLOCK_TOKENS, KvPool};
pub use self::rows::{Logits, Row};
pub use self::sampler::{Sampler, Sampling};
pub use self::scores::{Choice, Score, likeliest, log_prob_of};
pub use self::template::{Message, Role};
pub use self::text::TextStream;
pub use self::tools::{Call, CallReader, Piece, Tool, ToolForm, Turn};

use self::config::Config;
use self::constraint::Grammars;
use self::gguf::Gguf;
use self::network::Network;
use self::source::Source;
use self::vocabulary::Vocabulary;
use crate::NnError;
use crate::files::{Safetensors, files_with_extension, read_json};

/// A loaded model. Immutable; share it between threads as you like.
pub struct Llama {
    network: Network,
    vocabulary: Vocabulary,
    plan: ComputePlan,
    /// Made when the first reply with a form is asked for.
    grammars: OnceLock<Result<Grammars, String>>,
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
            grammars: OnceLock::new(),
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

    /// Tokens of a conversation, up to where the reply begins.
    ///
    /// # Errors
    /// [`NnError::Template`] or [`NnError::Tokenizer`].
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, NnError> {
        self.vocabulary.prompt(messages)
    }

    /// Tokens of a conversation in which `tools` may be called, up to where the reply begins, or,
    /// with `call`, into the reply up to where the JSON of its call does.
    ///
    /// # Errors
    /// As [`Llama::prompt`].
    pub fn tool_prompt(
        &self,
        turns: &[Turn],
        tools: &[Tool],
        call: bool,
    ) -> Result<Vec<u32>, NnError> {
        self.vocabulary.tool_prompt(turns, tools, call)
    }

    /// How it writes calls.
    pub fn tool_form(&self) -> ToolForm {
        self.vocabulary.tool_form()
    }

    /// Whether a call begins with this token, which [`Llama::read`] gives no text for.
    pub fn opens_call(&self, token: u32) -> bool {
        self.vocabulary.opens_call(token)
    }

    /// Tokens of a conversation whose last message is not over: what any continuation of it
    /// begins with, but for a few tokens at the end.
    ///
    /// # Errors
    /// As [`Llama::prompt`].
    pub fn open_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, NnError> {
        self.vocabulary.open_prompt(messages)
    }

    /// Tokens of a whole reply, the end of the turn included.
    ///
    /// # Errors
    /// As [`Llama::prompt`].
    pub fn reply(&self, text: &str) -> Result<Vec<u32>, NnError> {
        self.vocabulary.reply(text)
    }

    /// Whether a reply is over with this token.
    pub fn ends_turn(&self, token: u32) -> bool {
        self.vocabulary.ends_turn(token)
    }

    /// The bytes that a token stands for; of markers none.
    pub fn spelling(&self, token: u32) -> &[u8] {
        self.vocabulary.spelling(token)
    }

    /// What becomes certain of a reply's text with one more token.
    ///
    /// # Errors
    /// [`NnError::Tokenizer`].
    pub fn read(&self, text: &mut TextStream, token: u32) -> Result<String, NnError> {
        text.push(&self.vocabulary, token)
    }

    /// What was held back of a reply's text that is over.
    ///
    /// # Errors
    /// [`NnError::Tokenizer`].
    pub fn read_rest(&self, text: &mut TextStream) -> Result<String, NnError> {
        text.finish(&self.vocabulary)
    }

    /// A reply of this form, from its beginning.
    ///
    /// # Errors
    /// [`NnError::Constraint`] when no text has the form, or it cannot be understood;
    /// [`NnError::NoOptions`].
    pub fn constrain(&self, form: &Form) -> Result<Constraint, NnError> {
        let grammars = self.grammars.get_or_init(|| {
            let spellings = self.vocabulary.spellings().to_vec();
            let made = Grammars::new(spellings, self.vocabulary.end());
            made.map_err(|error| error.to_string())
        });
        match grammars {
            Ok(grammars) => grammars.begin(form),
            Err(reason) => Err(NnError::Constraint(reason.clone())),
        }
    }

    /// Goes on in a form by a text, whatever its tokens were. Whether the reply is complete.
    ///
    /// # Errors
    /// [`NnError::Constraint`] for a text that the form does not allow.
    pub fn follow(&self, form: &mut Constraint, text: &str) -> Result<bool, NnError> {
        let mut complete = false;
        for token in self.vocabulary.encode(text)? {
            complete = form.push(token)?;
        }
        Ok(complete)
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
