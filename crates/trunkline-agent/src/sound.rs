//! Where the sound of a clause begins and ends: voices put silence around what they say, and a word
//! is not heard while it lasts.

use trunkline_leg::SAMPLE_RATE_HZ;

/// Below this (-46 dBFS) nothing is spoken.
const AUDIBLE: u16 = 160;

/// The samples of a clause that were synthesised so far.
#[derive(Debug, Default)]
pub(crate) struct Sound {
    samples: usize,
    from: Option<usize>,
    until: usize,
}

impl Sound {
    /// More of the clause.
    pub(crate) fn push(&mut self, pcm: &[i16]) {
        let is_audible = |sample: &i16| sample.unsigned_abs() > AUDIBLE;
        if let Some(first) = pcm.iter().position(is_audible) {
            self.from.get_or_insert(self.samples + first);
        }
        if let Some(last) = pcm.iter().rposition(is_audible) {
            self.until = self.samples + last + 1;
        }
        self.samples += pcm.len();
    }

    /// How long it plays.
    pub(crate) fn duration_ms(&self) -> u32 {
        millis(self.samples)
    }

    /// Silence before the first sound.
    pub(crate) fn begins_ms(&self) -> u32 {
        millis(self.from.unwrap_or(0))
    }

    /// The end of the last sound; that of the clause where there is none.
    pub(crate) fn ends_ms(&self) -> u32 {
        millis(self.from.map_or(self.samples, |_| self.until))
    }
}

fn millis(samples: usize) -> u32 {
    let millis = samples as u64 * 1000 / u64::from(SAMPLE_RATE_HZ);
    u32::try_from(millis).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_around_the_words_is_not_counted_however_the_audio_is_cut() {
        let mut pcm = vec![3_i16; 3_200];
        pcm.extend([900, -900].repeat(4_000));
        pcm.extend([0; 1_600]);
        for size in [1, 320, 5_000, 20_000] {
            let mut sound = Sound::default();
            pcm.chunks(size).for_each(|chunk| sound.push(chunk));
            let times = (sound.begins_ms(), sound.ends_ms(), sound.duration_ms());
            assert_eq!(times, (200, 700, 800), "{size}");
        }
        let mut silent = Sound::default();
        silent.push(&[0; 1_600]);
        assert_eq!((silent.begins_ms(), silent.ends_ms()), (0, 100));
    }
}
