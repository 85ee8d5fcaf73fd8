//! A choice over endpoints that may not know how to score one.
//!
//! Three ways, the first that works is remembered:
//! 1. `scores`: our own `/v1/choices`, exact.
//! 2. `letters`: each option gets a letter, the reply is one token long, and the log-probabilities
//!    of the letters are the scores. Up to 20 options, since no endpoint tells of more tokens.
//! 3. `constraint`: a reply that can only be one of the options. It has probability 1 then,
//!    for nothing else is known.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use trunkline_inference::{ChatMessage, ChatRole, ChoiceRequest, ChoiceResult, InferenceError};

use super::chat::{chat_ask, messages};
use super::failure::Failure;
use super::pool::{Ask, Pool};
use crate::wire::{ChatCompletion, Choice, TopToken};

/// Alternatives of a token that endpoints tell at most.
const MOST_LETTERS: usize = 20;
/// Choices where nothing was said that are kept; a workflow has a few dozen.
const KEPT_NEUTRAL: usize = 512;
/// Tokens of a constrained reply; an option is a few words.
const CONSTRAINED_TOKENS: usize = 128;

const SCORES: u8 = 0;
const LETTERS: u8 = 1;
const CONSTRAINT: u8 = 2;

/// Log-probabilities of the options, by conversation and options.
type Known = HashMap<(Vec<ChatMessage>, Vec<String>), Vec<f32>>;

/// Makes choices.
pub(super) struct Chooser {
    pool: Arc<Pool>,
    /// The best way that is not known to fail.
    way: AtomicU8,
    neutral: Mutex<Known>,
}

