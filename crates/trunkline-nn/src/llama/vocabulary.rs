//! What a model knows about text besides its weights: tokenizer, chat template, and which
//! tokens begin a sequence and end a turn.

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use super::gguf::Gguf;
use super::spelling::spellings;
use super::template::{CHAT_ML, Message, Role, Template};
use super::tokens;
use super::tools::{Tool, ToolForm, ToolSupport, Turn};
use crate::NnError;
use crate::files::{read, read_json_if_there, read_tokenizer};

/// Names of tokens that end a turn or a text in the families known here. Files name one of
/// them, and chat-tuned models use another one besides.
const ENDS: [&str; 6] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "</s>",
];

pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    template: Option<Template>,
    /// What the template knows of functions.
    tools: Option<ToolSupport>,
    begin: Option<u32>,
    /// Whether a sequence begins with `begin` although the template may not say so.
    add_begin: bool,
    /// After any of these the reply is over.
    ends: Vec<u32>,
    /// What the template puts after a reply.
    end_of_turn: Option<u32>,
    /// Bytes by token.
    spellings: Vec<Vec<u8>>,
}

/// What the files say about a vocabulary.
struct Found {
    tokenizer: Tokenizer,
    template: Option<String>,
    begin: Option<u32>,
    add_begin: bool,
    ends: Vec<u32>,
}

impl Vocabulary {
    pub(super) fn from_gguf(gguf: &Gguf) -> Result<Self, NnError> {
        let token = |name: &str| gguf.token(&format!("tokenizer.ggml.{name}_token_id"));
        let is_sentence_piece = gguf.text("tokenizer.ggml.model")? == "llama";
        Self::new(Found {
            tokenizer: tokens::from_gguf(gguf)?,
            template: gguf.text("tokenizer.chat_template").ok().map(str::to_owned),
            begin: token("bos"),
            add_begin: gguf
                .flag("tokenizer.ggml.add_bos_token")
                .unwrap_or(is_sentence_piece),
            ends: token("eos").into_iter().chain(token("eot")).collect(),
        })
    }

    /// From `tokenizer.json`, and what other files there are.
    pub(super) fn from_folder(folder: &Path) -> Result<Self, NnError> {
        let tokenizer = read_tokenizer(&folder.join("tokenizer.json"))?;
        let about: Value = read_json_if_there(&folder.join("tokenizer_config.json"))?;
        let config: Value = read_json_if_there(&folder.join("config.json"))?;
        let generation: Value = read_json_if_there(&folder.join("generation_config.json"))?;
        let mut ends = ids(&config["eos_token_id"]);
        ends.extend(ids(&generation["eos_token_id"]));
        let named = token_name(&about["bos_token"]).and_then(|name| tokenizer.token_to_id(name));
        Self::new(Found {
            template: template_of(folder, &about)?,
            begin: named.or_else(|| ids(&config["bos_token_id"]).first().copied()),
            // The tokenizer's own rules are not applied to chats, so that what they would add
            // is decided here, as by the reference implementation: only what the template says.
            add_begin: false,
            ends,
            tokenizer,
        })
    }

    fn new(found: Found) -> Result<Self, NnError> {
        let Found {
            tokenizer,
            template,
            begin,
            add_begin,
            mut ends,
        } = found;
        ends.extend(ENDS.iter().filter_map(|name| tokenizer.token_to_id(name)));
        ends.dedup();
        let template = template.or_else(|| {
            let has_markers = tokenizer.token_to_id("<|im_start|>").is_some();
            has_markers.then(|| CHAT_ML.to_owned())
        });
        let name = |id: Option<u32>| id.and_then(|id| tokenizer.id_to_token(id));
        let markers = tokenizer
            .get_added_tokens_decoder()
            .into_values()
            .filter(|token| token.special)
            .map(|token| token.content)
            .collect();
        let template = template
            .map(|source| {
                let begin = name(begin).unwrap_or_default();
                let end = name(ends.first().copied()).unwrap_or_default();
                Template::new(source, begin, end, markers)
            })
            .transpose()?;
        let mut vocabulary = Self {
            spellings: spellings(&tokenizer),
            tools: template.as_ref().map(ToolSupport::of),
            tokenizer,
            template,
            begin,
            add_begin,
            ends,
            end_of_turn: None,
        };
        vocabulary.end_of_turn = vocabulary.find_end_of_turn()?;
        Ok(vocabulary)
    }

    /// Which of the ends the template puts after a reply.
    fn find_end_of_turn(&self) -> Result<Option<u32>, NnError> {
        const REPLY: &str = "reply";
        let Some(template) = &self.template else {
            return Ok(self.ends.first().copied());
        };
        let said = |role, content: &str| Message {
            role,
            content: content.to_owned(),
        };
        let messages = [said(Role::User, "question"), said(Role::Assistant, REPLY)];
        let text = template.render(&messages, false)?;
        let after = text.rfind(REPLY).map_or("", |at| &text[at + REPLY.len()..]);
        let tokens = self.encode(after)?;
        let first = tokens.into_iter().find(|token| self.ends.contains(token));
        Ok(first.or(self.ends.first().copied()))
    }

