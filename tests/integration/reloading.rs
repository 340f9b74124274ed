//! A reload of the settings while the server runs: by SIGHUP and by the route, and what a bad file changes.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::users::post_as;
use crate::support::{Server, until};

const ADMIN: &str = "the-shared-admin-token";
const RELOADED: &str = "settings reloaded";
const ABCUSD: &str = "[[instruments]]\nsymbol = 'ABCUSD'\nclass = 'crypto'\ndigits = 2\n";

/// A server with a settings file.
struct Rig {
    server: Server,
    file: PathBuf,
    _dir: TempDir,
}

impl Rig {
    async fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("orion.toml");
        std::fs::write(&file, settings).unwrap();
        let config = ("ORION_CONFIG", file.to_str().unwrap());
        let server = Server::process(&[config, ("ORION_ADMIN_TOKEN", ADMIN)]).await;
        Self { server, file, _dir: dir }
    }

    fn write(&self, settings: &str) {
        std::fs::write(&self.file, settings).unwrap();
    }

    async fn reload(&self, query: &str) -> (u16, Value) {
        post_as(self.server.addr, ADMIN, &format!("/api/admin/reload{query}"), &json!({})).await
    }

    /// Whether a replay may begin.
    async fn replays(&self) -> bool {
        let replay = self.server.url("/api/replay?from=2026-01-14T00:00:00Z&speed=3600");
        self.server.http.get(replay).send().await.unwrap().status() == 200
    }

    async fn push(&self, symbol: &str) -> u16 {
        self.server.post("/api/prices", &json!({ "symbol": symbol, "price": 12.34 })).await.0
    }
}

fn names(changes: &Value) -> Vec<&str> {
    changes.as_array().unwrap().iter().map(|change| change["setting"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn sighup_applies_what_needs_no_restart() {
    let rig = Rig::new("").await;
    assert!(rig.replays().await);
    assert_eq!(rig.push("ABCUSD").await, 422);
    rig.write(&format!("heartbeat.app_ping = '20s'\nlimits.replays = 0\n{ABCUSD}"));
    rig.server.signal("-HUP");
    let line = rig.server.logged(RELOADED).await;
    assert_eq!(
        (&line["applied"], &line["needs_restart"]),
        (&json!("instruments.ABCUSD limits.replays"), &json!("heartbeat.app_ping"))
    );
    assert!(!rig.replays().await);
    assert_eq!(rig.push("abc/usd").await, 200);
    until("the price is published", async || {
        let (_, prices) = rig.server.get("/api/prices").await;
        prices["prices"].as_array().unwrap().iter().any(|price| price["symbol"] == "ABCUSD" && price["price"] == 12.34)
    })
    .await;
    let (_, known) = rig.server.get("/api/instruments").await;
    assert!(known["instruments"].as_array().unwrap().iter().any(|known| known["symbol"] == "ABCUSD"), "{known}");

    rig.write("limits.replays = 5000\nlog.filter = 'debug'\n");
    rig.server.signal("-HUP");
    let line =
        rig.server.logged("the settings were not reloaded, and none was changed; correct them and reload again").await;
    let why = line["why"].as_str().unwrap();
    assert!(why.contains("orion.toml:1: limits.replays: must be 0 to 1024"), "{why}");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(rig.server.metric("orion_reloads_total", "applied").await, 1.0);
    assert_eq!(rig.server.metric("orion_reloads_total", "rejected").await, 1.0);
    assert!(!rig.replays().await && rig.push("ABCUSD").await == 200, "nothing has changed");
    rig.server.stop().await;
}

#[tokio::test]
async fn the_route_says_what_it_has_changed() {
    let rig = Rig::new("log.filter = 'info'\n").await;
    let (status, report) = rig.reload("").await;
    assert_eq!((status, &report["unchanged"], &report["dry_run"]), (200, &json!(true), &json!(false)), "{report}");
    rig.write("log.filter = 'warn'\nlog.format = 'json'\nlimits.replays = 0\nlimits.message_bytes = 2048\nalerts.error_rate = 7\n");
    let (status, report) = rig.reload("?dry_run=true").await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(names(&report["applied"]), ["alerts.error_rate", "limits.replays", "log.filter"]);
    assert_eq!(names(&report["needs_restart"]), ["limits.message_bytes"]);
    assert_eq!(report["applied"][1], json!({ "new": 0, "old": 8, "setting": "limits.replays" }));
    assert!(report["dry_run"] == true && rig.replays().await, "nothing has changed");
    let (status, refused) = rig.reload("?dryrun=true").await;
    assert!(status == 400 && refused["error"].as_str().unwrap().contains("`dryrun`"), "{refused}");
    assert!(rig.replays().await, "nothing has changed");
    let (status, report) = rig.reload("").await;
    assert_eq!((status, names(&report["applied"]).len()), (200, 3), "{report}");
    assert!(!rig.replays().await);

    rig.write("log.filter = 'chatty'\n");
    let (status, refused) = rig.reload("").await;
    assert_eq!((status, &refused["code"]), (422, &json!("invalid_settings")), "{refused}");
    assert!(
        refused["error"].as_str().unwrap().contains("orion.toml:1: log.filter: \"chatty\" is neither a level"),
        "{refused}"
    );
    // What its form allows, and what it leads to does not.
    rig.write("limits.replays = 3\nalerts.webhook_url = 'https://10.0.0.1/'\nalerts.webhook_secret = 'of-more-than-24-bytes-indeed'\n");
    let (status, refused) = rig.reload("").await;
    assert!(status == 422 && refused["error"].as_str().unwrap().contains("alerts.webhook_url"), "{refused}");
    assert!(!rig.replays().await, "a reload is never applied in part");

    rig.write("log.filter = 'info'\nlimits.message_bytes = 2048\n");
    let (_, report) = rig.reload("").await;
    assert_eq!(names(&report["needs_restart"]), ["limits.message_bytes"], "until it comes");
    assert!(rig.replays().await);
    // That of the reload before was not logged: it had set the filter to `warn`.
    let line = rig.server.logged(RELOADED).await;
    assert_eq!(line["applied"], "alerts.error_rate limits.replays log.filter");
    assert_eq!(rig.server.lines(RELOADED).len(), 1);
    rig.server.stop().await;
}
