use proptest::prelude::*;

use super::*;
use crate::domain::{Quote, parse_time};

fn at(seconds: f64) -> Now {
    let wall = parse_time("2026-01-14T15:00:00Z").unwrap();
    Now { wall, mono: Duration::from_secs(1_000) }.plus(Duration::from_secs_f64(seconds))
}

fn rules() -> PriceRules {
    PriceRules { priority: ["mt5", "oanda", "massive"].map(SourceName::new).to_vec(), ..PriceRules::default() }
}

/// The sources of EURUSD, and the events about them.
struct Desk {
    lanes: SourceFailover,
    notices: Vec<EngineEvent>,
    open: bool,
}

impl Desk {
    fn new() -> Self {
        Self { lanes: SourceFailover::new(), notices: Vec::new(), open: true }
    }

    fn tick(&mut self, source: &str, price: f64, seconds: f64) -> Offered {
        self.tick_of(source, price, seconds, Feed::Live)
    }

    fn tick_of(&mut self, source: &str, price: f64, seconds: f64, feed: Feed) -> Offered {
        let now = at(seconds);
        let tick = Tick {
            symbol: Symbol::new("EURUSD"),
            quote: Quote::Last(price),
            volume: None,
            observed_at: now.wall,
            feed,
            source: SourceName::new(source),
        };
        self.lanes.offer(&tick, now, self.open, &rules(), &mut self.notices)
    }

    fn in_force(&self) -> String {
        self.lanes.in_force.as_ref().unwrap().to_string()
    }

    /// Sends a tick of a source every second until the source is active.
    fn until_in_force(&mut self, source: &str, from: u32, to: u32) -> Option<u32> {
        (from..=to).find(|second| self.tick(source, 1.1, f64::from(*second)) == Offered::InForce)
    }
}

#[test]
fn a_silent_active_source_is_replaced() {
    let mut desk = Desk::new();
    assert_eq!(desk.tick("mt5", 1.1, 0.0), Offered::InForce);
    assert_eq!(desk.until_in_force("oanda", 0, 100), Some(16), "15 s are not too long yet");
    assert_eq!(
        desk.notices,
        [EngineEvent::Switched {
            symbol: Symbol::new("EURUSD"),
            from: SourceName::new("mt5"),
            to: SourceName::new("oanda"),
            stalled: true
        }]
    );
    assert_eq!(desk.tick("mt5", 1.1, 17.0), Offered::StandsBy, "it does not come straight back");
}

#[test]
fn a_single_tick_of_another_source_changes_nothing() {
    let mut desk = Desk::new();
    desk.tick("mt5", 1.1, 0.0);
    assert_eq!(desk.tick("oanda", 1.1, 30.0), Offered::StandsBy);
    assert_eq!(desk.tick("oanda", 1.1, 60.0), Offered::StandsBy, "it is no better");
    assert_eq!(desk.tick("oanda", 1.1, 61.0), Offered::InForce);
}

#[test]
fn a_closed_market_may_be_silent() {
    let mut desk = Desk::new();
    desk.open = false;
    desk.tick("mt5", 1.1, 0.0);
    assert_eq!(desk.until_in_force("oanda", 0, 300), None);
    assert_eq!(desk.tick("oanda", 1.1, 301.0), Offered::InForce, "the timetable is wrong");
}

#[test]
fn a_steady_better_source_returns() {
    let mut desk = Desk::new();
    desk.tick("oanda", 1.1, 0.0);
    let mut back = None;
    for second in 1..200 {
        let seconds = f64::from(second);
        assert_ne!(desk.tick("massive", 1.1, seconds), Offered::InForce, "it is not better");
        // It pauses once.
        if second != 30 && !(31..50).contains(&second) && desk.tick("mt5", 1.1, seconds) == Offered::InForce {
            back.get_or_insert(second);
        }
        if back.is_none() {
            assert_eq!(desk.tick("oanda", 1.1, seconds), Offered::InForce);
        }
    }
    assert_eq!(back, Some(110), "60 s after the gap of 21 s");
    assert!(matches!(&desk.notices[..], [EngineEvent::Switched { stalled: false, .. }]), "{:?}", desk.notices);
}

#[test]
fn live_beats_delayed_and_real_beats_simulated() {
    let mut desk = Desk::new();
    desk.tick_of("simulator", 1.1, 0.0, Feed::Simulated);
    assert_eq!(desk.tick_of("mt5", 1.1, 1.0, Feed::Delayed), Offered::InForce);
    assert_eq!(desk.until_in_force("oanda", 1, 16), None);
    for second in 2..100 {
        desk.tick_of("mt5", 1.1, f64::from(second), Feed::Delayed);
        desk.tick("oanda", 1.1, f64::from(second));
    }
    assert_eq!(desk.in_force(), "oanda");
}

