//! What is wrong with a configuration, said so that it can be mended.

use std::io;
use std::path::{Path, PathBuf};

/// Keys that would hold a secret in plain text.
const SECRET_KEYS: [&str; 6] = ["password", "secret", "token", "api_key", "pass", "passwd"];

/// Why there is no configuration. Never shows a value that might be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in the file.
    #[error("{path}:{line}:{column}: {message}", path = path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What.
        message: String,
    },
    /// An environment variable.
    #[error("the environment variable {variable}: {message}")]
    InEnvironment {
        /// Its name.
        variable: String,
        /// What.
        message: String,
    },
    /// The values do not go together.
    #[error("{place}: {message}")]
    Value {
        /// The file.
        place: String,
        /// What, beginning with the key.
        message: String,
    },
}

/// Puts a reader's error at its place in the file.
pub(super) fn in_file(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    ConfigError::InFile {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: improve(error.message()),
    }
}

/// A reader's message in words that help: an unknown key names the nearest known one, and a
/// secret in plain text is told where to go.
pub(super) fn improve(message: &str) -> String {
    let first_line = message.lines().next().unwrap_or_default();
    let names: Vec<&str> = first_line.split('`').skip(1).step_by(2).collect();
    let Some((given, known)) = names.split_first() else {
        return first_line.to_owned();
    };
    if first_line.starts_with("unknown field") {
        if SECRET_KEYS.contains(given) {
            let key = match *given {
                "api_key" => "api_key",
                _ => "password",
            };
            return format!(
                "{given:?} would stand here in plain text: put it into a file that only this \
                 service can read and write {key}_file = \"/path/of/the/file\", or name an \
                 environment variable by {key}_env = \"NAME\""
            );
        }
        return unknown_key(given, known);
    }
    if first_line.starts_with("unknown variant") {
        return format!("{given:?} is not one of {}", known.join(", "));
    }
    if first_line.starts_with("missing field") {
        return format!("the key {given:?} is missing");
    }
    first_line.to_owned()
}

/// The message about a key that does not exist.
pub(super) fn unknown_key(given: &str, known: &[&str]) -> String {
    // Of equally near keys `max_by` takes the last; in reverse, the one documented first.
    let nearest = known
        .iter()
        .rev()
        .map(|key| (strsim::normalized_damerau_levenshtein(key, given), *key))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, key)) if likeness >= 0.4 => {
            format!("unknown key {given:?}; did you mean {key:?}?")
        }
        _ => format!(
            "unknown key {given:?}; the keys here are {}",
            known.join(", ")
        ),
    }
}
