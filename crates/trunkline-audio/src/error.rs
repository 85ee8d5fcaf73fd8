//! What can go wrong with audio.

use std::io;

/// What can go wrong with audio.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The rates of a conversion make no sense.
    #[error("cannot resample from {from_hz} Hz to {to_hz} Hz")]
    Rates {
        /// Of the input.
        from_hz: u32,
        /// Of the output.
        to_hz: u32,
    },
    /// Not a WAV file, or one cut short before its audio.
    #[error("not a WAV file: {0}")]
    NotWav(&'static str),
    /// A WAV file in an encoding that we do not read.
    #[error(
        "WAV with format tag {tag} and {bits} bits is not read: expected 8 or 16 bit PCM, µ-law or A-law"
    )]
    WavEncoding {
        /// The format tag of the `fmt` chunk.
        tag: u16,
        /// Bits of a sample.
        bits: u16,
    },
    /// A WAV file has more than one channel where one is wanted.
    #[error("WAV has {0} channels where one is wanted")]
    Channels(u16),
    /// Reading or writing failed.
    #[error("cannot write WAV")]
    Io(#[from] io::Error),
}
