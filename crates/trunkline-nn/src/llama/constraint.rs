//! Replies that must have a form: a JSON value that meets a schema, one of some texts, a regular
//! expression. At each token it is known which tokens may come next.
//!
//! The grammars are llguidance's. A form that no text has is refused when it is asked for.

use std::sync::Arc;

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use super::tools::{Tool, ToolForm, grammar, of_object};
use crate::NnError;

/// The form of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A JSON value that meets this JSON Schema.
    JsonSchema(Value),
    /// Exactly one of these texts.
    Choice(Vec<String>),
    /// The whole text matches this regular expression.
    Regex(String),
    /// Calls of functions, from [`ToolForm::opening`] on.
    ToolCalls {
        /// How the model writes them.
        form: ToolForm,
        /// The functions.
        tools: Vec<Tool>,
        /// Whether there may be more than one call.
        several: bool,
    },
}

/// What a vocabulary's tokens are to a grammar. Made once for a model.
pub(super) struct Grammars {
    factory: ParserFactory,
}

impl Grammars {
    /// `spellings` are the bytes of each token, `end` what comes after a reply.
    pub(super) fn new(mut spellings: Vec<Vec<u8>>, end: u32) -> Result<Self, NnError> {
        let size = spellings.len().max(end as usize + 1);
        spellings.resize(size, Vec::new());
        // Spelled so that no text can be mistaken for it.
        spellings[end as usize] = [&[TokTrie::SPECIAL_TOKEN_MARKER], b"<end>".as_slice()].concat();
        let info = TokRxInfo::new(u32::try_from(size).unwrap_or(u32::MAX), end);
        let trie = TokTrie::from(&info, &spellings);
        let mut factory = ParserFactory::new_simple(&(Arc::new(ApproximateTokEnv::new(trie)) as _))
            .map_err(|error| NnError::Constraint(format!("{error:#}")))?;
        factory.quiet();
        Ok(Self { factory })
    }

    /// A reply of this form, from its beginning.
    pub(super) fn begin(&self, form: &Form) -> Result<Constraint, NnError> {
        let grammar = match form {
            Form::JsonSchema(schema) => GrammarWithLexer::from_json_schema(spaced(schema)),
            Form::Regex(pattern) => GrammarWithLexer::from_regex(pattern),
            Form::Choice(texts) => {
                if texts.is_empty() || texts.iter().any(String::is_empty) {
                    return Err(NnError::NoOptions);
                }
                let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                GrammarWithLexer::from_lark(format!("start: {}", quoted.join(" | ")))
            }
            Form::ToolCalls {
                form,
                tools,
                several,
            } => {
                self.check_arguments(tools)?;
                GrammarWithLexer::from_lark(grammar(*form, tools, *several))
            }
        };
        let parser = self
            .factory
            .create_parser(TopLevelGrammar::from_grammar(grammar));
        let mut matcher = Matcher::new(parser);
        if let Some(error) = matcher.get_error() {
            return Err(NnError::Constraint(error));
        }
        // A form without a text, such as a pattern that nothing matches, has no first token.
        let first = matcher.compute_mask().map_err(refused)?;
        if first.is_zero() {
            return Err(NnError::Constraint("no text has this form".to_owned()));
        }
        Ok(Constraint { matcher })
    }

    /// Finds the function whose arguments no text can be.
    fn check_arguments(&self, tools: &[Tool]) -> Result<(), NnError> {
        if tools.is_empty() {
            return Err(NnError::NoOptions);
        }
        for tool in tools {
            let arguments = Form::JsonSchema(of_object(&tool.parameters));
            self.begin(&arguments).map_err(|error| {
                NnError::Constraint(format!("the parameters of {}: {error}", tool.name))
            })?;
        }
        Ok(())
    }
}

/// The schema with one way to write white space, so that a model which likes blank lines cannot
/// go on with them for ever.
pub(super) fn spaced(schema: &Value) -> Value {
    let mut schema = schema.clone();
    let spaces = json!({
        "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "
    });
    match &mut schema {
        Value::Object(fields) => {
            fields.insert("x-guidance".to_owned(), spaces);
            schema
        }
        // Every value meets `true`.
        Value::Bool(true) => json!({ "x-guidance": spaces }),
        _ => schema,
    }
}

/// A text as a string of a grammar; JSON's way to write it is the grammar's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// One reply's way through its form.
#[derive(Clone)]
pub struct Constraint {
    matcher: Matcher,
}

/// The tokens that may come next.
pub struct Allowed(SimpleVob);

impl Allowed {
    /// Takes the others out of question.
    pub(super) fn apply(&self, logits: &mut [f32]) {
        for (token, logit) in (0u32..).zip(logits) {
            if (token as usize) >= self.0.len() || !self.0.is_allowed(token) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

impl Constraint {
    /// The tokens that may come next, the end of the turn among them where the reply may end.
    ///
    /// # Errors
    /// [`NnError::Constraint`] when the form is too involved to follow.
    pub fn allowed(&mut self) -> Result<Allowed, NnError> {
        self.matcher
            .compute_mask_or_eos()
            .map(Allowed)
            .map_err(refused)
    }

    /// Goes on by a token. Whether the reply is complete and nothing may follow.
    ///
    /// # Errors
    /// [`NnError::Constraint`] for a token that was not allowed.
    pub fn push(&mut self, token: u32) -> Result<bool, NnError> {
        self.matcher.consume_token(token).map_err(refused)?;
        Ok(self.matcher.is_stopped())
    }
}

fn refused(error: impl std::fmt::Display) -> NnError {
    NnError::Constraint(format!("{error:#}"))
}
