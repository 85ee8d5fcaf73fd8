//! G.711 µ-law and A-law (ITU-T G.711), 8000 samples a second, one byte a sample.

use audio_codec_algorithms::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

/// µ-law silence on the wire.
pub const ULAW_SILENCE: u8 = 0xff;

/// A-law silence on the wire.
pub const ALAW_SILENCE: u8 = 0xd5;

/// Appends the samples of µ-law bytes.
pub fn decode_ulaw_into(encoded: &[u8], pcm: &mut Vec<i16>) {
    pcm.extend(encoded.iter().map(|byte| decode_ulaw(*byte)));
}

/// Appends the samples of A-law bytes.
pub fn decode_alaw_into(encoded: &[u8], pcm: &mut Vec<i16>) {
    pcm.extend(encoded.iter().map(|byte| decode_alaw(*byte)));
}

/// Appends the µ-law bytes of samples.
pub fn encode_ulaw_into(pcm: &[i16], encoded: &mut Vec<u8>) {
    encoded.extend(pcm.iter().map(|sample| encode_ulaw(*sample)));
}

/// Appends the A-law bytes of samples.
pub fn encode_alaw_into(pcm: &[i16], encoded: &mut Vec<u8>) {
    encoded.extend(pcm.iter().map(|sample| encode_alaw(*sample)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decoder outputs of G.711 tables 1 and 2, scaled to 16 bits: the ends and the middle of the
    /// scale.
    #[test]
    fn the_ends_and_the_middle_of_the_scale_are_those_of_the_recommendation() {
        let mut pcm = Vec::new();
        decode_ulaw_into(&[0x00, 0x80, ULAW_SILENCE, 0x7f], &mut pcm);
        assert_eq!(pcm, [-32_124, 32_124, 0, 0]);
        pcm.clear();
        decode_alaw_into(&[0x2a, 0xaa, ALAW_SILENCE, 0x55], &mut pcm);
        assert_eq!(pcm, [-32_256, 32_256, 8, -8]);
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        let codes: Vec<u8> = (0..=255).collect();
        let (mut pcm, mut again) = (Vec::new(), Vec::new());
        decode_alaw_into(&codes, &mut pcm);
        encode_alaw_into(&pcm, &mut again);
        assert_eq!(again, codes);

        pcm.clear();
        again.clear();
        decode_ulaw_into(&codes, &mut pcm);
        encode_ulaw_into(&pcm, &mut again);
        // µ-law has two zeros; minus zero encodes as plus zero.
        let expected: Vec<u8> = codes
            .iter()
            .map(|code| if *code == 0x7f { ULAW_SILENCE } else { *code })
            .collect();
        assert_eq!(again, expected);
    }

    #[test]
    fn the_error_of_a_round_trip_stays_within_half_a_step() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            let (mut bytes, mut back) = (Vec::new(), Vec::new());
            encode_ulaw_into(&[sample], &mut bytes);
            decode_ulaw_into(&bytes, &mut back);
            let magnitude = i32::from(sample).abs();
            let error = (i32::from(back[0]) - i32::from(sample)).abs();
            // Steps double each segment; the last one is 1024 wide and clips above 32,124.
            assert!(
                error <= 4 + magnitude / 32 + (magnitude - 32_124).max(0),
                "{sample}"
            );
        }
    }
}
