//! A dashboard is named only in its folder, and in the one list in `app`.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use super::names::sources;
use super::uses::{attributes, is_test};

/// The dashboard that has the product's name. It is the product where it goes on like this.
const PRODUCT: (&str, [char; 3]) = ("orion", ['-', '_', '.']);

/// Files and folders that may name a dashboard.
const ALLOWED: [(&str, &str); 13] = [
    ("dashboards/", "their own room"),
    ("app/dashboards.rs", "the list"),
    ("cluster/mod.rs", "the stream of the cluster has the product's name"),
    ("config/mod.rs", "the groups of settings have the names that operators write"),
    ("config/settings.rs", "the same"),
    ("config/names.rs", "the same"),
    ("config/validate.rs", "the same"),
    ("config/reload.rs", "the same"),
    ("config/notify.rs", "Telegram calls its programs bots"),
    ("notify/telegram.rs", "the same"),
    ("notify/line.rs", "a path of LINE's interface"),
    ("sources/demo/", "the demo desk stands in for those who publish for the dashboards"),
    ("telemetry/metrics.rs", "the help texts of two metrics, and the prefix of all"),
];

/// The lines of the items that are compiled for tests only.
#[derive(Default)]
struct TestLines(Vec<RangeInclusive<usize>>);

impl<'ast> Visit<'ast> for TestLines {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if let Some(first) = attributes(item).first().filter(|_| is_test(attributes(item))) {
            let start = first.pound_token.span.start().line;
            let end = match item {
                syn::Item::Mod(item) => item.content.as_ref().map(|(brace, _)| brace.span.close()),
                syn::Item::Fn(item) => Some(item.block.brace_token.span.close()),
                syn::Item::Use(item) => Some(item.semi_token.span),
                _ => None,
            };
            return self.0.push(start..=end.map_or(start, |end| end.end().line));
        }
        visit::visit_item(self, item);
    }
}

/// Returns the words of a line, in lower case, each with the character after it: identifiers are split at underscores
/// and at capitals.
fn words(line: &str) -> Vec<(String, Option<char>)> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut before = ' ';
    for next in line.chars().map(Some).chain([None]) {
        let goes_on =
            next.is_some_and(|next| next.is_alphanumeric() && !(next.is_uppercase() && before.is_lowercase()));
        if !goes_on && !word.is_empty() {
            words.push((std::mem::take(&mut word).to_lowercase(), next));
        }
        word.extend(next.filter(|next| next.is_alphanumeric()));
        before = next.unwrap_or(' ');
    }
    words
}

/// Returns the names of the dashboards: those of their folders, in the singular too.
fn names() -> Vec<String> {
    let folders = fs::read_dir(root().join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let folders = folders.filter(|path| path.is_dir()).map(|path| path.file_name().unwrap().display().to_string());
    folders.flat_map(|name| [name.trim_end_matches('s').to_owned(), name]).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Returns the names of dashboards in a line.
fn named(line: &str, names: &[String]) -> Vec<String> {
    let is_product = |after: &Option<char>| after.is_some_and(|after| PRODUCT.1.contains(&after));
    let is_name =
        |(word, after): &(String, Option<char>)| names.contains(word) && !(word == PRODUCT.0 && is_product(after));
    words(line).into_iter().filter(is_name).map(|(word, _)| word).collect()
}

/// Returns the lines of a source outside of tests that name a dashboard.
fn naming_lines(source: &str, names: &[String]) -> Vec<(usize, String)> {
    let mut tests = TestLines::default();
    tests.visit_file(&syn::parse_file(source).expect("a source parses"));
    let lines = source.lines().enumerate().map(|(index, line)| (index + 1, line));
    let outside = lines.filter(|(number, _)| !tests.0.iter().any(|test| test.contains(number)));
    outside.filter(|(_, line)| !named(line, names).is_empty()).map(|(number, line)| (number, line.to_owned())).collect()
}

#[test]
fn only_its_folder_and_the_list_name_a_dashboard() {
    let (root, names) = (root(), names());
    let mut wrong = Vec::new();
    let mut needed = [false; ALLOWED.len()];
    let mut files = Vec::new();
    sources(&root, &mut files);
    for path in files {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let found = naming_lines(&fs::read_to_string(&path).unwrap(), &names);
        match ALLOWED.iter().position(|(allowed, _)| name.starts_with(allowed)) {
            Some(index) => needed[index] |= !found.is_empty(),
            None => wrong.extend(found.into_iter().map(|(number, line)| format!("{name}:{number}: {}", line.trim()))),
        }
    }
    assert!(wrong.is_empty(), "a dashboard is named outside of its folder:\n{}", wrong.join("\n"));
    for (index, (allowed, _)) in ALLOWED.iter().enumerate() {
        assert!(needed[index], "{allowed} names no dashboard: take it out of the list");
    }
}

#[test]
fn every_spelling_of_a_dashboard_is_found() {
    let names = names();
    for line in [
        "use crate::dashboards::aria::wire;",
        "struct AriaStream;",
        "fn missed_by_sentio() {}",
        "const BOTS: u8 = 0;",
        "/// The page of ARIA PRO.",
        "let path = \"/dashboards/bots/\";",
        "/// ORION's page.",
        "struct OrionFrame;",
        "use crate::orion::wire;",
    ] {
        assert!(!named(line, &names).is_empty(), "{line}");
    }
    for line in [
        "use orion_server::app;",
        "const FILE: &str = \"orion.toml\";",
        "//! orion-server feeds dashboards.",
        "env(\"ORION_PORT\")",
        "let variants = robots(both, variable);",
    ] {
        assert_eq!(named(line, &names), [] as [String; 0], "{line}");
    }
    let tests = "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn aria() {}\n}\nfn bots() {}\n";
    assert_eq!(naming_lines(tests, &names), [(6, "fn bots() {}".to_owned())]);
}
