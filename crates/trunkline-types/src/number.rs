//! The user part of what was dialled.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A dialled number or name as it stands in the user part of a SIP URI: `+442079460000`,
/// `4000`, `demo`. Visual separators of numbers (RFC 3966: `-`, `.`, `(`, `)`) are dropped,
/// so equal numbers compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DialledNumber(String);

/// The text cannot stand in the user part of a SIP URI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be dialled: expected 1 to 64 letters, digits or any of + * # _ - . such as +442079460000 or demo"
)]
pub struct InvalidNumber(String);

impl DialledNumber {
    /// The number as compared and stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DialledNumber {
    type Err = InvalidNumber;

    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        let is_number = text
            .chars()
            .all(|c| c.is_ascii_digit() || "+*#-.() ".contains(c));
        let cleaned: String = if is_number {
            text.chars().filter(|c| !"-.() ".contains(*c)).collect()
        } else {
            text.to_owned()
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "+*#_-.".contains(c);
        if cleaned.is_empty() || cleaned.len() > 64 || !cleaned.chars().all(allowed) {
            return Err(InvalidNumber(text.to_owned()));
        }
        Ok(Self(cleaned))
    }
}

impl TryFrom<String> for DialledNumber {
    type Error = InvalidNumber;

    fn try_from(text: String) -> Result<Self, InvalidNumber> {
        text.parse()
    }
}

impl From<DialledNumber> for String {
    fn from(number: DialledNumber) -> String {
        number.0
    }
}

impl fmt::Display for DialledNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_of_a_number_do_not_matter() {
        let dialled: DialledNumber = "+44 (20) 7946-0000".parse().unwrap();
        assert_eq!(dialled.as_str(), "+442079460000");
    }

    #[test]
    fn names_keep_their_dots() {
        let dialled: DialledNumber = "front.desk".parse().unwrap();
        assert_eq!(dialled.as_str(), "front.desk");
    }

    #[test]
    fn what_cannot_stand_in_a_uri_is_refused() {
        for bad in ["", "a b", "x@y", "<script>"] {
            assert!(bad.parse::<DialledNumber>().is_err(), "{bad}");
        }
    }
}
