//! The table of field names: every spelling of the fields of signals and prices, for HTTP, WebSocket, webhook and
//! Expert Advisors. `docs/pushing.md` prints it, and a test compares the two.
//!
//! Names are compared without case, `_`, `-`, `.` and blanks: `stopLoss`, `Stop-Loss` and `STOP_LOSS` are `stop_loss`.

/// A field, with every name that is accepted for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldAliases {
    /// The documented name.
    pub name: &'static str,
    /// Synonyms. A push with different values for two of them is rejected.
    pub aliases: &'static [&'static str],
    /// Names that are read only if none of the others is present, because they can have another meaning.
    pub fallbacks: &'static [&'static str],
}

impl FieldAliases {
    /// Creates a field with a single name.
    pub(super) const fn plain(name: &'static str) -> Self {
        Self { name, aliases: &[], fallbacks: &[] }
    }

    const fn new(name: &'static str, aliases: &'static [&'static str]) -> Self {
        Self { name, aliases, fallbacks: &[] }
    }

    const fn or(self, fallbacks: &'static [&'static str]) -> Self {
        Self { fallbacks, ..self }
    }
}

pub(super) const ID: FieldAliases = FieldAliases::new("id", &["signal_id", "alert_id"]);
pub(super) const STATUS: FieldAliases = FieldAliases::plain("status");
pub(super) const INVALIDATION: FieldAliases = FieldAliases::plain("invalidation");
/// Why a signal ends, in a body that only ends it.
pub(super) const END_REASON: FieldAliases = FieldAliases::new("reason", &["invalidation"]);
pub(super) const SYMBOL: FieldAliases = FieldAliases::new("symbol", &["ticker", "pair", "instrument"]);
pub(super) const EXCHANGE: FieldAliases = FieldAliases::plain("exchange");
pub(super) const DIRECTION: FieldAliases = FieldAliases::new(
    "direction",
    &["side", "action", "signal", "order_action", "order_side", "trade_side", "position_side", "strategy.order.action"],
);
/// Fields that some senders use for the direction and others for something else: read only if the value is a direction
/// word.
pub(super) const DIRECTION_HINTS: FieldAliases =
    FieldAliases::plain("type").or(&["event", "order_type", "signal_type", "order", "cmd"]);
pub(super) const MARKET_POSITION: FieldAliases = FieldAliases::new("market_position", &["strategy.market_position"]);
pub(super) const ENTRY_TIME: FieldAliases =
    FieldAliases::new("entry_time", &["signal_time"]).or(&["time", "timestamp", "timenow", "datetime", "created_at"]);
pub(super) const ENTRY_PRICE: FieldAliases = FieldAliases::new("entry_price", &["entry", "open_price"]).or(&[
    "price",
    "strategy.order.price",
    "order_price",
    "close",
]);
pub(super) const STOP_LOSS: FieldAliases =
    FieldAliases::new("stop_loss", &["sl", "stop", "stop_price", "stop_loss_price", "sl_price"]);
/// The list of targets; [`target_number`] reads the numbered fields.
pub(super) const TAKE_PROFITS: FieldAliases = FieldAliases::new(
    "take_profits",
    &[
        "take_profit",
        "tp",
        "tps",
        "target",
        "targets",
        "take_profit_price",
        "tp_price",
        "profit_target",
        "target_price",
    ],
);
pub(super) const TP_MODES: FieldAliases = FieldAliases::plain("tp_modes");
pub(super) const REASON: FieldAliases = FieldAliases::new("reason", &["reasoning", "rationale"]).or(&[
    "comment",
    "message",
    "setup",
    "strategy.order.comment",
    "order_comment",
]);
pub(super) const CONFIDENCE: FieldAliases = FieldAliases::new("confidence", &["confidence_score", "probability"]);
pub(super) const RR_TARGET: FieldAliases =
    FieldAliases::new("rr_target", &["rr", "rrr", "risk_reward", "risk_reward_ratio", "reward_to_risk"]);
