//! Recorded prices in the formats of vendors.

use chrono::{DateTime, TimeDelta, Utc};
use orion_server::domain::{Spread, Timezone};

/// A recording in some format.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// What the report has to call it.
    pub(super) layout: &'static str,
    pub(super) name: String,
    pub(super) text: String,
    /// What the user says of the spread.
    pub(super) spread: Option<Spread>,
    /// What the user says of the columns.
    pub(super) columns: &'static str,
}

/// A price of both sides at a moment: four of each for a bar, one for a tick.
struct Moment {
    at: DateTime<Utc>,
    bid: Vec<i64>,
    ask: Vec<i64>,
}

/// Recorded prices as whole numbers of their last decimal.
pub(super) struct Recorded {
    moments: Vec<Moment>,
    decimals: usize,
}

/// What bid and ask are apart where the format has no place for it, in units of the last decimal.
const SPREAD: i64 = 9;

type Versions = (Rewritten, Vec<Rewritten>);

impl Recorded {
    pub(super) fn bars(text: &str, most: usize, decimals: usize) -> Self {
        Self::read(text, most, decimals, 4)
    }

    pub(super) fn ticks(text: &str, most: usize) -> Self {
        Self::read(text, most, 5, 1)
    }

    fn read(text: &str, most: usize, decimals: usize, prices: usize) -> Self {
        let moment = |line: &str| {
            let mut fields = line.split(',');
            let at = DateTime::parse_from_rfc3339(fields.next().unwrap()).unwrap().to_utc();
            let units = |text: &str| (text.parse::<f64>().unwrap() * 10f64.powi(decimals as i32)).round() as i64;
            let all: Vec<i64> = fields.map(units).collect();
            Moment { at, bid: all[..prices].to_vec(), ask: all[prices..].to_vec() }
        };
        Self { moments: text.lines().skip(1).take(most).map(moment).collect(), decimals }
    }

    fn price(&self, units: i64) -> String {
        let scale = 10i64.pow(self.decimals as u32);
        format!("{}.{:0width$}", units / scale, units % scale, width = self.decimals)
    }

    fn prices(&self, units: &[i64], order: &[usize], separator: &str) -> String {
        order.iter().map(|place| self.price(units[*place])).collect::<Vec<_>>().join(separator)
    }

    fn write(&self, layout: &'static str, name: &str, header: &str, line: impl Fn(&Moment) -> String) -> Rewritten {
        let lines: String = self.moments.iter().map(|moment| line(moment) + "\n").collect();
        let header = if header.is_empty() { String::new() } else { format!("{header}\n") };
        Rewritten { layout, name: name.into(), text: header + &lines, spread: None, columns: "" }
    }

    fn own(&self, ask: impl Fn(&Moment) -> Vec<i64>) -> Rewritten {
        let header = "time,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close";
        self.write("bars (time, open to close of bid and ask)", "own.csv", header, |m| {
            format!("{},{},{}", iso(m.at), self.prices(&m.bid, &OHLC, ","), self.prices(&ask(m), &OHLC, ","))
        })
    }

    /// Formats with bid and ask.
    pub(super) fn both_sides(&self) -> Versions {
        let header = "Date;Time;OpenBid;HighBid;LowBid;CloseBid;OpenAsk;HighAsk;LowAsk;CloseAsk;Volume";
        let commas = self.write("bars (time, open to close of bid and ask)", "fxcm.csv", header, |m| {
            let prices = format!("{};{}", self.prices(&m.bid, &OHLC, ";"), self.prices(&m.ask, &OHLC, ";"));
            format!("{};{};1", m.at.format("%d.%m.%Y;%H:%M"), prices.replace('.', ","))
        });
        let lean = self.write("QuantConnect Lean bars, bid and ask", "eurusd.csv", "", |m| {
            let prices = format!("{},0,{},0", self.prices(&m.bid, &OHLC, ","), self.prices(&m.ask, &OHLC, ","));
            format!("{},{prices}", m.at.format("%Y%m%d %H:%M"))
        });
        (self.own(|m| m.ask.clone()), vec![commas, lean])
    }

