//! `trunkline models list | pull | import | verify | reload | remove`.

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use trunkline_engine::{
    InstalledModel, ModelState, ModelStatus, ModelStore, Progress, Step, Trust,
};

use crate::cli::ModelsCommand;
use crate::client::Server;
use crate::config::Config;
use crate::http::ReloadModel;
use crate::terminal::{Paint, Style};

pub(super) fn run(command: ModelsCommand, config: &Config) -> Result<ExitCode> {
    let mut store = ModelStore::open(&config.node.models_dir(), config.models.open_catalog()?)?;
    let mut out = std::io::stdout().lock();
    match command {
        ModelsCommand::List => list(&store, config, &mut out)?,
        ModelsCommand::Pull { names } => {
            for name in names {
                let mut bars = Bars::new();
                let model = store.pull(&name, &mut |progress| bars.show(progress))?;
                bars.clear();
                installed(&model, &mut out)?;
            }
        }
        ModelsCommand::Import { bundle } => {
            let mut bars = Bars::new();
            let model = store.import(&bundle, &mut |progress| bars.show(progress))?;
            bars.clear();
            installed(&model, &mut out)?;
        }
        ModelsCommand::Verify { names } => verify(&store, names, &mut out)?,
        ModelsCommand::Reload { name, with, url } => {
            let server = Server::new(url.as_deref(), config);
            let done = server.reload_model(&name, &ReloadModel { model: with })?;
            writeln!(
                out,
                "{} serves as {}; ready after {} ms",
                done.model, done.name, done.took_ms
            )?;
        }
        ModelsCommand::Remove { name } => {
            let said = if store.remove(&name)? {
                "is removed"
            } else {
                "was not installed"
            };
            writeln!(out, "the model {name} {said}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(store: &ModelStore, config: &Config, out: &mut impl Write) -> Result<()> {
    let paint = Paint::for_stdout();
    let used: Vec<&str> = config.models.names().collect();
    for ModelStatus { manifest, state } in store.list() {
        let (words, style) = match &state {
            ModelState::Absent => ("not installed".to_owned(), Style::Dim),
            ModelState::Installed { bytes } => (format!("{} MB", bytes / 1_000_000), Style::Good),
            ModelState::Damaged { file } => (format!("damaged: {file}"), Style::Bad),
            ModelState::Program { found: true } => ("program found".to_owned(), Style::Good),
            ModelState::Program { found: false } => ("program missing".to_owned(), Style::Bad),
        };
        let mark = if used.contains(&manifest.name.as_str()) {
            "*"
        } else {
            " "
        };
        writeln!(
            out,
            "{mark} {:<26} {:<18} {:<22} {}",
            manifest.name,
            manifest.task.in_words(),
            manifest.licence,
            paint.paint(style, &words)
        )?;
    }
    writeln!(
        out,
        "* in use by the configuration; folder {}",
        store.folder().display()
    )?;
    Ok(())
}

fn verify(store: &ModelStore, names: Vec<String>, out: &mut impl Write) -> Result<()> {
    let names = if names.is_empty() {
        let here = |status: &ModelStatus| !matches!(status.state, ModelState::Absent);
        let all = store.list().into_iter().filter(here);
        all.map(|status| status.manifest.name).collect()
    } else {
        names
    };
    for name in names {
        let mut bars = Bars::new();
        store.verify(&name, &mut |progress| bars.show(progress))?;
        bars.clear();
        writeln!(out, "the model {name} is as it should be")?;
    }
    Ok(())
}

fn installed(model: &InstalledModel, out: &mut impl Write) -> Result<()> {
    let name = &model.manifest.name;
    if !model.changed {
        writeln!(out, "the model {name} is there already")?;
        return Ok(());
    }
    writeln!(
        out,
        "the model {name} is installed in {}",
        model.folder.display()
    )?;
    let on_first_use = model
        .files
        .iter()
        .filter(|file| file.pin.trust == Trust::FirstUse);
    for file in on_first_use {
        writeln!(
            out,
            "  {}: its checksum was not known before and is pinned now: sha256 {}",
            file.path, file.pin.sha256
        )?;
    }
    Ok(())
}

/// One bar for each file and step; none where standard error is no terminal.
struct Bars {
    all: MultiProgress,
    bars: HashMap<(Step, String), ProgressBar>,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::new(),
            bars: HashMap::new(),
        }
    }

    fn show(&mut self, progress: Progress<'_>) {
        let key = (progress.step, progress.file.to_owned());
        let all = &self.all;
        let bar = self
            .bars
            .entry(key)
            .or_insert_with(|| all.add(new_bar(&progress)));
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.done);
        if progress.total == Some(progress.done) {
            bar.finish();
        }
    }

    /// Takes the bars off the screen: what matters is said in words.
    fn clear(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.all.clear();
    }
}

fn new_bar(progress: &Progress<'_>) -> ProgressBar {
    let doing = match progress.step {
        Step::Fetch => "fetching ",
        Step::Unpack => "unpacking",
        Step::Check => "checking ",
    };
    let bar = match progress.total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    let template = "{prefix} {msg:30} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(doing);
    bar.set_message(progress.file.to_owned());
    bar
}
