//! Logs: text for people, JSON for machines, both on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::util::TryInitError;

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people; with colours on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("{filter:?} is not a log filter such as \"info,trunkline_gateway=debug\": {source}")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong.
        source: ParseError,
    },
    /// Logging was set up before in this process.
    #[error("logging is already set up: {0}")]
    Twice(#[from] TryInitError),
}

fn filter(text: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder()
        .parse(text)
        .map_err(|source| LogError::Filter {
            filter: text.to_owned(),
            source,
        })
}

/// Says whether a filter such as `info,trunkline_gateway=debug` can be read.
///
/// # Errors
/// [`LogError::Filter`].
pub fn check_filter(text: &str) -> Result<(), LogError> {
    filter(text).map(drop)
}

/// Sets up logging for the process, on standard error: standard output belongs to what a command
/// prints.
///
/// # Errors
/// [`LogError::Filter`], or [`LogError::Twice`].
pub fn init_logs(filter_text: &str, format: LogFormat) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(filter_text)?)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .finish()
            .try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_quoted() {
        let error = check_filter("trunkline=loud").unwrap_err();
        assert!(error.to_string().contains("trunkline=loud"), "{error}");
        assert!(check_filter("info,trunkline_gateway=debug").is_ok());
    }
}
