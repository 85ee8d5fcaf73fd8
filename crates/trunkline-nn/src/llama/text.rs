//! The text of a reply, piece by piece, as its tokens come.

use super::vocabulary::Vocabulary;
use crate::NnError;

/// Turns tokens into text as soon as it is certain, and ends it before a stop string.
///
/// A token may be part of a character, and its text may depend on the token before it; both are
/// waited for.
pub struct TextStream {
    stop: Vec<String>,
    tokens: Vec<u32>,
    /// The tokens from here on are decoded together, so that the first of the new ones has its
    /// neighbour.
    window: usize,
    /// The text of the tokens before this is in `pending` or given out.
    read: usize,
    /// Text that may yet become part of a stop string.
    pending: String,
    stopped: bool,
}

impl TextStream {
    /// The text ends before any of `stop`; empty ones are not looked for.
    pub fn new(stop: &[String]) -> Self {
        Self {
            stop: stop
                .iter()
                .filter(|stop| !stop.is_empty())
                .cloned()
                .collect(),
            tokens: Vec::new(),
            window: 0,
            read: 0,
            pending: String::new(),
            stopped: false,
        }
    }

    /// The tokens so far.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Looks for no stop strings from now on, and gives what was held back for them: what comes is
    /// not text.
    pub fn forget_stops(&mut self) -> String {
        self.stop.clear();
        std::mem::take(&mut self.pending)
    }

    /// Whether a stop string was found: the text is over.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What is certain with one more token; often nothing.
    pub(super) fn push(&mut self, vocabulary: &Vocabulary, token: u32) -> Result<String, NnError> {
        self.tokens.push(token);
        self.read_on(vocabulary, false)?;
        let certain = certain(&self.pending, &self.stop);
        Ok(self.give(certain))
    }

    /// What was held back; nothing more will come.
    pub(super) fn finish(&mut self, vocabulary: &Vocabulary) -> Result<String, NnError> {
        self.read_on(vocabulary, true)?;
        Ok(self.give(self.pending.len()))
    }

    /// Decodes what is new, up to a character of which a part is still to come.
    fn read_on(&mut self, vocabulary: &Vocabulary, to_the_end: bool) -> Result<(), NnError> {
        if self.stopped || self.read == self.tokens.len() {
            return Ok(());
        }
        let known = vocabulary.decode(&self.tokens[self.window..self.read])?;
        let all = vocabulary.decode(&self.tokens[self.window..])?;
        let whole = !all.ends_with(char::REPLACEMENT_CHARACTER);
        if whole || to_the_end {
            self.pending
                .push_str(all.get(known.len()..).unwrap_or_default());
            self.window = self.read;
            self.read = self.tokens.len();
        }
        Ok(())
    }

    fn give(&mut self, certain: usize) -> String {
        if self.stopped {
            return String::new();
        }
        if let Some(at) = first_stop(&self.pending, &self.stop) {
            self.stopped = true;
            self.pending.truncate(at);
            return std::mem::take(&mut self.pending);
        }
        self.pending.drain(..certain).collect()
    }
}

/// Where the first of the stop strings begins.
fn first_stop(text: &str, stop: &[String]) -> Option<usize> {
    stop.iter()
        .filter_map(|stop| text.find(stop.as_str()))
        .min()
}

/// How many bytes can be given out: not those that may begin a stop string.
fn certain(text: &str, stop: &[String]) -> usize {
    text.char_indices()
        .map(|(at, _)| at)
        .find(|at| stop.iter().any(|stop| stop.starts_with(&text[*at..])))
        .unwrap_or(text.len())
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
}
