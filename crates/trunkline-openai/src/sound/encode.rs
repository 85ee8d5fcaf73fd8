//! Speech to bytes, piece by piece, so that the first clause is on its way while the next is
//! being spoken.

use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead};
use trunkline_audio::resample;
use trunkline_inference::SAMPLE_RATE_HZ;

/// What OpenAI's `pcm` is: mono signed 16-bit little-endian at this rate.
const PCM_RATE_HZ: u32 = 24_000;
/// 20 ms at 16 kHz.
const OPUS_FRAME: usize = SAMPLE_RATE_HZ as usize / 50;
/// Opus counts in samples of 48 kHz.
const OPUS_TICKS: usize = 48_000 / SAMPLE_RATE_HZ as usize;
/// Transparent for speech of 8 kHz bandwidth.
const OPUS_BITS_PER_S: i32 = 32_000;
/// A page of Ogg is sent when it has so many bytes: some 100 ms of speech.
const OGG_PAGE: usize = 400;

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// WAV at 16 kHz; its length is left open, since it is not known when it begins.
    Wav,
    /// Bare samples at 24 kHz.
    Pcm,
    /// Ogg Opus.
    Opus,
}

impl Format {
    /// OpenAI's word for it.
    pub(crate) fn of(word: &str) -> Option<Self> {
        match word {
            "wav" => Some(Self::Wav),
            "pcm" => Some(Self::Pcm),
            "opus" => Some(Self::Opus),
            _ => None,
        }
    }

    /// The media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm",
            Self::Opus => "audio/ogg",
        }
    }
}

/// Turns speech into bytes.
pub(crate) enum Encoder {
    Wav { begun: bool },
    Pcm { clause: Vec<i16> },
    Opus(Box<Opus>),
}

impl Encoder {
    pub(crate) fn new(format: Format) -> Result<Self, opus_pure::Error> {
        Ok(match format {
            Format::Wav => Self::Wav { begun: false },
            Format::Pcm => Self::Pcm { clause: Vec::new() },
            Format::Opus => Self::Opus(Box::new(Opus::new()?)),
        })
    }

    /// Takes audio, and gives the bytes that are ready.
    pub(crate) fn push(&mut self, pcm: &[i16]) -> Result<Vec<u8>, opus_pure::Error> {
        match self {
            Self::Wav { begun } => {
                let mut bytes = match std::mem::replace(begun, true) {
                    true => Vec::new(),
                    false => wav_header().to_vec(),
                };
                bytes.extend(pcm.iter().flat_map(|sample| sample.to_le_bytes()));
                Ok(bytes)
            }
            Self::Pcm { clause } => {
                clause.extend_from_slice(pcm);
                Ok(Vec::new())
            }
            Self::Opus(opus) => opus.push(pcm),
        }
    }

    /// A clause is complete. A whole clause is resampled at a time: its ends are silent, so
    /// nothing is heard of the seams.
    pub(crate) fn end_clause(&mut self) -> Vec<u8> {
        let Self::Pcm { clause } = self else {
            return Vec::new();
        };
        let clause = std::mem::take(clause);
        // These two rates are always fine.
        let pcm = resample(&clause, SAMPLE_RATE_HZ, PCM_RATE_HZ).unwrap_or_default();
        pcm.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    /// No more audio follows; gives what is left.
    pub(crate) fn finish(&mut self) -> Result<Vec<u8>, opus_pure::Error> {
        match self {
            Self::Wav { .. } => self.push(&[]),
            Self::Pcm { .. } => Ok(self.end_clause()),
            Self::Opus(opus) => opus.finish(),
        }
    }
}

/// RIFF, format, and a data chunk as long as can be said.
fn wav_header() -> [u8; 44] {
    let mut header = [0; 44];
    let rate = SAMPLE_RATE_HZ;
    header[..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16_u32.to_le_bytes());
    header[20..22].copy_from_slice(&1_u16.to_le_bytes());
    header[22..24].copy_from_slice(&1_u16.to_le_bytes());
    header[24..28].copy_from_slice(&rate.to_le_bytes());
    header[28..32].copy_from_slice(&(rate * 2).to_le_bytes());
    header[32..34].copy_from_slice(&2_u16.to_le_bytes());
    header[34..36].copy_from_slice(&16_u16.to_le_bytes());
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    header
}

/// An Ogg Opus stream in the making.
pub(crate) struct Opus {
    encoder: OpusEncoder,
    /// `None` once it is finished.
    writer: Option<OggOpusWriter<Vec<u8>>>,
    /// Samples that do not fill a frame yet.
    pending: Vec<i16>,
    /// Samples of speech so far.
    total: usize,
    pre_skip: usize,
}

impl Opus {
    fn new() -> Result<Self, opus_pure::Error> {
        // 16 kHz fits.
        let mut encoder = OpusEncoder::new(SAMPLE_RATE_HZ as i32, 1, Application::Voip)?;
        encoder.bitrate_bps = OPUS_BITS_PER_S;
        let head = OpusHead::for_encoder(&encoder, SAMPLE_RATE_HZ);
        let pre_skip = usize::from(head.pre_skip);
        let mut writer = OggOpusWriter::new(Vec::new(), head)?;
        writer.set_page_target(OGG_PAGE);
        Ok(Self {
            encoder,
            writer: Some(writer),
            pending: Vec::new(),
            total: 0,
            pre_skip,
        })
    }

    fn push(&mut self, pcm: &[i16]) -> Result<Vec<u8>, opus_pure::Error> {
        self.total += pcm.len();
        self.pending.extend_from_slice(pcm);
        while self.pending.len() > OPUS_FRAME {
            let frame: Vec<i16> = self.pending.drain(..OPUS_FRAME).collect();
            self.frame(&frame, None)?;
        }
        Ok(self.ready())
    }

    /// The encoder runs behind its input, so silence pushes the rest out, and the last packet
    /// says where the speech really ends (RFC 7845, sections 4.2 and 4.4).
    fn finish(&mut self) -> Result<Vec<u8>, opus_pure::Error> {
        let end = self.pre_skip + self.total * OPUS_TICKS;
        let behind = self.pre_skip.div_ceil(OPUS_TICKS);
        let left = (self.pending.len() + behind).div_ceil(OPUS_FRAME).max(1);
        self.pending.resize(left * OPUS_FRAME, 0);
        for index in 1..=left {
            let frame: Vec<i16> = self.pending.drain(..OPUS_FRAME).collect();
            self.frame(&frame, (index == left).then_some(end))?;
        }
        match self.writer.take() {
            Some(writer) => writer.finish(),
            None => Ok(Vec::new()),
        }
    }

    /// Writes a frame; the last one with the position of the end.
    fn frame(&mut self, frame: &[i16], end: Option<usize>) -> Result<(), opus_pure::Error> {
        let mut packet = [0; MAX_PACKET_BYTES];
        let bytes = self.encoder.encode_s16(frame, OPUS_FRAME, &mut packet)?;
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        match end {
            None => writer.write_packet(&packet[..bytes]),
            Some(end) => {
                let written = usize::try_from(writer.granule()).unwrap_or(0);
                let rest = u32::try_from(end.saturating_sub(written)).unwrap_or(0);
                writer.write_packet_with_duration(&packet[..bytes], rest)
            }
        }
    }

    fn ready(&mut self) -> Vec<u8> {
        let written = self.writer.as_mut().and_then(OggOpusWriter::get_mut);
        written.map(std::mem::take).unwrap_or_default()
    }
}