    /// Tokens of text. Markers in it count as markers.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, NnError> {
        let encoding = self.tokenizer.encode_fast(text, false);
        let encoding = encoding.map_err(|error| NnError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Text of tokens, without markers.
    pub(super) fn decode(&self, tokens: &[u32]) -> Result<String, NnError> {
        self.tokenizer
            .decode(tokens, true)
            .map_err(|error| NnError::Tokenizer(error.to_string()))
    }

    /// Tokens of a conversation, up to where the reply begins.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, NnError> {
        let text = self.chat_template()?.render(messages, true)?;
        self.begun(&text)
    }

    /// Tokens of a conversation in which functions may be called, up to where the reply begins, or
    /// into the reply up to where its `call` does.
    pub(super) fn tool_prompt(
        &self,
        turns: &[Turn],
        tools: &[Tool],
        call: bool,
    ) -> Result<Vec<u32>, NnError> {
        let template = self.chat_template()?;
        let support = self.tools.unwrap_or_else(|| ToolSupport::of(template));
        let mut tokens = self.begun(&support.render(template, turns, tools)?)?;
        if call {
            tokens.extend(self.encode(support.form.opening())?);
        }
        Ok(tokens)
    }

    /// How the model writes calls.
    pub(super) fn tool_form(&self) -> ToolForm {
        self.tools.map_or(ToolForm::Tagged, |tools| tools.form)
    }

    /// Whether this token is the opening of a call, and stands for no text.
    pub(super) fn opens_call(&self, token: u32) -> bool {
        let opening = self.tool_form().opening();
        !opening.is_empty()
            && self.spelling(token).is_empty()
            && self.tokenizer.token_to_id(opening) == Some(token)
    }

    /// Tokens of a sequence from its beginning.
    fn begun(&self, text: &str) -> Result<Vec<u32>, NnError> {
        let mut tokens = self.encode(text)?;
        if let Some(begin) = self.begin.filter(|_| self.add_begin)
            && tokens.first() != Some(&begin)
        {
            tokens.insert(0, begin);
        }
        Ok(tokens)
    }

    /// Tokens of a conversation up to the end of what its last message says so far.
    pub(super) fn open_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, NnError> {
        let template = self.chat_template()?;
        let text = template.render(messages, false)?;
        let said = messages.last().map_or("", |last| last.content.trim());
        let said = template.without_markers(said);
        let end = match text.rfind(&said) {
            Some(at) if !said.is_empty() => at + said.len(),
            _ => return Ok(Vec::new()),
        };
        self.begun(&text[..end])
    }

    /// Tokens of a whole reply, the end of the turn included.
    pub(super) fn reply(&self, text: &str) -> Result<Vec<u32>, NnError> {
        let mut tokens = self.encode(&self.chat_template()?.without_markers(text))?;
        tokens.extend(self.end_of_turn);
        Ok(tokens)
    }

    fn chat_template(&self) -> Result<&Template, NnError> {
        let missing = || NnError::Template("the model comes without one".to_owned());
        self.template.as_ref().ok_or_else(missing)
    }

    /// The bytes that a token stands for.
    pub(super) fn spelling(&self, token: u32) -> &[u8] {
        self.spellings
            .get(token as usize)
            .map_or(&[], Vec::as_slice)
    }

    pub(super) fn spellings(&self) -> &[Vec<u8>] {
        &self.spellings
    }

    /// What comes after a reply.
    pub(super) fn end(&self) -> u32 {
        let first = self.end_of_turn.or(self.ends.first().copied());
        // A vocabulary without any has no token to spare either, so that one is made up.
        first.unwrap_or_else(|| u32::try_from(self.spellings.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn ends_turn(&self, token: u32) -> bool {
        self.ends.contains(&token)
    }
}

/// A chat template may be a file of its own, a string, or one of several by name.
fn template_of(folder: &Path, about: &Value) -> Result<Option<String>, NnError> {
    let file = folder.join("chat_template.jinja");
    if file.exists() {
        let text = String::from_utf8(read(&file)?);
        return text
            .map(Some)
            .map_err(|error| NnError::damaged(&file, error));
    }
    let template = &about["chat_template"];
    let named = || {
        let several = template.as_array()?.iter();
        let mut default = several.filter(|one| one["name"] == "default");
        default.next()?["template"].as_str()
    };
    Ok(template.as_str().or_else(named).map(str::to_owned))
}

/// A token in `tokenizer_config.json`: its text, or an object that has it.
fn token_name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// One id, or a list of them.
fn ids(value: &Value) -> Vec<u32> {
    let several = value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice);
    several
        .iter()
        .filter_map(|id| u32::try_from(id.as_u64()?).ok())
        .collect()
}
