//! The reports as single HTML pages: tables, and charts as SVG. A page needs nothing else, runs no script, and its size is bounded.

mod chart;
mod prices;
mod sweep;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use super::report::{BacktestReport, FileReport, cells};
use super::results::{SpreadResult, trades};
use crate::domain::{Signal, Stats, TradeOutcome, iso};

const STYLE: &str = "\
:root{--text:#1b1f24;--dim:#57606a;--paper:#fff;--rule:#d8dee4;--line:#0969da;--bar:#54aeff;--won:#1a7f37;--lost:#cf222e;--none:#8c959f;\
--range:#afb8c1}\
@media(prefers-color-scheme:dark){:root{--text:#e6edf3;--dim:#9198a1;--paper:#0d1117;--rule:#30363d;--line:#58a6ff;--bar:#1f6feb;\
--won:#3fb950;--lost:#f85149;--none:#6e7681;--range:#484f58}}\
:root{color-scheme:light dark}*{box-sizing:border-box}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:var(--text);background:var(--paper)}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3,li{overflow-wrap:anywhere}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}\
th:first-child,td:first-child{text-align:left;padding-left:0}\
figure{margin:1rem 0}figcaption,.ends,.legend{font-size:.85rem;color:var(--dim)}.ends{display:flex;justify-content:space-between}\
svg{display:block;width:100%;height:14rem;border-bottom:1px solid var(--rule)}\
path,polyline{fill:none;vector-effect:non-scaling-stroke}.bar{fill:var(--bar)}.loss{fill:var(--lost)}\
.line{stroke:var(--line);stroke-width:2}.zero,.boundary{stroke:var(--dim)}.boundary{stroke-dasharray:4 4}\
.range{stroke:var(--range)}.close{stroke:var(--line);stroke-width:1.2}.won{color:var(--won)}.lost{color:var(--lost)}.untraded{\
color:var(--none)}.risk{stroke:currentColor;stroke-width:1.5}.dot{stroke:currentColor;stroke-width:7;stroke-linecap:round}";

/// Returns a page with what `write` puts into it.
fn page(title: &str, write: impl FnOnce(&mut String) -> fmt::Result) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
    );
    // Writing to a `String` cannot fail.
    write(&mut page).ok();
    page.push_str("</html>\n");
    page
}

