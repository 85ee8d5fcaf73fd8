//! What goes into the interpreter and what comes out, in the words of the call's event log.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use trunkline_types::{Digit, EndReason};

/// Who says a message of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromptRole {
    /// The instructions.
    System,
    /// The caller.
    User,
    /// The agent.
    Assistant,
}

/// One message of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PromptMessage {
    /// Who says it.
    pub role: PromptRole,
    /// What is said.
    pub text: String,
}

/// A conversation for a language model, oldest first.
pub type Prompt = Vec<PromptMessage>;

/// The facts of a call that templates may name, as `call.from`, `call.to`, `call.today`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallContext {
    /// Who calls, as dialled; empty when withheld.
    pub from: String,
    /// The called number.
    pub to: String,
    /// The local date as it is spoken, e.g. "Sunday, the twenty-second of November".
    pub today: String,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FlowInput {
    /// The call is answered.
    Started,
    /// The caller's turn is over; its transcript. Empty when nothing was understood, and after a
    /// false start that stopped the agent: the agent then asks again.
    CallerSaid {
        /// Transcript of the turn.
        text: String,
    },
    /// The caller went on before the reply was heard. What the last [`FlowInput::CallerSaid`] did
    /// is taken back, then `text` is taken in its place.
    CallerContinued {
        /// Transcript of the whole turn, the earlier part included.
        text: String,
    },
    /// The caller said something, but it could not be transcribed: the agent asks again.
    NotHeard,
    /// The call is to end now, for a reason outside the workflow.
    End {
        /// Why.
        reason: EndReason,
    },
    /// The caller pressed a key.
    Digit {
        /// The key.
        digit: Digit,
    },
    /// Both sides have been silent for the idle time.
    Idle {
        /// How often in a row, from 1.
        count: u32,
    },
    /// The answer to [`FlowOutput::Choose`].
    Chosen {
        /// Which request.
        request: u32,
        /// Index of the likeliest option.
        best: usize,
        /// One probability per option.
        probabilities: Vec<f32>,
    },
    /// [`FlowOutput::Generate`] is complete.
    Generated {
        /// Which request.
        request: u32,
        /// The whole text, as it was spoken or is being spoken.
        text: String,
    },
    /// The model gave nothing for [`FlowOutput::Choose`] or [`FlowOutput::Generate`].
    ModelFailed {
        /// Which request.
        request: u32,
    },
    /// A line was played to its end, or dropped.
    LineDone {
        /// Which line.
        line: u32,
        /// What was really heard of it.
        heard: String,
        /// Whether it was cut short.
        interrupted: bool,
    },
    /// [`crate::Interpreter::next_deadline`] has come.
    Clock,
}

/// What the agent must do. In order; all of one input at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FlowOutput {
    /// The workflow is now at this node.
    Entered {
        /// Node id.
        node: String,
    },
    /// A variable has a new value.
    Set {
        /// Its name.
        variable: String,
        /// Its value; an empty string when it was cleared.
        value: Value,
        /// How it came about.
        source: Provenance,
    },
    /// Speak this, after all lines before it.
    Say {
        /// Number of the line, rising over the call.
        line: u32,
        /// What to say.
        text: String,
        /// Whether the caller's voice may stop it.
        interruptible: bool,
    },
    /// Stop speaking and drop all lines not yet spoken: a key was pressed, or what they answer was
    /// taken back.
    Hush,
    /// Score the options. Answered by [`FlowInput::Chosen`] or [`FlowInput::ModelFailed`]. A later
    /// `Choose` or `Generate`, or a further word of the caller, makes an open one void; its answer
    /// is then ignored.
    Choose {
        /// Number of the request, rising over the call.
        request: u32,
        /// The conversation, ending with what the caller said.
        prompt: Prompt,
        /// The same with nothing said, for calibration.
        neutral: Prompt,
        /// The possible replies.
        options: Vec<String>,
    },
    /// Let the model speak. Its sentences are spoken as they come, as one line, after all lines
    /// before it.
    Generate {
        /// Number of the request.
        request: u32,
        /// Number of the line.
        line: u32,
        /// The conversation.
        prompt: Prompt,
        /// The reply ends after this many tokens at the latest.
        max_tokens: u32,
        /// The reply ends before any of these.
        stop: Vec<String>,
        /// Whether the caller's voice may stop it.
        interruptible: bool,
    },
    /// From now on, also while lines are still being spoken, this is expected of the caller.
    Listen {
        /// The kind of answer.
        expecting: Expecting,
        /// For digits, how many at least and at most.
        digits: Option<(u32, u32)>,
    },
    /// End the call now; every line has been spoken. Nothing follows.
    Hangup {
        /// Why.
        reason: EndReason,
    },
}

/// The kind of answer that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expecting {
    /// Nothing: the agent goes on by itself.
    Nothing,
    /// Anything.
    Free,
    /// Yes or no.
    YesNo,
    /// Digits, keyed or spoken.
    Digits,
}

/// How a variable came by its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Read from the caller's words by rule.
    Said,
    /// Keyed on the telephone pad.
    Keyed,
    /// Chosen by the language model's scores.
    Chosen,
    /// Found in a table.
    LookedUp,
    /// Emptied by the workflow.
    Cleared,
    /// Restored, because the caller went on speaking.
    TakenBack,
}
