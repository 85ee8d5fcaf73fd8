//! How loud, and fades.

/// What digital silence reads: below the smallest sample.
pub const SILENT_DBFS: f64 = -100.0;

/// The root mean square in dBFS, where a full-scale square wave is 0 and a full-scale sine -3.
pub fn rms_dbfs(pcm: &[i16]) -> f64 {
    if pcm.is_empty() {
        return SILENT_DBFS;
    }
    let energy: f64 = pcm.iter().map(|s| f64::from(*s) * f64::from(*s)).sum();
    to_dbfs((energy / pcm.len() as f64).sqrt())
}

/// The largest sample in dBFS.
pub fn peak_dbfs(pcm: &[i16]) -> f64 {
    let peak = pcm.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0);
    to_dbfs(f64::from(peak))
}

/// Falls linearly from full to nothing over the whole slice.
pub fn fade_out(pcm: &mut [i16]) {
    let length = pcm.len() as f32;
    for (index, sample) in pcm.iter_mut().enumerate() {
        *sample = scaled(*sample, 1.0 - (index as f32 + 1.0) / length);
    }
}

/// Rises linearly from nothing to full over the whole slice.
pub fn fade_in(pcm: &mut [i16]) {
    let length = pcm.len() as f32;
    for (index, sample) in pcm.iter_mut().enumerate() {
        *sample = scaled(*sample, (index as f32 + 1.0) / length);
    }
}

fn scaled(sample: i16, gain: f32) -> i16 {
    (f32::from(sample) * gain) as i16
}

fn to_dbfs(amplitude: f64) -> f64 {
    (20.0 * (amplitude / 32_768.0).log10()).max(SILENT_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tone;

    #[test]
    fn a_sine_reads_three_decibels_below_its_peak() {
        let pcm = Tone::new(1000.0, -10.0, 8000).take(8000);
        assert!((rms_dbfs(&pcm) + 13.01).abs() < 0.05);
        assert!((peak_dbfs(&pcm) + 10.0).abs() < 0.05);
        assert_eq!(rms_dbfs(&[0; 10]), SILENT_DBFS);
    }

    #[test]
    fn fades_end_at_nothing_and_at_full() {
        let mut pcm = [1000i16; 100];
        fade_out(&mut pcm);
        assert_eq!((pcm[0], pcm[99]), (990, 0));
        let mut pcm = [1000i16; 100];
        fade_in(&mut pcm);
        assert_eq!((pcm[0], pcm[99]), (10, 1000));
        fade_out(&mut []);
    }
}