    /// Formats of bids.
    pub(super) fn bids(&self) -> Versions {
        let local = |zone: &str, at: DateTime<Utc>| zone.parse::<Timezone>().unwrap().local(at);
        let bid = |m: &Moment, separator: &str| self.prices(&m.bid, &OHLC, separator);
        let told = Some(Spread::Price(SPREAD as f64 / 10f64.powi(self.decimals as i32)));
        let told = |rewritten| Rewritten { spread: told, ..rewritten };
        let mt5 = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>";
        let utc = |m: &Moment, format: &str| m.at.format(format).to_string();
        let others = vec![
            self.write("MetaTrader 5 bars, bid prices, broker time", "m1.csv", mt5, |m| {
                let at = local("broker", m.at).format("%Y.%m.%d\t%H:%M:%S");
                format!("{at}\t{}\t5\t0\t{SPREAD}", bid(m, "\t"))
            }),
            self.write("MetaTrader 5 bars, bid prices, broker time", "rates.csv", PYTHON, |m| {
                format!("{},{},5,{SPREAD},0", local("broker", m.at).and_utc().timestamp(), bid(m, ","))
            }),
            told(self.write("MetaTrader 4 bars, bid prices, broker time", "m1.csv", "", |m| {
                format!("{},{},5", local("broker", m.at).format("%Y.%m.%d,%H:%M"), bid(m, ","))
            })),
            told(self.write("HistData bars, bid prices, Etc/GMT+5", "DAT_ASCII_M1_2014.csv", "", |m| {
                format!("{};{};0", local("Etc/GMT+5", m.at).format("%Y%m%d %H%M%S"), bid(m, ";"))
            })),
            told(self.write(
                "Dukascopy bars, bid prices, UTC",
                "1_M_BID.csv",
                "Gmt time,Open,High,Low,Close,Volume",
                |m| format!("{},{},1.5", utc(m, "%d.%m.%Y %H:%M:%S%.3f"), bid(m, ",")),
            )),
            told(self.write(
                "Dukascopy bars, bid prices, EET time",
                "1 Min_Bid.csv",
                "Time (EET),Open,High,Low,Close,Volume",
                |m| format!("{},{},1.5", local("EET", m.at).format("%Y.%m.%d %H:%M:%S"), bid(m, ",")),
            )),
            told(self.write("Forex Tester bars, bid prices, UTC", "ft.txt", FOREX_TESTER, |m| {
                format!("{},{},4", utc(m, "%Y%m%d,%H%M%S"), bid(m, ","))
            })),
            told(self.write("NinjaTrader 8 bars, bid prices, UTC, bars labelled by their end", "x.Bid.txt", "", |m| {
                format!("{};{};4", (m.at + TimeDelta::minutes(1)).format("%Y%m%d %H%M%S"), bid(m, ";"))
            })),
        ];
        (self.own(|m| m.bid.iter().map(|bid| bid + SPREAD).collect()), others)
    }

    /// Formats of one price that is nothing in particular.
    pub(super) fn last_prices(&self) -> Versions {
        let local = |zone: &str, at: DateTime<Utc>| zone.parse::<Timezone>().unwrap().local(at);
        let last = |m: &Moment, separator: &str| self.prices(&m.bid, &OHLC, separator);
        let utc = |m: &Moment, format: &str| m.at.format(format).to_string();
        let nanos = |units: i64| units * 10i64.pow(9 - self.decimals as u32);
        let own =
            self.write("bars (time, open, high, low, close)", "own.csv", "time,open,high,low,close,volume", |m| {
                format!("{},{},4", iso(m.at), last(m, ","))
            });
        let mut alpha_vantage = self
            .write("Alpha Vantage bars", "av.csv", "", |m| format!("{},{}", utc(m, "%Y-%m-%d %H:%M:%S"), last(m, ",")));
        let newest_first: Vec<_> = alpha_vantage.text.lines().rev().collect();
        alpha_vantage.text = format!("timestamp,open,high,low,close\n{}\n", newest_first.join("\n"));
        let kibot = self.write("Kibot bars", "k.txt", "", |m| {
            format!("{},{},4", local("America/New_York", m.at).format("%m/%d/%Y,%H:%M"), last(m, ","))
        });
        let others = vec![
            self.write("Finam bars", "f.csv", "<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>;<TICKER>;<PER>", |m| {
                format!("{};{};4;;1", local("Europe/Moscow", m.at).format("%Y%m%d;%H%M%S"), last(m, ";"))
            }),
            self.write(
                "Stooq bars",
                "s.txt",
                "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>",
                |m| format!(",1,{},{},4,0", local("Europe/Warsaw", m.at).format("%Y%m%d,%H%M%S"), last(m, ",")),
            ),
            self.write("yfinance bars", "y.csv", "Price,Close,High,Low,Open,Volume\nTicker,,,,,\nDatetime,,,,,", |m| {
                format!("{},{},4", utc(m, "%Y-%m-%d %H:%M:%S+00:00"), self.prices(&m.bid, &[3, 1, 2, 0], ","))
            }),
            self.write(
                "Investing.com bars",
                "i.csv",
                "\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\",\"Change %\"",
                |m| {
                    let prices = self.prices(&m.bid, &[3, 0, 1, 2], "\",\"");
                    format!("\"{}\",\"{prices}\",\"1.2K\",\"0.1%\"", utc(m, "%b %d, %Y %H:%M"))
                },
            ),
            self.write("Sierra Chart bars", "sc.txt", "Date, Time, Open, High, Low, Last, Volume", |m| {
                format!("{}, {}, 4", local("America/New_York", m.at).format("%Y/%-m/%-d, %H:%M:%S"), last(m, ", "))
            }),
            self.write("NinjaTrader 8 bars", "x.Last.txt", "", |m| {
                format!("{};{};4", (m.at + TimeDelta::minutes(1)).format("%Y%m%d %H%M%S"), last(m, ";"))
            }),
            self.write(
                "Databento bars",
                "db.csv",
                "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume",
                |m| {
                    let prices = m.bid.iter().map(|units| nanos(*units).to_string()).collect::<Vec<_>>().join(",");
                    format!("{}000000000,33,1,42,{prices},4", m.at.timestamp())
                },
            ),
            self.write(
                "Massive flat file bars",
                "ma.csv",
                "volume,open,close,high,low,window_start,transactions",
                |m| format!("4,{},{}000000000,4", self.prices(&m.bid, &[0, 3, 1, 2], ","), m.at.timestamp()),
            ),
            self.write("Binance bars", "bn.csv", "", |m| {
                format!("{0}000000,{1},4,{0}059999,9,9,9,9,0", m.at.timestamp(), last(m, ","))
            }),
            self.write("TradingView bars", "OANDA_EURUSD, 1.csv", "time,open,high,low,close,Plot,Plot", |m| {
                format!("{},{},NaN,", m.at.timestamp(), last(m, ","))
            }),
            Rewritten { columns: "date_order=mdy", ..kibot },
            alpha_vantage,
        ];
        (own, others)
    }

