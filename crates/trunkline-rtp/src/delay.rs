//! How unevenly packets arrive: the spread of their transit times over the last seconds.

use std::time::Duration;

use trunkline_types::CallTime;

/// Transit times are remembered in stretches of this length.
const STRETCH: Duration = Duration::from_millis(500);

/// This many stretches: a delay peak is forgotten after four seconds.
const STRETCHES: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Extremes {
    stretch: u64,
    least: i64,
    most: i64,
}

/// The least and the most transit time of late. Transit times carry the unknown offset between
/// the sender's clock and ours, so only differences mean something; a drift of 100 ppm moves
/// them by 0.4 ms within the window.
#[derive(Debug, Clone, Default)]
pub(crate) struct DelayWindow {
    stretches: [Option<Extremes>; STRETCHES],
}

impl DelayWindow {
    /// Takes the transit time of a packet: arrival less timestamp, in clock units.
    pub(crate) fn observe(&mut self, now: CallTime, transit: i64) {
        let stretch = now.as_micros() / STRETCH.as_micros().max(1) as u64;
        let slot = &mut self.stretches[(stretch % STRETCHES as u64) as usize];
        match slot {
            Some(extremes) if extremes.stretch == stretch => {
                extremes.least = extremes.least.min(transit);
                extremes.most = extremes.most.max(transit);
            }
            _ => {
                *slot = Some(Extremes {
                    stretch,
                    least: transit,
                    most: transit,
                });
            }
        }
    }

    /// The least and the most transit time of the last seconds in which anything came.
    pub(crate) fn extremes(&self) -> Option<(i64, i64)> {
        let newest = self.stretches.iter().flatten().map(|e| e.stretch).max()?;
        self.stretches
            .iter()
            .flatten()
            .filter(|e| newest - e.stretch < STRETCHES as u64)
            .map(|e| (e.least, e.most))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    pub(crate) fn clear(&mut self) {
        self.stretches = [None; STRETCHES];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_known_at_once_and_forgotten_after_four_seconds() {
        let mut window = DelayWindow::default();
        assert_eq!(window.extremes(), None);
        window.observe(CallTime::from_millis(0), 100);
        window.observe(CallTime::from_millis(20), 900);
        assert_eq!(window.extremes(), Some((100, 900)));
        for millis in (500..4500).step_by(20) {
            window.observe(CallTime::from_millis(millis), 110);
        }
        assert_eq!(window.extremes(), Some((110, 110)));
    }
}
