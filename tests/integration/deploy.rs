//! The queries in `deploy/` name existing metrics and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use orion_server::telemetry::Metrics;
use prometheus::core::Desc;
use serde_json::Value;

use crate::support::{Server, signal};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names of metrics in a query.
fn names(query: &str) -> BTreeSet<&str> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("orion_") || word.starts_with("process_")).collect()
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
fn declared(name: &str) -> Option<&'static [String]> {
    static DECLARED: LazyLock<BTreeMap<String, Vec<String>>> = LazyLock::new(|| {
        let metrics = Metrics::new().unwrap();
        let entry = |metric: &Desc| (metric.fq_name.clone(), metric.variable_labels.clone());
        metrics.descriptions().into_iter().map(entry).collect()
    });
    DECLARED.get(name).map(Vec::as_slice)
}

/// Fails unless everything that `query` names is declared.
fn exists(query: &str) {
    // What Prometheus itself adds.
    let mut known = BTreeSet::from(["instance", "job", "le"].map(str::to_owned));
    for name in names(query) {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let labels = declared(name).or_else(|| declared(family?));
        known.extend(labels.unwrap_or_else(|| panic!("there is no metric {name}: {query}")).iter().cloned());
    }
    for label in labels(query) {
        assert!(known.contains(label), "there is no label {label}: {query}");
    }
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        assert_eq!(query.matches(open).count(), query.matches(close).count(), "{query}");
    }
}

#[test]
fn every_panel_queries_existing_metrics() {
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
fn every_alert_rule_queries_existing_metrics() {
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

/// The queries are compared with what is declared; this compares that with what a server says.
#[tokio::test]
async fn a_server_serves_what_is_declared() {
    let server = Server::push_only().await;
    server.push(&signal("one")).await;
    let text = server.http.get(server.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let mut seen = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let series = line.rsplit_once(' ').unwrap().0;
        let name = series.split('{').next().unwrap();
        exists(name);
        for label in labels(series).into_iter().filter(|label| !label.is_empty() && *label != "le") {
            assert!(declared(name).unwrap_or_default().iter().any(|declared| declared == label), "{line}");
            assert!(!["user", "address", "token", "client", "id"].contains(&label), "{line}");
        }
        seen += 1;
    }
    assert!(seen > 80, "{seen} series");
    server.stop().await;
}

#[test]
fn an_unknown_name_or_label_is_found() {
    let fails = |query: &'static str| std::panic::catch_unwind(|| exists(query)).is_err();
    assert!(!fails("sum by (reason) (rate(orion_refused_total{instance=~\"x\"}[5m]))"));
    assert!(fails("orion_no_such_thing") && fails("sum by (user) (orion_connections)"));
    assert!(fails("sum by (reason) (orion_connections)"), "a label of other metrics");
    assert!(fails("orion_connections{user=\"x\"}") && fails("sum(orion_connections"));
}
