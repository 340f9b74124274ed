use std::collections::BTreeSet;

use super::*;
use crate::config::{InstrumentEntry, InstrumentSet, LogFormat, Providers, Secret};
use crate::domain::InstrumentClass;

/// A change of the settings.
type Change = fn(&mut Settings);

/// Plans the reload of a change: the names of what is applied, the names of what needs a restart, and the rest of the plan.
fn planned(old: &Settings, change: impl FnOnce(&mut Settings)) -> (Vec<String>, Vec<String>, ReloadPlan) {
    let mut read = old.clone();
    change(&mut read);
    let plan = old.plan_reload(&read);
    let names = |changes: &[ChangedSetting]| changes.iter().map(|change| change.setting.clone()).collect();
    (names(&plan.applied), names(&plan.needs_restart), plan)
}

fn own(symbol: &str, digits: u8) -> InstrumentEntry {
    InstrumentEntry {
        symbol: symbol.into(),
        name: None,
        class: InstrumentClass::Crypto,
        digits,
        tick_size: None,
        aliases: Vec::new(),
        session: None,
    }
}

#[test]
fn what_is_not_changed_is_not_listed() {
    let (applied, needs_restart, plan) = planned(&Settings::default(), |_| ());
    assert_eq!((applied.len(), needs_restart.len(), plan.settings), (0, 0, Settings::default()));
}

#[test]
fn every_change_is_applied_or_needs_a_restart() {
    let old = Settings::default();
    let (applied, needs_restart, plan) = planned(&old, |read| {
        read.log.filter = "debug".into();
        read.log.format = LogFormat::Json;
        read.limits.replays = 3;
        read.limits.message_bytes = 2_048;
        read.server.max_connections_per_user = 7;
        read.server.port = 9_000;
        read.alerts.error_rate = 1.5;
        read.notify.telegram.min_score = 0.5;
        read.instrument_sets = vec![InstrumentSet::Default, InstrumentSet::Futures, InstrumentSet::Crypto].into();
        read.signals.replay_window /= 2;
    });
    let live = [
        "alerts.error_rate",
        "instrument_sets",
        "limits.replays",
        "log.filter",
        "notify.telegram.min_score",
        "server.max_connections_per_user",
    ];
    assert_eq!(applied, live);
    assert_eq!(needs_restart, ["limits.message_bytes", "log.format", "server.port", "signals.replay_window"]);
    let replays = plan.applied.iter().find(|change| change.setting == "limits.replays").unwrap();
    assert_eq!((&replays.old, &replays.new), (&json!(8), &json!(3)));
    let settings = &plan.settings;
    assert_eq!((settings.limits.replays, settings.limits.message_bytes), (3, 65_536));
    assert_eq!((settings.server.max_connections_per_user, settings.server.port), (7, 8_080));
    assert_eq!(settings.log.format, LogFormat::Pretty);
    // What needs a restart is named again, until it comes.
    let mut read = settings.clone();
    read.server.port = 9_000;
    assert_eq!(settings.plan_reload(&read).needs_restart.len(), 1);
}

#[test]
fn a_secret_that_changes_is_not_shown() {
    let old = |token: &str| {
        let mut settings = Settings::default();
        settings.notify.telegram.token = Some(Secret::new(token));
        settings.notify.telegram.chats = vec!["1".to_owned()].into();
        settings
    };
    let (applied, needs_restart, plan) = planned(&old("first-secret"), |read| {
        read.notify.telegram.token = Some(Secret::new("second-secret"));
        read.auth.ingest_token = Some(Secret::new("third-secret"));
    });
    assert_eq!(
        (applied, needs_restart),
        (vec!["notify.telegram.token".to_owned()], vec!["auth.ingest_token".to_owned()])
    );
    assert_eq!((&plan.applied[0].old, &plan.applied[0].new), (&json!("***"), &json!("***")));
    assert_eq!((&plan.needs_restart[0].old, &plan.needs_restart[0].new), (&json!(null), &json!("***")));
    assert!(!format!("{plan:?}").contains("-secret"));
}

#[test]
fn every_secret_is_compared() {
    let providers = Providers::new(crate::sources::providers::tables());
    let named: BTreeSet<_> =
        names::keys(&providers).into_iter().filter(|key| names::is_secret(key, &providers)).collect();
    let settings = Settings { providers, ..Settings::default() };
    let compared: BTreeSet<_> = settings.secrets().into_iter().map(|(key, _)| key).collect();
    assert_eq!(compared, named);
}

#[test]
fn instruments_are_added_and_never_changed() {
    let old = Settings { instruments: vec![own("ABCUSD", 2)], ..Settings::default() };
    let (applied, needs_restart, plan) = planned(&old, |read| read.instruments.insert(0, own("XYZUSD", 3)));
    assert_eq!((applied, needs_restart), (vec!["instruments.XYZUSD".to_owned()], vec![]));
    assert_eq!((&plan.applied[0].old, &plan.applied[0].new["digits"]), (&json!(null), &json!(3)));
    assert!(plan.settings.instruments().unwrap().resolve("XYZUSD").is_ok());

    let changes: [(Change, &[&str]); 5] = [
        (|read| read.instruments[0].digits = 3, &["instruments.ABCUSD.digits"]),
        (|read| read.instruments.clear(), &["instruments.ABCUSD"]),
        (
            |read| read.instruments = vec![own("ABCUSD", 1), own("XYZUSD", 3)],
            &["instruments.ABCUSD.digits", "instruments.XYZUSD"],
        ),
        (|read| read.instruments.push(own("EURUSD", 3)), &["instruments.EURUSD"]),
        (|read| read.instrument_sets = vec![InstrumentSet::Crypto].into(), &["instrument_sets"]),
    ];
    for (change, expected) in changes {
        let (applied, needs_restart, plan) = planned(&old, change);
        assert_eq!(
            (applied.as_slice(), needs_restart.as_slice()),
            (&[][..], expected.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice())
        );
        assert_eq!(plan.settings, old);
    }
    let mut node = old.clone();
    node.cluster.urls = vec!["nats://127.0.0.1:4222".to_owned()].into();
    let (applied, needs_restart, _) = planned(&node, |read| read.instruments.push(own("XYZUSD", 3)));
    assert_eq!((applied, needs_restart), (vec![], vec!["instruments.XYZUSD".to_owned()]), "nodes share one log");
    let mut costly = old.clone();
    costly.costs.commission = vec!["0.01%".parse().unwrap()].into();
    let (applied, needs_restart, _) = planned(&costly, |read| read.instruments.push(own("XYZUSD", 3)));
    assert_eq!(
        (applied, needs_restart),
        (vec![], vec!["instruments.XYZUSD".to_owned()]),
        "its positions cost something"
    );
    costly.costs.commission = vec!["ABCUSD=0.01%".parse().unwrap()].into();
    assert_eq!(planned(&costly, |read| read.instruments.push(own("XYZUSD", 3))).0, ["instruments.XYZUSD"]);
}

#[test]
fn a_channel_waits_for_its_instrument() {
    let old = Settings { instruments: vec![own("ABCUSD", 2)], ..Settings::default() };
    let (applied, needs_restart, _) = planned(&old, |read| {
        read.instruments = vec![own("ABCUSD", 1), own("XYZUSD", 3)];
        read.notify.slack.webhook_url = Some(Secret::new("https://hooks.slack.com/services/x"));
        read.notify.slack.symbols = vec!["XYZUSD".to_owned()].into();
    });
    assert_eq!(applied, [""; 0]);
    assert!(needs_restart.contains(&"notify.slack.symbols".to_owned()), "{needs_restart:?}");
}
