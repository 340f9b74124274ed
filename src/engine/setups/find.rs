//! Finds the setups that a bar completes.

use std::collections::VecDeque;

use crate::domain::{Candle, Direction, Instrument, SetupKind};
use crate::engine::detect::{
    BlockEvent, Break, BreakKind, Detectors, Extreme, Finding, Gap, GapEvent, MarketLevels, Pivot, Sweep,
};

/// Bars that are kept to find the extreme of a leg.
const RECENT: usize = 256;
/// A gap may come at most this many bars after the change of character.
const GAP_AFTER: u64 = 2;
/// A sweep counts for a setup when it was at most this many bars before.
const SWEEP_MEMORY: u64 = 30;
/// Minimum height of a gap in average true ranges.
const MIN_GAP: f64 = 0.1;
/// Minimum body of a bar that breaks structure, in average true ranges.
const BREAK_BODY: f64 = 1.0;
/// Minimum range in average true ranges that has a premium and a discount half.
const MIN_RANGE: f64 = 3.0;
/// The share of the range that a pullback has to retrace: the 61.8 % of the optimal trade entry.
const DEEP: f64 = 0.618;

/// A setup before its levels are computed. Its prices are those of the bars.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SetupCandidate {
    pub(super) kind: SetupKind,
    pub(super) direction: Direction,
    /// The entry price.
    pub(super) entry: f64,
    /// The extreme beyond which the setup is invalid.
    pub(super) wrong_at: f64,
    /// The level that was broken, swept or revisited.
    pub(super) level: f64,
    /// The far edge of the gap at the entry; a close beyond it invalidates the setup.
    pub(super) zone_far: Option<f64>,
    /// Whether a sweep of the opposite side came before.
    pub(super) after_sweep: bool,
    /// Whether a level of the previous day or of a killzone was swept.
    pub(super) takes_level: bool,
    /// The body of the completing bar in the setup's direction, in average true ranges.
    pub(super) displacement: f64,
    /// The height of the gap in average true ranges.
    pub(super) gap: f64,
}

impl SetupCandidate {
    /// Describes the setup in words.
    pub(super) fn describe(&self, instrument: &Instrument) -> String {
        let price = |price: f64| format!("{:.*}", usize::from(instrument.digits), price);
        let (side, other) = match self.direction {
            Direction::Long => ("above", "low"),
            Direction::Short => ("below", "high"),
        };
        let (level, sweep) = (price(self.level), if self.after_sweep { " after a sweep" } else { "" });
        match self.kind {
            SetupKind::MssFvg => {
                let far = price(self.zone_far.unwrap_or(self.entry));
                format!("shift {side} {level}{sweep}, gap {}–{far}", price(self.entry))
            }
            SetupKind::OrderBlock => format!("first return to the block at {level}, held"),
            SetupKind::LiquiditySweep => format!("{other} {level} swept to {}, closed back", price(self.wrong_at)),
            SetupKind::Bos => format!("close {side} {level} with displacement{sweep}"),
            SetupKind::PremiumDiscount => format!("pullback of the trend, {other} of the range at {level}"),
        }
    }
}

/// The detectors of one instrument, and the findings that setups depend on.
#[derive(Debug)]
pub(super) struct SetupScanner {
    detectors: Detectors,
    pub(super) levels: MarketLevels,
    recent: VecDeque<Candle>,
    atr_before: Option<f64>,
    turned: Option<(u64, Break)>,
    swept_high: Option<u64>,
    swept_low: Option<u64>,
    last_high: Option<Pivot>,
    last_low: Option<Pivot>,
}

impl SetupScanner {
    pub(super) fn new(swing: usize) -> Self {
        Self {
            detectors: Detectors::new(swing),
            levels: MarketLevels::default(),
            recent: VecDeque::with_capacity(RECENT + 1),
            atr_before: None,
            turned: None,
            swept_high: None,
            swept_low: None,
            last_high: None,
            last_low: None,
        }
    }

    pub(super) fn bars(&self) -> u64 {
        self.detectors.bars()
    }

    pub(super) fn atr(&self) -> Option<f64> {
        self.detectors.atr().filter(|atr| *atr > 0.0)
    }

    /// Adds the next closed bar.
    pub(super) fn push(&mut self, candle: &Candle) -> Vec<Finding> {
        let n = self.detectors.bars();
        self.atr_before = self.atr();
        self.recent.push_back(*candle);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        let findings = self.detectors.push(candle);
        for finding in &findings {
            match finding {
                Finding::Swing(pivot) if pivot.extreme == Extreme::High => self.last_high = Some(*pivot),
                Finding::Swing(pivot) => self.last_low = Some(*pivot),
                Finding::Sweep(sweep) if sweep.pivot.extreme == Extreme::High => self.swept_high = Some(n),
                Finding::Sweep(_) => self.swept_low = Some(n),
                Finding::Break(broken) => self.turned = (broken.kind == BreakKind::Choch).then_some((n, *broken)),
                Finding::Gap(_) | Finding::Shift(_) | Finding::Block(_) => {}
            }
        }
        findings
    }

