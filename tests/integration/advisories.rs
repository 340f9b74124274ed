//! No dependency is one of those with an advisory that matters here.

use std::fs;
use std::path::Path;

use semver::{Version, VersionReq};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: Version,
}

#[derive(Debug, Deserialize)]
struct Advisories {
    advisory: Vec<Advisory>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    id: String,
    #[serde(rename = "crate")]
    name: String,
    patched: Vec<VersionReq>,
    why: String,
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn advisories() -> Vec<Advisory> {
    toml::from_str::<Advisories>(&file("tests/advisories.toml")).unwrap().advisory
}

/// Every package of a lock file that an advisory holds for.
fn affected(lock: &str) -> Vec<String> {
    let packages = toml::from_str::<Lock>(lock).unwrap().package;
    let advisories = advisories();
    let mut affected = Vec::new();
    for package in &packages {
        for Advisory { id, patched, why, .. } in advisories.iter().filter(|advisory| advisory.name == package.name) {
            if !patched.iter().any(|requirement| requirement.matches(&package.version)) {
                affected.push(format!("{} {}: {id}: {why}", package.name, package.version));
            }
        }
    }
    affected
}

#[test]
fn no_dependency_has_an_advisory_that_matters() {
    assert_eq!(affected(&file("Cargo.lock")), Vec::<String>::new());
}

#[test]
fn an_affected_version_is_noticed() {
    for (name, version, count) in [
        ("socketioxide", "0.18.8", 3),
        ("socketioxide", "0.18.9", 0),
        ("tungstenite", "0.20.0", 1),
        ("h2", "0.4.3", 2),
        ("h2", "0.4.15", 1),
        ("h2", "0.4.16", 0),
        ("rustls", "0.23.17", 2),
        ("serde", "1.0.0", 0),
    ] {
        let lock = format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
        assert_eq!(affected(&lock).len(), count, "{name} {version}");
    }
}

#[test]
fn every_advisory_is_described_for_a_known_crate() {
    let lock = toml::from_str::<Lock>(&file("Cargo.lock")).unwrap();
    let advisories = advisories();
    for Advisory { id, name, patched, why } in &advisories {
        assert!(!id.is_empty() && why.len() > 20 && !patched.is_empty(), "{id}");
        // h2 comes back with the first client that speaks HTTP/2.
        let is_known = name == "h2" || lock.package.iter().any(|package| package.name == *name);
        assert!(is_known, "{name} is not a dependency any more: remove {id}");
    }
}