/// Writes a table with a heading, which may be empty.
fn table(page: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> fmt::Result {
    if !title.is_empty() {
        write!(page, "<h2>{}</h2>", escaped(title))?;
    }
    write!(page, "<div class=\"wide\"><table><tr><th>{}", heads.join("<th>"))?;
    for row in rows {
        write!(page, "<tr><td>{}", row.iter().map(escaped).collect::<Vec<_>>().join("<td>"))?;
    }
    page.push_str("</table></div>");
    Ok(())
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

fn signed(value: f64) -> String {
    format!("{value:+.2}")
}

fn escaped(text: impl Display) -> String {
    text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl BacktestReport {
    /// Renders the page.
    pub fn html(&self) -> String {
        page("Backtest", |page| self.write_html(page))
    }

    fn write_html(&self, page: &mut String) -> fmt::Result {
        for sentence in self.sample.iter().chain(&self.assumptions) {
            write!(page, "<p>{}</p>", escaped(sentence))?;
        }
        self.recordings(page)?;
        self.price_charts(page);
        let results: Vec<f64> = trades(&self.outcomes).into_iter().map(TradeOutcome::net_r).collect();
        let points = self.curve.iter().map(|point| (point.total_r, -point.drawdown_r));
        let (total, fall): (Vec<f64>, Vec<f64>) = std::iter::once((0.0, 0.0)).chain(points).unzip();
        let (first, last) = (self.curve.first(), self.curve.last());
        let ends = [first, last].map(|it| it.map(|it| it.closed_at.format("%Y-%m-%d").to_string()).unwrap_or_default());
        page.push_str("<h2>Sum of the results in R, trade by trade</h2>");
        page.push_str(&chart::line("Sum in R", &total, None, ends.each_ref().map(String::as_str)));
        page.push_str(&chart::line("Below its highest value, in R", &fall, None, ends.each_ref().map(String::as_str)));
        let months = self.months.iter().map(|it| {
            let rate = 100.0 * it.winners as f64 / it.trades as f64;
            let (total, mean) = (signed(it.total_r), signed(it.mean_r));
            vec![
                it.month.clone(),
                it.trades.to_string(),
                format!("{rate:.0} %"),
                total,
                mean,
                number(Some(it.max_drawdown_r)),
            ]
        });
        table(page, "Months", &["", "trades", "won", "total R", "mean R", "drawdown R"], months)?;
        let spreads = self.spreads.iter().map(|it: &SpreadResult| {
            let (trades, fall) = (it.trades.to_string(), number(Some(it.max_drawdown_r)));
            vec![format!("× {}", it.factor), trades, signed(it.total_r), number(it.mean_r), fall]
        });
        table(page, "With wider spreads", &["spread", "trades", "total R", "mean R", "drawdown R"], spreads)?;
        page.push_str(
            "<p>What other settings would have made is shown by a sweep: --sweep KEY=VALUES --html FILE.</p>",
        );
        page.push_str("<h2>Results in R</h2>");
        page.push_str(&chart::bars("Trades by result in R", &chart::histogram(&results)));
        self.groups(page)?;
        for file in &self.files {
            let days: Vec<(String, f64)> = file.days.iter().map(|(day, n)| (day.clone(), *n as f64)).collect();
            write!(
                page,
                "<h2>{}: signals by trading day</h2>{}",
                escaped(&file.symbol),
                chart::bars("Signals", &days)
            )?;
        }
        Ok(())
    }

    fn price_charts(&self, page: &mut String) {
        let ended: BTreeMap<&str, &TradeOutcome> =
            self.outcomes.iter().map(|outcome| (outcome.signal.as_str(), outcome)).collect();
        let mut last: BTreeMap<&str, &Signal> = BTreeMap::new();
        for signal in &self.changes {
            last.insert(signal.id.as_str(), signal);
        }
        page.push_str("<h2>Price and signals</h2>");
        for file in &self.files {
            let of = |signal: &&&Signal| signal.symbol.as_str() == file.symbol && file.is_of(signal);
            let mut signals: Vec<&Signal> = last.values().filter(of).copied().collect();
            signals.sort_by_key(|signal| signal.accepted_at);
            page.push_str(&prices::chart(&file.symbol, &file.prices, &signals, &ended));
        }
        page.push_str(prices::LEGEND);
    }

    fn recordings(&self, page: &mut String) -> fmt::Result {
        let heads = ["", "days", "signals", "per day", "confirmed", "trades", "win rate", "mean R", "drawdown R"];
        let rows = self.files.iter().map(|file| {
            let confirmed = file.ends.get("confirmed").copied().unwrap_or_default();
            let counts = (file.trading_days, file.days.values().sum(), confirmed);
            cells(&file.symbol, Some(counts), &file.statistics).to_vec()
        });
        table(page, "Recordings", &heads, rows)?;
        for file in &self.files {
            write!(page, "<h3>{}</h3><ul>", escaped(&file.file))?;
            for line in file.read.lines() {
                write!(page, "<li>{}", escaped(line))?;
            }
            page.push_str("</ul>");
        }
        Ok(())
    }

    fn groups(&self, page: &mut String) -> fmt::Result {
        let groups = [
            ("Setup", &self.statistics.setup),
            ("Instrument", &self.statistics.symbol),
            ("Killzone", &self.statistics.killzone),
            ("Model score", &self.statistics.confidence),
        ];
        let heads = ["", "confirmed", "trades", "win rate", "mean R", "profit factor", "drawdown R", "Brier"];
        for (name, group) in groups {
            let rows = group
                .iter()
                .chain([(&"all".to_owned(), &self.statistics.all)])
                .map(|(key, stats)| row(key, stats))
                .collect::<Vec<_>>();
            table(page, name, &heads, rows.into_iter())?;
        }
        Ok(())
    }
}

fn row(key: &str, stats: &Stats) -> Vec<String> {
    let [.., confirmed, trades, win_rate, mean, drawdown] = cells("", None, stats);
    let (factor, brier) = (number(stats.profit_factor), number(stats.brier));
    vec![key.to_owned(), confirmed, trades, win_rate, mean, factor, drawdown, brier]
}

impl FileReport {
    /// Whether a signal is of this recording: two may be of the same instrument.
    fn is_of(&self, signal: &Signal) -> bool {
        let at = iso(signal.accepted_at);
        self.from.as_ref().is_some_and(|from| *from <= at) && self.to.as_ref().is_some_and(|to| at <= *to)
    }
}
