//! Settings of the server's own setups.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::{self, duration};
use super::{List, Problem};
use crate::domain::{BarInterval, BlackoutWindow, CalibrationMap, Killzone, SetupKind, SetupRules, Target};

/// Largest file of a mapping, in bytes.
const MAX_MAPPING: u64 = 1 << 20;

/// A setting with the path of a mapping for model scores, which is read together with the settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CalibrationFile {
    path: PathBuf,
    map: Arc<CalibrationMap>,
}

impl TryFrom<String> for CalibrationFile {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let mut text = String::new();
        let opened = File::open(&path).and_then(|file| file.take(MAX_MAPPING + 1).read_to_string(&mut text));
        let size = opened.map_err(|error| format!("{path:?} cannot be read: {error}"))?;
        if size as u64 > MAX_MAPPING {
            return Err(format!("{path:?} is larger than {MAX_MAPPING} bytes"));
        }
        let map = CalibrationMap::parse(&text)
            .map_err(|error| format!("{path:?} {error}; orion-server calibrate --write makes a mapping"))?;
        Ok(Self { path: path.into(), map: map.into() })
    }
}

impl From<CalibrationFile> for String {
    fn from(file: CalibrationFile) -> Self {
        file.path.to_string_lossy().into_owned()
    }
}

/// The setups that the server detects, and their requirements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SetupSettings {
    /// `mss_fvg`, `order_block`, `liquidity_sweep`, `bos`, `premium_discount`, in order of preference. Default all.
    pub enabled: List<SetupKind>,
    /// Whether setups are also detected in simulated prices. Default off.
    #[serde(deserialize_with = "value::flag")]
    pub in_simulated_prices: bool,
    /// Length of the bars: `1m`, `5m`, `15m`, `1h`. Default 5m.
    #[serde(deserialize_with = "value::choice")]
    pub interval: BarInterval,
    /// Bars on both sides of a swing; 1 to 50. Default 5.
    #[serde(deserialize_with = "value::whole")]
    pub swing: usize,
    /// Killzones in which setups are published. Default London, New York's morning and afternoon.
    pub killzones: List<Killzone>,
    /// Windows of New York time without setups, such as around news releases. Default none.
    pub blackout_windows: List<BlackoutWindow>,
    /// Time between two signals of one instrument; at most 24 h. Default 3 h.
    #[serde(with = "duration")]
    pub cool_down: Duration,
    /// Least risk in spreads; 0 to 100. Default 5.
    #[serde(deserialize_with = "value::decimal")]
    pub min_risk_spreads: f64,
    /// Least risk in average true ranges of 14 bars; 0.1 to 10. Default 1.
    #[serde(deserialize_with = "value::decimal")]
    pub min_risk_atr: f64,
    /// Most risk in average true ranges; at least `min_risk_atr`, at most 100. Default 4.
    #[serde(deserialize_with = "value::decimal")]
    pub max_risk_atr: f64,
    /// A setup is published when the price is this near to its entry, in average true ranges; 0.05 to 10. Default 0.25.
    #[serde(deserialize_with = "value::decimal")]
    pub reach_atr: f64,
    /// Least model score; 0 to 1. Default 0.
    #[serde(deserialize_with = "value::decimal")]
    pub min_score: f64,
    /// A mapping from the model score to the confidence of signals, as `orion-server calibrate --write` makes it. Default unset.
    #[serde(deserialize_with = "value::parsed_unless_empty")]
    pub calibration: Option<CalibrationFile>,
    /// Targets from near to far: distance in units of risk (R), and share of the position; 1 to 10. Default 1R 30%, 2R 40%, 3R 30%.
    pub take_profits: List<Target>,
}

impl Default for SetupSettings {
    fn default() -> Self {
        let rules = SetupRules::default();
        Self {
            enabled: rules.enabled.into(),
            in_simulated_prices: rules.in_simulated_prices,
            interval: rules.interval,
            swing: rules.swing,
            killzones: rules.killzones.into(),
            blackout_windows: rules.blackout_windows.into(),
            cool_down: rules.cool_down,
            min_risk_spreads: rules.min_spreads,
            min_risk_atr: rules.min_atr,
            max_risk_atr: rules.max_atr,
            reach_atr: rules.reach_atr,
            min_score: rules.min_score,
            calibration: None,
            take_profits: rules.targets.into(),
        }
    }
}

