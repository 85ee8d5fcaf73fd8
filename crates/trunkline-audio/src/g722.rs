//! G.722 at 64 kbit/s (ITU-T G.722): 16 kHz audio, two samples a byte.
//!
//! RTP counts its time at 8000 Hz (RFC 3551 section 4.5.2), which happens to be one unit a byte.

use audio_codec::g722::{G722Decoder, G722Encoder};
use audio_codec::{Decoder as _, Encoder as _};

/// Samples that one byte carries.
pub const SAMPLES_PER_BYTE: usize = 2;

/// One direction's decoder; its state follows the sender's.
pub struct Decoder(G722Decoder);

/// One direction's encoder.
pub struct Encoder(G722Encoder);

impl Default for Decoder {
    fn default() -> Self {
        Self(G722Decoder::new())
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self(G722Encoder::new())
    }
}

impl Decoder {
    /// Appends the samples of encoded bytes, two a byte.
    pub fn decode_into(&mut self, encoded: &[u8], pcm: &mut Vec<i16>) {
        let start = pcm.len();
        let room = self.0.max_decode_samples(encoded.len());
        pcm.resize(start + room, 0);
        let written = self.0.decode_into(encoded, &mut pcm[start..]).unwrap_or(0);
        pcm.truncate(start + written);
    }
}

impl Encoder {
    /// Appends the bytes of samples, one for two. An odd last sample is left out.
    pub fn encode_into(&mut self, pcm: &[i16], encoded: &mut Vec<u8>) {
        let even = &pcm[..pcm.len() - pcm.len() % SAMPLES_PER_BYTE];
        let start = encoded.len();
        let room = self.0.max_encode_bytes(even.len());
        encoded.resize(start + room, 0);
        let written = self.0.encode_into(even, &mut encoded[start..]).unwrap_or(0);
        encoded.truncate(start + written);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Tone, tone_dbfs};

    #[test]
    fn a_tone_in_either_band_comes_through_at_its_level() {
        for hz in [1000.0, 6000.0] {
            let pcm = Tone::new(hz, -12.0, 16_000).take(16_000);
            let mut bytes = Vec::new();
            Encoder::default().encode_into(&pcm, &mut bytes);
            assert_eq!(bytes.len(), 8000);
            let mut back = Vec::new();
            Decoder::default().decode_into(&bytes, &mut back);
            assert_eq!(back.len(), 16_000);
            let level = tone_dbfs(&back[1600..], hz, 16_000);
            assert!((level + 12.0).abs() < 1.0, "{hz} Hz at {level} dBFS");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut pcm = Vec::new();
            Decoder::default().decode_into(&bytes, &mut pcm);
            prop_assert_eq!(pcm.len(), bytes.len() * SAMPLES_PER_BYTE);
        }

        #[test]
        fn any_samples_encode_without_panic(pcm in prop::collection::vec(any::<i16>(), 0..4000)) {
            let mut bytes = Vec::new();
            Encoder::default().encode_into(&pcm, &mut bytes);
            prop_assert_eq!(bytes.len(), pcm.len() / SAMPLES_PER_BYTE);
        }
    }
}
