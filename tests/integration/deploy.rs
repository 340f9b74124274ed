//! What is in `deploy/` speaks of metrics that there are, and can be read by what it is for.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Server, signal};

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

/// The labels that a metric is declared with, if it is.
fn declared(name: &str) -> Option<BTreeSet<String>> {
    let source = file("src/telemetry/metrics.rs");
    let (_, rest) = source.split_once(&format!("\"{name}\","))?;
    let (declaration, _) = rest.split_once(")?").unwrap();
    let labels = declaration.split_once("&[\"").and_then(|(_, rest)| rest.split(']').next()).unwrap_or_default();
    Some(labels.split([',', '"', ' ']).filter(|label| !label.is_empty()).map(str::to_owned).collect())
}

/// Fails unless everything that `query` names is declared.
fn exists(query: &str) {
    // What Prometheus itself adds.
    let mut known = BTreeSet::from(["instance", "job", "le"].map(str::to_owned));
    for name in names(query) {
        let name = name.strip_prefix("orion_").unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let labels = declared(name).or_else(|| declared(family?));
        known.extend(labels.unwrap_or_else(|| panic!("there is no metric orion_{name}: {query}")));
    }
    for label in labels(query) {
        assert!(known.contains(label), "there is no label {label}: {query}");
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

/// The queries are held to what the source declares; this holds that to what a server says.
#[tokio::test]
async fn what_is_declared_is_what_a_server_tells() {
    let server = Server::push_only().await;
    server.push(&signal("one")).await;
    let text = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let mut seen = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        let name = series.split('{').next().unwrap();
        exists(name);
        for label in labels(series).into_iter().filter(|label| !label.is_empty() && *label != "le") {
            let name = name.strip_prefix("orion_").unwrap();
            assert!(declared(name).unwrap_or_default().contains(label), "{line}");
            assert!(!["user", "address", "token", "client", "id"].contains(&label), "{line}");
        }
        seen += 1;
    }
    assert!(seen > 80, "{seen} series");
    server.stop().await;
}

#[test]
fn a_name_that_is_not_there_is_noticed() {
    let fails = |query: &'static str| std::panic::catch_unwind(|| exists(query)).is_err();
    assert!(!fails("sum by (reason) (rate(orion_refused_total{instance=~\"x\"}[5m]))"));
    assert!(fails("orion_no_such_thing") && fails("sum by (user) (orion_connections)"));
    assert!(fails("sum by (reason) (orion_connections)"), "a label of other metrics");
    assert!(fails("orion_connections{user=\"x\"}") && fails("sum(orion_connections"));
}
