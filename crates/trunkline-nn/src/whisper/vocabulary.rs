//! Which tokens mean what: the prompt, the languages, silence, time marks, and text to tokens
//! and back.

use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::Tokenizer;

use super::config::{Config, GenerationConfig};
use super::rules::Rules;
use super::words::is_spaced;
use crate::NnError;

/// How tokenizers that work on bytes write a space.
const BYTE_LEVEL_SPACE: char = 'Ġ';

pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    start: u32,
    pub(super) end: u32,
    transcribe: Option<u32>,
    no_timestamps: u32,
    pub(super) no_speech: Option<u32>,
    /// Said before text that came before.
    previous: Option<u32>,
    /// Code such as `en` to token; empty when the model knows one language only.
    languages: BTreeMap<String, u32>,
    pub(super) rules: Rules,
}

impl Vocabulary {
    pub(super) fn new(
        tokenizer: Tokenizer,
        config: &Config,
        generation: &GenerationConfig,
        folder: &Path,
    ) -> Result<Self, NnError> {
        let named = |name: &str| tokenizer.token_to_id(name);
        let no_timestamps = generation
            .no_timestamps_token_id
            .or_else(|| named("<|notimestamps|>"))
            .ok_or_else(|| NnError::MissingField {
                file: folder.join("generation_config.json"),
                field: "no_timestamps_token_id".to_owned(),
            })?;
        let multilingual = generation
            .is_multilingual
            .unwrap_or(!generation.lang_to_id.is_empty());
        let languages = generation
            .lang_to_id
            .iter()
            .filter(|_| multilingual)
            .map(|(name, id)| (language_code(name).to_owned(), *id))
            .collect();
        let transcribe = multilingual
            .then(|| {
                let listed = generation.task_to_id.get("transcribe").copied();
                listed.or_else(|| named("<|transcribe|>"))
            })
            .flatten();
        let no_speech = named("<|nospeech|>").or_else(|| named("<|nocaptions|>"));
        let vocabulary = config.vocab_size as u32;
        let rules = Rules::new(
            config.vocab_size,
            config.eos_token_id,
            (no_timestamps + 1).min(vocabulary)..vocabulary,
            no_timestamps,
            &tokens(&generation.suppress_tokens, &config.suppress_tokens),
            &tokens(
                &generation.begin_suppress_tokens,
                &config.begin_suppress_tokens,
            ),
        );
        Ok(Self {
            start: config.decoder_start_token_id,
            end: config.eos_token_id,
            transcribe,
            no_timestamps,
            no_speech,
            previous: generation
                .prev_sot_token_id
                .or_else(|| named("<|startofprev|>")),
            languages,
            rules,
            tokenizer,
        })
    }

    /// Said before anything else; what follows tells the language, or that there is no speech.
    pub(super) fn start(&self) -> u32 {
        self.start
    }

    /// Codes of the languages that can be asked for.
    pub(super) fn languages(&self) -> impl Iterator<Item = &str> {
        self.languages.keys().map(String::as_str)
    }

    /// Whether the model says time marks.
    pub(super) fn has_marks(&self) -> bool {
        !self.rules.marks.is_empty()
    }

    /// The token of a language that is asked for, or `None` when that is for the model to say.
    /// A model of one language has no tokens for them, and nothing to say.
    pub(super) fn asked_language(&self, language: Option<&str>) -> Result<Option<u32>, NnError> {
        let Some(language) = language.filter(|_| !self.languages.is_empty()) else {
            return Ok(None);
        };
        // `en-GB` is English.
        let code = language.split(['-', '_']).next().unwrap_or(language);
        let known = self.languages.get(&code.to_ascii_lowercase());
        let unknown = || NnError::UnknownLanguage {
            language: language.to_owned(),
        };
        known.copied().map(Some).ok_or_else(unknown)
    }

    /// Whether a language must be told between [`Vocabulary::start`] and the rest.
    pub(super) fn is_multilingual(&self) -> bool {
        !self.languages.is_empty()
    }

    /// The likeliest language by `logits`, those after the start.
    pub(super) fn heard_language(&self, logits: &[f32]) -> Option<u32> {
        let score = |id: &u32| logits.get(*id as usize).copied().unwrap_or(f32::MIN);
        let ids = self.languages.values().copied();
        ids.max_by(|a, b| score(a).total_cmp(&score(b)))
    }

    /// The code of a language token.
    pub(super) fn language_code(&self, token: u32) -> Option<&str> {
        let mut known = self.languages.iter();
        known
            .find(|(_, id)| **id == token)
            .map(|(code, _)| code.as_str())
    }

    /// What is said after the start and the language.
    pub(super) fn task(&self, marks: bool) -> impl Iterator<Item = u32> {
        let no_timestamps = (!marks).then_some(self.no_timestamps);
        self.transcribe.into_iter().chain(no_timestamps)
    }

    /// Whether the model takes text that came before.
    pub(super) fn takes_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// What is said before the start for text that came before: the last `room` tokens of it.
    pub(super) fn previous(&self, text: &str, room: usize) -> Result<Vec<u32>, NnError> {
        let (Some(previous), false) = (self.previous, text.trim().is_empty()) else {
            return Ok(Vec::new());
        };
        let tokens = self.encode(&format!(" {}", text.trim()))?;
        let last = &tokens[tokens.len().saturating_sub(room)..];
        Ok(std::iter::once(previous)
            .chain(last.iter().copied())
            .collect())
    }

    /// The tokens of a text as it stands.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, NnError> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|error| NnError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Whether a token can be the beginning of a word. In languages without spaces any can.
    pub(super) fn may_begin_word(&self, token: u32, language: Option<u32>) -> bool {
        let code = language.and_then(|id| self.language_code(id));
        let text = self.tokenizer.id_to_token(token);
        !is_spaced(code) || text.is_none_or(|text| text.starts_with(BYTE_LEVEL_SPACE))
    }

    /// The text of what was said, without time marks and special tokens, trimmed.
    pub(super) fn text(&self, tokens: &[u32]) -> Result<String, NnError> {
        Ok(self.untrimmed(tokens)?.trim().to_owned())
    }

    /// The same with its spaces.
    pub(super) fn untrimmed(&self, tokens: &[u32]) -> Result<String, NnError> {
        let marks = &self.rules.marks;
        let words: Vec<u32> = tokens
            .iter()
            .copied()
            .filter(|token| !marks.contains(token))
            .collect();
        self.tokenizer
            .decode(&words, true)
            .map_err(|error| NnError::Tokenizer(error.to_string()))
    }
}

/// `<|en|>` to `en`.
fn language_code(name: &str) -> &str {
    name.trim_start_matches("<|").trim_end_matches("|>")
}

/// The generation configuration wins over the older place. Negative entries are place-holders.
fn tokens(newer: &Option<Vec<i64>>, older: &Option<Vec<i64>>) -> Vec<u32> {
    newer
        .as_ref()
        .or(older.as_ref())
        .into_iter()
        .flatten()
        .filter_map(|id| u32::try_from(*id).ok())
        .collect()
}