impl Chooser {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            way: AtomicU8::new(SCORES),
            neutral: Mutex::default(),
        }
    }

    /// Makes a choice in the best way that works.
    pub(super) async fn choose(
        &self,
        request: &ChoiceRequest,
    ) -> Result<ChoiceResult, InferenceError> {
        let began = Instant::now();
        let deadline = self.pool.deadline();
        let mut way = self.way.load(Ordering::Relaxed);
        loop {
            let chosen = match way {
                SCORES => self.scores(request, deadline).await,
                LETTERS if request.options.len() > MOST_LETTERS => Ok(None),
                LETTERS => self.letters(request, deadline).await,
                _ => self.constrained(request, deadline).await.map(Some),
            };
            match chosen {
                Ok(Some(probabilities)) => {
                    return Ok(ChoiceResult {
                        best: likeliest(&probabilities),
                        probabilities,
                        compute: began.elapsed(),
                    });
                }
                Ok(None) if way < CONSTRAINT => way += 1,
                Ok(None) => {
                    let failure = Failure::Broken("no way to choose works".to_owned());
                    return Err(self.pool.error(failure));
                }
                Err(failure) => return Err(self.pool.error(failure)),
            }
        }
    }

    /// Does not try this way again.
    fn give_up(&self, way: u8) -> Option<Vec<f32>> {
        let next = way + 1;
        tracing::info!(
            model = self.pool.model(),
            way,
            next,
            "this way to choose does not work there"
        );
        self.way.fetch_max(next, Ordering::Relaxed);
        None
    }

    async fn scores(
        &self,
        request: &ChoiceRequest,
        deadline: Instant,
    ) -> Result<Option<Vec<f32>>, Failure> {
        let asked = self.pool.send(deadline, |model| {
            let mut body = json!({
                "model": model,
                "messages": messages(&request.messages),
                "options": request.options,
            });
            if let Some(neutral) = &request.neutral {
                body["neutral"] = messages(neutral);
            }
            Ask {
                path: "/choices",
                ..chat_ask(&body, false, request.urgency)
            }
        });
        let answer = match asked.await {
            Ok(answer) => answer.whole(),
            Err(Failure::Refused(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED, _)) => {
                return Ok(self.give_up(SCORES));
            }
            Err(failure) => return Err(failure),
        };
        let choice: Choice = parse(&answer)?;
        match choice.probabilities.len() == request.options.len() {
            true => Ok(Some(choice.probabilities)),
            false => Err(Failure::Broken("it scored other options".to_owned())),
        }
    }

    async fn letters(
        &self,
        request: &ChoiceRequest,
        deadline: Instant,
    ) -> Result<Option<Vec<f32>>, Failure> {
        let spoken = self.letter_scores(&request.messages, request, deadline);
        let Some(mut scores) = spoken.await? else {
            return Ok(None);
        };
        if let Some(neutral) = &request.neutral {
            let Some(unspoken) = self.neutral(neutral, request, deadline).await? else {
                return Ok(None);
            };
            for (score, unspoken) in scores.iter_mut().zip(unspoken) {
                *score -= unspoken;
            }
        }
        Ok(Some(softmax(&scores)))
    }

    /// Scores where nothing was said; they never change.
    async fn neutral(
        &self,
        neutral: &[ChatMessage],
        request: &ChoiceRequest,
        deadline: Instant,
    ) -> Result<Option<Vec<f32>>, Failure> {
        let key = (neutral.to_vec(), request.options.clone());
        if let Some(known) = self.lock().get(&key) {
            return Ok(Some(known.clone()));
        }
        let scores = self.letter_scores(neutral, request, deadline).await?;
        if let Some(scores) = &scores {
            let mut known = self.lock();
            if known.len() >= KEPT_NEUTRAL {
                known.clear();
            }
            known.insert(key, scores.clone());
        }
        Ok(scores)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // The map is whole between calls.
        self.neutral.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn letter_scores(
        &self,
        conversation: &[ChatMessage],
        request: &ChoiceRequest,
        deadline: Instant,
    ) -> Result<Option<Vec<f32>>, Failure> {
        let conversation = lettered(conversation, &request.options);
        let asked = self.pool.send(deadline, |model| {
            let body = json!({
                "model": model,
                "messages": messages(&conversation),
                "max_tokens": 1,
                "temperature": 0,
                "logprobs": true,
                "top_logprobs": MOST_LETTERS,
            });
            chat_ask(&body, false, request.urgency)
        });
        let answer = match asked.await {
            Ok(answer) => answer.whole(),
            // It gives no log-probabilities, or not so many.
            Err(Failure::Refused(
                StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY,
                _,
            )) => {
                return Ok(self.give_up(LETTERS));
            }
            Err(failure) => return Err(failure),
        };
        let completion: ChatCompletion = parse(&answer)?;
        let figures = completion.choices.into_iter().next();
        let figures = figures.and_then(|choice| choice.logprobs?.content?.into_iter().next());
        let Some(figures) = figures else {
            return Ok(self.give_up(LETTERS));
        };
        Ok(scores_of_letters(
            &figures.top_logprobs,
            request.options.len(),
        ))
    }

    async fn constrained(
        &self,
        request: &ChoiceRequest,
        deadline: Instant,
    ) -> Result<Vec<f32>, Failure> {
        let schema = super::chat::choice_schema(&request.options);
        let asked = self.pool.send(deadline, |model| {
            let body = json!({
                "model": model,
                "messages": messages(&listed(&request.messages, &request.options)),
                "max_tokens": CONSTRAINED_TOKENS,
                "temperature": 0,
                "response_format": super::chat::schema_format(&schema),
            });
            chat_ask(&body, false, request.urgency)
        });
        let completion: ChatCompletion = parse(&asked.await?.whole())?;
        let choice = completion.choices.into_iter().next();
        let text = choice.and_then(|choice| choice.message.content);
        let text = text.unwrap_or_default();
        let reply: Value = serde_json::from_str(&text).unwrap_or_default();
        let said = reply[super::chat::CHOICE_FIELD].as_str();
        let best = request
            .options
            .iter()
            .position(|option| Some(option.as_str()) == said)
            .ok_or_else(|| Failure::Broken(format!("{text:?} is none of the options")))?;
        let mut probabilities = vec![0.0; request.options.len()];
        probabilities[best] = 1.0;
        Ok(probabilities)
    }
}