#[test]
fn lasting_divergence_is_reported_once() {
    let mut desk = Desk::new();
    for second in 0..60 {
        let seconds = f64::from(second);
        desk.tick("mt5", 1.1, seconds);
        desk.tick("oanda", if second < 40 { 1.1044 } else { 1.1001 }, seconds);
    }
    let (symbol, source) = (Symbol::new("EURUSD"), SourceName::new("oanda"));
    let [EngineEvent::Diverged { by, .. }, agrees] = &desk.notices[..] else { panic!("{:?}", desk.notices) };
    assert!((by - 0.004).abs() < 1e-9);
    assert_eq!(agrees, &EngineEvent::Agrees { symbol: symbol.clone(), source });
    let status: Vec<_> = desk.lanes.status(&symbol, at(60.0).mono).collect();
    assert_eq!((status[0].in_force, status[0].apart, status[0].diverged), (true, None, false));
    assert!((status[1].apart.unwrap() - 0.0001 / 1.1).abs() < 1e-9);
    assert_eq!(status[1].age, Duration::from_secs(1));
    assert!(desk.lanes.status(&symbol, at(200.0).mono).all(|lane| lane.apart.is_none()), "it has ended since");
    // An old price is not compared.
    let mut alone = Desk::new();
    alone.tick("mt5", 1.1, 0.0);
    for second in 6..15 {
        alone.tick("oanda", 1.2, f64::from(second));
    }
    assert_eq!(alone.notices, []);
}

#[test]
fn a_rejected_tick_keeps_no_source_alive() {
    let mut desk = Desk::new();
    desk.tick("mt5", 1.1, 0.0);
    for second in 1..=16 {
        let wrong = if second % 2 == 0 { 11.0 } else { 110.0 };
        assert_eq!(desk.tick("mt5", wrong, f64::from(second)), Offered::Refused(TickFault::Jump));
    }
    assert_eq!(desk.until_in_force("oanda", 15, 20), Some(16));
    assert_eq!(desk.tick("push", 1.1, 20.0), Offered::StandsBy);
    assert_eq!(desk.tick("push", 11.0, 20.0), Offered::StandsBy, "an operator's own program may jump");
}

#[test]
fn a_switch_resets_divergence() {
    let mut desk = Desk::new();
    for second in 0..20 {
        desk.tick("mt5", 1.1, f64::from(second));
        desk.tick("oanda", 1.2, f64::from(second));
    }
    let symbol = Symbol::new("EURUSD");
    let diverged = |desk: &Desk, seconds: f64| desk.lanes.status(&symbol, at(seconds).mono).any(|lane| lane.diverged);
    assert!(diverged(&desk, 20.0));
    assert!(desk.until_in_force("oanda", 20, 60).is_some());
    assert!(!diverged(&desk, 60.0));
}

proptest! {
    /// Whatever the sources do, switches are rare: never two within the shorter of the two durations.
    #[test]
    fn sources_never_alternate(
        ticks in prop::collection::vec((0usize..4, 0.0f64..20.0, prop::bool::weighted(0.1)), 1..400),
        open in any::<bool>(),
    ) {
        let mut desk = Desk::new();
        desk.open = open;
        let (mut clock, mut streams, mut last) = (0.0, Vec::new(), None);
        for (source, gap, close) in ticks {
            clock += if close { gap / 100.0 } else { gap / 4.0 };
            let source = ["mt5", "oanda", "massive", "push"][source];
            if desk.tick(source, 1.1, clock) == Offered::InForce {
                if last.is_some_and(|last| last != source) {
                    streams.push(clock);
                }
                last = Some(source);
                prop_assert_eq!(desk.in_force(), source);
            }
        }
        for pair in streams.windows(2) {
            prop_assert!(pair[1] - pair[0] > rules().switch_after.as_secs_f64(), "{:?}", streams);
        }
        let switched = desk.notices.iter().filter(|notice| matches!(notice, EngineEvent::Switched { .. })).count();
        prop_assert_eq!(switched, streams.len());
    }

    /// A single steady source is enough, whatever the others do before they fall silent.
    #[test]
    fn the_last_one_standing_is_in_force(noise in prop::collection::vec((0usize..3, 0.0f64..30.0), 0..100)) {
        let mut desk = Desk::new();
        let mut clock = 0.0;
        for (source, gap) in noise {
            clock += gap;
            desk.tick(["mt5", "oanda", "push"][source], 1.1, clock);
        }
        for _ in 0..20 {
            clock += 1.0;
            desk.tick("massive", 1.1, clock);
        }
        prop_assert_eq!(desk.in_force(), "massive");
    }
}
