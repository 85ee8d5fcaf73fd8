//! DTMF digits (ITU-T Q.23), with the event codes of RFC 4733.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One key of a telephone pad: `0-9`, `*`, `#`, `A-D`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Digit(u8);

/// The character is not on a telephone pad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a telephone key: expected 0-9, *, # or A-D")]
pub struct InvalidDigit(pub char);

impl Digit {
    const KEYS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
    ];

    /// The digit of an RFC 4733 event code; only codes 0 to 15 are DTMF.
    pub fn from_event(code: u8) -> Option<Self> {
        (code < 16).then_some(Self(code))
    }

    /// The RFC 4733 event code, 0 to 15.
    pub fn event(self) -> u8 {
        self.0
    }

    /// The key as printed on the pad.
    pub fn as_char(self) -> char {
        Self::KEYS[usize::from(self.0)]
    }
}

impl TryFrom<char> for Digit {
    type Error = InvalidDigit;

    fn try_from(key: char) -> Result<Self, InvalidDigit> {
        let upper = key.to_ascii_uppercase();
        Self::KEYS
            .iter()
            .position(|known| *known == upper)
            .and_then(|code| u8::try_from(code).ok())
            .map(Self)
            .ok_or(InvalidDigit(key))
    }
}

impl From<Digit> for char {
    fn from(digit: Digit) -> char {
        digit.as_char()
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_code_round_trips_through_its_key() {
        for code in 0..16 {
            let digit = Digit::from_event(code).unwrap();
            assert_eq!(Digit::try_from(digit.as_char()), Ok(digit));
            assert_eq!(digit.event(), code);
        }
        assert_eq!(Digit::from_event(16), None);
    }

    #[test]
    fn a_letter_off_the_pad_is_refused_by_name() {
        let error = Digit::try_from('x').unwrap_err();
        assert!(error.to_string().contains("'x'"));
    }
}
