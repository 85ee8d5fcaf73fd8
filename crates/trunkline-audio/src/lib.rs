//! Audio as plain slices of signed 16-bit samples: G.711, G.722, resampling, tones, levels, WAV.
//!
//! Pure: no sockets, no files (WAV goes through `std::io` traits), no clock. Mono unless said.
#![forbid(unsafe_code)]

mod error;
pub mod g711;
pub mod g722;
mod goertzel;
mod halfband;
mod level;
mod resample;
mod tone;
mod wav;
mod wav_writer;

pub use error::AudioError;
pub use goertzel::tone_dbfs;
pub use halfband::{Downsampler, HALFBAND_DELAY_SAMPLES, Upsampler};
pub use level::{SILENT_DBFS, fade_in, fade_out, peak_dbfs, rms_dbfs};
pub use resample::resample;
pub use tone::{DualTone, Tone, dtmf_frequencies_hz};
pub use wav::{Wav, WavEncoding, WavFormat};
pub use wav_writer::{WavWriter, repair_wav};
