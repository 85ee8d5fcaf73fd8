//! One simulated call: a caller who speaks, listens and thinks, and the turns as they were
//! served.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use trunkline_inference::{
    ChatDelta, ChatMessage, ChatRequest, ClauseCutter, Sampling, SpeechEvent, SpeechRequest,
    TranscribeOptions, TranscriberInput, TranscriptEvent, Urgency,
};

use crate::device::{Device, Serving};

/// Between what the caller heard and what the caller says next.
const THINKING: Duration = Duration::from_millis(600);
/// A reply has at most so many tokens.
const REPLY_TOKENS: usize = 40;
/// Turns that the model is reminded of: all that the product keeps, so that a prompt begins as the
/// one before it did.
const REMEMBERED: usize = 12;
/// The caller's audio comes in pieces of so many samples, 100 ms.
const PIECE: usize = 1_600;
const RATE_HZ: u32 = 16_000;

const SYSTEM: &str = "You answer the telephone of a clinic. The clinic is open from eight until \
    six, the pharmacy until seven. Visits need an appointment. Prescriptions are ready the next \
    day. The car park is behind the house. Answer in one or two short sentences.";

/// How a turn went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// When the agent's last sound was heard, or the turn failed.
    pub(crate) ended: Instant,
    /// From the caller's last sound to the agent's first; none when nothing was said.
    pub(crate) first_sound: Option<Duration>,
    /// The longest silence between two clauses.
    pub(crate) longest_gap: Duration,
}

/// Holds a conversation from `begins` to `end`.
pub(crate) async fn converse(
    device: &Device,
    phrases: &[Vec<i16>],
    number: usize,
    begins: Instant,
    end: Instant,
) -> anyhow::Result<Vec<Turn>> {
    let mut turns = Vec::new();
    let mut said = Vec::new();
    sleep_until(begins).await;
    while Instant::now() < end {
        let phrase = &phrases[(7 * number + turns.len()) % phrases.len()];
        let heard = hear(device, phrase).await?;
        let silent_since = Instant::now() - heard.late;
        // No two callers say the same, or one would be served from what the other was told.
        let asked = format!("This is caller {number}. {}", heard.text);
        let reminded = said.len().saturating_sub(2 * REMEMBERED);
        let mut messages = vec![ChatMessage::system(SYSTEM)];
        messages.extend(said[reminded..].iter().cloned());
        messages.push(ChatMessage::user(&asked));
        let seed = (number * 1_000 + turns.len()) as u64;
        let (clauses, spoken) = mpsc::unbounded_channel();
        let (reply, playout) = tokio::join!(
            answer(device, messages, seed, clauses),
            speak(device, spoken)
        );
        let (reply, playout) = (reply?, playout?);
        said.extend([ChatMessage::user(asked), ChatMessage::assistant(reply)]);
        let ended = playout.ends.unwrap_or_else(Instant::now);
        turns.push(Turn {
            ended,
            first_sound: playout.begun.map(|begun| begun - silent_since),
            longest_gap: playout.longest_gap,
        });
        sleep_until(ended + THINKING).await;
    }
    Ok(turns)
}

struct Heard {
    text: String,
    /// How long after the caller's last sound it was known.
    late: Duration,
}

/// The caller speaks, and is understood.
async fn hear(device: &Device, phrase: &[i16]) -> anyhow::Result<Heard> {
    let begun = Instant::now();
    let ends = begun + spoken_for(phrase.len());
    if device.serving == Serving::OneAtATime {
        // A model that hears one at a time cannot listen to somebody who still speaks.
        sleep_until(ends).await;
    }
    let (transcriber, _permit) = device.transcriber.enter().await?;
    let mut session = transcriber.open(TranscribeOptions {
        language: Some("en".to_owned()),
        ..TranscribeOptions::default()
    })?;
    for (n, piece) in phrase.chunks(PIECE).enumerate() {
        sleep_until(begun + spoken_for(n * PIECE + piece.len())).await;
        session
            .audio
            .send(TranscriberInput::Audio(piece.to_vec()))?;
    }
    session.audio.send(TranscriberInput::Finish)?;
    while let Some(event) = session.events.recv().await {
        match event {
            TranscriptEvent::Partial { .. } => {}
            TranscriptEvent::Final { text, .. } => {
                let late = ends.elapsed();
                return Ok(Heard { text, late });
            }
            TranscriptEvent::Failed(error) => return Err(error.into()),
        }
    }
    bail!("a transcription just ended")
}

/// The agent's words, cut into clauses as they come. Gives all of them.
async fn answer(
    device: &Device,
    messages: Vec<ChatMessage>,
    seed: u64,
    clauses: mpsc::UnboundedSender<String>,
) -> anyhow::Result<String> {
    let (chat, _permit) = device.chat.enter().await?;
    let mut stream = chat.generate(ChatRequest {
        messages,
        max_tokens: REPLY_TOKENS,
        sampling: Sampling {
            temperature: 0.7,
            top_p: 0.9,
            seed,
            ..Sampling::default()
        },
        ..ChatRequest::default()
    })?;
    let (mut reply, mut cutter) = (String::new(), ClauseCutter::default());
    loop {
        match stream.deltas.recv().await.context("a reply just ended")? {
            ChatDelta::Text(text) => {
                reply.push_str(&text);
                for clause in cutter.push(&text) {
                    clauses.send(clause)?;
                }
            }
            ChatDelta::Done { .. } => break,
            ChatDelta::Failed(error) => return Err(error.into()),
            _ => {}
        }
    }
    if let Some(clause) = cutter.finish() {
        clauses.send(clause)?;
    }
    Ok(reply)
}

/// What the caller hears of a reply.
#[derive(Default)]
struct Playout {
    begun: Option<Instant>,
    ends: Option<Instant>,
    longest_gap: Duration,
}

/// Speaks clauses one after the other; each is played when it and those before it are there.
async fn speak(
    device: &Device,
    mut clauses: mpsc::UnboundedReceiver<String>,
) -> anyhow::Result<Playout> {
    let mut playout = Playout::default();
    while let Some(text) = clauses.recv().await {
        let due = playout
            .ends
            .map(|ends| ends.saturating_duration_since(Instant::now()));
        let (voice, _permit) = device.voice.enter().await?;
        let mut stream = voice.synthesize(SpeechRequest {
            text,
            urgency: match due {
                Some(_) => Urgency::Playing,
                None => Urgency::TurnCritical,
            },
            due,
            ..SpeechRequest::default()
        })?;
        while let Some(event) = stream.events.recv().await {
            match event {
                SpeechEvent::Audio(pcm) => playout.play(pcm.len()),
                SpeechEvent::Done { .. } => break,
                SpeechEvent::Failed(error) => return Err(error.into()),
            }
        }
    }
    Ok(playout)
}

impl Playout {
    fn play(&mut self, samples: usize) {
        let now = Instant::now();
        self.begun.get_or_insert(now);
        let free = self.ends.unwrap_or(now);
        self.longest_gap = self.longest_gap.max(now.saturating_duration_since(free));
        self.ends = Some(free.max(now) + spoken_for(samples));
    }
}

fn spoken_for(samples: usize) -> Duration {
    Duration::from_secs(samples as u64) / RATE_HZ
}
