//! One name for one thing: no two types of the crate have the same name, except for those listed here.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use super::uses::{attributes, is_test};

/// Names that stand for the same kind of thing in each of their modules: what a dashboard is sent (`…Object`), the options of a
/// source, the query of a route, what the streams of a dashboard share, how a transport resumes, a signal as a frozen migration reads it.
const REPEATED: [&str; 11] = [
    "Alerts",
    "BarObject",
    "HistoryObject",
    "Options",
    "OptionsError",
    "RawQuery",
    "Resumer",
    "Signal",
    "SignalObject",
    "StreamState",
    "Subscriptions",
];

#[derive(Default)]
struct Types(Vec<String>);

impl<'ast> Visit<'ast> for Types {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test(attributes(item)) {
            return;
        }
        match item {
            syn::Item::Enum(item) => self.0.push(item.ident.to_string()),
            syn::Item::Struct(item) => self.0.push(item.ident.to_string()),
            syn::Item::Trait(item) => self.0.push(item.ident.to_string()),
            syn::Item::Type(item) => self.0.push(item.ident.to_string()),
            _ => {}
        }
        visit::visit_item(self, item);
    }
}

/// Collects the sources in a folder, without tests.
pub(super) fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if stem != "tests" {
                sources(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !stem.ends_with("tests") {
            files.push(path);
        }
    }
}

#[test]
fn no_type_name_means_two_things() {
    let mut files = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&src, &mut files);
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let mut types = Types::default();
        types.visit_file(&syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap());
        for name in types.0 {
            places.entry(name).or_default().push(file.strip_prefix(&src).unwrap().display().to_string());
        }
    }
    assert!(places.len() > 500, "only {} types were found", places.len());
    let repeated: Vec<_> = places.iter().filter(|(_, places)| places.len() > 1).collect();
    let unlisted: Vec<_> = repeated.iter().filter(|(name, _)| !REPEATED.contains(&name.as_str())).collect();
    assert!(unlisted.is_empty(), "names of more than one type: {unlisted:#?}");
    for name in REPEATED {
        assert!(repeated.iter().any(|(repeated, _)| *repeated == name), "{name} is used once: take it off the list");
    }
}
