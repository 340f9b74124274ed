//! Order blocks: the bar at which the leg that broke a swing began.

use std::collections::VecDeque;

use super::{Break, Extreme, Pivot};
use crate::domain::{Candle, Direction};

/// Maximum number of open blocks; beyond it the oldest is dropped.
const MAX_OPEN: usize = 256;

/// An order block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Block {
    /// Long when the market rose from it.
    pub direction: Direction,
    /// The index of the bar with the extreme.
    pub index: u64,
    /// Its high.
    pub top: f64,
    /// Its low.
    pub bottom: f64,
    /// Whether price has returned to it.
    pub touched: bool,
}

impl Block {
    /// Returns the edge that price reaches first when it returns.
    pub fn near(&self) -> f64 {
        match self.direction {
            Direction::Long => self.top,
            Direction::Short => self.bottom,
        }
    }

    /// Returns the other edge.
    pub fn far(&self) -> f64 {
        match self.direction {
            Direction::Long => self.bottom,
            Direction::Short => self.top,
        }
    }
}

/// An event of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BlockEvent {
    /// The swing was broken, which defines the block.
    Born(Block),
    /// Price returned to the near edge for the first time.
    Touched(Block),
    /// A bar closed beyond the far edge, which ends the block.
    Broken(Block),
}

/// The bar with the deepest opposite extreme since a swing; the last one of several.
#[derive(Debug, Clone, Copy)]
struct Origin {
    extreme: Extreme,
    deepest: Option<(u64, Candle)>,
}

/// Finds order blocks, and tracks them until a bar closes beyond them. When a bar closes above a swing high, the block
/// is the bar with the lowest low between the two; mirrored for a swing low.
#[derive(Debug, Clone)]
pub struct Blocks {
    /// The last `swing_length` bars: those after a swing when it is confirmed.
    recent: VecDeque<(u64, Candle)>,
    swing_length: usize,
    next: u64,
    high: Option<Origin>,
    low: Option<Origin>,
    open: Vec<Block>,
}

impl Blocks {
    /// `swing_length` has to be that of the [`Swings`](super::Swings) whose swings are passed to [`push`](Self::push).
    pub fn new(swing_length: usize) -> Self {
        let recent = VecDeque::with_capacity(swing_length + 1);
        Self { recent, swing_length, next: 0, high: None, low: None, open: Vec::new() }
    }

    /// Adds the next bar with the swings and breaks that it revealed. Returns the events of older blocks, then new
    /// blocks.
    pub fn push(&mut self, candle: &Candle, pivots: [Option<Pivot>; 2], breaks: [Option<Break>; 2]) -> Vec<BlockEvent> {
        let n = self.next;
        self.next += 1;
        let mut events = Vec::new();
        self.follow(candle, &mut events);
        let between = |broken: Break| {
            let origin = match broken.direction {
                Direction::Long => self.high,
                Direction::Short => self.low,
            };
            let (index, Candle { high: top, low: bottom, .. }) = origin?.deepest?;
            Some(Block { direction: broken.direction, index, top, bottom, touched: false })
        };
        let born: Vec<Block> = breaks.into_iter().flatten().filter_map(between).collect();
        events.extend(born.iter().copied().map(BlockEvent::Born));
        self.open.extend(born);
        if self.open.len() > MAX_OPEN {
            self.open.remove(0);
        }
        self.record(n, candle, pivots);
        events
    }

    fn follow(&mut self, candle: &Candle, events: &mut Vec<BlockEvent>) {
        self.open.retain_mut(|block| {
            let sign = block.direction.sign();
            let reach = if block.direction == Direction::Long { candle.low } else { candle.high };
            if !block.touched && sign * (reach - block.near()) <= 0.0 {
                block.touched = true;
                events.push(BlockEvent::Touched(*block));
            }
            let broken = sign * (candle.close - block.far()) < 0.0;
            if broken {
                events.push(BlockEvent::Broken(*block));
            }
            !broken
        });
    }

    fn record(&mut self, n: u64, candle: &Candle, pivots: [Option<Pivot>; 2]) {
        for origin in [&mut self.high, &mut self.low].into_iter().flatten() {
            origin.push(n, candle);
        }
        self.recent.push_back((n, *candle));
        if self.recent.len() > self.swing_length {
            self.recent.pop_front();
        }
        for pivot in pivots.into_iter().flatten() {
            let mut origin = Origin { extreme: pivot.extreme, deepest: None };
            self.recent.iter().for_each(|(n, candle)| origin.push(*n, candle));
            match pivot.extreme {
                Extreme::High => self.high = Some(origin),
                Extreme::Low => self.low = Some(origin),
            }
        }
    }

    /// Returns the blocks that are not broken, oldest first.
    pub fn open(&self) -> &[Block] {
        &self.open
    }
}

impl Origin {
    fn push(&mut self, n: u64, candle: &Candle) {
        let deeper = self.deepest.is_none_or(|(_, deepest)| match self.extreme {
            Extreme::High => candle.low <= deepest.low,
            Extreme::Low => candle.high >= deepest.high,
        });
        if deeper {
            self.deepest = Some((n, *candle));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::detect::BreakKind;
    use crate::engine::detect::tests::candle;

    #[test]
    fn the_deepest_bar_becomes_the_block() {
        let mut blocks = Blocks::new(2);
        let pivot = Pivot { extreme: Extreme::High, index: 0, level: 2.0 };
        let broken = Break { kind: BreakKind::Bos, direction: Direction::Long, pivot };
        assert_eq!(blocks.push(&candle(1.9, 2.0, 1.0, 1.9), [None; 2], [None; 2]), [], "the swing itself");
        assert_eq!(blocks.push(&candle(1.9, 1.9, 1.5, 1.6), [None; 2], [None; 2]), []);
        assert_eq!(blocks.push(&candle(1.6, 1.7, 1.4, 1.5), [Some(pivot), None], [None; 2]), []);
        assert_eq!(blocks.push(&candle(1.5, 1.6, 1.4, 1.6), [None; 2], [None; 2]), [], "the last of two is as deep");
        let block = Block { direction: Direction::Long, index: 3, top: 1.6, bottom: 1.4, touched: false };
        assert_eq!((block.near(), block.far()), (1.6, 1.4));
        let born = blocks.push(&candle(1.6, 2.2, 1.3, 2.1), [None; 2], [Some(broken), None]);
        assert_eq!(born, [BlockEvent::Born(block)], "the breaking bar is not part of it, nor does it touch it");
        assert_eq!(blocks.push(&candle(2.1, 2.2, 1.7, 2.1), [None; 2], [None; 2]), []);
        let touched = Block { touched: true, ..block };
        let touch = blocks.push(&candle(2.1, 2.2, 1.3, 1.4), [None; 2], [None; 2]);
        assert_eq!(touch, [BlockEvent::Touched(touched)], "a wick through it is no end");
        let end = blocks.push(&candle(2.1, 2.2, 1.3, 1.39), [None; 2], [None; 2]);
        assert_eq!(end, [BlockEvent::Broken(touched)]);
        assert_eq!(blocks.open(), []);
    }
}
