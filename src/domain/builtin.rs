//! The built-in instruments.

use super::Session;
use super::instrument::{Instrument, InstrumentClass, Symbol};

/// Returns the seven instruments of the documents.
pub(super) fn documented() -> Vec<Instrument> {
    use InstrumentClass::{Forex, Index, Metal};
    vec![
        instrument("EURUSD", "Euro / US Dollar", Forex, (5, 0.00001), Session::Forex, &["FXIDC:EURUSD", "EURUSD=X"]),
        instrument("GBPUSD", "British Pound / US Dollar", Forex, (5, 0.00001), Session::Forex, &["GBPUSD=X"]),
        instrument("USDJPY", "US Dollar / Japanese Yen", Forex, (3, 0.001), Session::Forex, &["USDJPY=X", "JPY=X"]),
        instrument("XAUUSD", "Gold / US Dollar", Metal, (2, 0.01), Session::Globex, &["GOLD", "XAU", "GOLDUSD"]),
        instrument(
            "US30",
            "Dow Jones 30",
            Index,
            (1, 0.1),
            Session::Globex,
            &[
                "DJ30",
                "DJI30",
                "DJI",
                "DJIA",
                "^DJI",
                "DOW",
                "DOW30",
                "DOWUSD",
                "WS30",
                "WALLSTREET30",
                "USA30",
                "USIND30",
                "US30USD",
                "USA30IDXUSD",
                "USA30.IDXUSD",
            ],
        ),
        instrument(
            "NAS100",
            "Nasdaq 100",
            Index,
            (1, 0.1),
            Session::Globex,
            &[
                "USTEC",
                "USTECH",
                "USTECH100",
                "USTEC100",
                "USATEC",
                "US100",
                "USA100",
                "NASDAQ",
                "NASDAQ100",
                "NSDQ100",
                "NQ100",
                "NAS100USD",
                "NSXUSD",
                "NDQ100",
                "NDQUSD",
                "NDX100",
                "TECH100",
                "USNDAQ100",
                "USATECHIDXUSD",
                "USATECH.IDXUSD",
                "NDX",
                "^NDX",
            ],
        ),
        instrument(
            "SPX500",
            "S&P 500",
            Index,
            (1, 0.1),
            Session::Globex,
            &[
                "US500",
                "SP500",
                "USA500",
                "USP500",
                "USSP500",
                "USSPX500",
                "SPX500USD",
                "SPXUSD",
                "USA500IDXUSD",
                "USA500.IDXUSD",
                "SPX",
                "^SPX",
                "^GSPC",
            ],
        ),
    ]
}

/// Returns the four futures of the price ticker.
pub(super) fn futures() -> Vec<Instrument> {
    let future = |symbol, name| instrument(symbol, name, InstrumentClass::Future, (2, 0.25), Session::Globex, &[]);
    vec![
        future("MNQ", "Micro E-mini Nasdaq-100"),
        future("NQ", "E-mini Nasdaq-100"),
        future("MES", "Micro E-mini S&P 500"),
        future("ES", "E-mini S&P 500"),
    ]
}

/// Returns the instruments of the demo desk: the eight pairs, the stocks and the coins that pages show.
/// The stocks have no trading hours, because their prices are simulated at all times.
pub(super) fn demo_desk() -> Vec<Instrument> {
    use InstrumentClass::{Forex, Stock};
    let pair = |symbol, name| instrument(symbol, name, Forex, (5, 0.00001), Session::Forex, &[]);
    let stock = |symbol, name| instrument(symbol, name, Stock, (2, 0.01), Session::Always, &[]);
    let pairs =
        documented().into_iter().filter(|known| ["EURUSD", "GBPUSD", "USDJPY"].contains(&known.symbol.as_str()));
    let others = [
        pair("USDCHF", "US Dollar / Swiss Franc"),
        pair("AUDUSD", "Australian Dollar / US Dollar"),
        pair("USDCAD", "US Dollar / Canadian Dollar"),
        pair("NZDUSD", "New Zealand Dollar / US Dollar"),
        pair("EURGBP", "Euro / British Pound"),
        stock("AAPL", "Apple"),
        stock("GOOGL", "Alphabet"),
        stock("MSFT", "Microsoft"),
        stock("TSLA", "Tesla"),
    ];
    let coins = crypto().into_iter().filter(|known| ["BTCZAR", "ETHZAR"].contains(&known.symbol.as_str()));
    pairs.chain(others).chain(coins).collect()
}

/// The coins of the set `crypto`, each with the decimals of its prices in dollars (and in Tether).
const COINS: [(&str, &str, u8); 9] = [
    ("BTC", "Bitcoin", 2),
    ("ETH", "Ether", 2),
    ("SOL", "Solana", 2),
    ("XRP", "XRP", 5),
    ("ADA", "Cardano", 6),
    ("DOGE", "Dogecoin", 6),
    ("LTC", "Litecoin", 2),
    ("LINK", "Chainlink", 4),
    ("BNB", "BNB", 2),
];
/// Their pairs in rand, as South African exchanges have them, with their decimals.
const RAND: [(&str, &str, u8); 7] = [
    ("BTC", "Bitcoin", 0),
    ("ETH", "Ether", 0),
    ("XRP", "XRP", 2),
    ("SOL", "Solana", 2),
    ("LTC", "Litecoin", 2),
    ("USDT", "Tether", 2),
    ("USDC", "USD Coin", 2),
];

/// Returns the crypto-currencies. They trade at all times. The finest grid of the exchanges that are sources is theirs.
pub(super) fn crypto() -> Vec<Instrument> {
    let euro = COINS.iter().filter(|(coin, ..)| ["BTC", "ETH", "SOL", "XRP"].contains(coin));
    let dollar = COINS.iter().map(|coin| (coin, "USD", "US Dollar"));
    let euro = euro.map(|coin| (coin, "EUR", "Euro"));
    let tether = COINS.iter().map(|coin| (coin, "USDT", "Tether"));
    let rand = RAND.iter().map(|coin| (coin, "ZAR", "South African Rand"));
    let pairs = dollar.chain(euro).chain(tether).chain(rand);
    pairs
        .map(|((coin, name, digits), currency, of)| coin_in(coin, currency, &format!("{name} / {of}"), *digits))
        .collect()
}

fn coin_in(coin: &str, currency: &str, name: &str, digits: u8) -> Instrument {
    // The exchanges' older code for Bitcoin.
    let older = (coin == "BTC").then(|| format!("XBT{currency}"));
    let aliases: Vec<String> = [format!("{coin}/{currency}")].into_iter().chain(older).collect();
    let aliases: Vec<&str> = aliases.iter().map(String::as_str).collect();
    // 1 / 10^5 is the double nearest to 0.00001; `powi(-5)` is not.
    let grid = (digits, 1.0 / 10f64.powi(i32::from(digits)));
    instrument(&format!("{coin}{currency}"), name, InstrumentClass::Crypto, grid, Session::Always, &aliases)
}

fn instrument(
    symbol: &str,
    name: &str,
    class: InstrumentClass,
    (digits, tick_size): (u8, f64),
    session: Session,
    aliases: &[&str],
) -> Instrument {
    let aliases = aliases.iter().map(ToString::to_string).collect();
    Instrument { symbol: Symbol::new(symbol), name: name.into(), class, digits, tick_size, aliases, session }
}
