//! What is in `deploy/` speaks of metrics that there are, and can be read by what it is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Words of a query that begin with `orion_`.
fn names(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("orion_")).collect()
}

/// The labels that a query filters or groups by.
fn labels(query: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for part in query.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
        found.extend(part.split(',').filter_map(|matcher| matcher.split(['=', '!']).next()).map(str::trim));
    }
    for by in ["by (", "on ("] {
        for part in query.split(by).skip(1).filter_map(|rest| rest.split(')').next()) {
            found.extend(part.split(',').map(str::trim));
        }
    }
    found
}

/// Fails unless everything that `query` names is declared.
fn exists(query: &str) {
    let declared = file("src/telemetry/metrics.rs");
    let is_declared = |name: &str| declared.contains(&format!("\"{name}\""));
    for name in names(query) {
        let name = name.strip_prefix("orion_").unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(is_declared(family) || is_declared(name), "there is no metric orion_{name}: {query}");
    }
    // What Prometheus itself adds.
    for label in labels(query).into_iter().filter(|label| !["instance", "job", "le"].contains(label)) {
        assert!(is_declared(label), "there is no label {label}: {query}");
    }
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        assert_eq!(query.matches(open).count(), query.matches(close).count(), "{query}");
    }
}

#[test]
fn every_panel_of_the_dashboard_asks_for_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&file("deploy/grafana-dashboard.json")).unwrap();
    assert_eq!((&dashboard["title"], &dashboard["uid"]), (&"orion-server".into(), &"orion-server".into()));
    let (mut ids, mut seen) = (BTreeSet::new(), 0);
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels with one id: {panel}");
        assert!(panel["gridPos"]["w"].is_u64() && panel["title"].is_string(), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            assert!(!names(query).is_empty(), "{query}");
            exists(query);
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn every_alert_rule_asks_for_metrics_that_there_are_and_says_what_to_do() {
    let rules = file("deploy/alerts.yml");
    let alerts: Vec<_> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10, "{}", alerts.len());
    for alert in alerts {
        for key in
            ["\n        expr: ", "\n        labels: { severity: ", "\n          summary: ", "\n          description: "]
        {
            assert!(alert.contains(key), "no {key} in {alert}");
        }
        let (_, query) = alert.split_once("expr: ").unwrap();
        let end = ["\n        for:", "\n        labels:"].iter().filter_map(|key| query.find(key)).min().unwrap();
        exists(&query[..end]);
    }
}

#[test]
fn a_name_that_is_not_there_is_noticed() {
    let fails = |query: &'static str| std::panic::catch_unwind(|| exists(query)).is_err();
    assert!(!fails("sum by (reason) (rate(orion_refused_total{instance=~\"x\"}[5m]))"));
    assert!(fails("orion_no_such_thing") && fails("sum by (user) (orion_connections)"));
    assert!(fails("orion_connections{user=\"x\"}") && fails("sum(orion_connections"));
}
