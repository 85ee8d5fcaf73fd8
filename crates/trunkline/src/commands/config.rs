//! `trunkline config check | show`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::ConfigCommand;
use crate::config::Loaded;
use crate::workflows;

pub(super) fn run(command: &ConfigCommand, loaded: &Loaded) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let source = match &loaded.file {
        Some(path) => path.display().to_string(),
        None => "no file, the defaults".to_owned(),
    };
    match command {
        ConfigCommand::Check => {
            let config = &loaded.config;
            let workflows = workflows::load(config.workflows.dir.as_deref())?;
            workflows::check_numbers(&config.gateway.numbers, &workflows)?;
            writeln!(
                out,
                "the configuration is right ({source}): {} trunks, {} numbers, {} workflows",
                config.gateway.trunks.len(),
                config.gateway.numbers.len(),
                workflows.len()
            )?;
        }
        ConfigCommand::Show => {
            writeln!(out, "# in force: {source}, and the environment")?;
            write!(out, "{}", toml::to_string_pretty(&loaded.document)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
