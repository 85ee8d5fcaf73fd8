//! The house rules that no other tool checks: the order of the layers, the size of files, a
//! word at the top of each module, where `unsafe` and clocks may be, what must not be committed.

mod layers;
mod lexer;
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::process;
use crate::tree::Tree;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The file or package.
    place: String,
    /// The line, from 1; 0 when it concerns the whole.
    line: usize,
    /// What is wrong and what to do.
    text: String,
}

impl Problem {
    fn of(place: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            place: place.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// `cargo xtask tidy`
pub(crate) fn run(tree: &Tree) -> Result<ExitCode> {
    let problems = problems(tree)?;
    print(&problems);
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Prints them, or that there are none.
pub(crate) fn print(problems: &[Problem]) {
    for problem in problems {
        println!("{problem}");
    }
    match problems.len() {
        0 => println!("tidy"),
        count => println!("{count} to put right"),
    }
}

/// Everything that is wrong in the repository, in the order of places.
pub(crate) fn problems(tree: &Tree) -> Result<Vec<Problem>> {
    let metadata = process::capture(&mut tree.cargo([
        "metadata",
        "--format-version",
        "1",
        "--no-deps",
        "--offline",
    ]))?;
    let metadata = serde_json::from_str(&metadata).context("cargo metadata")?;
    let packages = layers::packages(&metadata)?;
    let mut problems = layers::problems(&packages);
    let mut rust_lengths = Vec::new();
    for path in committed_or_about_to_be(tree)? {
        let Ok(text) = std::fs::read_to_string(tree.root().join(&path)) else {
            // Not text, or deleted but not yet committed.
            continue;
        };
        if path.ends_with(".rs") {
            rust_lengths.push(text.lines().count());
        }
        problems.extend(source::problems(&path, &text));
    }
    problems.extend(source::length_problems(rust_lengths));
    problems.sort();
    Ok(problems)
}

/// The files that git tracks, and the new ones that it does not ignore.
fn committed_or_about_to_be(tree: &Tree) -> Result<BTreeSet<String>> {
    let list = process::capture(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(tree.root()),
    )?;
    Ok(list
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect())
}
