//! Settings from the environment: `TRUNKLINE__HTTP__LISTEN=127.0.0.1:9000` is `listen` of
//! `[http]`.

use toml::{Table, Value};

use super::problem::{ConfigError, improve};
use super::read;

const PREFIX: &str = "TRUNKLINE__";

/// Lays the variables over the document, in the order of their names. Others are left alone.
pub(super) fn apply(
    document: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let mut ours: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    ours.sort();
    for (variable, text) in ours {
        let keys: Vec<String> = variable[PREFIX.len()..]
            .split("__")
            .map(str::to_lowercase)
            .collect();
        *document = set(document, &keys, &text)
            .map_err(|message| ConfigError::InEnvironment { variable, message })?;
    }
    Ok(())
}

/// The document with the value set. A value is read as TOML where that is what the key wants
/// (`200`, `true`, `["a", "b"]`), and as plain text otherwise.
fn set(document: &Table, keys: &[String], text: &str) -> Result<Table, String> {
    let plain = Value::String(text.to_owned());
    let as_toml = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"));
    let mut refused = None;
    for value in as_toml.into_iter().chain([plain]) {
        let mut changed = document.clone();
        insert(&mut changed, keys, value)?;
        match read(changed.clone()) {
            Ok(_) => return Ok(changed),
            Err(error) => {
                refused.get_or_insert_with(|| improve(error.message()));
            }
        }
    }
    Err(refused.unwrap_or_default())
}

fn insert(table: &mut Table, keys: &[String], value: Value) -> Result<(), String> {
    let Some((key, rest)) = keys.split_first() else {
        return Ok(());
    };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return Ok(());
    }
    let inner = table
        .entry(key.clone())
        .or_insert_with(|| Value::Table(Table::new()));
    match inner {
        Value::Table(inner) => insert(inner, rest, value),
        _ => Err(format!(
            "{key:?} is not a table, so nothing in it can be set"
        )),
    }
}
