//! What every bench shares: the figures, printed as a table and written as JSON.
//!
//! Each bench is a program `bench-<name>` of this crate that writes `target/bench/<name>.json`
//! under the root of the repository. Figures are compared between runs by whoever reads the
//! files, not here.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Serialize;

/// Which way a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// One measured number and what was promised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// In snake case, with its unit at the end where it has one.
    pub name: &'static str,
    /// As measured.
    pub value: f64,
    /// For people: `ms`, `legs`, `tok/s`.
    pub unit: &'static str,
    /// What we want; `None` for a figure that is only told.
    pub goal: Option<f64>,
    /// Which way it improves.
    pub better: Better,
}

impl Figure {
    /// Whether the goal is reached; a figure without one always is.
    pub fn holds(&self) -> bool {
        self.goal.is_none_or(|goal| match self.better {
            Better::Higher => self.value >= goal,
            Better::Lower => self.value <= goal,
        })
    }
}

/// The figures of one bench.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    bench: &'static str,
    commit: String,
    machine: String,
    figures: Vec<Figure>,
}

impl Report {
    /// An empty report of the bench `bench`, on this commit and machine.
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            commit: commit(),
            machine: machine(),
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn add(
        &mut self,
        name: &'static str,
        value: f64,
        unit: &'static str,
        goal: impl Into<Option<f64>>,
        better: Better,
    ) {
        self.figures.push(Figure {
            name,
            value,
            unit,
            goal: goal.into(),
            better,
        });
    }

    /// The figures so far, in the order that they were added.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut table = format!(
            "{} on {} ({})\n{:<28} {:>12} {:<6} {:>12}\n",
            self.bench, self.machine, self.commit, "figure", "value", "unit", "goal"
        );
        for figure in &self.figures {
            let goal = figure.goal.map_or(String::new(), |goal| {
                let sign = match figure.better {
                    Better::Higher => '≥',
                    Better::Lower => '≤',
                };
                format!("{sign} {goal}")
            });
            let verdict = match (figure.goal, figure.holds()) {
                (None, _) => "",
                (Some(_), true) => "  holds",
                (Some(_), false) => "  missed",
            };
            table.push_str(&format!(
                "{:<28} {:>12.3} {:<6} {goal:>12}{verdict}\n",
                figure.name, figure.value, figure.unit
            ));
        }
        table
    }

    /// Prints the table and writes the file. Returns where it lies.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self) -> anyhow::Result<PathBuf> {
        print!("{}", self.table());
        let folder = repository_root().join("target/bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join(format!("{}.json", self.bench));
        let json = serde_json::to_string_pretty(self)?;
        fs::write(&file, json + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// The folder that the workspace lies in: `cargo xtask bench` starts every bench there.
pub fn repository_root() -> &'static Path {
    Path::new(".")
}

/// Starts a bench that computes again, with the variables that such a process needs, unless it
/// has them.
///
/// # Errors
/// When the program cannot be started again.
pub fn with_environment() -> anyhow::Result<()> {
    if trunkline_nn::environment_is_set() {
        return Ok(());
    }
    let environment = trunkline_nn::ENVIRONMENT.iter().copied();
    let failed = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .envs(environment)
        .exec();
    Err(failed).context("the bench cannot start itself with the variables it needs")
}

/// What `cargo xtask bench` says, so that a program without git at hand knows it too.
fn commit() -> String {
    if let Ok(told) = std::env::var("TRUNKLINE_COMMIT") {
        return told;
    }
    let told = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .current_dir(repository_root())
        .output();
    match told {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

fn machine() -> String {
    // Not what this process may use: a bench may be pinned to one core.
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |name: &str| -> Vec<String> {
        processors
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
            .collect()
    };
    let model = named("model name").into_iter().next();
    let model = model.unwrap_or_else(|| "unknown processor".to_owned());
    format!("{model}, {} cores", named("processor").len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_shape_that_all_benches_share() {
        let mut report = Report::new("example");
        report.add("legs", 5.0, "legs", 4.0, Better::Higher);
        report.add("error_ms", 2.0, "ms", 1.0, Better::Lower);
        report.add("note", 1.0, "", None, Better::Lower);
        let holds: Vec<bool> = report.figures().iter().map(Figure::holds).collect();
        assert_eq!(holds, [true, false, true]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["bench"], "example");
        assert_eq!(json["figures"][1]["better"], "lower");
        assert_eq!(json["figures"][2]["goal"], serde_json::Value::Null);
        assert!(json["commit"].is_string() && json["machine"].is_string());
        assert!(report.table().contains("missed"));
    }
}
