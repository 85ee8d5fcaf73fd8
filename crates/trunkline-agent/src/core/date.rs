//! The date of a call as a voice says it.

/// Days since 1970-01-01 to year, month and day of the proleptic Gregorian calendar
/// (the days-from-civil scheme with years beginning in March).
fn civil(days: u64) -> (u64, usize, usize) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5;
    let month = (march_month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    (
        year,
        usize::try_from(month).unwrap_or(0),
        usize::try_from(day).unwrap_or(0),
    )
}

const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 31] = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
    "twenty-first",
    "twenty-second",
    "twenty-third",
    "twenty-fourth",
    "twenty-fifth",
    "twenty-sixth",
    "twenty-seventh",
    "twenty-eighth",
    "twenty-ninth",
    "thirtieth",
    "thirty-first",
];

/// A moment in microseconds since the Unix epoch, as the day in UTC:
/// "Sunday, the twenty-second of November".
pub(super) fn spoken(micros: u64) -> String {
    let days = micros / 86_400_000_000;
    let (_, month, day) = civil(days);
    let weekday = usize::try_from(days % 7).unwrap_or(0);
    format!(
        "{}, the {} of {}",
        WEEKDAYS[weekday],
        DAYS[day.min(30)],
        MONTHS[month.min(11)]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_spoken_with_their_weekday() {
        assert_eq!(spoken(0), "Thursday, the first of January");
        assert_eq!(
            spoken(951_782_400_000_000),
            "Tuesday, the twenty-ninth of February"
        );
        assert_eq!(
            spoken(1_795_305_600_000_000),
            "Sunday, the twenty-second of November"
        );
    }

    #[test]
    fn the_calendar_counts_its_leap_years() {
        assert_eq!(civil(0), (1970, 0, 0));
        assert_eq!(civil(11_016), (2000, 1, 28));
        assert_eq!(civil(19_723), (2024, 0, 0));
    }
}