impl SetupSettings {
    /// Returns the rules for the engine.
    pub fn rules(&self) -> SetupRules {
        SetupRules {
            enabled: self.enabled.to_vec(),
            in_simulated_prices: self.in_simulated_prices,
            interval: self.interval,
            swing: self.swing,
            killzones: self.killzones.to_vec(),
            blackout_windows: self.blackout_windows.to_vec(),
            cool_down: self.cool_down,
            min_spreads: self.min_risk_spreads,
            min_atr: self.min_risk_atr,
            max_atr: self.max_risk_atr,
            reach_atr: self.reach_atr,
            min_score: self.min_score,
            calibration: self.calibration.as_ref().map(|file| file.map.clone()),
            targets: self.take_profits.to_vec(),
        }
    }

    /// Checks what the types cannot express, except durations.
    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(1..=50).contains(&self.swing) {
            return Err(Problem::new("setups.swing", "must be 1 to 50 bars"));
        }
        let ranges = [
            ("setups.min_risk_spreads", self.min_risk_spreads, 0.0, 100.0),
            ("setups.min_risk_atr", self.min_risk_atr, 0.1, 10.0),
            ("setups.max_risk_atr", self.max_risk_atr, self.min_risk_atr, 100.0),
            ("setups.reach_atr", self.reach_atr, 0.05, 10.0),
            ("setups.min_score", self.min_score, 0.0, 1.0),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return Err(Problem::new(key, format!("must be {least} to {most}, not {value}")));
            }
        }
        let targets = &self.take_profits;
        let shares: f64 = targets.iter().map(|target| target.share).sum();
        if !(1..=10).contains(&targets.len()) || !targets.is_sorted_by(|near, far| near.ratio < far.ratio) {
            return Err(Problem::new("setups.take_profits", "must be 1 to 10 targets, from near to far"));
        }
        if (shares - 100.0).abs() > 0.01 {
            return Err(Problem::new("setups.take_profits", format!("their shares must make 100 %, not {shares} %")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_match_the_engines_rules() {
        assert_eq!(SetupSettings::default().rules(), SetupRules::default());
        assert_eq!(SetupSettings::default().check(), Ok(()));
    }

    #[test]
    fn a_mapping_is_read_with_the_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.json");
        let setting = || CalibrationFile::try_from(path.to_string_lossy().into_owned());
        assert!(setting().unwrap_err().contains("cannot be read"));
        std::fs::write(&path, r#"{"version":"","points":[{"score":0.4,"confidence":0.3}]}"#).unwrap();
        assert!(setting().unwrap_err().contains("was changed"));
        let map = CalibrationMap::new(vec![crate::domain::CalibrationPoint { score: 0.4, confidence: 0.3 }]).unwrap();
        std::fs::write(&path, serde_json::to_string(&map).unwrap()).unwrap();
        let setups = SetupSettings { calibration: Some(setting().unwrap()), ..SetupSettings::default() };
        assert_eq!(setups.rules().calibration.as_deref(), Some(&map));
        let text = toml::to_string(&setups).unwrap();
        assert_eq!(toml::from_str::<SetupSettings>(&text).unwrap(), setups, "{text}");
    }

    #[test]
    fn unsound_rules_are_refused() {
        let targets = |texts: &[&str]| texts.iter().map(|text| Target::parse(text).unwrap()).collect::<Vec<_>>().into();
        let default = SetupSettings::default;
        for (key, setups) in [
            ("setups.swing", SetupSettings { swing: 0, ..default() }),
            ("setups.min_risk_atr", SetupSettings { min_risk_atr: 0.0, ..default() }),
            ("setups.max_risk_atr", SetupSettings { max_risk_atr: 0.5, ..default() }),
            ("setups.reach_atr", SetupSettings { reach_atr: f64::NAN, ..default() }),
            ("setups.min_score", SetupSettings { min_score: 1.5, ..default() }),
            ("setups.take_profits", SetupSettings { take_profits: targets(&["1R 30%", "2R 40%"]), ..default() }),
            ("setups.take_profits", SetupSettings { take_profits: targets(&["2R 50%", "1R 50%"]), ..default() }),
            ("setups.take_profits", SetupSettings { take_profits: targets(&[]), ..default() }),
        ] {
            assert_eq!(setups.check().map_err(|problem| problem.key), Err(key.to_owned()));
        }
    }
}
