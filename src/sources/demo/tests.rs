//! The desk on the simulator's market: one day, a restart, and the audience of each message.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::*;
use crate::domain::{Audience, Instruments, MessageType, Quote, RelayedMessage, SourceName, Symbol, Tick, parse_time};
use crate::sources::simulator::Market;

const SECOND: Duration = Duration::from_secs(1);
/// Time between two steps of the market.
const MARKET_BEAT: Duration = Duration::from_secs(4);
/// Largest share that an account may lose or win in 24 hours.
const DAY_BOUND: f64 = 0.05;

/// A simulator with a desk.
struct Stage {
    /// The desk's spelling of each symbol, and its digits.
    names: HashMap<Symbol, (&'static str, u8)>,
    market: Market,
    desk: Desk,
    quoted: BTreeMap<&'static str, Quoted>,
    now: DateTime<Utc>,
}

fn users() -> [Arc<str>; 2] {
    ["demo".into(), "u2".into()]
}

impl Stage {
    fn new(seed: u64, users: impl IntoIterator<Item = Arc<str>>) -> Self {
        let instruments = Instruments::new(Instruments::demo_desk()).unwrap();
        let name = |name| {
            let instrument = instruments.resolve(name).unwrap();
            (instrument.symbol.clone(), (name, instrument.digits))
        };
        let names = Desk::symbols().map(name).collect();
        let market = Market::new(&instruments, seed, SourceName::new("simulator"));
        let desk = Desk::new(seed, users, types());
        let now = parse_time("2026-01-14T00:00:00Z").unwrap();
        Self { names, market, desk, quoted: BTreeMap::new(), now }
    }

    fn quote(&mut self, tick: &Tick) {
        let Quote::BidAsk { bid, ask } = tick.quote else { return };
        let (symbol, digits) = self.names[&tick.symbol];
        self.quoted.insert(symbol, Quoted { symbol, bid, ask, digits });
    }

