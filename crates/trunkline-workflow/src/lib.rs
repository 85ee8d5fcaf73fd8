//! Workflows: a definition in JSON, checked like a program, and the interpreter that leads a call
//! through it.
//!
//! A workflow leads: what must be said is said by template, slots and ways are found by rule in the
//! caller's words, and where the rule cannot decide, a language model scores the allowed choices.
//! Free text of a model is spoken only by nodes that ask for it. Nothing here knows how large the
//! model is.
//!
//! [`Workflow::parse`] gives either a workflow that cannot go wrong in a way that a check can find,
//! or every [`Problem`] at once. [`Interpreter`] is sans-IO: inputs and call time go in, outputs
//! come out, and the same inputs give the same outputs. It does not speak, listen, wait or ask a
//! model itself.
#![forbid(unsafe_code)]

mod check;
mod definition;
mod flow;
mod hearing;
mod interpreter;
mod language;
mod matcher;
mod problem;
mod prompts;
mod read;
mod state;
mod words;
mod workflow;

#[cfg(test)]
mod tests;

pub use definition::{BACK, SCHEMA, Settings, TurnTaking};
pub use flow::{
    CallContext, Expecting, FlowInput, FlowOutput, Prompt, PromptMessage, PromptRole, Provenance,
};
pub use interpreter::Interpreter;
pub use problem::Problem;
pub use workflow::Workflow;
