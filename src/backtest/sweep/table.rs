//! The report of a sweep in words and as a table.

use super::report::{SweepReport, SweepSample, TryReport};
use crate::domain::FEW;

/// The number of tries in the table.
const BEST: usize = 20;

impl SweepReport {
    /// Describes what the sweep shows, in sentences.
    pub(super) fn describe(&self) -> Vec<String> {
        let axes: Vec<_> = self.swept.iter().map(|it| format!("{} ({} values)", it.key, it.values.len())).collect();
        let mut sentences = vec![format!(
            "{} tries of {} on {} trading days: a try is chosen in the first {}, the last {} are held out.",
            self.tries.len(),
            axes.join(" and "),
            self.days.len(),
            self.sample_days,
            self.days.len() - self.sample_days
        )];
        let Some(chosen) = &self.chosen else {
            sentences.push("No try had trades that ended on different days: there is nothing to choose from.".into());
            return sentences;
        };
        let best = &self.tries[chosen.place];
        let ratio = |sample: SweepSample| sample.sharpe.map_or_else(|| "none".to_owned(), |it| format!("{it:.4}"));
        sentences.push(format!(
            "The best, {}, has a Sharpe ratio of {} a day in the sample ({} trades, {:+.2} R), and of {} in the days that were \
             held out ({} trades, {:+.2} R).",
            names(best),
            ratio(best.sample),
            best.sample.trades,
            best.sample.total_r,
            ratio(best.held_out),
            best.held_out.trades,
            best.held_out.total_r
        ));
        sentences.push(format!(
            "By chance alone the best of {} such tries is expected to have {:.4}: with probability {:.4} its true ratio is \
             above that (deflated Sharpe ratio; 0.95 is the usual mark).",
            self.tries.len(),
            chosen.expected_maximum_sharpe,
            chosen.deflated_sharpe
        ));
        if let Some(overfitting) = &self.overfitting {
            sentences.push(format!(
                "Chosen in one half of the sample, the best try was no better than the median in the other with probability \
                 {:.4}, and lost there with {:.4} ({} ways to halve it; probability of backtest overfitting).",
                overfitting.probability, overfitting.loss_probability, overfitting.splits
            ));
        }
        sentences.push(format!(
            "Chosen again in {} steps by what was known until then, the result is {:+.2} R (walk forward).",
            self.walk_forward.folds.len(),
            self.walk_forward.total_r
        ));
        for (name, interval) in [("sample", chosen.sample_interval), ("held-out days", chosen.held_out_interval)] {
            if let Some((low, high)) = interval {
                sentences.push(format!(
                    "The 95 % interval of its mean day in the {name} is {low:+.4} to {high:+.4} R (moving-block bootstrap)."
                ));
            }
        }
        for spread in &chosen.spreads {
            sentences.push(format!(
                "With {} times the spread, its {} trades of all days make {:+.2} R.",
                spread.factor, spread.all.trades, spread.all.total_r
            ));
        }
        if best.sample.trades < FEW {
            sentences
                .push(format!("With fewer than {FEW} trades no ratio in here says anything about another sample."));
        }
        sentences.push("The spread is in the results, and so are slippage and commission where they are set.".into());
        sentences
    }

    /// Renders the report for a terminal: the best tries of the sample, the effect of each setting, and the sentences.
    pub fn table(&self) -> String {
        let width = self.tries.iter().map(|it| names(it).len()).max().unwrap_or_default().max(8);
        let line = |name: &str, cells: [String; 5]| {
            format!("{name:<width$}{}", cells.map(|cell| format!("{cell:>12}")).concat())
        };
        let heads = ["trades", "mean R", "Sharpe", "held out", "Sharpe"].map(str::to_owned);
        let mut lines = vec![line("settings", heads)];
        let mut ranked: Vec<_> = self.tries.iter().collect();
        ranked.sort_by(|a, b| b.sample.sharpe.unwrap_or(f64::MIN).total_cmp(&a.sample.sharpe.unwrap_or(f64::MIN)));
        for it in ranked.iter().take(BEST) {
            let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:+.3}"));
            let cells = [
                it.sample.trades.to_string(),
                number(it.sample.mean_r),
                number(it.sample.sharpe),
                number(it.held_out.mean_r),
                number(it.held_out.sharpe),
            ];
            lines.push(line(&names(it), cells));
        }
        if ranked.len() > BEST {
            lines.push(format!("… and {} more; --json writes all of them", ranked.len() - BEST));
        }
        lines.push(String::new());
        for (key, values) in &self.sensitivity {
            let of = |it: &super::report::ValueReport| {
                format!("{}: {:+.2} R, {:.1} trades", it.value, it.mean_total_r, it.mean_trades)
            };
            lines.push(format!("{key} (mean of its tries): {}", values.iter().map(of).collect::<Vec<_>>().join("; ")));
        }
        lines.push(String::new());
        lines.extend(self.sentences.iter().chain(&self.assumptions).cloned());
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Returns the settings of a try, as they would be swept.
pub(in crate::backtest) fn names(it: &TryReport) -> String {
    it.settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