fn parse<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer)
        .map_err(|error| Failure::Broken(format!("the answer makes no sense: {error}")))
}

/// A, B, C, …
fn letter(index: usize) -> char {
    // There are fewer options than letters.
    char::from(b'A' + index as u8)
}

/// The conversation with the question which letter stands before the right reply.
fn lettered(conversation: &[ChatMessage], options: &[String]) -> Vec<ChatMessage> {
    let options = options.iter().enumerate();
    let list: String = options
        .map(|(index, option)| format!("{}) {option}\n", letter(index)))
        .collect();
    let question = format!(
        "These are the possible replies:\n{list}Answer with the letter of the one that fits best and \
         nothing else."
    );
    with_question(conversation, &question)
}

/// The conversation with the list of possible replies.
fn listed(conversation: &[ChatMessage], options: &[String]) -> Vec<ChatMessage> {
    let list: String = options
        .iter()
        .map(|option| format!("- {option}\n"))
        .collect();
    let question = format!("Reply as JSON with one of these, the one that fits best:\n{list}");
    with_question(conversation, &question)
}

/// Roles have to take turns in many templates, so the question joins what the caller said last.
fn with_question(conversation: &[ChatMessage], question: &str) -> Vec<ChatMessage> {
    let mut conversation = conversation.to_vec();
    match conversation.last_mut() {
        Some(last) if last.role == ChatRole::User => {
            last.content = format!("{}\n\n{question}", last.content);
        }
        _ => conversation.push(ChatMessage::user(question)),
    }
    conversation
}

/// The log-probability of each letter, of all its spellings together. A letter that is not
/// among the likeliest tokens is as likely as the least of them. `None` where no letter is.
fn scores_of_letters(tokens: &[TopToken], options: usize) -> Option<Vec<f32>> {
    let floor = tokens.iter().map(|token| token.logprob).fold(0.0, f32::min);
    let mut is_any = false;
    let scores = (0..options).map(|index| {
        let spelt = letter(index).to_string();
        let likely = tokens.iter().filter(|token| token.token.trim() == spelt);
        let sum: f32 = likely.map(|token| token.logprob.exp()).sum();
        is_any |= sum > 0.0;
        if sum > 0.0 { sum.ln() } else { floor }
    });
    let scores: Vec<f32> = scores.collect();
    is_any.then_some(scores)
}

fn softmax(scores: &[f32]) -> Vec<f32> {
    let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = scores.iter().map(|score| (score - most).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

fn likeliest(probabilities: &[f32]) -> usize {
    let best = probabilities
        .iter()
        .enumerate()
        // Of equal ones the first, as everywhere.
        .max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
    best.map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str, probability: f32) -> TopToken {
        TopToken {
            token: text.to_owned(),
            logprob: probability.ln(),
            bytes: None,
        }
    }

    #[test]
    fn a_letter_counts_in_all_its_spellings() {
        let tokens = [
            token("B", 0.3),
            token(" B", 0.2),
            token("A", 0.25),
            token("The", 0.1),
        ];
        let scores = scores_of_letters(&tokens, 3).unwrap();
        assert!((scores[1].exp() - 0.5).abs() < 1e-6);
        assert!((scores[2].exp() - 0.1).abs() < 1e-6, "C is at the floor");
        let probabilities = softmax(&scores);
        assert_eq!(likeliest(&probabilities), 1);
        assert!((probabilities.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(scores_of_letters(&[token("The", 0.9)], 3), None);
    }

    #[test]
    fn the_question_joins_what_the_caller_said_last() {
        let said = [
            ChatMessage::system("Be kind."),
            ChatMessage::user("Monday, please"),
        ];
        let options = ["yes".to_owned(), "no".to_owned()];
        let asked = lettered(&said, &options);
        assert_eq!(asked.len(), 2);
        assert!(asked[1].content.starts_with("Monday, please\n\n"));
        assert!(asked[1].content.contains("A) yes\nB) no\n"));
        assert_eq!(lettered(&said[..1], &options)[1].role, ChatRole::User);
    }
}
