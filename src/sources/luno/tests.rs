//! The parser, on fixed and arbitrary input.

use crate::domain::{Feed, Instruments, parse_time};
use crate::sources::listing::{Listing, WireEvent};
use crate::sources::luno::Luno;
use crate::sources::parser_tests::{assert_robust, seen};
use crate::sources::streaming::Dialect;

fn luno() -> Luno {
    Luno { url: "http://localhost".into() }
}

const NAMES: [&str; 2] = ["XBTZAR", "ETHZAR"];
const RECORDED: &str = include_str!("fixtures/tickers.jsonl");

#[test]
fn the_recorded_answers_are_read_unchanged() {
    assert_eq!(
        seen(&luno(), &NAMES, RECORDED),
        [
            "BTCZAR 1512099 1512100 2026-01-26T12:34:56.789Z",
            "ETHZAR 49100 49101 2026-01-26T12:34:56.790Z",
            "malformed: NotAsked",
            "malformed: Number",
            "malformed: Time",
            "malformed: Form",
        ]
    );
}

#[test]
fn a_suspended_market_gives_indicative_prices() {
    let names = NAMES.map(str::to_owned);
    let listing =
        Listing::new(("luno", Feed::Live), &names, &Instruments::new(Instruments::crypto()).unwrap()).unwrap();
    let now = parse_time("2026-01-26T12:00:00Z").unwrap();
    let feeds: Vec<Feed> = luno()
        .read(RECORDED.lines().next().unwrap(), &listing, now)
        .into_iter()
        .filter_map(|event| if let Ok(WireEvent::Tick(tick)) = event { Some(tick.feed) } else { None })
        .collect();
    assert_eq!(feeds, [Feed::Live, Feed::Indicative]);
}

#[test]
fn all_pairs_are_asked_for_at_once() {
    let address = luno().address(&NAMES.map(str::to_owned));
    assert_eq!(address, "http://localhost/api/1/tickers?pair=XBTZAR&pair=ETHZAR");
}

#[test]
fn damaged_answers_never_panic_or_lie() {
    assert_robust(&luno(), &NAMES, RECORDED);
}
