//! A voice at OpenAI-compatible endpoints.
//!
//! WAV is asked for, since it says its own rate. What comes at 16 kHz is handed on as it comes;
//! anything else is brought to 16 kHz when the clause is complete.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::Instant;
use trunkline_inference::{
    InferenceError, ModelInfo, SAMPLE_RATE_HZ, SpeechEvent, SpeechRequest, SpeechStream,
    Synthesizer,
};

use super::config::PoolConfig;
use super::failure::Failure;
use super::pool::{Ask, Pool};
use crate::OpenAiError;
use crate::sound::decode;

/// For endpoints that want a voice where none is configured.
const ANY_VOICE: &str = "default";
/// A clause is seconds.
const LONGEST: Duration = Duration::from_secs(120);
/// A WAV header with everything that people put into it is shorter.
const LONGEST_HEADER: usize = 4096;

/// A voice that others serve.
pub struct RemoteVoice {
    pool: Arc<Pool>,
    runtime: Handle,
}

impl RemoteVoice {
    /// Reads the keys; connects to nothing yet. Requests run on `runtime`.
    ///
    /// # Errors
    /// [`OpenAiError`] about a key, a URL or certificates.
    pub fn new(config: &PoolConfig, runtime: Handle) -> Result<Self, OpenAiError> {
        Ok(Self {
            pool: Pool::new(config)?,
            runtime,
        })
    }
}

impl std::fmt::Debug for RemoteVoice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "RemoteVoice({} at {})",
            self.pool.model(),
            self.pool.places()
        )
    }
}

impl Synthesizer for RemoteVoice {
    fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.pool.model().to_owned(),
            engine: super::ENGINE.to_owned(),
        }
    }

    fn synthesize(&self, request: SpeechRequest) -> Result<SpeechStream, InferenceError> {
        let (sender, events) = mpsc::unbounded_channel();
        let pool = Arc::clone(&self.pool);
        self.runtime.spawn(async move {
            let gone = sender.clone();
            // Dropping the work closes its connection.
            tokio::select! {
                last = speak(&pool, &request, &sender) => {
                    let _ = sender.send(last);
                }
                () = gone.closed() => {}
            }
        });
        Ok(SpeechStream { events })
    }
}

async fn speak(
    pool: &Arc<Pool>,
    request: &SpeechRequest,
    events: &UnboundedSender<SpeechEvent>,
) -> SpeechEvent {
    let began = Instant::now();
    match carry(pool, request, events).await {
        Ok(()) => SpeechEvent::Done {
            compute: began.elapsed(),
        },
        Err(failure) => SpeechEvent::Failed(pool.error(failure)),
    }
}

async fn carry(
    pool: &Arc<Pool>,
    request: &SpeechRequest,
    events: &UnboundedSender<SpeechEvent>,
) -> Result<(), Failure> {
    let asked = pool.send(pool.deadline(), |model| {
        let body = json!({
            "model": model,
            "input": request.text,
            "voice": request.voice.as_deref().unwrap_or(ANY_VOICE),
            "speed": request.speed,
            "response_format": "wav",
        });
        Ask {
            path: "/audio/speech",
            content_type: "application/json".to_owned(),
            body: body.to_string().into(),
            urgency: request.urgency,
            tenant: request.tenant,
            streamed: true,
        }
    });
    let mut answer = asked.await?;
    let mut sound = Sound::default();
    while let Some(bytes) = answer.bytes().await? {
        let pcm = sound.push(&bytes);
        if !pcm.is_empty() {
            let _ = events.send(SpeechEvent::Audio(pcm));
        }
        if sound.kept.len() > LONGEST.as_secs() as usize * 200_000 {
            answer.spoilt();
            return Err(Failure::Broken("the clause has no end".to_owned()));
        }
    }
    let rest = sound.finish()?;
    if !rest.is_empty() {
        let _ = events.send(SpeechEvent::Audio(rest));
    }
    Ok(())
}