    /// Formats of ticks with bid and ask.
    pub(super) fn ticks_of_both_sides(&self) -> Versions {
        let local = |zone: &str, at: DateTime<Utc>| zone.parse::<Timezone>().unwrap().local(at);
        let bid = |m: &Moment| self.price(m.bid[0]);
        let ask = |m: &Moment| self.price(m.ask[0]);
        let utc = |m: &Moment, format: &str| m.at.format(format).to_string();
        let own = self.write("ticks (time, bid, ask)", "own.csv", "time,bid,ask", |m| {
            format!("{},{},{}", iso(m.at), bid(m), ask(m))
        });
        let midnight = |m: &Moment| m.at.timestamp_millis().rem_euclid(86_400_000);
        let mt5 = std::cell::Cell::new((0, 0));
        let others = vec![
            // Only the side that changed stands there.
            self.write("MetaTrader 5 ticks", "t.csv", "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>", |m| {
                let last = mt5.replace((m.bid[0], m.ask[0]));
                let side = |now: i64, before: i64| if now == before { String::new() } else { self.price(now) };
                let both = last == (m.bid[0], m.ask[0]);
                let (bid, ask) = if both { (bid(m), ask(m)) } else { (side(m.bid[0], last.0), side(m.ask[0], last.1)) };
                format!("{}\t{bid}\t{ask}\t\t\t6", local("broker", m.at).format("%Y.%m.%d\t%H:%M:%S%.3f"))
            }),
            self.write("HistData ticks", "DAT_ASCII_T_201405.csv", "", |m| {
                format!("{},{},{},0", local("Etc/GMT+5", m.at).format("%Y%m%d %H%M%S%3f"), bid(m), ask(m))
            }),
            self.write("TrueFX ticks", "EURUSD-2014-05.csv", "", |m| {
                format!("EUR/USD,{},{},{}", utc(m, "%Y%m%d %H:%M:%S%.3f"), bid(m), ask(m))
            }),
            self.write("Dukascopy ticks", "d.csv", "Gmt time,Ask,Bid,AskVolume,BidVolume", |m| {
                format!("{},{},{},1.5,0.75", utc(m, "%d.%m.%Y %H:%M:%S%.3f"), ask(m), bid(m))
            }),
            self.write("NinjaTrader 8 ticks", "x.Last.txt", "", |m| {
                format!("{}0000;{};{};{};1", utc(m, "%Y%m%d %H%M%S %3f"), bid(m), bid(m), ask(m))
            }),
            self.write("QuantConnect Lean ticks", "20140508_quote.csv", "", |m| {
                format!("{},{},{}", midnight(m), bid(m), ask(m))
            }),
            self.write(
                "Massive flat file ticks",
                "q.csv",
                "ask_exchange,ask_price,bid_exchange,bid_price,participant_timestamp",
                |m| format!("48,{},48,{},{}000000", ask(m), bid(m), m.at.timestamp_millis()),
            ),
            self.write("Databento ticks", "mbp.csv", "ts_event,action,price,bid_px_00,ask_px_00", |m| {
                format!("{}000000,A,1,{}0000,{}0000", m.at.timestamp_millis(), m.bid[0], m.ask[0])
            }),
        ];
        (own, others)
    }
}

const OHLC: [usize; 4] = [0, 1, 2, 3];
const PYTHON: &str = "time,open,high,low,close,tick_volume,spread,real_volume";
const FOREX_TESTER: &str = "<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>";

fn iso(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