pub(super) const KILLZONE: FieldAliases = FieldAliases::plain("killzone");
pub(super) const MODEL: FieldAliases = FieldAliases::new("model", &["model_name"]);
pub(super) const DRY_RUN: FieldAliases = FieldAliases::plain("dry_run");

pub(super) const PRICE: FieldAliases =
    FieldAliases::plain("price").or(&["last", "last_price", "close", "strategy.order.price", "order_price"]);
pub(super) const BID: FieldAliases = FieldAliases::plain("bid");
pub(super) const ASK: FieldAliases = FieldAliases::new("ask", &["offer"]);
pub(super) const VOLUME: FieldAliases = FieldAliases::new("volume", &["vol"]);
pub(super) const PRICE_TIME: FieldAliases = FieldAliases::plain("timestamp").or(&["time", "timenow", "datetime"]);

/// Every field of a signal, in the order of the documentation.
pub(super) const SIGNAL_FIELDS: [FieldAliases; 19] = [
    ID,
    STATUS,
    INVALIDATION,
    SYMBOL,
    EXCHANGE,
    DIRECTION,
    DIRECTION_HINTS,
    MARKET_POSITION,
    ENTRY_TIME,
    ENTRY_PRICE,
    STOP_LOSS,
    TAKE_PROFITS,
    TP_MODES,
    REASON,
    CONFIDENCE,
    RR_TARGET,
    KILLZONE,
    MODEL,
    DRY_RUN,
];
/// Every field of a price.
#[cfg(test)]
pub(super) const PRICE_FIELDS: [FieldAliases; 7] = [SYMBOL, EXCHANGE, PRICE, BID, ASK, VOLUME, PRICE_TIME];

/// Prefixes of numbered targets: `tp1`, `take_profit_1`, `targetPrice1`.
pub(super) const TARGET_STEMS: [&str; 6] =
    ["tp", "take_profit", "target", "tp_price", "take_profit_price", "target_price"];
/// Largest number of targets of a signal.
pub(super) const MAX_TARGETS: usize = 10;

/// Returns the form in which names are compared.
pub(super) fn normalized(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Returns the number of a target, from 1, if the normalized field name has one.
pub(super) fn target_number(normalized_name: &str) -> Option<usize> {
    let stem = normalized_name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &normalized_name[stem.len()..];
    // `tp1Price`
    let (stem, number) = match stem.strip_suffix("price").filter(|_| number.is_empty()) {
        Some(inner) => {
            let stem = inner.trim_end_matches(|c: char| c.is_ascii_digit());
            (stem, &inner[stem.len()..])
        }
        None => (stem, number),
    };
    let is_stem = TARGET_STEMS.iter().any(|known| normalized(known) == stem);
    let number = number.parse().ok().filter(|number| (1..=MAX_TARGETS).contains(number));
    number.filter(|_| is_stem)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn no_name_means_two_fields() {
        for fields in [&SIGNAL_FIELDS[..], &PRICE_FIELDS[..]] {
            let mut seen = BTreeMap::new();
            for field in fields {
                let names = std::iter::once(&field.name).chain(field.aliases).chain(field.fallbacks);
                for name in names {
                    let before = seen.insert(normalized(name), field.name);
                    assert_eq!(before, None, "{name}");
                }
            }
        }
    }

    #[test]
    fn targets_may_have_numbers() {
        for (name, number) in [
            ("tp1", Some(1)),
            ("take_profit_2", Some(2)),
            ("takeProfit10", Some(10)),
            ("Target 3", Some(3)),
            ("TP1Price", Some(1)),
        ] {
            assert_eq!(target_number(&normalized(name)), number, "{name}");
        }
        for name in ["tp", "tp0", "tp11", "price1", "tp1x", "1", "tp99999999999999999999999"] {
            assert_eq!(target_number(&normalized(name)), None, "{name}");
        }
    }
}
