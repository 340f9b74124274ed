//! Every alias of the symbol map, and spellings that only look like one.

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

/// The affixes of brokers.
const SUFFIXES: &str = "m z r i a b c e + # ! . m# .m .c .r .i .a .b .e .s .x .f .z .k .raw .pro .ecn .std .stp .sml .cash .fix .sd .vip \
    .zero .cent .prime micro mini ecn pro cash Cash _SB _i -Z -pro .micro .mini _m";

static ALL: LazyLock<Vec<Instrument>> =
    LazyLock::new(|| Instruments::documented().into_iter().chain(Instruments::futures()).collect());
static CATALOGUE: LazyLock<Instruments> = LazyLock::new(|| Instruments::new(ALL.clone()).unwrap());
/// Returns one catalogue for each instrument.
static ALONE: LazyLock<Vec<Instruments>> =
    LazyLock::new(|| ALL.iter().map(|one| Instruments::new([one.clone()]).unwrap()).collect());

fn resolve(spelling: &str) -> Option<&'static str> {
    CATALOGUE.resolve(spelling).ok().map(|found| found.symbol.as_str())
}

/// Returns the instruments that match a spelling when each is alone in a catalogue.
fn claims(spelling: &str) -> Vec<&'static str> {
    let alone = |catalogue: &'static Instruments| Some(catalogue.resolve(spelling).ok()?.symbol.as_str());
    ALONE.iter().filter_map(alone).collect()
}

fn spelled() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALIASES.into_iter().flat_map(|(symbol, aliases)| aliases.split(' ').map(move |alias| (symbol, alias)))
}

#[test]
fn every_alias_of_the_map_resolves() {
    for (symbol, alias) in spelled() {
        for spelling in [alias.to_owned(), alias.to_lowercase(), format!("  {alias} ")] {
            assert_eq!(resolve(&spelling), Some(symbol), "{spelling:?}");
        }
    }
    for symbol in ["EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "US30", "NAS100", "SPX500"] {
        for suffix in SUFFIXES.split_whitespace() {
            let spelling = format!("{symbol}{suffix}");
            assert_eq!(resolve(&spelling), Some(symbol), "{spelling}");
        }
    }
}

/// Case 38, and similar cases.
#[test]
fn broker_spellings_lead_to_their_instrument() {
    for (symbol, spellings) in [
        (
            "EURUSD",
            "EURUSD.m|EURUSDpro|EURUSD.r|EURUSD-Z|EURUSD_SB|EURUSD.a|EURUSD+|EURUSD!|eurusd.M|EURUSD.vip|EURUSD.z|EUR.USD|mEURUSD|\
             EURUSD.FOREX|EURUSDm#|EURUSDc|EURUSDM",
        ),
        ("USDJPY", "JPY=X|USDJPY=X|usdjpy.pro|USD.JPY|USDJPYc"),
        ("XAUUSD", "XAUUSD.|GOLD|GOLD#|GOLD.cash|XAUUSDm|XAUUSD.sd|GOLDm|GOLDmicro|GOLDm#|#XAUUSD|[GOLD]|XAUUSD=X"),
        (
            "US30",
            "US30.cash|.US30Cash|[DJI30]|#US30|DJ30.f|US30 Cash|WS30|US30m|US30-Z25|US30Z2025|#US30_H26|^DJI|Wall Street 30|.DJI|\
             USA30|DJI.INDX|DJ30.r",
        ),
        (
            "NAS100",
            "US100.cash|.USTECHCash|[NQ100]|NAS100.x|USTEC|NDX100|TECH100|US_TECH100|USTECm|#USNDAQ100|US Tech 100|USATEC|NDX.INDX|^NDX",
        ),
        ("SPX500", "US500.cash|.US500Cash|[SP500]|.US500|SPX500+|SPX500m|US500-M26|^GSPC|SPXm|US_500|SP500.r|[SPX500]"),
        (
            "NQ",
            "NQ=F|NQH26|NQH2026|NQ1!|NQ2!|@NQ|/NQ|NQ.c.0|NQ.v.0|NQ 03-26|NQ MAR26|NQ-H26|NQ_F|NQ.F|@NQ#|@NQH26|/NQH26|NQH26.CME|\
             NQH26_FUT_CME|NQ.FUT|NQ ##-##",
        ),
        ("MNQ", "MNQ 03-26|MNQ 03-2026|MNQZ5|MNQ DEC25|MNQ1!|MNQ=F|/MNQ:XCME"),
        ("ES", "ES=F|ESZ5|ESH26|/ES|@ES|ES 12-25|/ES:XCME|es.n.1"),
        ("MES", "MESU2026|MES=F|MESH6"),
    ] {
        for spelling in spellings.split('|') {
            assert_eq!(resolve(spelling), Some(symbol), "{spelling}");
            assert_eq!(claims(spelling), [symbol], "{spelling}");
        }
    }
}

