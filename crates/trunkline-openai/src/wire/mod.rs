//! The JSON of OpenAI's API, as both ends of a connection see it.
//!
//! Only what travels: requests are taken apart by the server and put together by the client,
//! each in its own way; answers are the same types for both.

mod chat;
mod error;
mod speech;

pub(crate) use chat::{
    ChatChoice, ChatChunk, ChatCompletion, Choice, ChunkChoice, ChunkDelta, FunctionCall,
    PromptDetails, ReplyMessage, TokenFigures, TokenList, ToolCallChunk, TopToken, Usage,
    WireToolCall, finish_word,
};
pub(crate) use error::{ErrorBody, ErrorDetail};
pub(crate) use speech::{Transcript, WireSegment, WireWord};
