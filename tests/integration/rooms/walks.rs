//! The walks in `docs/architecture.md` go through functions that exist.

use std::path::Path;

/// Returns what the page names: a file below `src/`, and a function or type in it.
fn hops(page: &str) -> Vec<(&str, &str)> {
    let code = page.split('`').skip(1).step_by(2);
    code.filter_map(|code| code.split_once(".rs: ")).collect()
}

#[test]
fn every_hop_of_the_walks_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let hops = hops(&page);
    assert!(hops.len() > 15, "{hops:?}");
    for (file, name) in hops {
        let path = root.join("src").join(file).with_extension("rs");
        let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = name.rsplit("::").next().unwrap();
        let is_there = ["fn ", "struct ", "trait "].iter().any(|kind| {
            source.match_indices(&format!("{kind}{name}")).any(|(at, found)| {
                !source[at + found.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
            })
        });
        assert!(is_there, "{file}.rs has no {name}");
    }
}

#[test]
fn hops_are_read_from_code() {
    let page = "1. `http/ingest.rs: signal` checks → `engine/mod.rs: process`, and `Hub::with_snapshot` in `tasks.rs`.";
    assert_eq!(hops(page), [("http/ingest", "signal"), ("engine/mod", "process")]);
}
