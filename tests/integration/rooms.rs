//! The rooms of the house use only those that the map in `src/lib.rs` allows.

use std::fs;
use std::path::{Path, PathBuf};

/// Room → rooms that it may use. The same table stands in `src/lib.rs` for readers.
const MAY_USE: [(&str, &[&str]); 17] = [
    ("domain", &[]),
    ("config", &["domain"]),
    ("telemetry", &["config", "domain"]),
    ("tasks", &[]),
    ("door", &["tasks", "telemetry"]),
    ("auth", &["config", "domain"]),
    ("engine", &["domain"]),
    ("store", &["domain", "telemetry"]),
    ("hub", &["domain", "telemetry"]),
    ("pipeline", &["domain", "engine", "hub", "store", "telemetry"]),
    ("recordings", &["domain"]),
    ("sources", &["config", "domain", "pipeline", "recordings", "telemetry"]),
    ("gateways", &["auth", "config", "domain", "door", "hub", "pipeline", "sources", "store", "tasks", "telemetry"]),
    ("http", &["auth", "config", "domain", "door", "gateways", "hub", "pipeline", "sources", "store", "telemetry"]),
    ("alerts", &["config", "domain", "sources", "telemetry"]),
    ("backtest", &["domain", "engine", "recordings"]),
    ("cli", &["auth", "backtest", "config", "domain", "recordings", "sources", "store"]),
];

fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Every `crate::room` in a file, with its line; test modules may use what they need.
fn uses(text: &str) -> Vec<(usize, String)> {
    let lines = text.lines().enumerate().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"));
    let mut found = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let room: String = line[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((number + 1, room));
        }
    }
    found
}

#[test]
fn a_room_uses_only_what_the_map_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (room, allowed) in MAY_USE {
        let mut files = Vec::new();
        let (folder, file) = (src.join(room), src.join(format!("{room}.rs")));
        if folder.is_dir() {
            source_files(&folder, &mut files);
        } else {
            files.push(file);
        }
        for path in
            files.iter().filter(|path| !path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests")))
        {
            for (line, used) in uses(&fs::read_to_string(path).unwrap()) {
                seen += 1;
                if used != room && !allowed.contains(&used.as_str()) {
                    wrong.push(format!("{}:{line} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(seen > 50, "the walk found only {seen} uses: it looks in the wrong place");
    assert!(wrong.is_empty(), "not allowed by the map in src/lib.rs:\n{}", wrong.join("\n"));
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn only_push_and_states_of_the_sources_are_used_outside() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for room in ["gateways", "http"] {
        let mut files = Vec::new();
        source_files(&src.join(room), &mut files);
        for path in files.iter().filter(|path| !is_test(path.strip_prefix(&src).unwrap())) {
            let text = fs::read_to_string(path).unwrap();
            for what in
                ["sources::demo", "sources::simulator", "sources::replay", "store::Store,", "pipeline::Pipeline"]
            {
                assert!(!text.contains(what), "{} uses {what}", path.display());
            }
        }
    }
}
