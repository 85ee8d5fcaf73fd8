//! A sound file to what a recogniser takes. The kind is told by the first bytes, not by a name.
//!
//! Files come from anywhere. What they claim is not believed: decoding stops when there is more
//! audio than may be, however small the file is.

use std::io::Cursor;
use std::time::Duration;

use claxon::FlacReader;
use nanomp3::SliceReader;
use opus_pure::{MAX_PACKET_SAMPLES, OggOpusReader, Trim};
use trunkline_audio::{Wav, resample};
use trunkline_inference::SAMPLE_RATE_HZ;

/// Opus decodes to this by itself.
const OPUS_RATE_HZ: i32 = 16_000;

/// Samples of an MP3 file that are read at a time.
const MP3_PIECE: usize = 16_384;

/// Why there is no audio to be had from a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SoundError {
    /// No bytes, or no samples.
    #[error("there is no audio in it: send at least a moment of sound")]
    Empty,
    /// None of the formats.
    #[error("it is not a WAV, FLAC, MP3 or Ogg Opus file")]
    Unknown,
    /// One of the formats, but broken or of a rare kind.
    #[error("it cannot be decoded ({0}): send it as WAV, FLAC, MP3 or Ogg Opus")]
    Corrupt(String),
    /// More audio than may be.
    #[error("it is longer than {} seconds: send it in parts", .0.as_secs())]
    TooLong(Duration),
}

fn corrupt(error: impl std::fmt::Display) -> SoundError {
    SoundError::Corrupt(error.to_string())
}

/// Audio as it stood in the file, channels interleaved.
struct Clip {
    samples: Vec<i16>,
    channels: usize,
    rate_hz: u32,
}

/// How much audio a file may hold.
struct Bound(Duration);

impl Bound {
    /// Fails once so many samples are more than may be.
    fn check(&self, samples: usize, channels: usize, rate_hz: u32) -> Result<(), SoundError> {
        let frames = (samples / channels.max(1)) as f64;
        match frames > self.0.as_secs_f64() * f64::from(rate_hz) {
            true => Err(SoundError::TooLong(self.0)),
            false => Ok(()),
        }
    }
}

/// Decodes a file to mono at 16 kHz; channels are averaged. Takes a core for a while: not for
/// the threads of the async runtime.
pub(crate) fn decode(file: &[u8], longest: Duration) -> Result<Vec<i16>, SoundError> {
    let bound = Bound(longest);
    let clip = match file {
        [] => return Err(SoundError::Empty),
        [b'R', b'I', b'F', b'F', ..] => wav(file)?,
        [b'f', b'L', b'a', b'C', ..] => flac(file, &bound)?,
        [b'O', b'g', b'g', b'S', ..] => opus(file, &bound)?,
        _ if nanomp3::detect(file) => mp3(file, &bound)?,
        _ => return Err(SoundError::Unknown),
    };
    bound.check(clip.samples.len(), clip.channels, clip.rate_hz)?;
    let mono = mono(clip.samples, clip.channels);
    if mono.is_empty() {
        return Err(SoundError::Empty);
    }
    resample(&mono, clip.rate_hz, SAMPLE_RATE_HZ).map_err(corrupt)
}

fn mono(samples: Vec<i16>, channels: usize) -> Vec<i16> {
    if channels <= 1 {
        return samples;
    }
    samples
        .chunks_exact(channels)
        .map(|frame| {
            let sum: i32 = frame.iter().map(|sample| i32::from(*sample)).sum();
            // An average of samples is within their range.
            (sum / channels as i32) as i16
        })
        .collect()
}

fn wav(file: &[u8]) -> Result<Clip, SoundError> {
    let wav = Wav::parse(file).map_err(corrupt)?;
    Ok(Clip {
        samples: wav.samples,
        channels: usize::from(wav.format.channels),
        rate_hz: wav.format.sample_rate_hz,
    })
}

fn flac(file: &[u8], bound: &Bound) -> Result<Clip, SoundError> {
    let mut reader = FlacReader::new(Cursor::new(file)).map_err(corrupt)?;
    let about = reader.streaminfo();
    let (channels, rate_hz) = (about.channels as usize, about.sample_rate);
    let bits = about.bits_per_sample;
    if channels == 0 || rate_hz == 0 || !(1..=32).contains(&bits) {
        return Err(corrupt("its header makes no sense"));
    }
    let mut samples = Vec::new();
    let mut blocks = reader.blocks();
    let mut buffer = Vec::new();
    while let Some(block) = blocks.read_next_or_eof(buffer).map_err(corrupt)? {
        if block.channels() as usize != channels {
            return Err(corrupt("its channels change on the way"));
        }
        for index in 0..block.duration() {
            for channel in 0..block.channels() {
                samples.push(to_16_bits(block.sample(channel, index), bits));
            }
        }
        bound.check(samples.len(), channels, rate_hz)?;
        buffer = block.into_buffer();
    }
    Ok(Clip {
        samples,
        channels,
        rate_hz,
    })
}

fn to_16_bits(sample: i32, bits: u32) -> i16 {
    let scaled = match bits {
        0..16 => i64::from(sample) << (16 - bits),
        _ => i64::from(sample >> (bits - 16)),
    };
    scaled.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

fn mp3(file: &[u8], bound: &Bound) -> Result<Clip, SoundError> {
    let mut reader = SliceReader::<i16>::new(file);
    let channels = reader
        .channels()
        .map_or(0, |channels| channels.num().into());
    let rate_hz = reader.sample_rate();
    if channels == 0 || rate_hz == 0 {
        return Err(corrupt("there is no frame of audio in it"));
    }
    let mut samples = Vec::new();
    let mut piece = vec![0_i16; MP3_PIECE];
    loop {
        match reader.read(&mut piece).map_err(corrupt)? {
            0 => break,
            read => samples.extend_from_slice(&piece[..read]),
        }
        bound.check(samples.len(), channels, rate_hz)?;
    }
    Ok(Clip {
        samples,
        channels,
        rate_hz,
    })
}

fn opus(file: &[u8], bound: &Bound) -> Result<Clip, SoundError> {
    let mut reader = OggOpusReader::new(Cursor::new(file)).map_err(corrupt)?;
    let head = reader.head().clone();
    let channels = usize::from(head.channel_count);
    let mut decoder = head.decoder(OPUS_RATE_HZ).map_err(corrupt)?;
    let mut trim = Trim::new(&head, OPUS_RATE_HZ, channels).map_err(corrupt)?;
    let mut block = vec![0_i16; MAX_PACKET_SAMPLES * channels];
    let mut samples = Vec::new();
    for packet in reader.packets() {
        let packet = packet.map_err(corrupt)?;
        let frames = decoder
            .decode_s16(&packet.data, MAX_PACKET_SAMPLES, &mut block)
            .map_err(corrupt)?;
        samples.extend_from_slice(trim.keep(&packet, &block[..frames * channels]));
        bound.check(samples.len(), channels, SAMPLE_RATE_HZ)?;
    }
    Ok(Clip {
        samples,
        channels,
        rate_hz: SAMPLE_RATE_HZ,
    })
}
