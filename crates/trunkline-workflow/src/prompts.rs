//! Prompts for the model: few-shot, short, and constant at the beginning so that a model which keeps
//! what it has computed need not compute it again.

use crate::definition::Answer;
use crate::flow::{Prompt, PromptMessage, PromptRole};

/// Examples per option shown to the model, and in all.
const EXAMPLES_PER_OPTION: usize = 2;
const EXAMPLES: usize = 14;

/// What the caller says in a neutral prompt (contextual calibration, Zhao et al. 2021).
const NOTHING_SAID: &str = "N/A";

/// Something the model may choose.
#[derive(Debug, Clone)]
pub(crate) struct Offered<'a> {
    pub(crate) label: &'a str,
    pub(crate) examples: &'a [String],
}

fn message(role: PromptRole, text: impl Into<String>) -> PromptMessage {
    PromptMessage {
        role,
        text: text.into(),
    }
}

/// A prompt whose reply is one of the options, and the same with nothing said.
pub(crate) fn choice(
    instructions: &str,
    question: &str,
    options: &[Offered<'_>],
    said: &str,
) -> (Prompt, Prompt) {
    let labels: Vec<&str> = options.iter().map(|option| option.label).collect();
    let system = format!(
        "{instructions}\nThe agent asked: {question}\nSay which of these the caller means: {}.",
        labels.join("; ")
    );
    let mut prompt = vec![message(PromptRole::System, system.trim_start())];
    let shown = (0..EXAMPLES_PER_OPTION)
        .flat_map(|round| {
            options
                .iter()
                .filter_map(move |option| Some((option.examples.get(round)?, option.label)))
        })
        .take(EXAMPLES);
    for (example, label) in shown {
        prompt.push(message(PromptRole::User, example));
        prompt.push(message(PromptRole::Assistant, label));
    }
    let mut neutral = prompt.clone();
    neutral.push(message(PromptRole::User, NOTHING_SAID));
    prompt.push(message(PromptRole::User, said));
    (prompt, neutral)
}

/// The part of a free answer's prompt that is the same in every call.
pub(crate) fn answer_beginning(instructions: &str, answer: &Answer) -> Prompt {
    let mut system = instructions.trim().to_owned();
    if !answer.facts.is_empty() {
        system.push_str("\nFacts:\n");
        system.push_str(&answer.facts.join("\n"));
    }
    let mut prompt = vec![message(PromptRole::System, system.trim_start())];
    for example in &answer.examples {
        prompt.push(message(PromptRole::User, &example.question));
        prompt.push(message(PromptRole::Assistant, &example.answer));
    }
    prompt
}

/// The prompt of a free answer.
pub(crate) fn answer(
    instructions: &str,
    answer: &Answer,
    history: &[PromptMessage],
    question: &str,
) -> Prompt {
    let mut prompt = answer_beginning(instructions, answer);
    let wanted = usize::try_from(answer.history).unwrap_or(usize::MAX);
    let skipped = history.len().saturating_sub(wanted);
    prompt.extend(history.iter().skip(skipped).cloned());
    prompt.push(message(PromptRole::User, question));
    prompt
}
