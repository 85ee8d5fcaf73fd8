//! Audio as it travels over HTTP: files in, streams out. Inside, all audio is mono signed 16-bit
//! PCM at 16 kHz.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub(crate) use decode::{SoundError, decode};
pub(crate) use encode::{Encoder, Format};
