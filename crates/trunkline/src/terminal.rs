//! Colours and times on a terminal; plain text anywhere else.

use std::io::IsTerminal;

use trunkline_types::Timestamp;

/// Whether standard output takes colours: a terminal, and the user did not say no (`NO_COLOR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

/// What text can look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Caller,
    Agent,
    Good,
    Bad,
    Notice,
}

impl Style {
    /// The SGR code (ECMA-48).
    fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Dim => "2",
            Self::Caller => "36",
            Self::Agent => "32",
            Self::Good => "1;32",
            Self::Bad => "1;31",
            Self::Notice => "33",
        }
    }
}

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            on: std::io::stdout().is_terminal() && !refused,
        }
    }

    /// Without colours, whatever the terminal.
    #[cfg(test)]
    pub(crate) fn never() -> Self {
        Self { on: false }
    }

    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        if self.on {
            format!("\u{1b}[{}m{text}\u{1b}[0m", style.code())
        } else {
            text.to_owned()
        }
    }
}

/// `2026-11-22 09:05:17` UTC.
pub(crate) fn date_and_time(at: Timestamp) -> String {
    let seconds = at.as_micros() / 1_000_000;
    let (year, month, day) = civil_date(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

/// The Gregorian date of a day since 1970-01-01. Counts in 400-year eras of 146 097 days that
/// begin on 1 March, so that the leap day is the last of its year.
fn civil_date(days_since_1970: u64) -> (u64, u64, u64) {
    let days = days_since_1970 + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_years() {
        let shown = |seconds: u64| date_and_time(Timestamp::from_micros(seconds * 1_000_000));
        assert_eq!(shown(0), "1970-01-01 00:00:00");
        assert_eq!(shown(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(shown(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(shown(1_709_251_200), "2024-03-01 00:00:00");
        assert_eq!(shown(1_767_225_599), "2025-12-31 23:59:59");
    }

    #[test]
    fn nothing_but_text_where_there_is_no_terminal() {
        assert_eq!(Paint::never().paint(Style::Bad, "failed"), "failed");
    }
}
