//! Calibration: a mapping from model scores to the observed rate of "first target before the stop".

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// Most points of a mapping.
const MAX_POINTS: usize = 10_000;
/// Bytes of the hash that are the version.
const VERSION_BYTES: usize = 6;

/// A point of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationPoint {
    /// The model score, 0–1.
    pub score: f64,
    /// The confidence of this score, 0–1.
    pub confidence: f64,
}

/// A mapping that rises from score to score, straight between its points and level outside of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationMap {
    /// The first 12 hexadecimal digits of the SHA-256 of its points.
    version: String,
    points: Vec<CalibrationPoint>,
}

/// What a mapping did to the score of a signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppliedCalibration {
    /// The version of the mapping.
    pub version: String,
    /// The model score that it was given; `confidence` is what became of it.
    pub score: f64,
}

impl CalibrationMap {
    /// Makes a mapping.
    ///
    /// # Errors
    /// What is wrong with the points.
    pub fn new(points: Vec<CalibrationPoint>) -> Result<Self, &'static str> {
        let unit = 0.0..=1.0;
        if points.is_empty() || points.len() > MAX_POINTS {
            return Err("must have 1 to 10000 points");
        }
        if points.iter().any(|point| !unit.contains(&point.score) || !unit.contains(&point.confidence)) {
            return Err("has a point outside of 0 to 1");
        }
        if !points.windows(2).all(|pair| pair[0].score < pair[1].score && pair[0].confidence <= pair[1].confidence) {
            return Err("must rise from point to point");
        }
        Ok(Self { version: version(&points), points })
    }

    /// Reads the file that `orion-server calibrate --write` made.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence about the file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| format!("is not a mapping: {error}"))?;
        let map = Self::new(read.points)?;
        if map.version != read.version {
            let (told, found) = (read.version, map.version);
            return Err(format!("was changed: it says version {told}, but its points are version {found}"));
        }
        Ok(map)
    }

    /// Returns the version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the confidence of a score.
    pub fn confidence(&self, score: f64) -> f64 {
        let after = self.points.partition_point(|point| point.score < score);
        match (after.checked_sub(1).map(|before| self.points[before]), self.points.get(after)) {
            (Some(low), Some(high)) => {
                let share = (score - low.score) / (high.score - low.score);
                low.confidence + share * (high.confidence - low.confidence)
            }
            (Some(edge), None) => edge.confidence,
            (None, first) => first.map_or(score, |edge| edge.confidence),
        }
    }

    /// Maps a score with four decimals. Returns its confidence, and what a signal says about it.
    pub fn apply(&self, score: f64) -> (f64, AppliedCalibration) {
        let score = (score * 1e4).round() / 1e4;
        (self.confidence(score), AppliedCalibration { version: self.version.clone(), score })
    }
}

/// Returns the version of points: each as `score confidence` and a line feed, with the fewest digits that say which number it is.
fn version(points: &[CalibrationPoint]) -> String {
    let mut hash = Sha256::new();
    for CalibrationPoint { score, confidence } in points {
        hash.update(format!("{score} {confidence}\n"));
    }
    hash.finalize().iter().take(VERSION_BYTES).fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(points: &[(f64, f64)]) -> Result<CalibrationMap, &'static str> {
        CalibrationMap::new(points.iter().map(|&(score, confidence)| CalibrationPoint { score, confidence }).collect())
    }

    #[test]
    fn a_score_is_mapped_between_its_neighbours() {
        let map = map(&[(0.4, 0.2), (0.6, 0.3), (0.8, 0.9)]).unwrap();
        for (score, confidence) in [(0.0, 0.2), (0.4, 0.2), (0.5, 0.25), (0.6, 0.3), (0.7, 0.6), (0.8, 0.9), (1.0, 0.9)]
        {
            assert!((map.confidence(score) - confidence).abs() < 1e-12, "{score}: {}", map.confidence(score));
        }
        let applied = map.apply(0.1 + 0.3).1;
        assert_eq!((applied.score, applied.version.as_str()), (0.4, map.version()), "without the noise of a sum");
    }

    #[test]
    fn a_changed_mapping_is_refused() {
        let made = map(&[(0.4, 0.25), (0.6, 0.5)]).unwrap();
        assert_eq!(made.version(), "ca6648647437", "as sha256sum says");
        let text = serde_json::to_string(&made).unwrap();
        assert_eq!(CalibrationMap::parse(&text), Ok(made));
        let error = CalibrationMap::parse(&text.replace("0.25", "0.26")).unwrap_err();
        assert!(error.starts_with("was changed"), "{error}");
        assert!(CalibrationMap::parse("{}").unwrap_err().starts_with("is not a mapping"));
        for points in [&[][..], &[(0.5, 1.5)], &[(f64::NAN, 0.5)], &[(0.5, 0.5), (0.5, 0.6)], &[(0.4, 0.5), (0.5, 0.4)]]
        {
            assert!(map(points).is_err(), "{points:?}");
        }
    }
}