#[test]
fn documented_spellings_resolve_as_in_the_table() {
    let docs = include_str!("../../docs/symbols.md");
    let (_, table) = docs.split_once("## Spellings that are taken").unwrap();
    let (table, _) = table.split_once("## Exchanges").unwrap();
    let mut seen = 0;
    for row in table.lines().filter(|line| line.starts_with('|')).skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        for spelling in cells[1].split('`').skip(1).step_by(2) {
            assert_eq!(resolve(spelling), Some(cells[2]), "{spelling}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
    for word in crate::domain::spelling::words() {
        assert!(table.contains(&word.to_lowercase()), "{word} is not in the documents");
    }
}

#[test]
fn lookalikes_of_instruments_are_unknown() {
    for spelling in "GER40$|USDX|EURUSD.OTC|US300|EURUSDT|EURUSDC|eurusdc|EURUSDE|XAUUSDT|XAU/EUR|DXY|US2000|US50|GC=F|GCZ25|MGC1!|YM=F|6E=F|\
        EUR=X|GBP=X|^IXIC|^VIX|EURUSD-OTC|EURUSD_otc|OTC:EURUSD.OTC|EURUSD.d|EURUSD.P|EURUSD.xyz|EURUSDx|EURUSD$|[EURUSD|EURUSD]|.EURUSD|\
        MESA|ESE|NQX|ESC|SPXC|SPXL|SPXS|DOWM|GOLDM|goldm|NDXA|#ES|[ES]|ES.m|NQm|NQ+|ES3|ES1|NQH|NQA26|NQH260|NQH1926|NQ 13-26|NQ 00-26|NQ 3-26|\
        ES03-26|MNQ12|US30X25|US30Z5|EURUSDZ25|EURUSD=F|ES=X|NAS100=F|ESH26.CBT|NQ.c.9|EUR.USDT|m.EURUSD|mUS30|##US30|US30..|\
        SPX500USDT|CME_MINI:ES1!-CME_MINI:ES2!|:|::EURUSD:|NYSE:|/|@|#|[]"
        .split('|')
    {
        assert_eq!(resolve(spelling), None, "{spelling}");
    }
}

#[test]
fn an_exchange_has_to_list_the_instrument() {
    for (exchange, symbol, expected) in [
        // H1: shares and funds with the tickers of instruments.
        ("NYSE", "DOW", None),
        ("NYSE", "ES", None),
        ("NYSE", "GOLD", None),
        ("NASDAQ", "MESA", None),
        ("AMEX", "SPXC", None),
        ("AMEX", "DJIA", None),
        ("NYSE_DLY", "ES", None),
        ("BATS", "ES", None),
        ("LSE", "ES", None),
        ("TSX", "GOLD", None),
        ("MIL", "US500", None),
        ("XETR", "SP500", None),
        ("NASDAQ", "NAS100", None),
        ("NASDAQ", "NDXm", None),
        ("NYSE", "ESH26", None),
        // Other futures.
        ("MCX", "GOLD", None),
        ("COMEX", "GOLD", None),
        ("COMEX", "NQH26", None),
        ("CBOT_MINI", "ES1!", None),
        ("EUREX", "ESH26", None),
        ("CME_MINI", "US500", None),
        ("OANDA", "ES", None),
        ("FX", "NQ1!", None),
        ("FX_IDC", "US30", None),
        ("BINANCE", "XAUUSD", None),
        ("BINANCE", "EURUSDT", None),
        // An exchange that is not in the table.
        ("FOO", "GOLD", None),
        ("FOO", "ES", None),
        ("FOO", "DOW", None),
        ("FOO", "EURUSD.m", None),
        ("FOO", "EURUSD", Some("EURUSD")),
        ("FOO", "US30", Some("US30")),
        ("FOO", "ESH26", Some("ES")),
        // Exchanges that list it.
        ("OANDA", "EUR_USD", Some("EURUSD")),
        ("OANDA", "NAS100USD", Some("NAS100")),
        ("FX", "EURUSD", Some("EURUSD")),
        ("FX_IDC", "XAUUSD", Some("XAUUSD")),
        ("TVC", "GOLD", Some("XAUUSD")),
        ("TVC", "DJI", Some("US30")),
        ("FOREXCOM", "SPXUSD", Some("SPX500")),
        ("CAPITALCOM", "US100", Some("NAS100")),
        ("EIGHTCAP", "NDX100", Some("NAS100")),
        ("IC Markets", "USTEC", Some("NAS100")),
        ("VANTAGE", "DJ30.r", Some("US30")),
        ("DJ", "DJI", Some("US30")),
        ("NASDAQ", "NDX", Some("NAS100")),
        ("CBOE", "SPX", Some("SPX500")),
        ("I", "SPX", Some("SPX500")),
        ("KRAKEN", "EURUSD", Some("EURUSD")),
        ("CME_MINI", "ES1!", Some("ES")),
        ("CME_MINI_DL", "NQH2026", Some("NQ")),
        ("cme_mini", "MNQ", Some("MNQ")),
        ("CME", "MESH26", Some("MES")),
        ("GLOBEX", "ESH6", Some("ES")),
    ] {
        let found =
            |symbol: &str, exchange| CATALOGUE.resolve_listed(symbol, exchange).ok().map(|one| one.symbol.as_str());
        assert_eq!(found(symbol, Some(exchange)), expected, "{symbol} on {exchange}");
        assert_eq!(found(&format!("{exchange}:{symbol}"), None), expected, "{exchange}:{symbol}");
        assert_eq!(
            found(&format!("{exchange}:{symbol}"), Some(exchange)),
            expected,
            "{exchange}:{symbol} on {exchange}"
        );
    }
    let both = CATALOGUE.resolve_listed("OANDA:EURUSD", Some("NYSE"));
    assert_eq!(both.unwrap_err(), UnknownSymbol("NYSE:OANDA:EURUSD".into()), "a contradiction");
    for nothing in ["", "  "] {
        assert!(CATALOGUE.resolve_listed("GOLD", Some(nothing)).is_ok(), "a blank exchange says nothing");
    }
}

#[test]
fn own_instruments_follow_the_same_rules() {
    let own = |symbol: &str, class, aliases: &[&str]| Instrument {
        symbol: Symbol::new(symbol),
        class,
        aliases: aliases.iter().map(ToString::to_string).collect(),
        ..ALL[0].clone()
    };
    let list = [
        own("GC", InstrumentClass::Future, &[]),
        own("YM", InstrumentClass::Future, &[]),
        own("FDAX", InstrumentClass::Future, &[]),
        own("AAPL", InstrumentClass::Stock, &[]),
        own("DOWINC", InstrumentClass::Stock, &["NYSE:DOW"]),
        own("BTCUSD", InstrumentClass::Crypto, &[]),
    ];
    let catalogue = Instruments::new(ALL.iter().cloned().chain(list)).unwrap();
    for (spelling, symbol) in [
        ("COMEX:GC1!", Some("GC")),
        ("GC=F", Some("GC")),
        ("CME_MINI:GC1!", None),
        ("CBOT_MINI:YM1!", Some("YM")),
        ("/YM:XCBT", Some("YM")),
        ("EUREX:FDAX1!", Some("FDAX")),
        ("NASDAQ:AAPL", Some("AAPL")),
        ("OANDA:AAPL", Some("AAPL")),
        ("AAPL.m", None),
        ("NYSE:DOW", Some("DOWINC")),
        ("DOW", Some("US30")),
        ("COINBASE:BTCUSD", Some("BTCUSD")),
        ("NASDAQ:BTCUSD", None),
        ("BTCUSDC", None),
        ("BTCUSD.m", Some("BTCUSD")),
    ] {
        assert_eq!(catalogue.resolve(spelling).ok().map(|found| found.symbol.as_str()), symbol, "{spelling}");
    }
}

/// Generates an alias with one to three letters changed, added or removed.
fn near_miss() -> impl Strategy<Value = String> {
    let aliases: Vec<_> = spelled().map(|(_, alias)| alias).collect();
    let edit = (
        any::<prop::sample::Index>(),
        0..3u8,
        prop::sample::select("AEMNQSUXZ0135.:_!#mz/[]@= ".chars().collect::<Vec<_>>()),
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

/// Generates a spelling by one of the rules, with its instrument.
fn accepted() -> impl Strategy<Value = (String, &'static str)> {
    let one = prop::sample::select(ALL.iter().collect::<Vec<_>>());
    let suffix = prop::sample::select(SUFFIXES.split_whitespace().collect::<Vec<_>>());
    let month = prop::sample::select("FGHJKMNQUVXZ".chars().collect::<Vec<_>>());
    (one, any::<prop::sample::Index>(), suffix, month, 0..100u8, 0..6u8).prop_map(
        |(instrument, alias, suffix, month, year, rule)| {
            let symbol = instrument.symbol.as_str();
            let names: Vec<&str> = instrument.aliases.iter().map(String::as_str).chain([symbol]).collect();
            let any_name = names[alias.index(names.len())];
            let spelling = if instrument.class == InstrumentClass::Future {
                match rule {
                    0 => format!("{symbol}{month}{year:02}"),
                    1 => format!("CME_MINI:{symbol}{month}20{year:02}"),
                    2 => format!("/{symbol}{month}{}", year % 10),
                    3 => format!("{symbol} {:02}-{year:02}", year % 12 + 1),
                    4 => format!("@{symbol}"),
                    _ => format!("{symbol}=F"),
                }
            } else {
                match rule {
                    0 => any_name.to_lowercase(),
                    1 => format!("OANDA:{symbol}"),
                    2 => format!("#{symbol}"),
                    3 => format!("[{symbol}]"),
                    _ => format!("{symbol}{suffix}"),
                }
            };
            (spelling, symbol)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn an_accepted_spelling_leads_to_one_instrument((spelling, symbol) in accepted()) {
        prop_assert_eq!(resolve(&spelling), Some(symbol), "{}", spelling);
        prop_assert_eq!(claims(&spelling), [symbol], "{}", spelling);
    }

    #[test]
    fn a_near_miss_never_leads_to_two_instruments(spelling in near_miss()) {
        let claims = claims(&spelling);
        prop_assert!(claims.len() < 2, "{}: {:?}", spelling, claims);
        prop_assert_eq!(resolve(&spelling), claims.first().copied(), "{}", spelling);
    }

    #[test]
    fn a_suffix_outside_the_table_stays_unknown(
        which in 0usize..11, separator in "[._ -]?", suffix in "[A-Za-z]{2,8}|[0-9]{1,3}|[a-z0-9]{4,6}", end in "[$%&*~^]?",
    ) {
        let symbol = ALL[which].symbol.as_str();
        let table = SUFFIXES.split_whitespace().map(|known| known.trim_start_matches(['.', '_', '-']).to_uppercase());
        let known = table.chain(crate::domain::spelling::tables()).any(|known| known == suffix.to_uppercase());
        let digits_go_on = separator.is_empty() || separator != ".";
        let another = resolve(&format!("{symbol}{}", if digits_go_on { &suffix } else { "" })).is_some_and(|found| found != symbol);
        prop_assume!(!known && !another && CATALOGUE.named(&format!("{symbol}{separator}{suffix}")).is_none());
        let dated = suffix.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
            && suffix[1..].bytes().all(|b| b.is_ascii_digit());
        prop_assume!(!dated);
        let spelling = format!("{symbol}{separator}{suffix}{end}");
        prop_assert_eq!(resolve(&spelling), None, "{}", spelling);
    }
}
