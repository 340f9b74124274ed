//! The page of a sweep.

use std::fmt::{self, Write};

use super::{chart, escaped, number, page, signed, table};
use crate::backtest::results::sums;
use crate::backtest::sweep::{SweepReport, names};

/// The number of tries in the table.
const BEST: usize = 50;

impl SweepReport {
    /// Renders the page.
    pub fn html(&self) -> String {
        // Writing to a `String` cannot fail.
        page("Sweep", |page| self.write_html(page))
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        for sentence in self.sentences.iter().chain(&self.assumptions) {
            write!(page, "<p>{}</p>", escaped(sentence))?;
        }
        if let Some(chosen) = &self.chosen {
            let (first, last) = (self.days.first(), self.days.last());
            let ends = [first, last].map(|day| day.map(String::as_str).unwrap_or_default());
            let daily = sums(self.tries[chosen.place].daily_r.iter().copied());
            let daily = std::iter::once((0.0, 0.0)).chain(daily.map(|(sum, fall)| (sum, -fall)));
            let (total, fall): (Vec<f64>, Vec<f64>) = daily.unzip();
            let boundary = Some(self.sample_days);
            page.push_str("<h2>The best try, day by day</h2><p>The days behind the vertical line were held out.</p>");
            page.push_str(&chart::line("Sum of the results in R", &total, boundary, ends));
            page.push_str(&chart::line("Below its highest value, in R", &fall, boundary, ends));
            let months = chosen.months.iter().map(|it| vec![it.month.clone(), it.days.to_string(), signed(it.total_r)]);
            table(page, "Months of the best try", &["", "days", "total R"], months)?;
            let spreads = chosen.spreads.iter().map(|it| {
                let all = &it.all;
                vec![
                    format!("× {}", it.factor),
                    all.trades.to_string(),
                    signed(all.total_r),
                    number(all.mean_r),
                    number(all.sharpe),
                ]
            });
            table(
                page,
                "The best try with wider spreads",
                &["spread", "trades", "total R", "mean R", "Sharpe a day"],
                spreads,
            )?;
        }
        for (key, values) in &self.sensitivity {
            write!(page, "<h2>Sensitivity to {}</h2>", escaped(key))?;
            let means: Vec<_> = values.iter().map(|it| (it.value.clone(), it.mean_total_r)).collect();
            page.push_str(&chart::bars("Mean total R of the tries with each value", &means));
            let rows = values
                .iter()
                .map(|it| vec![it.value.clone(), format!("{:.1}", it.mean_trades), signed(it.mean_total_r)]);
            table(page, "", &["value", "mean trades", "mean total R"], rows)?;
        }
        let steps = self.walk_forward.folds.iter().map(|it| {
            let chosen = it.chosen.map_or_else(|| "–".to_owned(), |place| names(&self.tries[place]));
            vec![format!("{} to {}", it.from, it.to), chosen, signed(it.total_r)]
        });
        table(page, "Walk forward", &["days", "chosen before", "total R"], steps)?;
        let mut ranked: Vec<_> = self.tries.iter().collect();
        ranked.sort_by(|a, b| b.sample.sharpe.unwrap_or(f64::MIN).total_cmp(&a.sample.sharpe.unwrap_or(f64::MIN)));
        let rows = ranked.iter().take(BEST).map(|it| {
            let (sample, held_out) = (&it.sample, &it.held_out);
            vec![
                names(it),
                sample.trades.to_string(),
                number(sample.mean_r),
                number(sample.sharpe),
                number(held_out.mean_r),
                number(held_out.sharpe),
            ]
        });
        let title = format!("The best {} of {} tries", BEST.min(ranked.len()), ranked.len());
        table(page, &title, &["settings", "trades", "mean R", "Sharpe", "held out: mean R", "Sharpe"], rows)
    }
}
