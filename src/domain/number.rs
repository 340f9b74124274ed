//! Serializes numbers as JavaScript does: 5000.0 is `5000`.

use serde::{Serialize, Serializer};

/// The largest integer that JavaScript represents exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A finite number that is serialized as an integer when it has no fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(&self.0, serializer)
    }
}

/// For `#[serde(serialize_with)]` on an `f64`.
pub fn number<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    debug_assert!(value.is_finite(), "non-finite numbers are refused at the border");
    if value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

/// For `#[serde(serialize_with)]` on an `Option<f64>`.
pub fn optional<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => number(value, serializer),
        None => serializer.serialize_none(),
    }
}

/// A list of numbers, each written as [`Number`] is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers<'a>(pub &'a [f64]);

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().copied().map(Number))
    }
}

/// Returns `a − b` with no more decimals than the two have: 1.08503 − 1.085 is 0.00003.
pub fn difference(a: f64, b: f64) -> f64 {
    let decimals = decimals(a).max(decimals(b));
    // `+ 0.0` turns −0.0 into 0.0.
    format!("{:.decimals$}", a - b).parse().unwrap_or(a - b) + 0.0
}

fn decimals(value: f64) -> usize {
    value.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_difference_keeps_the_decimals_of_its_terms() {
        for (a, b, expected) in [
            (1.08503, 1.085, "0.00003"),
            (1.1, 1.1, "0"),
            (2650.45, 2650.2, "0.25"),
            (1.0, 1.3, "-0.3"),
            (5.0, 3.0, "2"),
        ] {
            assert_eq!(difference(a, b).to_string(), expected);
        }
    }

    fn written(value: f64) -> String {
        serde_json::to_string(&Number(value)).unwrap()
    }

    #[test]
    fn numbers_are_written_with_these_texts() {
        for (value, text) in [
            (5000.0, "5000"),
            (0.0, "0"),
            (-0.0, "0"),
            (1.0852, "1.0852"),
            (-0.5, "-0.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456.789, "123456.789"),
            (1e-5, "0.00001"),
            (MAX_SAFE_INTEGER, "9007199254740991"),
            (-MAX_SAFE_INTEGER, "-9007199254740991"),
            // JavaScript writes these differently, with the same value: 0.000001 and 9007199254740992.
            (1e-6, "1e-6"),
            (MAX_SAFE_INTEGER + 1.0, "9007199254740992.0"),
        ] {
            assert_eq!(written(value), text);
        }
    }

    fn written_by_javascript(value: f64) -> String {
        ryu_js::Buffer::new().format_finite(value).to_owned()
    }

    proptest! {
        /// In the range of every price, volume and sum.
        #[test]
        fn numbers_are_written_as_javascript_writes_them(value in 1e-5..MAX_SAFE_INTEGER, decimals in 0..10_usize, sign: bool) {
            let rounded: f64 = format!("{value:.decimals$}").parse().unwrap();
            for value in [value, rounded].map(|value| if sign { -value } else { value }) {
                prop_assume!(value == 0.0 || value.abs() >= 1e-5);
                prop_assert_eq!(written(value), written_by_javascript(value));
            }
        }

        #[test]
        fn small_numbers_are_written_as_javascript_writes_them(units in 1..1_000_000_000_u32, decimals in 0..=5) {
            let value = f64::from(units) / 10_f64.powi(decimals);
            prop_assert_eq!(written(value), written_by_javascript(value));
        }
    }
}
