//! Where a key comes from: a file or the environment, never the configuration itself.

use std::path::PathBuf;

use serde::Deserialize;
use trunkline_types::Secret;

use crate::OpenAiError;

/// Names a key without holding it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// A file that holds the key alone.
    pub api_key_file: Option<PathBuf>,
    /// An environment variable that holds it.
    pub api_key_env: Option<String>,
}

impl KeySource {
    /// Whether a key is named; both at once are a mistake.
    pub(crate) fn check(&self) -> Result<(), String> {
        match (&self.api_key_file, &self.api_key_env) {
            (Some(_), Some(_)) => Err("give api_key_file or api_key_env, not both".to_owned()),
            _ => Ok(()),
        }
    }

    /// Reads the key; `None` where none is named.
    ///
    /// # Errors
    /// [`OpenAiError::Key`].
    pub fn read(&self) -> Result<Option<Secret<String>>, OpenAiError> {
        let (place, text) = match (&self.api_key_file, &self.api_key_env) {
            (Some(path), _) => {
                let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
                (path.display().to_string(), text)
            }
            (None, Some(name)) => {
                let text = std::env::var(name).map_err(|_| "it is not set".to_owned());
                (format!("the variable {name}"), text)
            }
            (None, None) => return Ok(None),
        };
        let refused = |reason| OpenAiError::Key {
            place: place.clone(),
            reason,
        };
        let text = text.map_err(refused)?;
        let key = text.trim();
        let is_sendable = !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic());
        match is_sendable {
            true => Ok(Some(Secret::new(key.to_owned()))),
            false => Err(refused("a key is one line of ASCII letters".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_without_its_line_end_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let source = KeySource {
            api_key_file: Some(file.clone()),
            api_key_env: None,
        };
        assert!(source.read().is_err());
        std::fs::write(&file, "sk-sesame\r\n").unwrap();
        let key = source.read().unwrap().unwrap();
        assert_eq!(key.expose(), "sk-sesame");
        assert!(!format!("{key:?}").contains("sesame"));
        for useless in ["", "\n", "two words", "nön"] {
            std::fs::write(&file, useless).unwrap();
            let message = source.read().unwrap_err().to_string();
            assert!(message.contains("one line of ASCII"), "{message}");
        }
        assert_eq!(KeySource::default().read().unwrap(), None);
    }
}