    /// Returns the setups that the last bar completes.
    pub(super) fn candidates(&mut self, candle: &Candle, findings: &[Finding]) -> Vec<SetupCandidate> {
        let Some(atr) = self.atr_before else { return Vec::new() };
        let n = self.detectors.bars() - 1;
        let body = (candle.close - candle.open) / atr;
        let mut found: Vec<_> = self.at_a_gap(n, findings, atr, body).into_iter().collect();
        for finding in findings {
            found.extend(match finding {
                Finding::Block(BlockEvent::Touched(block)) => {
                    let (direction, near) = (block.direction, block.near());
                    let held = direction.sign() * (candle.close - near) > 0.0;
                    let kind = SetupKind::OrderBlock;
                    held.then(|| self.candidate(kind, direction, near, block.far(), near, body, n))
                }
                Finding::Sweep(sweep) => self.at_a_sweep(sweep, body, n),
                Finding::Break(broken) if broken.kind == BreakKind::Bos => {
                    let (direction, level) = (broken.direction, broken.pivot.level);
                    let wrong_at = if direction == Direction::Long { candle.low } else { candle.high };
                    (direction.sign() * body >= BREAK_BODY)
                        .then(|| self.candidate(SetupKind::Bos, direction, level, wrong_at, level, body, n))
                }
                _ => None,
            });
        }
        found.extend(self.in_a_pullback(candle, atr, body, n));
        found
    }

    #[expect(clippy::too_many_arguments, reason = "these are what a candidate is")]
    fn candidate(
        &self,
        kind: SetupKind,
        direction: Direction,
        entry: f64,
        wrong_at: f64,
        level: f64,
        body: f64,
        n: u64,
    ) -> SetupCandidate {
        let swept = match direction {
            Direction::Long => self.swept_low,
            Direction::Short => self.swept_high,
        };
        SetupCandidate {
            kind,
            direction,
            entry,
            wrong_at,
            level,
            zone_far: None,
            after_sweep: swept.is_some_and(|swept| n - swept <= SWEEP_MEMORY),
            takes_level: false,
            displacement: direction.sign() * body,
            gap: 0.0,
        }
    }

    /// Finds a change of character whose leg left a gap that price has not revisited.
    fn at_a_gap(&mut self, n: u64, findings: &[Finding], atr: f64, body: f64) -> Option<SetupCandidate> {
        let (turned_at, broken) = self.turned?;
        if n - turned_at > GAP_AFTER {
            self.turned = None;
            return None;
        }
        let gap = findings.iter().find_map(|finding| match finding {
            Finding::Shift(shift) => shift.gap,
            Finding::Gap(GapEvent::Born(gap)) if gap.direction == broken.direction => Some(*gap),
            _ => None,
        })?;
        let untouched = |open: &&Gap| open.index == gap.index && open.direction == gap.direction && !open.touched;
        let gap = self.detectors.open_gaps().iter().find(untouched)?;
        if gap.top - gap.bottom < MIN_GAP * atr {
            return None;
        }
        let (gap, direction) = (*gap, broken.direction);
        let wrong_at = self.extreme_since(n, broken.pivot.index, direction);
        let candidate = self.candidate(SetupKind::MssFvg, direction, gap.near(), wrong_at, broken.pivot.level, body, n);
        self.turned = None;
        Some(SetupCandidate { zone_far: Some(gap.far()), gap: (gap.top - gap.bottom) / atr, ..candidate })
    }

    /// Returns the lowest low (for a long) or the highest high (for a short) since bar `since`.
    fn extreme_since(&self, n: u64, since: u64, direction: Direction) -> f64 {
        let bars = self.recent.iter().rev().take((n - since + 1) as usize);
        match direction {
            Direction::Long => bars.map(|bar| bar.low).fold(f64::INFINITY, f64::min),
            Direction::Short => bars.map(|bar| bar.high).fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// Finds a sweep through a level of the previous day or of a killzone, and not only through a swing.
    fn at_a_sweep(&self, sweep: &Sweep, body: f64, n: u64) -> Option<SetupCandidate> {
        let Sweep { pivot, extreme } = *sweep;
        let direction = if pivot.extreme == Extreme::Low { Direction::Long } else { Direction::Short };
        let ranges = crate::domain::Killzone::ALL.into_iter().filter_map(|zone| self.levels.last(zone));
        let mut seen = ranges.chain(self.levels.previous_day()).map(|range| match pivot.extreme {
            Extreme::High => range.high,
            Extreme::Low => range.low,
        });
        let (low, high) = (pivot.level.min(extreme), pivot.level.max(extreme));
        let swept = seen.find(|level| (low..=high).contains(level))?;
        let kind = SetupKind::LiquiditySweep;
        let candidate = self.candidate(kind, direction, pivot.level, extreme, swept, body, n);
        Some(SetupCandidate { takes_level: true, ..candidate })
    }

    /// Finds a pullback that retraced most of the last range and turns back into the trend.
    fn in_a_pullback(&self, candle: &Candle, atr: f64, body: f64, n: u64) -> Option<SetupCandidate> {
        let (high, low) = (self.last_high?.level, self.last_low?.level);
        let before = self.recent.iter().rev().nth(1)?;
        let direction = self.detectors.structure().trend()?;
        let (sign, height) = (direction.sign(), high - low);
        let (origin, reached, reached_before) = match direction {
            Direction::Long => (low, candle.low, before.low),
            Direction::Short => (high, candle.high, before.high),
        };
        let deep = origin + sign * (1.0 - DEEP) * height;
        let enters = sign * (reached - deep) <= 0.0 && sign * (reached_before - deep) > 0.0;
        let holds = sign * (candle.close - origin) > 0.0 && sign * body > 0.0;
        let cheap = sign * (candle.close - f64::midpoint(high, low)) < 0.0;
        (height >= MIN_RANGE * atr && enters && holds && cheap)
            .then(|| self.candidate(SetupKind::PremiumDiscount, direction, candle.close, origin, origin, body, n))
    }
}
