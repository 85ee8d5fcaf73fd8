//! Reading WAV: RIFF with 8 or 16-bit PCM, µ-law or A-law.
//!
//! Files that were cut short, as a crash leaves them, are read as far as they go.

use crate::{AudioError, g711};

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WavEncoding {
    /// Unsigned 8-bit PCM.
    Pcm8,
    /// Signed 16-bit PCM, little-endian.
    Pcm16,
    /// G.711 µ-law.
    Ulaw,
    /// G.711 A-law.
    Alaw,
}

/// What a WAV file says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WavFormat {
    /// 1 is mono.
    pub channels: u16,
    /// Samples a second of each channel.
    pub sample_rate_hz: u32,
    /// How samples are stored.
    pub encoding: WavEncoding,
}

/// A WAV file in memory, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// What the file says of itself.
    pub format: WavFormat,
    /// Samples, channels interleaved.
    pub samples: Vec<i16>,
}

impl Wav {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`AudioError::NotWav`] and [`AudioError::WavEncoding`].
    pub fn parse(file: &[u8]) -> Result<Self, AudioError> {
        let riff = file
            .split_first_chunk::<12>()
            .ok_or(AudioError::NotWav("shorter than its header"))?;
        if &riff.0[..4] != b"RIFF" || &riff.0[8..] != b"WAVE" {
            return Err(AudioError::NotWav("no RIFF WAVE header"));
        }
        let mut rest = riff.1;
        let mut format = None;
        while let Some((head, body)) = rest.split_first_chunk::<8>() {
            let stated = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let chunk = &body[..stated.min(body.len())];
            match &head[..4] {
                b"fmt " => format = Some(WavFormat::parse(chunk)?),
                b"data" => {
                    let format = format.ok_or(AudioError::NotWav("audio before its format"))?;
                    // A recorder that died leaves zero here; then the audio is all that follows.
                    let audio = if stated == 0 { body } else { chunk };
                    return Ok(Self {
                        format,
                        samples: format.decode(audio),
                    });
                }
                _ => {}
            }
            // Chunks are padded to even length.
            rest = body.get(stated.saturating_add(stated % 2)..).unwrap_or(&[]);
        }
        Err(AudioError::NotWav("no audio in it"))
    }

    /// The samples of one channel, from 0.
    pub fn channel(&self, channel: u16) -> Vec<i16> {
        self.samples
            .iter()
            .skip(usize::from(channel))
            .step_by(usize::from(self.format.channels).max(1))
            .copied()
            .collect()
    }

    /// The samples of a mono file, at `sample_rate_hz`.
    ///
    /// # Errors
    /// [`AudioError::Channels`] when the file is not mono; [`AudioError::Rates`].
    pub fn mono_at(self, sample_rate_hz: u32) -> Result<Vec<i16>, AudioError> {
        if self.format.channels != 1 {
            return Err(AudioError::Channels(self.format.channels));
        }
        if self.format.sample_rate_hz == sample_rate_hz {
            return Ok(self.samples);
        }
        crate::resample(&self.samples, self.format.sample_rate_hz, sample_rate_hz)
    }
}

impl WavFormat {
    fn parse(chunk: &[u8]) -> Result<Self, AudioError> {
        let field = chunk
            .split_first_chunk::<16>()
            .ok_or(AudioError::NotWav("format shorter than 16 bytes"))?
            .0;
        let mut tag = u16::from_le_bytes([field[0], field[1]]);
        let channels = u16::from_le_bytes([field[2], field[3]]);
        let bits = u16::from_le_bytes([field[14], field[15]]);
        // WAVE_FORMAT_EXTENSIBLE keeps the real tag at the head of a GUID.
        if tag == 0xfffe
            && let Some([low, high]) = chunk.get(24..26)
        {
            tag = u16::from_le_bytes([*low, *high]);
        }
        let encoding = match (tag, bits) {
            (1, 8) => WavEncoding::Pcm8,
            (1, 16) => WavEncoding::Pcm16,
            (7, 8) => WavEncoding::Ulaw,
            (6, 8) => WavEncoding::Alaw,
            _ => return Err(AudioError::WavEncoding { tag, bits }),
        };
        if channels == 0 {
            return Err(AudioError::NotWav("no channels"));
        }
        Ok(Self {
            channels,
            sample_rate_hz: u32::from_le_bytes([field[4], field[5], field[6], field[7]]),
            encoding,
        })
    }

    fn decode(self, audio: &[u8]) -> Vec<i16> {
        match self.encoding {
            WavEncoding::Pcm8 => audio.iter().map(|s| (i16::from(*s) - 128) << 8).collect(),
            WavEncoding::Pcm16 => audio
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
                .collect(),
            WavEncoding::Ulaw => {
                let mut pcm = Vec::with_capacity(audio.len());
                g711::decode_ulaw_into(audio, &mut pcm);
                pcm
            }
            WavEncoding::Alaw => {
                let mut pcm = Vec::with_capacity(audio.len());
                g711::decode_alaw_into(audio, &mut pcm);
                pcm
            }
        }
    }
}
