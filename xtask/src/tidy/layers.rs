//! The order of the layers: a crate may use its own layer and lower ones; the services of layer
//! 3 meet only through lower layers. The table here is the one place where a crate's layer is
//! written down.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Problem;

/// Every package of the workspace and its layer.
const LAYERS: &[(&str, u8)] = &[
    ("trunkline-types", 0),
    ("trunkline-audio", 0),
    ("trunkline-rtp", 0),
    ("trunkline-turn", 0),
    ("trunkline-workflow", 0),
    ("trunkline-inference", 1),
    ("trunkline-leg", 1),
    ("trunkline-scheduler", 1),
    ("trunkline-kernels", 1),
    ("trunkline-nn", 1),
    ("trunkline-engine", 1),
    ("trunkline-openai", 2),
    ("trunkline-media", 2),
    ("trunkline-store", 2),
    ("trunkline-telemetry", 2),
    ("trunkline-gateway", 3),
    ("trunkline-agent", 3),
    ("trunkline", 4),
    ("trunkline-engine-cuda", 4),
    ("trunkline-caller", 4),
    ("trunkline-tests", 4),
    ("trunkline-benches", 4),
    ("xtask", 4),
];

/// Crates whose members do not know each other.
const SERVICES: u8 = 3;

/// What would bring a clock, randomness or I/O into layer 0.
const IMPURE: &[&str] = &[
    "fastrand",
    "getrandom",
    "mio",
    "rand",
    "socket2",
    "sqlx",
    "tokio",
    "tracing",
];

/// A package and what it depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    name: String,
    /// Names, and whether they are for tests only.
    dependencies: Vec<(String, bool)>,
}

/// Reads `cargo metadata --no-deps`.
pub(super) fn packages(metadata: &Value) -> Result<Vec<Package>> {
    let list = metadata["packages"]
        .as_array()
        .context("cargo metadata holds no packages")?;
    list.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package> {
    let name = value["name"].as_str().context("a package has no name")?;
    let dependencies = value["dependencies"]
        .as_array()
        .with_context(|| format!("{name} has no list of dependencies"))?;
    Ok(Package {
        name: name.to_owned(),
        dependencies: dependencies
            .iter()
            .filter_map(|dependency| {
                let name = dependency["name"].as_str()?.to_owned();
                Some((name, dependency["kind"] == "dev"))
            })
            .collect(),
    })
}

/// What breaks the order.
pub(super) fn problems(packages: &[Package]) -> Vec<Problem> {
    packages.iter().flat_map(problems_of).collect()
}

fn problems_of(package: &Package) -> Vec<Problem> {
    let name = package.name.as_str();
    let Some(layer) = layer(name) else {
        return vec![Problem::of(
            name,
            0,
            "has no layer: add it to the table in xtask/src/tidy/layers.rs",
        )];
    };
    let mut problems = Vec::new();
    for (dependency, for_tests) in &package.dependencies {
        if layer == 0 && !for_tests && IMPURE.contains(&dependency.as_str()) {
            problems.push(Problem::of(
                name,
                0,
                format!("is pure (layer 0) and may not depend on {dependency}: take time, randomness and input as arguments"),
            ));
        }
        let Some(below) = self::layer(dependency) else {
            continue;
        };
        if below > layer {
            problems.push(Problem::of(
                name,
                0,
                format!("stands in layer {layer} and may not know {dependency} in layer {below}"),
            ));
        } else if layer == SERVICES && below == SERVICES {
            problems.push(Problem::of(
                name,
                0,
                format!("is a service and may not know the service {dependency}: share a type in a lower layer"),
            ));
        }
    }
    problems
}

/// The layer of a package of ours.
pub(super) fn layer(package: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == package)
        .map(|(_, layer)| *layer)
}

/// The layer of the package that a file belongs to.
pub(super) fn layer_of_file(path: &str) -> Option<u8> {
    let (folder, _) = path.strip_prefix("crates/")?.split_once('/')?;
    layer(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        Package {
            name: name.to_owned(),
            dependencies: dependencies
                .iter()
                .map(|(name, for_tests)| ((*name).to_owned(), *for_tests))
                .collect(),
        }
    }

    #[test]
    fn downwards_and_sideways_is_fine() {
        let packages = [
            package(
                "trunkline-rtp",
                &[("trunkline-audio", false), ("proptest", true)],
            ),
            package(
                "trunkline-agent",
                &[("trunkline-leg", false), ("tokio", false)],
            ),
            package(
                "trunkline",
                &[("trunkline-agent", false), ("trunkline-gateway", false)],
            ),
        ];
        assert_eq!(problems(&packages), []);
    }

    #[test]
    fn upwards_is_refused_even_for_tests() {
        let found = problems(&[package("trunkline-leg", &[("trunkline-media", true)])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("trunkline-media in layer 2"));
    }

    #[test]
    fn services_do_not_know_each_other() {
        let found = problems(&[package("trunkline-agent", &[("trunkline-gateway", false)])]);
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("is a service"));
    }

    #[test]
    fn layer_0_may_use_a_runtime_in_tests_only() {
        assert_eq!(
            problems(&[package("trunkline-turn", &[("tokio", true)])]),
            []
        );
        assert_eq!(
            problems(&[package("trunkline-turn", &[("tokio", false)])]).len(),
            1
        );
    }

    #[test]
    fn a_new_crate_must_choose_a_layer() {
        let found = problems(&[package("trunkline-oracle", &[])]);
        assert!(found[0].text.contains("has no layer"));
    }

    #[test]
    fn metadata_is_read_with_the_kind_of_each_dependency() {
        let metadata = serde_json::json!({"packages": [{
            "name": "trunkline-turn",
            "dependencies": [{"name": "serde", "kind": null}, {"name": "tokio", "kind": "dev"}],
        }]});
        assert_eq!(
            packages(&metadata).unwrap(),
            [package(
                "trunkline-turn",
                &[("serde", false), ("tokio", true)]
            )]
        );
    }
}
