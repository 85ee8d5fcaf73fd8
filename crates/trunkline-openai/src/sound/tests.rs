//! Every format in, every format out, and what is no sound at all.

use std::time::Duration;

use proptest::prelude::*;
use trunkline_audio::{Tone, Wav, tone_dbfs};

use super::{Encoder, Format, SoundError, decode};

const MINUTE: Duration = Duration::from_secs(60);
const TONE_HZ: f64 = 600.0;

fn tone(ms: usize) -> Vec<i16> {
    Tone::new(TONE_HZ, -9.0, 16_000).take(ms * 16)
}

/// The tone is there, as loud as it was, and nothing else is.
fn assert_is_the_tone(pcm: &[i16], ms: usize) {
    assert!(pcm.len().abs_diff(ms * 16) <= 16, "{} samples", pcm.len());
    let middle = &pcm[800..pcm.len() - 800];
    let level = tone_dbfs(middle, TONE_HZ, 16_000);
    assert!((level + 9.0).abs() < 1.0, "{level} dBFS");
}

fn encoded(format: Format, pcm: &[i16]) -> Vec<u8> {
    let mut encoder = Encoder::new(format).unwrap();
    let mut bytes = Vec::new();
    for piece in pcm.chunks(3200) {
        bytes.extend(encoder.push(piece).unwrap());
    }
    bytes.extend(encoder.end_clause());
    bytes.extend(encoder.finish().unwrap());
    bytes
}

/// A canonical WAV file with interleaved channels.
fn wav_file(samples: &[i16], channels: u16, rate_hz: u32) -> Vec<u8> {
    let mut file = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
    file.extend(channels.to_le_bytes());
    file.extend(rate_hz.to_le_bytes());
    file.extend((rate_hz * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend((samples.len() as u32 * 2).to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    file
}

#[test]
fn a_streamed_wav_is_read_back_as_it_was() {
    let pcm = tone(500);
    let file = encoded(Format::Wav, &pcm);
    assert_eq!(Wav::parse(&file).unwrap().samples, pcm);
    assert_eq!(decode(&file, MINUTE).unwrap(), pcm);
}

#[test]
fn streamed_opus_has_the_length_and_the_sound_of_what_went_in() {
    for ms in [487, 1000, 1003] {
        let file = encoded(Format::Opus, &tone(ms));
        assert!(file.len() < ms * 8, "{} bytes", file.len());
        assert_is_the_tone(&decode(&file, MINUTE).unwrap(), ms);
    }
}

#[test]
fn opus_leaves_while_it_is_spoken() {
    let mut encoder = Encoder::new(Format::Opus).unwrap();
    let heads = encoder.push(&[]).unwrap();
    let first = encoder.push(&tone(1000)).unwrap();
    assert!(heads.starts_with(b"OggS") && first.starts_with(b"OggS"));
}

#[test]
fn pcm_is_at_openais_24_khz() {
    let bytes = encoded(Format::Pcm, &tone(500));
    assert_eq!(bytes.len(), 24_000);
}

#[test]
fn channels_are_averaged_and_rates_are_brought_to_ours() {
    let left = Tone::new(TONE_HZ, -3.0, 44_100).take(44_100);
    let both: Vec<i16> = left.iter().flat_map(|sample| [*sample, 0]).collect();
    assert_is_the_tone(&decode(&wav_file(&both, 2, 44_100), MINUTE).unwrap(), 1000);
}

#[test]
fn flac_and_mp3_of_other_encoders_are_read() {
    let flac = include_bytes!("../../tests/fixtures/tone.flac");
    let mp3 = include_bytes!("../../tests/fixtures/tone.mp3");
    let opus = include_bytes!("../../tests/fixtures/tone.opus");
    for file in [flac.as_slice(), opus] {
        assert_is_the_tone(&decode(file, MINUTE).unwrap(), 500);
    }
    // MP3 pads to whole frames, and this one does not say by how much.
    assert_is_the_tone(&decode(mp3, MINUTE).unwrap(), 576);
}

#[test]
fn what_is_no_sound_is_told_apart() {
    assert_eq!(decode(b"", MINUTE), Err(SoundError::Empty));
    assert_eq!(
        decode(&wav_file(&[], 1, 16_000), MINUTE),
        Err(SoundError::Empty)
    );
    assert_eq!(
        decode(b"hello, this is a text", MINUTE),
        Err(SoundError::Unknown)
    );
    for head in ["RIFF", "fLaC", "OggS"] {
        let broken = decode(format!("{head} and then nonsense").as_bytes(), MINUTE);
        assert!(
            matches!(broken, Err(SoundError::Corrupt(_))),
            "{head}: {broken:?}"
        );
    }
}

#[test]
fn a_small_file_that_holds_hours_is_given_up_early() {
    let flac = include_bytes!("../../tests/fixtures/tone.flac");
    let longest = Duration::from_millis(300);
    assert_eq!(decode(flac, longest), Err(SoundError::TooLong(longest)));
    let opus = encoded(Format::Opus, &tone(1000));
    assert_eq!(decode(&opus, longest), Err(SoundError::TooLong(longest)));
    let wav = encoded(Format::Wav, &tone(1000));
    assert_eq!(decode(&wav, longest), Err(SoundError::TooLong(longest)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A decoder may panic on nonsense only where its caller catches it; none is known to.
    #[test]
    fn damaged_files_are_errors_or_sound(
        which in 0_usize..4,
        at in 0_usize..2000,
        byte in any::<u8>(),
        cut in 0_usize..2000,
    ) {
        let files: [&[u8]; 4] = [
            include_bytes!("../../tests/fixtures/tone.flac"),
            include_bytes!("../../tests/fixtures/tone.mp3"),
            include_bytes!("../../tests/fixtures/tone.opus"),
            &encoded(Format::Wav, &tone(100)),
        ];
        let mut file = files[which].to_vec();
        let length = file.len();
        file[at % length] = byte;
        file.truncate(length - cut % length);
        let _ = decode(&file, MINUTE);
    }
}
