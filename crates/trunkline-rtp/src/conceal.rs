//! Packet-loss concealment in the manner of G.711 appendix I: the last pitch period goes on,
//! fading, and the real audio is blended back in.
//!
//! Unlike the recommendation it adds no delay: it blends at the end of a loss, not at its start.

use std::time::Duration;

/// Longest pitch period that is looked for: a voice of 66 Hz.
const LONGEST_PITCH: Duration = Duration::from_millis(15);

/// Shortest: a voice of 200 Hz; two periods of a higher voice do as well.
const SHORTEST_PITCH: Duration = Duration::from_millis(5);

/// How much of the past is compared with itself.
const COMPARED: Duration = Duration::from_millis(20);

/// Full strength so long, then a fifth less every 10 ms.
const FULL_FOR: Duration = Duration::from_millis(10);

/// Nothing is invented beyond this.
const SILENT_AFTER: Duration = Duration::from_millis(60);

/// The real audio is blended in over at least this.
const SHORTEST_BLEND: Duration = Duration::from_millis(4);

/// Remembers what was heard, to go on with it when nothing comes.
#[derive(Debug)]
pub struct Concealer {
    sample_rate_hz: u32,
    history: Vec<i16>,
    /// One pitch period, whose end joins its beginning.
    period: Vec<f32>,
    position: usize,
    invented: usize,
}

impl Concealer {
    /// Remembers nothing yet.
    pub fn new(sample_rate_hz: u32) -> Self {
        let kept = samples(LONGEST_PITCH * 2 + COMPARED, sample_rate_hz);
        Self {
            sample_rate_hz,
            history: vec![0; kept],
            period: Vec::new(),
            position: 0,
            invented: 0,
        }
    }

    /// Takes audio that was received. After a loss its beginning is blended with what was
    /// invented.
    pub fn received(&mut self, pcm: &mut [i16]) {
        if self.invented > 0 {
            let blend = samples(SHORTEST_BLEND, self.sample_rate_hz)
                .max(self.period.len() / 4)
                .min(pcm.len());
            for (index, sample) in pcm[..blend].iter_mut().enumerate() {
                let share = (index as f32 + 1.0) / (blend as f32 + 1.0);
                let invented = self.invent();
                *sample = (f32::from(*sample) * share + invented * (1.0 - share)) as i16;
            }
            self.invented = 0;
        }
        self.remember(pcm);
    }

    /// Fills `pcm` with an invention.
    pub fn conceal(&mut self, pcm: &mut [i16]) {
        if self.invented == 0 {
            self.find_period();
        }
        for sample in pcm.iter_mut() {
            *sample = self.invent() as i16;
        }
        self.remember(pcm);
    }

