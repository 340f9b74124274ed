//! Every alias of the symbol map, and what only looks like one.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// The symbol map, as brokers and providers spell it.
const ALIASES: [(&str, &str); 11] = [
    (
        "EURUSD",
        "EURUSD EUR/USD EUR_USD EUR-USD C:EURUSD C.EUR/USD OANDA:EURUSD OANDA:EUR_USD FX:EURUSD FX_IDC:EURUSD CAPITALCOM:EURUSD EURUSD=X",
    ),
    (
        "GBPUSD",
        "GBPUSD GBP/USD GBP_USD GBP-USD C:GBPUSD C.GBP/USD OANDA:GBPUSD OANDA:GBP_USD FX:GBPUSD FX_IDC:GBPUSD CAPITALCOM:GBPUSD GBPUSD=X",
    ),
    (
        "USDJPY",
        "USDJPY USD/JPY USD_JPY USD-JPY C:USDJPY C.USD/JPY OANDA:USDJPY OANDA:USD_JPY FX:USDJPY FX_IDC:USDJPY CAPITALCOM:USDJPY USDJPY=X",
    ),
    ("XAUUSD", "XAUUSD GOLD XAU/USD XAU_USD XAU GOLDUSD C:XAUUSD OANDA:XAUUSD TVC:GOLD FX_IDC:XAUUSD FOREXCOM:XAUUSD"),
    (
        "US30",
        "US30 US30.cash US30Cash DJ30 DJ30.cash WS30 DJI DOW DOW30 USA30 USIND30 US30USD US30_USD USA30IDXUSD USA30.IDX/USD I:DJI DJ:DJI CAPITALCOM:US30 OANDA:US30USD",
    ),
    (
        "NAS100",
        "NAS100 USTEC USTEC.cash USTECH USTECH100 US100 US100.cash NAS100.cash NASDAQ NSDQ100 US_TECH100 NAS100USD NAS100_USD USATECHIDXUSD USATECH.IDX/USD FX:NAS100 OANDA:NAS100USD CAPITALCOM:US100 PEPPERSTONE:NAS100 NDX I:NDX NASDAQ:NDX",
    ),
    (
        "SPX500",
        "SPX500 US500 US500.cash SP500 SP500.cash SPX500.cash USA500 USP500 US_SPX500 SPX500USD SPX500_USD USA500IDXUSD FX:SPX500 CAPITALCOM:US500 SPX I:SPX SP:SPX",
    ),
    ("MNQ", "MNQ CME_MINI:MNQ1! MNQZ2026"),
    ("NQ", "NQ CME_MINI:NQ1! NQZ26 NQ.c.0"),
    ("MES", "MES CME_MINI:MES1! MESZ6"),
    ("ES", "ES CME_MINI:ES1! ESH0 /ES"),
];

/// What a broker may put behind a name, or before it.
const BROKERS: &str = "m c r z i a b e . + # ! _i .m .c .r .i .a .b .e .s .x .raw .pro .ecn .std .stp .sml .cash .fix micro mini ecn pro .micro .mini cash";

static CATALOGUE: LazyLock<Instruments> =
    LazyLock::new(|| Instruments::new(Instruments::documented().into_iter().chain(Instruments::futures())).unwrap());

/// Every name of the catalogue without its separators.
static NAMES: LazyLock<BTreeMap<String, &str>> = LazyLock::new(|| {
    let of_one = |instrument: &'static Arc<Instrument>| {
        let symbol = instrument.symbol.as_str();
        instrument.aliases.iter().map(String::as_str).chain([symbol]).map(move |name| (plain(name), symbol))
    };
    CATALOGUE.iter().flat_map(of_one).collect()
});

fn plain(text: &str) -> String {
    text.to_uppercase().replace(['/', '_', '-', ' '], "")
}

fn spelled() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALIASES.into_iter().flat_map(|(symbol, aliases)| aliases.split(' ').map(move |alias| (symbol, alias)))
}

/// The written rule, in other words than those of [`Instruments::resolve`]: provider off, separators off, upper case; then the
/// name itself, or with one affix taken off, or a contract of a future.
fn by_the_rule(spelling: &str) -> Option<&'static str> {
    let whole = plain(spelling.trim());
    let bare = whole.rsplit(':').next()?;
    let bare = bare.strip_prefix("C.").unwrap_or(bare);
    let known = |name: &str| NAMES.get(name).copied();
    let affixes = || BROKERS.split(' ').map(plain).filter(|affix| !affix.is_empty());
    let contract = ["MNQ", "MES", "NQ", "ES"].into_iter().find(|root| {
        let Some(rest) = bare.strip_prefix(root) else { return false };
        let (month, year) = rest.split_at_checked(1).unwrap_or_default();
        let dated = "FGHJKMNQUVXZ".contains(month)
            && !month.is_empty()
            && [1, 2, 4].contains(&year.len())
            && year.chars().all(|digit| digit.is_ascii_digit());
        dated || ["1!", "2!", ".C.0", ".C.1"].contains(&rest)
    });
    known(&whole)
        .or_else(|| known(bare))
        .or_else(|| affixes().find_map(|affix| known(bare.strip_suffix(affix.as_str())?)))
        .or_else(|| known(bare.strip_prefix('#')?))
        .or(contract)
}

#[test]
fn every_alias_of_the_map_leads_where_it_says() {
    let all = &*CATALOGUE;
    for (symbol, alias) in spelled() {
        for spelling in [alias.to_owned(), alias.to_lowercase(), format!("  {alias} ")] {
            assert_eq!(all.resolve(&spelling).map(|found| found.symbol.as_str()), Ok(symbol), "{spelling:?}");
        }
        assert_eq!(by_the_rule(alias), Some(symbol), "the rule of the test itself: {alias}");
    }
    for (symbol, aliases) in ALIASES.into_iter().take(7) {
        let plain = aliases.split(' ').next().unwrap_or_default();
        for affix in BROKERS.split(' ') {
            let spelling = format!("{plain}{affix}");
            assert_eq!(all.resolve(&spelling).map(|found| found.symbol.as_str()), Ok(symbol), "{spelling}");
        }
    }
}

/// An alias with one to three letters changed, added or left out.
fn near_miss() -> impl Strategy<Value = String> {
    let aliases: Vec<_> = spelled().map(|(_, alias)| alias).collect();
    let edit = (
        any::<prop::sample::Index>(),
        0..3u8,
        prop::sample::select("AEMNQSUXZ0135.:_!#mz/".chars().collect::<Vec<_>>()),
    );
    (prop::sample::select(aliases), prop::collection::vec(edit, 1..4)).prop_map(|(alias, edits)| {
        let mut letters: Vec<char> = alias.chars().collect();
        for (place, kind, letter) in edits {
            let at = place.index(letters.len() + 1);
            match kind {
                0 => letters.insert(at, letter),
                1 if at < letters.len() => letters[at] = letter,
                _ if at < letters.len() => drop(letters.remove(at)),
                _ => {}
            }
        }
        letters.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_near_miss_is_refused_or_maps_by_the_written_rule(spelling in near_miss()) {
        let found = CATALOGUE.resolve(&spelling).map(|found| found.symbol.to_string()).ok();
        prop_assert_eq!(found.as_deref(), by_the_rule(&spelling), "{}", spelling);
    }
}
