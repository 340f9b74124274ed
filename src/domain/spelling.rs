//! The spellings of symbols by brokers, terminals and data services: the rules, each with its table. Symbols are never
//! matched by prefix.
//!
//! | rule | examples |
//! |---|---|
//! | case and the separators `/ _ -` and blank do not matter | `eur/usd`, `EUR_USD` |
//! | one suffix from the tables, for currency pairs, metals, indices and crypto-currencies | `EURUSD.m`, `US30 Cash`, `GOLD#` |
//! | one letter without a separator, not where it would make another ticker | `EURUSDm`, `GOLDm`; not `EURUSDC`, `SPXC` |
//! | a prefix: `#`, `.` before an index, `m` before a pair; brackets | `#US30`, `.US30Cash`, `[SP500]` |
//! | Yahoo's `=X` after a pair, `=F` after the root of a future | `EURUSD=X`, `ES=F` |
//! | an index with the month of its contract | `US30-Z25` |
//! | a future: continuous, or with month and year | `NQ1!`, `/ES`, `@NQ`, `NQ.c.0`, `NQH26`, `ESZ5`, `MNQ 03-26` |

use super::instrument::InstrumentClass;
use super::venue::ExchangeGroup;

type Classes = &'static [InstrumentClass];

const CFD: Classes = &[InstrumentClass::Forex, InstrumentClass::Metal, InstrumentClass::Index, InstrumentClass::Crypto];
const PAIR: Classes = &[InstrumentClass::Forex, InstrumentClass::Metal];
const INDEX: Classes = &[InstrumentClass::Index];

/// Words that are suffixes, with or without a separator.
const WORDS: [&str; 10] = ["MICRO", "MINI", "CASH", "PRO", "ECN", "STP", "STD", "RAW", "VIP", "ZERO"];
/// Words that are suffixes only after a separator (`.`, `-`, `_` or a blank).
const SEPARATED: [&str; 23] = [
    "SB", "SD", "SML", "FIX", "CENT", "CT", "PRIME", "PLUS", "ELITE", "SPOT", "FX", "CFD", "NANO", "VAR", "LMAX",
    "NDD", "DMA", "CRP", "PR", "TECN", "CLASSIC", "PREMIUM", "ISLAMIC",
];
/// Single letters that are suffixes only after a separator. They exclude the letters of time frames (`D`, `H`, `W`),
/// and `P`, which marks a perpetual contract.
const SEPARATED_LETTERS: &str = "ABCEFGIKMNRSTVXZ";
/// Single letters that are suffixes without a separator.
const LETTERS: &str = "ABCEIMRZ";
/// Suffixes with other characters.
const SYMBOLS: [&str; 5] = ["M#", "+", "#", "!", "."];
const SEPARATORS: [char; 4] = ['.', '-', '_', ' '];
/// The month letters of futures.
const MONTHS: &str = "FGHJKMNQUVXZ";
/// The month letters of contracts on indices.
const QUARTERS: &str = "HMUZ";
const MONTH_NAMES: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// Suffixes of continuous contracts: TradingView, Yahoo, Stooq, Finviz, Databento, `NinjaTrader`.
const CONTINUOUS: [&str; 13] =
    ["1!", "2!", "=F", ".F", "_F", ".FUT", " ##-##", ".C.0", ".C.1", ".N.0", ".N.1", ".V.0", ".V.1"];
/// Suffixes that name the exchange of a contract: Yahoo, Sierra Chart, Refinitiv.
const EXCHANGE_TAILS: [(&str, ExchangeGroup); 10] = [
    ("_FUT_CME", ExchangeGroup::Cme),
    ("_FUT_CBOT", ExchangeGroup::Cbot),
    ("_FUT_COMEX", ExchangeGroup::Comex),
    ("_FUT_NYMEX", ExchangeGroup::Nymex),
    (".CME", ExchangeGroup::Cme),
    ("-CME", ExchangeGroup::Cme),
    (".XCME", ExchangeGroup::Cme),
    (".CBT", ExchangeGroup::Cbot),
    (".CMX", ExchangeGroup::Comex),
    (".NYM", ExchangeGroup::Nymex),
];

