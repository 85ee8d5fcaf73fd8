//! Cuts audio that is longer than the window where it is quietest, so that no word is cut.

/// Loudness is compared over stretches of this length: 100 ms at 16 kHz.
const STRETCH: usize = 1_600;
/// Candidates are this far apart: 10 ms.
const STEP: usize = 160;

/// Parts of at most `longest` samples. Each cut lies in the last third of what would fit.
pub(super) fn split(pcm: &[f32], longest: usize) -> Vec<&[f32]> {
    let mut parts = Vec::new();
    let mut rest = pcm;
    while rest.len() > longest {
        let cut = quietest(rest, longest - longest / 3, longest);
        let (part, after) = rest.split_at(cut);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// The middle of the quietest stretch of `pcm[from..to]`, or `to` when it is too short for one.
fn quietest(pcm: &[f32], from: usize, to: usize) -> usize {
    let energy = |start: usize| -> f32 {
        let stretch = &pcm[start..start + STRETCH];
        stretch.iter().map(|sample| sample * sample).sum()
    };
    (from..to.saturating_sub(STRETCH))
        .step_by(STEP)
        .map(|start| (start, energy(start)))
        .min_by(|(_, a), (_, b)| a.total_cmp(b))
        .map_or(to, |(start, _)| start + STRETCH / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_audio_stays_whole() {
        assert_eq!(split(&[0.1; 1000], 1000).len(), 1);
        assert_eq!(split(&[], 1000).len(), 1);
    }

    #[test]
    fn the_cut_falls_into_the_pause_and_nothing_is_lost() {
        let mut pcm: Vec<f32> = (0..40_000).map(|n| (n as f32 * 0.3).sin()).collect();
        pcm[26_000..28_000].fill(0.0);
        let parts = split(&pcm, 32_000);
        assert_eq!(parts.len(), 2);
        assert!((26_000..28_000).contains(&parts[0].len()));
        assert_eq!(parts.concat(), pcm);
    }

    #[test]
    fn audio_without_a_pause_is_still_cut_to_fit() {
        let pcm = vec![0.5; 100_000];
        let parts = split(&pcm, 20_000);
        assert!(parts.iter().all(|part| part.len() <= 20_000));
        assert_eq!(parts.concat(), pcm);
    }
}