    fn step(&mut self) -> Vec<RelayedMessage> {
        self.now += SECOND;
        // Prices that move every few seconds are enough, and make the test fast.
        if self.quoted.is_empty() || self.now.timestamp() % MARKET_BEAT.as_secs() as i64 == 0 {
            for tick in self.market.step(self.now, MARKET_BEAT) {
                self.quote(&tick);
            }
        }
        let quoted: Vec<_> = self.quoted.values().copied().collect();
        self.desk.step(self.now, &quoted)
    }
}

fn types() -> Vec<MessageType> {
    crate::app::published_types().iter().map(|declared| declared.kind).collect()
}

fn data(message: &RelayedMessage) -> Value {
    serde_json::from_str(&message.data).unwrap()
}

fn published(seed: u64, beats: usize) -> Vec<RelayedMessage> {
    let mut stage = Stage::new(seed, users());
    (0..beats).flat_map(|_| stage.step()).collect()
}

/// The result of 24 hours for one account.
#[derive(Debug, Default)]
struct Day {
    /// Lowest and highest worth of each account, in rands and in dollars.
    worths: BTreeMap<&'static str, (f64, f64)>,
    wins: u32,
    losses: u32,
    fills: u32,
}

fn a_day(seed: u64) -> Day {
    let (mut stage, mut day) = (Stage::new(seed, ["demo".into()]), Day::default());
    for _ in 0..86_400 {
        for message in stage.step() {
            let of_account = ["trades", "notification", "order_update", "balances", "earnings"];
            if !of_account.contains(&message.kind.name()) {
                continue;
            }
            let data = data(&message);
            match message.kind.name() {
                "balances" | "earnings" => {
                    let worth =
                        [&data["total_value_zar"], &data["portfolio_value"]].into_iter().find_map(Value::as_f64);
                    let worth = worth.unwrap();
                    let (low, high) = day.worths.entry(message.kind.name()).or_insert((worth, worth));
                    (*low, *high) = (low.min(worth), high.max(worth));
                }
                _ if data["status"] == "pending" => {}
                kind => {
                    let fill = if kind == "notification" { &data["data"] } else { &data };
                    let quote = stage.quoted[fill["symbol"].as_str().unwrap()];
                    let price = if fill["side"] == "buy" { quote.ask } else { quote.bid };
                    assert_eq!(fill["price"].as_f64(), Some(price), "seed {seed}: {data}");
                    day.fills += 1;
                    if let Some(pnl) = fill["pnl"].as_f64() {
                        day.wins += u32::from(pnl > 0.0);
                        day.losses += u32::from(pnl < 0.0);
                    }
                }
            }
        }
    }
    day
}

fn holds_a_day(seed: u64) {
    let day = a_day(seed);
    for (kind, (low, high)) in &day.worths {
        let (least, most) = (50_000.0 * (1.0 - DAY_BOUND), 50_000.0 * (1.0 + DAY_BOUND));
        assert!(*low > least && *high < most, "seed {seed}, {kind:?}: {low} to {high}");
    }
    let share = f64::from(day.wins) / f64::from(day.wins + day.losses);
    assert!((0.2..0.8).contains(&share) && day.fills > 20_000, "seed {seed}: {day:?}");
}

/// `ORION_DEMO_DAYS` tries more days than are usual, for a change of the rule.
#[test]
fn a_day_keeps_the_accounts_within_bounds() {
    let days = std::env::var("ORION_DEMO_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(2);
    (0..days).for_each(holds_a_day);
}

/// The accounts and the last order are the only state that the log keeps reliably.
#[test]
fn a_restart_continues_the_trading() {
    for stopped_at in [3, 40, 777] {
        let mut stage = Stage::new(7, users());
        let published: Vec<_> = (0..stopped_at).flat_map(|_| stage.step()).collect();
        let mut again = Desk::new(99, users(), types()).resume(published.into_iter().filter(Desk::keeps));
        let mut trades = [Vec::new(), Vec::new()];
        let only = |message: &RelayedMessage| {
            let is_of_account = matches!(message.kind.name(), "trades" | "notification" | "bots" | "earnings");
            is_of_account.then(|| {
                let mut data = data(message);
                // The schedule starts again, so that times differ.
                for field in ["id", "timestamp", "last_trade"] {
                    data.as_object_mut().unwrap().remove(field);
                }
                (message.kind.name(), message.audience.clone(), data)
            })
        };
        // The same prices for both, so that only the times differ.
        let quoted: Vec<_> = stage.quoted.values().copied().collect();
        for beat in 0..200 {
            let now = stage.now + TimeDelta::seconds(beat);
            trades[0].extend(stage.desk.step(now, &quoted).iter().filter_map(only));
            trades[1].extend(again.step(now, &quoted).iter().filter_map(only));
        }
        let fills = |messages: &[(&str, Audience, Value)], kind| -> Vec<_> {
            messages.iter().filter(|it| it.0 == kind).map(|it| (it.1.clone(), it.2.clone())).collect()
        };
        for kind in ["trades", "notification"] {
            let (went_on, began) = (fills(&trades[0], kind), fills(&trades[1], kind));
            let most = went_on.len().min(began.len());
            assert!(most > 40);
            assert_eq!(went_on[..most], began[..most], "{kind:?} after {stopped_at}");
        }
    }
}

#[test]
fn saved_accounts_are_validated() {
    let fresh = |kept: Vec<RelayedMessage>| {
        let mut stage = Stage::new(1, ["demo".into()]);
        stage.desk = Desk::new(1, ["demo".into()], types()).resume(kept);
        let published = stage.step();
        let bot = published.iter().find(|message| message.kind.name() == "bots").unwrap();
        data(bot)["trades_count"].as_u64().unwrap()
    };
    let mut stage = Stage::new(1, users());
    let kept: Vec<_> = (0..80).flat_map(|_| stage.step()).filter(Desk::keeps).collect();
    assert_eq!(fresh(kept.clone()), 11);
    assert_eq!(
        fresh(kept.iter().filter(|message| message.audience == Audience::User("u2".into())).cloned().collect()),
        1
    );
    for (from, to) in [("\"cash\":", "\"cash\":-"), ("\"lots\":", "\"lots\":9"), ("account", "other"), ("{", "")] {
        let broken = kept
            .iter()
            .map(|message| RelayedMessage { data: message.data.replace(from, to).into(), ..message.clone() });
        assert_eq!(fresh(broken.collect()), 1, "{from}");
    }
}

#[test]
fn an_account_below_its_floor_is_reset_visibly() {
    // With such a spread the account soon loses a fifth.
    let quoted: Vec<_> = Desk::symbols().map(|symbol| Quoted { symbol, bid: 140.0, ask: 200.0, digits: 2 }).collect();
    let coins = |quote: Quoted| if quote.symbol.ends_with("ZAR") { 6_000.0 } else { 1.0 };
    let quoted: Vec<_> = quoted
        .into_iter()
        .map(|quote| Quoted { bid: quote.bid * coins(quote), ask: quote.ask * coins(quote), ..quote })
        .collect();
    let mut desk = Desk::new(3, ["demo".into()], types());
    let start = parse_time("2026-01-14T00:00:00Z").unwrap();
    let published: Vec<_> = (0..3_000).flat_map(|beat| desk.step(start + TimeDelta::seconds(beat), &quoted)).collect();
    for (kind, account) in [("alerts", "bots"), ("notification", "earnings")] {
        let at = published.iter().position(|message| {
            let data = data(message);
            message.kind.name() == kind
                && data["title"] == "Simulated: fresh start"
                && data["message"].as_str().unwrap().contains("begins again")
        });
        let at = at.unwrap_or_else(|| panic!("{kind:?} does not say it"));
        let after = data(published[at..].iter().find(|message| message.kind.name() == account).unwrap());
        let book = &after["account"];
        assert_eq!(
            (&book["cash"], &book["trades"], &book["positions"]["AAPL"]["lots"]),
            (&50_000.into(), &0.into(), &if account == "earnings" { 0.into() } else { Value::Null })
        );
    }
}

#[test]
fn every_type_is_published_within_ten_seconds() {
    let mut last = HashMap::<_, Vec<i64>>::new();
    let start = parse_time("2026-01-14T00:00:01Z").unwrap();
    for RelayedMessage { kind, audience, at, .. } in published(1, 60) {
        last.entry((kind, audience)).or_default().push((at - start).num_seconds());
    }
    for ((kind, audience), times) in &last {
        let gaps = times.iter().chain([&60]).zip([&0].into_iter().chain(times));
        assert!(gaps.clone().all(|(next, before)| next - before <= 10), "{kind:?} {audience}: {times:?}");
    }
    // Ticks come from the simulator: a second price of one symbol would make a dashboard jump.
    for kind in types().into_iter().filter(|kind| kind.name() != "tick") {
        let name = kind.name();
        let audiences: Vec<_> = last.keys().filter(|(of, _)| *of == kind).map(|(_, audience)| audience).collect();
        match audiences[..] {
            [Audience::Admin] => assert!(name.starts_with("admin_")),
            [Audience::All] | [Audience::User(_), Audience::User(_)] => {}
            _ => panic!("{name}: {audiences:?}"),
        }
    }
}

#[test]
fn messages_are_marked_and_use_the_documented_symbols() {
    let mut symbols = HashSet::new();
    for message in published(2, 300) {
        let data = data(&message);
        assert_eq!(data["simulated"], true, "{message:?}");
        symbols.extend(data["symbol"].as_str().map(str::to_owned));
    }
    for symbol in Desk::symbols() {
        assert!(symbols.contains(symbol), "{symbol}");
    }
}

#[test]
fn without_a_price_nothing_is_traded() {
    let mut stage = Stage::new(2, ["demo".into()]);
    assert!((0..5).all(|beat| stage.desk.step(stage.now + TimeDelta::seconds(beat), &[]).is_empty()));
    let published: Vec<_> =
        (5..200).flat_map(|beat| stage.desk.step(stage.now + TimeDelta::seconds(beat), &[])).collect();
    let priced = ["trades", "notification", "order_update", "idea", "signal", "bar"];
    assert!(!published.is_empty() && published.iter().all(|message| !priced.contains(&message.kind.name())));
}

#[test]
fn same_seed_and_times_give_the_same_messages() {
    assert_eq!(published(3, 30), published(3, 30));
    assert_ne!(published(3, 30), published(4, 30));
}
