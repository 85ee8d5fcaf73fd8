//! How long a caller uses to pause within a turn, learnt in the call.

use std::time::Duration;

/// Longer silences are no pauses of speech.
const LONGEST: Duration = Duration::from_secs(3);

/// The caller's pauses so far.
#[derive(Debug, Default)]
pub(crate) struct PauseHabit(Duration);

impl PauseHabit {
    /// The caller went on after so much silence. Longer pauses are believed soon, shorter ones late:
    /// to cut a caller off is worse than to wait.
    pub(crate) fn went_on_after(&mut self, silence: Duration) {
        if silence > LONGEST {
            return;
        }
        self.0 = match silence.checked_sub(self.0) {
            Some(more) => self.0 + more / 2,
            None => self.0 - (self.0 - silence) / 8,
        };
    }

    /// The pause to reckon with.
    pub(crate) fn usual(&self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_pauses_are_believed_sooner_than_short_ones() {
        let ms = Duration::from_millis;
        let mut habit = PauseHabit::default();
        habit.went_on_after(ms(800));
        assert_eq!(habit.usual(), ms(400));
        habit.went_on_after(ms(800));
        assert_eq!(habit.usual(), ms(600));
        habit.went_on_after(ms(200));
        assert_eq!(habit.usual(), ms(550));
        habit.went_on_after(ms(5_000));
        assert_eq!(habit.usual(), ms(550));
    }
}
