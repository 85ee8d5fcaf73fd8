//! A reply on its way, one bounded step after another.

use super::pool::KvPool;
use super::prefixes::Prefix;
use super::sampler::{GenerateOptions, Sampler};
use super::{CHUNK, Llama, in_pool};
use crate::NnError;

/// A reply on its way. Dropping it ends it; what was computed is kept for the next request.
pub struct Reply<'a> {
    model: &'a Llama,
    prefix: &'a mut Prefix,
    pool: &'a mut KvPool,
    prompt: Vec<u32>,
    cached: usize,
    options: GenerateOptions,
    sampler: Sampler,
    /// What the last step said should follow, until a token is drawn from it.
    logits: Option<Vec<f32>>,
    /// Tokens drawn, the end excluded.
    said: Vec<u32>,
    /// Bytes of the text of `said` that were given out.
    given: usize,
    finished: bool,
}

/// What one step brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing to say yet: part of the prompt was computed, or the text may still become part
    /// of a stop string or of a longer character.
    Quiet,
    /// More text.
    Text(String),
    /// The reply is complete. Further steps give the same.
    Done(Usage),
}

/// What a reply took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, all of them.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that were known from an earlier request.
    pub cached_tokens: usize,
    /// Tokens of the reply.
    pub reply_tokens: usize,
}

impl<'a> Reply<'a> {
    pub(super) fn new(
        model: &'a Llama,
        (prefix, pool): (&'a mut Prefix, &'a mut KvPool),
        prompt: Vec<u32>,
        options: GenerateOptions,
    ) -> Self {
        Self {
            cached: prefix.tokens.len(),
            sampler: Sampler::new(&options),
            model,
            prefix,
            pool,
            prompt,
            options,
            logits: None,
            said: Vec::new(),
            given: 0,
            finished: false,
        }
    }

    /// Computes one more token of the reply, or one more chunk of the prompt.
    ///
    /// # Errors
    /// A failure of the computation; the reply is then over.
    pub fn step(&mut self) -> Result<Step, NnError> {
        if self.finished {
            return Ok(self.done());
        }
        let result = self.advance();
        if result.is_err() {
            self.finished = true;
        }
        result
    }

    /// What it took so far.
    pub fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.prompt.len(),
            cached_tokens: self.cached,
            reply_tokens: self.said.len(),
        }
    }

    fn done(&self) -> Step {
        Step::Done(self.usage())
    }

    fn advance(&mut self) -> Result<Step, NnError> {
        let known = self.prefix.tokens.len();
        if known < self.prompt.len() {
            let end = self.prompt.len().min(known + CHUNK);
            let chunk = self.prompt[known..end].to_vec();
            self.extend(&chunk)?;
            if end < self.prompt.len() {
                return Ok(Step::Quiet);
            }
        } else if let Some(last) = self.said.last().copied() {
            self.extend(&[last])?;
        }
        let full = self.prompt.len() + self.said.len() >= self.model.context();
        if self.said.len() >= self.options.max_tokens || full {
            return self.finish(None);
        }
        let Some(mut logits) = self.logits.take() else {
            return self.finish(None);
        };
        let token = self.sampler.draw(&mut logits, &self.prefix.tokens);
        if self.model.ends_turn(token) {
            return self.finish(None);
        }
        self.said.push(token);
        self.speak()
    }

    fn extend(&mut self, tokens: &[u32]) -> Result<(), NnError> {
        let network = self.model.network();
        let mut logits = in_pool(|| self.prefix.extend(network, self.pool, tokens))?;
        self.logits = logits.last_mut(0).map(|last| last.to_vec());
        Ok(())
    }

    /// Gives out what is certain of the text so far.
    fn speak(&mut self) -> Result<Step, NnError> {
        let text = self.model.decode(&self.said)?;
        let new = text.get(self.given..).unwrap_or_default();
        if let Some(at) = first_stop(new, &self.options.stop) {
            let end = self.given + at;
            return self.finish(Some(end));
        }
        if self.said.len() >= self.options.max_tokens {
            return self.finish(None);
        }
        let certain = certain(new, &self.options.stop);
        if certain == 0 {
            return Ok(Step::Quiet);
        }
        let new = new[..certain].to_owned();
        self.given += certain;
        Ok(Step::Text(new))
    }

    /// Ends the reply, giving out what was held back: up to byte `end` of the text, or all.
    fn finish(&mut self, end: Option<usize>) -> Result<Step, NnError> {
        self.finished = true;
        let text = self.model.decode(&self.said)?;
        let end = end.unwrap_or(text.len());
        match text.get(self.given..end) {
            Some(rest) if !rest.is_empty() => Ok(Step::Text(rest.to_owned())),
            _ => Ok(self.done()),
        }
    }
}

/// Where the first of the stop strings begins.
fn first_stop(text: &str, stop: &[String]) -> Option<usize> {
    stop.iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| text.find(stop.as_str()))
        .min()
}

/// How many bytes can be given out: not those that may begin a stop string, nor those of a
/// character of which a part is still to come.
fn certain(text: &str, stop: &[String]) -> usize {
    let whole = text.trim_end_matches(char::REPLACEMENT_CHARACTER).len();
    let begun = text
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| stop.iter().any(|stop| stop.starts_with(&text[*at..])));
    whole.min(begun.unwrap_or(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_may_begin_a_stop_string_is_held_back() {
        let stop = ["\nUser:".to_owned()];
        assert_eq!(certain("Yes.", &stop), 4);
        assert_eq!(certain("Yes.\nUs", &stop), 4);
        assert_eq!(certain("Yes.\nUx", &stop), 7);
        assert_eq!(first_stop("Yes.\nUser: no", &stop), Some(4));
    }

    #[test]
    fn half_a_character_is_held_back() {
        assert_eq!(certain("caf\u{fffd}", &[]), 3);
        assert_eq!(certain("café", &[]), 5);
    }
}
