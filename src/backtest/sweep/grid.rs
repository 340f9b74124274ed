//! The grid of a sweep: settings with their values, and all combinations.

use std::str::FromStr;

use serde::Serialize;

/// Largest number of tries in a sweep.
const MAX_TRIES: usize = 1_000;

/// Why a grid cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// The text is not `KEY=VALUES`.
    #[error("'{0}' is not KEY=FROM:TO:STEP or KEY=VALUE,VALUE…, such as setups.min_score=0.4:0.8:0.1")]
    Form(String),
    /// The setting does not matter to a backtest.
    #[error("{0} does not change a backtest: sweep settings of setups.*, or signals.ttl")]
    Key(String),
    /// A range that does not rise, or has no finite numbers.
    #[error("{key}={range}: the range must rise from FROM to TO by a STEP above 0")]
    Range {
        /// The setting.
        key: String,
        /// The range as it was written.
        range: String,
    },
    /// A setting is given twice.
    #[error("{0} is swept twice: put all its values into one --sweep")]
    Twice(String),
    /// Too many combinations.
    #[error("the grid has {0} combinations, more than {MAX_TRIES}: take fewer values or larger steps")]
    TooMany(usize),
}

/// A setting that a sweep varies, with its values as they would stand in the settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SweptSetting {
    /// The key, such as `setups.min_score`.
    pub key: String,
    /// The values, in the order in which they were written.
    pub values: Vec<String>,
}

impl FromStr for SweptSetting {
    type Err = GridError;

    /// Parses `KEY=FROM:TO:STEP` or `KEY=VALUE,VALUE…`.
    fn from_str(text: &str) -> Result<Self, GridError> {
        let form = || GridError::Form(text.to_owned());
        let (key, values) = text.split_once('=').ok_or_else(form)?;
        if !key.starts_with("setups.") && key != "signals.ttl" {
            return Err(GridError::Key(key.to_owned()));
        }
        let values: Vec<String> = match values.split(':').collect::<Vec<_>>().as_slice() {
            [from, to, step] => range(from, to, step)
                .ok_or_else(|| GridError::Range { key: key.to_owned(), range: values.to_owned() })?,
            [_] => values.split(',').map(|value| value.trim().to_owned()).collect(),
            _ => return Err(form()),
        };
        if values.iter().any(String::is_empty) {
            return Err(form());
        }
        if values.len() > MAX_TRIES {
            return Err(GridError::TooMany(values.len()));
        }
        Ok(Self { key: key.to_owned(), values })
    }
}

/// Returns the numbers from `from` to `to`, each with as many decimals as the most of the bounds.
fn range(from: &str, to: &str, step: &str) -> Option<Vec<String>> {
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let places = decimals(from).max(decimals(step));
    let (from, to, step) = (number(from)?, number(to)?, number(step)?);
    if step <= 0.0 || to < from {
        return None;
    }
    // The last value counts although 0.4 + 4 · 0.1 is above 0.8.
    let steps = ((to - from) / step + 1e-9).floor().min(MAX_TRIES as f64) as usize;
    Some((0..=steps).map(|n| format!("{:.places$}", from + n as f64 * step)).collect())
}

/// Returns every combination of the values, as pairs of key and value; the last setting changes first.
///
/// # Errors
/// [`GridError`] when a setting is given twice, or when there are more than 1,000 combinations.
pub fn grid(swept: &[SweptSetting]) -> Result<Vec<Vec<(&str, &str)>>, GridError> {
    for (place, setting) in swept.iter().enumerate() {
        if swept[..place].iter().any(|other| other.key == setting.key) {
            return Err(GridError::Twice(setting.key.clone()));
        }
    }
    let count = swept.iter().fold(1_usize, |count, setting| count.saturating_mul(setting.values.len()));
    if count > MAX_TRIES {
        return Err(GridError::TooMany(count));
    }
    let mut tries = vec![Vec::new()];
    for setting in swept {
        let with = |earlier: &Vec<(_, _)>| {
            let earlier = earlier.clone();
            setting.values.iter().map(move |value| [earlier.as_slice(), &[(&*setting.key, &**value)]].concat())
        };
        tries = tries.iter().flat_map(with).collect();
    }
    Ok(tries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<String> {
        text.parse::<SweptSetting>().unwrap().values
    }

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!(values("setups.min_score=0.4:0.8:0.1"), ["0.4", "0.5", "0.6", "0.7", "0.8"]);
        assert_eq!(values("setups.swing=3:8:2"), ["3", "5", "7"]);
        assert_eq!(values("setups.min_risk_atr=1:1:0.25"), ["1.00"]);
        assert_eq!(values("setups.interval=1m, 5m"), ["1m", "5m"]);
        assert_eq!(values("signals.ttl=60s,90s"), ["60s", "90s"]);
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        for text in ["setups.swing", "setups.swing=", "setups.swing=1,,2", "setups.swing=1:2", "setups.swing=1:2:3:4"] {
            assert_eq!(text.parse::<SweptSetting>(), Err(GridError::Form(text.to_owned())));
        }
        for range in ["3:1:1", "1:3:0", "1:3:-1", "a:3:1", "1:inf:1", "1:3:NaN"] {
            let refused = Err(GridError::Range { key: "setups.swing".to_owned(), range: range.to_owned() });
            assert_eq!(format!("setups.swing={range}").parse::<SweptSetting>(), refused);
        }
        assert_eq!("server.port=1,2".parse::<SweptSetting>(), Err(GridError::Key("server.port".to_owned())));
        assert_eq!("setups.swing=0:1000000:1".parse::<SweptSetting>(), Err(GridError::TooMany(MAX_TRIES + 1)));
    }

    #[test]
    fn every_combination_comes_once() {
        let parse = |text: &str| text.parse::<SweptSetting>().unwrap();
        let swept = [parse("setups.swing=3,5"), parse("signals.ttl=60s,90s")];
        let expected = [("3", "60s"), ("3", "90s"), ("5", "60s"), ("5", "90s")];
        let expected = expected.map(|(swing, ttl)| vec![("setups.swing", swing), ("signals.ttl", ttl)]);
        assert_eq!(grid(&swept).unwrap(), expected);
        assert_eq!(grid(&[]).unwrap(), [vec![]]);
        let twice = [parse("setups.swing=3"), parse("setups.swing=5")];
        assert_eq!(grid(&twice), Err(GridError::Twice("setups.swing".to_owned())));
        let many = [parse("setups.swing=1:40:1"), parse("setups.min_score=0:1:0.01")];
        assert_eq!(grid(&many), Err(GridError::TooMany(4_040)));
    }
}
