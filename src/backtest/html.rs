//! The report as a single HTML page: tables, and charts as SVG.

use std::fmt::{self, Display, Write};

use super::report::{BacktestReport, cells};
use crate::domain::Stats;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;\
background:#fff}h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;font-variant-numeric:\
tabular-nums}th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #d8dee4}th:first-child,td:first-child{\
text-align:left}svg{display:block;max-width:100%;height:auto;margin:.5rem 0}text{font:11px system-ui,sans-serif;fill:#57606a}\
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}text{fill:#9198a1}}";

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 220.0;
const MARGIN: f64 = 30.0;

impl BacktestReport {
    /// Renders the page.
    pub fn html(&self) -> String {
        let mut page = String::new();
        // Writing to a `String` cannot fail.
        self.write_html(&mut page).ok();
        page
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        write!(
            page,
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>Backtest</title><style>{STYLE}</style><h1>Backtest</h1>"
        )?;
        for sentence in self.sample.iter().chain(&self.assumptions) {
            write!(page, "<p>{}</p>", escaped(sentence))?;
        }
        self.tables(page)?;
        for file in &self.files {
            let days: Vec<(String, f64)> = file.days.iter().map(|(day, n)| (day.clone(), *n as f64)).collect();
            write!(page, "<h2>{}: signals by trading day</h2>{}", escaped(&file.symbol), bars(&days, "#0969da"))?;
        }
        let mut trades: Vec<_> = self.outcomes.iter().filter(|outcome| outcome.counts()).collect();
        trades.sort_by(|a, b| (a.closed_at, &a.signal).cmp(&(b.closed_at, &b.signal)));
        let results: Vec<f64> = trades.iter().map(|trade| trade.r).collect();
        write!(page, "<h2>Sum of the results in R, trade by trade</h2>{}", curve(&results))?;
        write!(page, "<h2>Results in R</h2>{}", bars(&histogram(&results), "#8250df"))?;
        page.push_str("</html>\n");
        Ok(())
    }

    fn tables(&self, page: &mut String) -> fmt::Result {
        let groups = [
            ("Setup", &self.statistics.setup),
            ("Instrument", &self.statistics.symbol),
            ("Killzone", &self.statistics.killzone),
            ("Model score", &self.statistics.confidence),
        ];
        page.push_str("<h2>Recordings</h2><table><tr><th>");
        page.push_str(
            &["", "days", "signals", "per day", "confirmed", "trades", "win rate", "mean R", "drawdown R"].join("<th>"),
        );
        for file in &self.files {
            let confirmed = file.ends.get("confirmed").copied().unwrap_or_default();
            let counts = (file.trading_days, file.days.values().sum(), confirmed);
            write!(page, "<tr><td>{}", cells(&escaped(&file.symbol), Some(counts), &file.statistics).join("<td>"))?;
        }
        page.push_str("</table>");
        for file in &self.files {
            write!(page, "<h3>{}</h3><ul>", escaped(&file.file))?;
            for line in file.read.lines() {
                write!(page, "<li>{}", escaped(line))?;
            }
            page.push_str("</ul>");
        }
        for (name, group) in groups {
            write!(
                page,
                "<h2>{name}</h2><table><tr><th><th>confirmed<th>trades<th>win rate<th>mean R<th>profit factor\
                 <th>drawdown R<th>Brier"
            )?;
            for (key, stats) in group.iter().chain([(&"all".to_owned(), &self.statistics.all)]) {
                row(page, key, stats)?;
            }
            page.push_str("</table>");
        }
        Ok(())
    }
}

fn row(page: &mut String, key: &str, stats: &Stats) -> fmt::Result {
    let [.., confirmed, trades, win_rate, mean, drawdown] = cells("", None, stats);
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let (factor, brier) = (number(stats.profit_factor), number(stats.brier));
    let cells = [&escaped(key), &confirmed, &trades, &win_rate, &mean, &factor, &drawdown, &brier];
    write!(page, "<tr><td>{}", cells.map(String::as_str).join("<td>"))
}

fn escaped(text: impl Display) -> String {
    text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Draws a bar chart.
fn bars(values: &[(String, f64)], colour: &str) -> String {
    let most = values.iter().map(|(_, value)| *value).fold(1.0, f64::max);
    let step = (WIDTH - 2.0 * MARGIN) / values.len().max(1) as f64;
    // Label only every nth bar, as many as there is room for.
    let every = (70.0 / step).ceil().max(1.0) as usize;
    let mut drawn = String::new();
    for (place, (name, value)) in values.iter().enumerate() {
        let height = value / most * (HEIGHT - 2.0 * MARGIN);
        let (x, y) = (MARGIN + place as f64 * step, HEIGHT - MARGIN - height);
        write!(
            drawn,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"><title>{}: \
             {value}</title></rect>",
            step * 0.8,
            escaped(name)
        )
        .ok();
        if place % every == 0 {
            write!(drawn, "<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>", HEIGHT - MARGIN / 2.0, escaped(name)).ok();
        }
    }
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><text x=\"0\" y=\"12\">{most}</text>{drawn}</svg>")
}

/// Draws the running sum as a line around zero.
fn curve(results: &[f64]) -> String {
    let sums: Vec<f64> = std::iter::once(0.0)
        .chain(results.iter().scan(0.0, |sum, r| {
            *sum += r;
            Some(*sum)
        }))
        .collect();
    let (low, high) = sums.iter().fold((0.0f64, 0.0f64), |(low, high), sum| (low.min(*sum), high.max(*sum)));
    let height = (high - low).max(1.0);
    let y = |sum: f64| HEIGHT - MARGIN - (sum - low) / height * (HEIGHT - 2.0 * MARGIN);
    let step = (WIDTH - 2.0 * MARGIN) / (sums.len() - 1).max(1) as f64;
    let points: Vec<_> =
        sums.iter().enumerate().map(|(n, sum)| format!("{:.1},{:.1}", MARGIN + n as f64 * step, y(*sum))).collect();
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><line x1=\"{MARGIN}\" x2=\"{}\" y1=\"{zero:.1}\" \
         y2=\"{zero:.1}\" stroke=\"#9198a1\"/><polyline fill=\"none\" stroke=\"#0969da\" stroke-width=\"2\" \
         points=\"{}\"/><text x=\"0\" y=\"12\">{high:+.1} R</text><text x=\"0\" y=\"{HEIGHT}\">{low:+.1} R</text></svg>",
        WIDTH - MARGIN,
        points.join(" "),
        zero = y(0.0),
    )
}

/// Counts the results in each bucket of half an R.
fn histogram(results: &[f64]) -> Vec<(String, f64)> {
    let bucket = |r: f64| (r * 2.0 + 1e-9).floor().clamp(-8.0, 20.0) as i32;
    let buckets: Vec<i32> = results.iter().map(|r| bucket(*r)).collect();
    let (Some(first), Some(last)) = (buckets.iter().min(), buckets.iter().max()) else { return Vec::new() };
    (*first..=*last)
        .map(|at| {
            (format!("{:+.1}", f64::from(at) / 2.0), buckets.iter().filter(|bucket| **bucket == at).count() as f64)
        })
        .collect()
}