    /// Forgets what was heard, for silence that is meant.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.period.clear();
        self.invented = 0;
    }

    fn remember(&mut self, pcm: &[i16]) {
        let length = self.history.len();
        if pcm.len() >= length {
            self.history.copy_from_slice(&pcm[pcm.len() - length..]);
        } else {
            self.history.copy_within(pcm.len().., 0);
            self.history[length - pcm.len()..].copy_from_slice(pcm);
        }
    }

    fn invent(&mut self) -> f32 {
        let gain = self.gain();
        self.invented = self.invented.saturating_add(1);
        if self.period.is_empty() {
            return 0.0;
        }
        let sample = self.period[self.position];
        self.position = (self.position + 1) % self.period.len();
        sample * gain
    }

    fn gain(&self) -> f32 {
        let full = samples(FULL_FOR, self.sample_rate_hz);
        if self.invented < full {
            1.0
        } else if self.invented >= samples(SILENT_AFTER, self.sample_rate_hz) {
            0.0
        } else {
            1.0 - 0.2 * (self.invented - full) as f32 / full as f32
        }
    }

    /// Takes the last pitch period out of the past and smooths its seam: the end of the period
    /// slides into what came before its beginning, so that it can follow itself.
    fn find_period(&mut self) {
        let pitch = self.pitch();
        let end = self.history.len();
        let quarter = (pitch / 4).max(1);
        self.period.clear();
        self.period
            .extend(self.history[end - pitch..].iter().map(|s| f32::from(*s)));
        for index in 0..quarter {
            let share = (index as f32 + 1.0) / quarter as f32;
            let from_end = quarter - index;
            let before = f32::from(self.history[end - pitch - from_end]);
            let tail = &mut self.period[pitch - from_end];
            *tail = *tail * (1.0 - share) + before * share;
        }
        self.position = 0;
    }

    /// The lag at which the last 20 ms resemble what came before most.
    fn pitch(&self) -> usize {
        let compared = samples(COMPARED, self.sample_rate_hz);
        let end = self.history.len();
        let recent = &self.history[end - compared..];
        let shortest = samples(SHORTEST_PITCH, self.sample_rate_hz);
        let longest = samples(LONGEST_PITCH, self.sample_rate_hz);
        // Every second sample is enough to find the lag.
        let likeness = |lag: usize| {
            let past = &self.history[end - compared - lag..end - lag];
            let (mut product, mut energy) = (0f32, 1f32);
            for (now, before) in recent.iter().zip(past).step_by(2) {
                product += f32::from(*now) * f32::from(*before);
                energy += f32::from(*before) * f32::from(*before);
            }
            product / energy.sqrt()
        };
        (shortest..=longest)
            .map(|lag| (lag, likeness(lag)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map_or(shortest, |(lag, _)| lag)
    }
}

fn samples(span: Duration, sample_rate_hz: u32) -> usize {
    let count = span.as_micros() * u128::from(sample_rate_hz) / 1_000_000;
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use trunkline_audio::{Tone, rms_dbfs, tone_dbfs};

    use super::*;

    #[test]
    fn a_short_loss_in_a_steady_voice_is_filled_at_its_pitch_and_level() {
        for rate in [8000, 16_000] {
            let frame = rate as usize / 50;
            let mut tone = Tone::new(150.0, -10.0, rate);
            let mut concealer = Concealer::new(rate);
            for _ in 0..10 {
                concealer.received(&mut tone.take(frame));
            }
            let mut invented = vec![0; frame];
            concealer.conceal(&mut invented);
            let level = tone_dbfs(&invented, 150.0, rate);
            assert!((level + 10.0).abs() < 2.0, "{level} dBFS at {rate} Hz");

            let truth = tone.take(frame);
            let error: Vec<i16> = truth.iter().zip(&invented).map(|(a, b)| a - b).collect();
            assert!(rms_dbfs(&error) < rms_dbfs(&truth) - 10.0);
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence() {
        let mut concealer = Concealer::new(8000);
        concealer.received(&mut Tone::new(150.0, -10.0, 8000).take(480));
        let levels: Vec<f64> = (0..5)
            .map(|_| {
                let mut frame = [0; 160];
                concealer.conceal(&mut frame);
                rms_dbfs(&frame)
            })
            .collect();
        assert!(
            levels.windows(2).all(|pair| pair[1] <= pair[0]),
            "{levels:?}"
        );
        assert_eq!(levels[4], trunkline_audio::SILENT_DBFS);
    }

    #[test]
    fn audio_comes_back_without_a_step() {
        let mut tone = Tone::new(150.0, -10.0, 8000);
        let mut concealer = Concealer::new(8000);
        concealer.received(&mut tone.take(480));
        let mut lost = [0; 160];
        concealer.conceal(&mut lost);
        tone.take(160);
        let mut back = tone.take(160);
        concealer.received(&mut back);
        let joined = [&lost[..], &back[..]].concat();
        let step = joined.windows(2).map(|p| p[1].abs_diff(p[0])).max();
        // A 150 Hz sine of this level moves by at most 1,220 between samples.
        assert!(step < Some(2500), "{step:?}");
    }

    #[test]
    fn loss_before_anything_was_heard_is_silence() {
        let mut frame = [5; 160];
        Concealer::new(8000).conceal(&mut frame);
        assert_eq!(frame, [0; 160]);
    }
}
