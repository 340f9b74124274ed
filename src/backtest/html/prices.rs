//! The price of a recording with the signals in it.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::chart::{Heights, WIDTH, figure};
use super::escaped;
use crate::backtest::price_line::PriceLine;
use crate::domain::{Signal, TradeOutcome, iso};

/// Maximum number of signals in a chart: the last ones.
const MOST_SIGNALS: usize = 400;

/// Draws the bars of `line` as ranges from low to high with their closes, and each signal as a dot at its entry with a line to its
/// stop. `ended` are the results of the signals, by id.
pub(super) fn chart(
    symbol: &str,
    line: &PriceLine,
    signals: &[&Signal],
    ended: &BTreeMap<&str, &TradeOutcome>,
) -> String {
    let (Some((first, _)), Some((last, _))) = (line.bars.first(), line.bars.last()) else { return String::new() };
    let range = |(low, high): (f64, f64), price: f64| (low.min(price), high.max(price));
    let all = line.bars.iter().flat_map(|(_, bar)| [bar.low, bar.high]);
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), range);
    let heights = Heights::new(low, high);
    let x = |place: usize| (place as f64 + 0.5) * WIDTH / line.bars.len() as f64;
    let (mut ranges, mut closes) = (String::new(), String::new());
    for (place, (_, bar)) in line.bars.iter().enumerate() {
        let x = x(place);
        write!(ranges, "M{x:.1} {:.1}V{:.1}", heights.of(bar.high), heights.of(bar.low)).ok();
        write!(closes, "{x:.1},{:.1} ", heights.of(bar.close)).ok();
    }
    let mut drawn =
        format!("<path class=\"range\" d=\"{ranges}\"/><polyline class=\"close\" points=\"{}\"/>", closes.trim_end());
    for signal in &signals[signals.len().saturating_sub(MOST_SIGNALS)..] {
        let Some(entry) = signal.entry_price else { continue };
        let outcome = ended.get(signal.id.as_str()).filter(|outcome| outcome.counts());
        let (class, came) = match outcome.map(|outcome| outcome.net_r()) {
            Some(r) if r > 0.0 => ("won", format!("{r:+.2} R")),
            Some(r) => ("lost", format!("{r:+.2} R")),
            None => ("untraded", signal.state.status().name().to_owned()),
        };
        let (x, y) = (x(line.place(signal.accepted_at)), heights.of(entry));
        let stop = heights.of(signal.stop_loss.unwrap_or(entry));
        write!(
            drawn,
            "<g class=\"{class}\"><title>{} {} at {entry}: {}; {came}</title><path class=\"risk\" d=\"M{x:.1} {y:.1}V{stop:.1}\"/>\
             <path class=\"dot\" d=\"M{x:.1} {y:.1}h0\"/></g>",
            iso(signal.accepted_at),
            signal.direction.name(),
            escaped(&signal.reason),
        )
        .ok();
    }
    let shown = match signals.len() {
        many if many > MOST_SIGNALS => format!("the last {MOST_SIGNALS} of {many} signals"),
        count => format!("{count} signals"),
    };
    let caption = format!("{symbol}, bars of {} min, {low} to {high}, {shown}", line.minutes);
    let ends = [*first, *last].map(|at| at.format("%Y-%m-%d %H:%M").to_string());
    figure(&caption, &drawn, [&ends[0], &ends[1]])
}

/// Explains the colours.
pub(super) const LEGEND: &str = "<p class=\"legend\"><b class=\"won\">●</b> won <b class=\"lost\">●</b> lost \
     <b class=\"untraded\">●</b> not traded; the line ends at the stop</p>";
