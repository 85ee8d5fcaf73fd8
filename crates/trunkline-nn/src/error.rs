//! What can go wrong while loading or computing.

use std::path::PathBuf;

/// Why a network gave no result. Loading errors name the file, and the tensor or field in it.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// The file cannot be read at all.
    #[error("cannot read {}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there but is not what it should be: cut short, corrupt, or of another kind.
    #[error("{} is damaged or not a model file: {reason}", file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The model needs a tensor that the file does not have.
    #[error("{} has no tensor {tensor}", file.display())]
    MissingTensor {
        /// Which file, or the folder when the weights are in several.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
    },
    /// A tensor has not the shape that the configuration promises.
    #[error("tensor {tensor} of {} has shape {found:?}, expected {expected:?}", file.display())]
    WrongShape {
        /// Which file.
        file: PathBuf,
        /// The tensor's name.
        tensor: String,
        /// What the configuration says.
        expected: Vec<usize>,
        /// What the file has.
        found: Vec<usize>,
    },
    /// The configuration or metadata lacks a field.
    #[error("{} has no usable field {field}", file.display())]
    MissingField {
        /// Which file.
        file: PathBuf,
        /// The field's name.
        field: String,
    },
    /// The file is sound, but is of a kind that is not built here.
    #[error("{} is not supported: {reason}", file.display())]
    Unsupported {
        /// Which file.
        file: PathBuf,
        /// What is not supported.
        reason: String,
    },
    /// The language is not one of the model's.
    #[error("the model does not know the language {language}")]
    UnknownLanguage {
        /// As asked for.
        language: String,
    },
    /// The prompt does not fit.
    #[error("the prompt has {tokens} tokens, the context holds {limit}: shorten it")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens that fit, with room for an answer.
        limit: usize,
    },
    /// More windows than rows are free.
    #[error("all {rows} rows of the decoder are taken")]
    NoRoom {
        /// Rows in all.
        rows: usize,
    },
    /// Windows that are encoded together must have one length.
    #[error("windows of different lengths cannot be encoded together")]
    WindowsDiffer,
    /// A row names a block that the pool does not have.
    #[error("there is no block {block} in a pool of {blocks}")]
    OutsidePool {
        /// The block.
        block: u32,
        /// Blocks of the pool.
        blocks: usize,
    },
    /// A row has fewer blocks than its tokens need.
    #[error("a row has {blocks} blocks and needs {needed}")]
    BlocksMissing {
        /// Blocks that it has.
        blocks: usize,
        /// Blocks that its tokens need.
        needed: usize,
    },
    /// There is nothing to choose from, or an option is empty.
    #[error("there are no options to score, or one is empty")]
    NoOptions,
    /// No text has the form that a reply is asked to have, or the form cannot be understood.
    #[error("the reply cannot have this form: {0}")]
    Constraint(String),
    /// The model's chat template refused the conversation.
    #[error("the chat template failed: {0}")]
    Template(String),
    /// Text could not be turned into tokens or back.
    #[error("the tokenizer failed: {0}")]
    Tokenizer(String),
    /// The computation itself failed.
    #[error("the computation failed")]
    Compute(#[from] candle_core::Error),
}

impl NnError {
    pub(crate) fn damaged(file: &std::path::Path, reason: impl std::fmt::Display) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn unsupported(file: &std::path::Path, reason: impl Into<String>) -> Self {
        Self::Unsupported {
            file: file.to_owned(),
            reason: reason.into(),
        }
    }
}
