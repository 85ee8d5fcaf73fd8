//! The configuration: one TOML file, the environment over it, and the defaults below it.
//!
//! The defaults are the commented file `trunkline.default.toml`, which is compiled in. A file is
//! first read on its own, so that whatever is wrong in it is named by line and column; then it is
//! laid over the defaults, and the environment over both. Nothing here opens what it configures.

mod environment;
mod problem;
mod shape;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use toml::{Table, Value};

pub(crate) use problem::ConfigError;
pub(crate) use shape::Config;

use shape::Document;

/// The commented reference of all settings.
pub(crate) const DEFAULTS: &str = include_str!("../../trunkline.default.toml");

/// The file that is read when none is given.
const USUAL_FILE: &str = "trunkline.toml";

/// A configuration and how it came about.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The settings, checked.
    pub(crate) config: Config,
    /// The same as a document, for `config show`.
    pub(crate) document: Table,
    /// The file; `None` when there was none.
    pub(crate) file: Option<PathBuf>,
}

/// Reads the configuration: `file`, or `./trunkline.toml` where it exists, or the defaults alone.
pub(crate) fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let usual = Path::new(USUAL_FILE);
    let file = match file {
        Some(given) => Some(given),
        None => usual.exists().then_some(usual),
    };
    let mut document = parse(Path::new("trunkline.default.toml"), DEFAULTS)?.1;
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        lay_over(&mut document, parse(path, &text)?.1);
    }
    environment::apply(&mut document, variables)?;
    let whole: Document = read(document.clone()).map_err(|error| ConfigError::Value {
        place: place(file),
        message: problem::improve(error.message()),
    })?;
    let config = Config::from(whole);
    config.check().map_err(|reason| ConfigError::Value {
        place: place(file),
        message: reason,
    })?;
    Ok(Loaded {
        config,
        document,
        file: file.map(Path::to_owned),
    })
}

fn place(file: Option<&Path>) -> String {
    file.map_or_else(
        || "the configuration".to_owned(),
        |path| path.display().to_string(),
    )
}

/// Reads one file on its own, for what is wrong with it, and as a table.
fn parse(path: &Path, text: &str) -> Result<(Document, Table), ConfigError> {
    let wrong = |error: toml::de::Error| problem::in_file(path, text, &error);
    let document: Document = toml::from_str(text).map_err(wrong)?;
    let table: Table = toml::from_str(text).map_err(wrong)?;
    Ok((document, table))
}

fn read(document: Table) -> Result<Document, toml::de::Error> {
    Value::Table(document).try_into()
}

/// Tables are laid over each other key by key; anything else is replaced.
fn lay_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}
