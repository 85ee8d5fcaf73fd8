//! Which tokens mean what: the prompt, the languages, silence, and what may never be said.

use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::Tokenizer;

use super::config::{Config, GenerationConfig};
use crate::NnError;

pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    start: u32,
    pub(super) end: u32,
    transcribe: Option<u32>,
    no_timestamps: u32,
    pub(super) no_speech: Option<u32>,
    /// Code such as `en` to token; empty when the model knows one language only.
    languages: BTreeMap<String, u32>,
    /// Never said.
    suppressed: Vec<u32>,
    /// Not said first.
    suppressed_at_start: Vec<u32>,
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
        Ok(Self {
            start: config.decoder_start_token_id,
            end: config.eos_token_id,
            transcribe,
            no_timestamps,
            no_speech,
            languages,
            suppressed: tokens(&generation.suppress_tokens, &config.suppress_tokens),
            suppressed_at_start: tokens(
                &generation.begin_suppress_tokens,
                &config.begin_suppress_tokens,
            ),
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

    /// What is said after [`Vocabulary::start`]. Without a language the likeliest by `logits`,
    /// those after the start, is taken.
    pub(super) fn prompt(
        &self,
        language: Option<&str>,
        logits: &[f32],
    ) -> Result<Vec<u32>, NnError> {
        let mut prompt = Vec::with_capacity(3);
        if !self.languages.is_empty() {
            prompt.push(self.language(language, logits)?);
        }
        prompt.extend(self.transcribe);
        prompt.push(self.no_timestamps);
        Ok(prompt)
    }

    fn language(&self, language: Option<&str>, logits: &[f32]) -> Result<u32, NnError> {
        let unknown = |language: &str| NnError::UnknownLanguage {
            language: language.to_owned(),
        };
        if let Some(language) = language {
            // `en-GB` is English.
            let code = language.split(['-', '_']).next().unwrap_or(language);
            let known = self.languages.get(&code.to_ascii_lowercase());
            return known.copied().ok_or_else(|| unknown(language));
        }
        let score = |id: &u32| logits.get(*id as usize).copied().unwrap_or(f32::MIN);
        self.languages
            .values()
            .copied()
            .max_by(|a, b| score(a).total_cmp(&score(b)))
            .ok_or_else(|| unknown("any"))
    }

    /// Takes away what may not be said.
    pub(super) fn suppress(&self, logits: &mut [f32], first: bool) {
        let at_start = self.suppressed_at_start.iter().filter(|_| first);
        for id in self.suppressed.iter().chain(at_start) {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit = f32::NEG_INFINITY;
            }
        }
    }

    /// The text of what was said, without special tokens, trimmed.
    pub(super) fn text(&self, tokens: &[u32]) -> Result<String, NnError> {
        let text = self
            .tokenizer
            .decode(tokens, true)
            .map_err(|error| NnError::Tokenizer(error.to_string()))?;
        Ok(text.trim().to_owned())
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