/// Sound on its way in.
#[derive(Debug, Default)]
struct Sound {
    /// Bytes that are not handed on: the file so far, or half a sample.
    kept: Vec<u8>,
    kind: Kind,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Kind {
    /// The header is not complete.
    #[default]
    Unknown,
    /// Samples as we have them.
    Ours,
    /// Something to be decoded when it is complete.
    Other,
}

impl Sound {
    /// Takes bytes, gives the samples that can be handed on.
    fn push(&mut self, bytes: &[u8]) -> Vec<i16> {
        self.kept.extend_from_slice(bytes);
        if self.kind == Kind::Unknown {
            match samples_begin(&self.kept) {
                Some(begin) => {
                    self.kind = Kind::Ours;
                    self.kept.drain(..begin);
                }
                None if self.kept.len() > LONGEST_HEADER || is_other(&self.kept) => {
                    self.kind = Kind::Other;
                }
                None => {}
            }
        }
        match self.kind {
            Kind::Ours => self.whole_samples(),
            Kind::Unknown | Kind::Other => Vec::new(),
        }
    }

    fn whole_samples(&mut self) -> Vec<i16> {
        let whole = self.kept.len() / 2 * 2;
        let bytes: Vec<u8> = self.kept.drain(..whole).collect();
        bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
            .collect()
    }

    fn finish(&self) -> Result<Vec<i16>, Failure> {
        match self.kind {
            Kind::Ours => Ok(Vec::new()),
            Kind::Unknown | Kind::Other => decode(&self.kept, LONGEST)
                .map_err(|error| Failure::Broken(format!("the sound is of no use: {error}"))),
        }
    }
}

/// Where the samples of a WAV file begin, if it is mono 16-bit PCM at 16 kHz and its header is
/// complete.
fn samples_begin(file: &[u8]) -> Option<usize> {
    if !file.starts_with(b"RIFF") || file.get(8..12)? != b"WAVE" {
        return None;
    }
    let mut at = 12;
    let mut is_ours = false;
    loop {
        let head = file.get(at..at + 8)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        match &head[..4] {
            b"fmt " => is_ours = is_our_format(file.get(at + 8..at + 24)?),
            b"data" => return is_ours.then_some(at + 8),
            _ => {}
        }
        at = at
            .checked_add(8)?
            .checked_add(length)?
            .checked_add(length % 2)?;
    }
}

/// PCM, one channel, 16 kHz, 16 bits.
fn is_our_format(format: &[u8]) -> bool {
    let rate = SAMPLE_RATE_HZ.to_le_bytes();
    format[..2] == [1, 0]
        && format[2..4] == [1, 0]
        && format[4..8] == rate
        && format[14..] == [16, 0]
}

/// Certainly not a WAV file of ours.
fn is_other(file: &[u8]) -> bool {
    file.len() >= 12 && !(file.starts_with(b"RIFF") && &file[8..12] == b"WAVE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sound::{Encoder, Format};

    fn heard(file: &[u8], piece: usize) -> (Vec<i16>, usize) {
        let mut sound = Sound::default();
        let mut pcm = Vec::new();
        let mut streamed = 0;
        for bytes in file.chunks(piece) {
            pcm.extend(sound.push(bytes));
            streamed = pcm.len();
        }
        pcm.extend(sound.finish().unwrap());
        (pcm, streamed)
    }

    #[test]
    fn our_own_wav_is_handed_on_as_it_comes_wherever_it_is_cut() {
        let pcm: Vec<i16> = (0..500).collect();
        let mut encoder = Encoder::new(Format::Wav).unwrap();
        let file = encoder.push(&pcm).unwrap();
        for piece in [1, 3, 44, 100, 5000] {
            assert_eq!(
                heard(&file, piece),
                (pcm.clone(), 500),
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn other_sound_is_brought_to_our_rate_at_the_end() {
        let flac = include_bytes!("../../tests/fixtures/tone.flac");
        let (pcm, streamed) = heard(flac, 700);
        assert_eq!((pcm.len(), streamed), (8000, 0));
        let mut wav = super::super::tests::wav_at(8000, &[0; 4000]);
        let (pcm, streamed) = heard(&wav, 100);
        assert_eq!((pcm.len(), streamed), (8000, 0));
        wav.truncate(20);
        let mut cut = Sound::default();
        cut.push(&wav);
        assert!(cut.finish().is_err());
    }
}
