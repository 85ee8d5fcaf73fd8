//! Where things are: the repository, the build products, the caches, the reports. Cargo is
//! only ever called through here, so that every build shares one target folder and one profile.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// The folders that the commands work in.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    root: PathBuf,
    cache: PathBuf,
    products: PathBuf,
}

impl Tree {
    /// The repository that cargo runs this program for. Two clones may share a target folder, so
    /// the folder that it was built in may be another one, or gone.
    pub(crate) fn here() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .context("xtask is started by `cargo xtask`, which says where the repository lies")?;
        let root = manifest
            .parent()
            .context("xtask stands in a folder of the repository")?
            .to_owned();
        let cache = cache_folder(std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME"))?;
        let products = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(folder) if !folder.is_empty() => root.join(folder),
            _ => cache.join("target"),
        };
        Ok(Self {
            root,
            cache,
            products,
        })
    }

    /// The repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What may be kept between checkouts: build products, tools.
    pub(crate) fn cache(&self) -> &Path {
        &self.cache
    }

    /// Where cargo builds.
    pub(crate) fn products(&self) -> &Path {
        &self.products
    }

    /// A folder for reports, made if it is missing.
    pub(crate) fn reports(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join("target").join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(folder)
    }

    /// A built program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.products.join("release").join(name)
    }

    /// Cargo, in the repository, with the shared target folder.
    pub(crate) fn cargo<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<std::ffi::OsStr>,
    {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        for (name, _) in std::env::vars_os() {
            if is_about_xtask(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.products);
        // What cargo tells us of our own package would make build scripts that watch these
        // variables run again.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The names of the binaries of the packages of a workspace.
    pub(crate) fn binaries(&self, manifest: &Path) -> Result<Vec<String>> {
        let text = process::capture(
            self.cargo([
                "metadata",
                "--format-version",
                "1",
                "--no-deps",
                "--manifest-path",
            ])
            .arg(manifest),
        )?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata")?;
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let mut names: Vec<String> = packages
            .flat_map(|each| each["targets"].as_array().into_iter().flatten())
            .filter(|target| target["kind"][0] == "bin")
            .filter_map(|target| target["name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The commit that is checked out, with `-dirty` when files differ from it.
    pub(crate) fn commit(&self) -> String {
        let output = Command::new("git")
            .args([
                "describe",
                "--always",
                "--dirty",
                "--abbrev=12",
                "--exclude=*",
            ])
            .current_dir(&self.root)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            }
            _ => "unknown".to_owned(),
        }
    }
}

/// Cargo tells a program that it runs which package it belongs to. Handed on to another cargo,
/// that rebuilds every crate whose build script looks at the same variables (ring does).
fn is_about_xtask(variable: &str) -> bool {
    variable.starts_with("CARGO_PKG_")
        || [
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "LD_LIBRARY_PATH",
        ]
        .contains(&variable)
}

fn cache_folder(xdg: Option<OsString>, home: Option<OsString>) -> Result<PathBuf> {
    // XDG Base Directory: a relative value is to be ignored.
    let base = xdg
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute())
        .or_else(|| home.map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for caches")?;
    Ok(base.join("trunkline"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_for_cargo_are_handed_on_and_facts_about_us_are_not() {
        assert!(is_about_xtask("CARGO_PKG_NAME"));
        assert!(is_about_xtask("CARGO_MANIFEST_DIR"));
        assert!(!is_about_xtask("CARGO_HOME"));
        assert!(!is_about_xtask("CARGO_NET_OFFLINE"));
    }

    #[test]
    fn the_cache_follows_xdg_and_ignores_a_relative_value() {
        let home = Some(OsString::from("/home/ada"));
        let folder = cache_folder(Some("/var/cache/ada".into()), home.clone()).unwrap();
        assert_eq!(folder, Path::new("/var/cache/ada/trunkline"));
        let folder = cache_folder(Some("cache".into()), home).unwrap();
        assert_eq!(folder, Path::new("/home/ada/.cache/trunkline"));
        assert!(cache_folder(None, None).is_err());
    }
}