/// The form of a spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpellingForm {
    /// The name or an alias.
    Name,
    /// A name with a broker's prefix or suffix.
    Affixed,
    /// A contract of a future.
    Contract,
}

/// A possible name, and the classes of instruments that may have such affixes.
#[derive(Debug, PartialEq)]
pub(super) struct NameCandidate {
    /// The normalized name.
    pub(super) name: String,
    prefix: Classes,
    suffix: Classes,
}

impl NameCandidate {
    pub(super) fn fits(&self, class: InstrumentClass) -> bool {
        self.prefix.contains(&class) && self.suffix.contains(&class)
    }
}

/// Normalizes a spelling for comparison: upper case, without `/`, `_`, `-` and blanks.
pub(super) fn normalize(spelling: &str) -> String {
    spelling.trim().chars().filter(|c| !matches!(c, '/' | '_' | '-' | ' ')).flat_map(char::to_uppercase).collect()
}

/// Splits the exchange off: `NYSE:DOW`, thinkorswim's `/ES:XCME`, and Massive's `C.EUR/USD`.
pub(super) fn split_exchange(spelling: &str) -> (Option<&str>, &str) {
    let spelling = spelling.trim();
    match spelling.rsplit_once(':') {
        Some((name, exchange)) if name.starts_with('/') => (Some(exchange), name),
        Some((exchange, name)) => (Some(exchange), name),
        None => match spelling.split_once('.') {
            Some((channel, pair)) if ["C", "CA", "CAS"].contains(&&*channel.to_ascii_uppercase()) => {
                (Some(channel), pair)
            }
            _ => (None, spelling),
        },
    }
}

/// Returns the possible names of a spelling after removing the affixes of the tables.
pub(super) fn candidates(spelling: &str) -> Vec<NameCandidate> {
    let spelling = spelling.trim();
    let mut found = Vec::new();
    let mut add = |name: &str, prefix: Classes, suffix: Classes| {
        found.push(NameCandidate { name: normalize(name), prefix, suffix });
    };
    if let Some(inner) = spelling.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        add(inner, CFD, CFD);
    }
    // Interactive Brokers' `EUR.USD`.
    if spelling.len() == 7 && spelling.find('.') == Some(3) {
        add(&spelling.replace('.', ""), PAIR, PAIR);
    }
    let upper_follows = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_uppercase());
    let stripped = [
        (spelling.strip_prefix('#'), CFD),
        (spelling.strip_prefix('.'), INDEX),
        (spelling.strip_prefix('m').filter(upper_follows), PAIR),
    ];
    for (rest, prefix) in stripped {
        let Some(rest) = rest else { continue };
        add(rest, prefix, CFD);
        without_suffix(rest, |name, suffix| add(name, prefix, suffix));
    }
    without_suffix(spelling, |name, suffix| add(name, CFD, suffix));
    found
}

fn without_suffix(spelling: &str, mut found: impl FnMut(&str, Classes)) {
    let strip = |suffix: &str| {
        let at = spelling.len().checked_sub(suffix.len())?;
        let (head, tail) = spelling.split_at_checked(at)?;
        tail.eq_ignore_ascii_case(suffix).then_some(head)
    };
    for head in SYMBOLS.iter().chain(&WORDS).filter_map(|suffix| strip(suffix)) {
        found(head, CFD);
    }
    if let Some(head) = strip("=X") {
        found(head, PAIR);
    }
    if let Some((head, tail)) = spelling.rsplit_once(SEPARATORS) {
        let tail = tail.to_ascii_uppercase();
        let is_letter = tail.len() == 1 && SEPARATED_LETTERS.contains(&tail);
        match tail.as_str() {
            "FOREX" => found(head, PAIR),
            "INDX" => found(head, INDEX),
            word if is_letter || WORDS.contains(&word) || SEPARATED.contains(&word) => found(head, CFD),
            _ => {}
        }
    }
    if let Some(head) = without_letter(spelling) {
        found(head, CFD);
    }
    let year = spelling.len() - spelling.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    if let Some((head, code)) = spelling.len().checked_sub(year + 1).and_then(|at| spelling.split_at_checked(at))
        && year >= 2
        && is_month_and_year(&code.to_ascii_uppercase(), QUARTERS)
    {
        found(head.trim_end_matches(SEPARATORS), INDEX);
    }
}

