//! Cutting the silence that the program puts around each clause. Silence before the first word
//! is time that the caller waits.

/// Kept before the first sound: 40 ms.
const LEAD: usize = 640;
/// Kept after the last sound, so that clauses do not run into each other: 120 ms.
const TAIL: usize = 1920;
/// 5 ms.
const FRAME: usize = 80;
/// Sound is what is above −40 dB of the loudest frame, and above −60 dBFS.
const BELOW_PEAK: f64 = 0.01;
const NOTHING_RMS: f64 = 30.0;

/// The clause with little silence around it.
pub(super) fn trim(pcm: Vec<i16>) -> Vec<i16> {
    let levels: Vec<f64> = pcm.chunks(FRAME).map(rms).collect();
    let peak = levels.iter().copied().fold(0.0, f64::max);
    let threshold = NOTHING_RMS.max(peak * BELOW_PEAK);
    let Some(first) = levels.iter().position(|level| *level >= threshold) else {
        return Vec::new();
    };
    let last = levels
        .iter()
        .rposition(|level| *level >= threshold)
        .unwrap_or(first);
    let begin = (first * FRAME).saturating_sub(LEAD);
    let end = ((last + 1) * FRAME + TAIL).min(pcm.len());
    pcm[begin..end].to_vec()
}

fn rms(frame: &[i16]) -> f64 {
    let energy: f64 = frame.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (energy / frame.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_little_silence_is_kept_on_both_sides() {
        let mut pcm = vec![2; 8000];
        pcm.extend((0..4000).map(|i| if i % 2 == 0 { 5000 } else { -5000 }));
        pcm.extend(vec![-2; 8000]);
        let trimmed = trim(pcm);
        assert_eq!(trimmed.len(), LEAD + 4000 + TAIL);
        assert_eq!((trimmed[LEAD - 1], trimmed[LEAD]), (2, 5000));
    }

    #[test]
    fn silence_is_nothing_and_short_sound_stays_whole() {
        assert_eq!(trim(vec![3; 1000]), Vec::<i16>::new());
        assert_eq!(trim(vec![900; 100]).len(), 100);
    }
}