/// Removes the last letter of a spelling when it marks the broker's type of account.
///
/// Short names of letters only (`SPX`, `GOLD`) become other tickers with one more letter (`SPXC`, MCX's `GOLDM`), and a
/// `C` or `E` after dollars makes other currencies (`EURUSDC`). There the letter has to be lower case and the name
/// upper case.
fn without_letter(spelling: &str) -> Option<&str> {
    let letter = spelling.chars().next_back().filter(char::is_ascii_alphabetic)?;
    let head = &spelling[..spelling.len() - 1];
    if !LETTERS.contains(letter.to_ascii_uppercase()) || !head.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let name = normalize(head);
    let is_short = name.len() <= 4 && name.bytes().all(|b| b.is_ascii_alphabetic());
    let makes_currency = matches!(letter.to_ascii_uppercase(), 'C' | 'E') && name.ends_with("USD");
    let stands_out = letter.is_ascii_lowercase() && head.contains(|c: char| c.is_ascii_uppercase());
    (stands_out || !is_short && !makes_currency).then_some(head)
}

/// A contract of a future.
pub(super) struct FutureContract {
    /// The exchange group that the suffix names, if any.
    pub(super) group: Option<ExchangeGroup>,
}

/// Parses a spelling as a contract of the future `root`; `None` when it is not one.
pub(super) fn contract(spelling: &str, root: &str) -> Option<FutureContract> {
    let upper = spelling.trim().to_ascii_uppercase();
    let (is_marked, bare) = match upper.strip_prefix(['/', '@']) {
        Some(bare) => (true, bare),
        None => (false, upper.as_str()),
    };
    let rest = bare.strip_prefix(root)?;
    let tail = EXCHANGE_TAILS.iter().find_map(|(tail, group)| Some((rest.strip_suffix(tail)?, *group)));
    let (rest, group) = tail.map_or((rest, None), |(rest, group)| (rest, Some(group)));
    let is_contract = match rest {
        "" => is_marked || group.is_some(),
        // IQFeed.
        "#" | "#C" => is_marked,
        _ => CONTINUOUS.contains(&rest) || is_dated(rest),
    };
    is_contract.then_some(FutureContract { group })
}

/// Whether the rest is a date: `H26`, `H2026`, `Z5`, ` 03-26`, ` DEC25`, also after a separator.
fn is_dated(rest: &str) -> bool {
    let separated = rest.strip_prefix(SEPARATORS);
    let code = separated.unwrap_or(rest);
    if is_month_and_year(code, MONTHS) {
        return true;
    }
    let Some(date) = separated else { return false };
    let by_name = MONTH_NAMES.iter().find_map(|name| date.strip_prefix(name));
    let by_number = date
        .split_once('-')
        .and_then(|(month, year)| (month.len() == 2 && matches!(month.parse(), Ok(1..=12))).then_some(year));
    by_name.or(by_number).is_some_and(|year| year.len() > 1 && is_year(year))
}

fn is_month_and_year(code: &str, months: &str) -> bool {
    code.strip_prefix(|c| months.contains(c)).is_some_and(is_year)
}

fn is_year(year: &str) -> bool {
    let fits = matches!(year.len(), 1 | 2) || year.len() == 4 && year.starts_with("20");
    fits && year.bytes().all(|b| b.is_ascii_digit())
}

/// Returns every word suffix of the tables, for tests.
#[cfg(test)]
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().chain(SEPARATED)
}

/// Returns every word that may follow a symbol, for tests.
#[cfg(test)]
pub(super) fn tables() -> impl Iterator<Item = String> {
    words().chain(MONTH_NAMES).chain(["FOREX", "INDX", "FUT"]).map(str::to_owned)
}
