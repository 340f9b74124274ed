//! Every layout of the table in the documentation, each with the same prices.

use std::fmt::Write as _;

use super::super::layout::vendors::VENDORS;
use super::*;

/// A file in a layout, its description, and its first row.
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) symbol: &'static str,
    read_as: &'static str,
    first: &'static str,
}

const BAR: &str = "1.16001 1.16012 1.15998 1.16005";

#[rustfmt::skip]
pub(super) const SAMPLES: [Sample; 42] = [
    Sample { name: "a.csv", symbol: "EURUSD", text: "time,bid,ask\n2026-01-15T07:00:00.250Z,1.16001,1.16009\n",
        read_as: "ticks (time, bid, ask), bid and ask, times with their own zone", first: "2026-01-15T07:00:00.250Z 1.16001/1.16009" },
    Sample { name: "a.csv", symbol: "EURUSD", text: "time,price,volume\n1768460400,1.16001,2\n",
        read_as: "ticks (time, price), prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 1.16001" },
    Sample { name: "a.csv", symbol: "EURUSD", text: "2026-01-15 07:00:00;1,16001;1,16012;1,15998;1,16005;7\n",
        read_as: "bars (time, open, high, low, close), prices as they stand, UTC", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "a.csv", symbol: "EURUSD", text: "sep=|\nO|H|L|C|T ime\n1.16001|1.16012|1.15998|1.16005|2026-01-15T07:00\n",
        read_as: "bars (time, open, high, low, close), prices as they stand, UTC", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "a.csv", symbol: "EURUSD", text: "time,bid_open,bid_high,bid_low,bid_close,ask_open,ask_high,ask_low,ask_close\n2026-01-15T07:00:00Z,1.1,1.3,1.0,1.2,1.2,1.4,1.1,1.3\n",
        read_as: "bars (time, open to close of bid and ask), bid and ask, times with their own zone", first: "2026-01-15T07:00Z 1.1/1.2 1.3/1.4 1/1.1 1.2/1.3" },
    Sample { name: "a.csv", symbol: "EURUSD", text: "DateTime,OpenBid,HighBid,LowBid,CloseBid,OpenAsk,HighAsk,LowAsk,CloseAsk\n2026-01-15 07:00,1.1,1.3,1.0,1.2,1.2,1.4,1.1,1.3\n",
        read_as: "bars (time, open to close of bid and ask), bid and ask, UTC", first: "2026-01-15T07:00Z 1.1/1.2 1.3/1.4 1/1.1 1.2/1.3" },
    Sample { name: "DAT_ASCII_EURUSD_T_202601.csv", symbol: "EURUSD", text: "20260115 070000051,1.160010,1.160090,0\n20260115 070001051,1.160010,1.160090,0\n",
        read_as: "HistData ticks, bid and ask, Etc/GMT+5 (EST without daylight saving)", first: "2026-01-15T12:00:00.051Z 1.16001/1.16009" },
    Sample { name: "DAT_MT_EURUSD_M1_2026.csv", symbol: "EURUSD", text: "2026.01.15,07:00,1.16001,1.16012,1.15998,1.16005,0\n",
        read_as: "HistData bars, bid prices, Etc/GMT+5 (EST without daylight saving)", first: "2026-01-15T12:00Z 1.16001/1.16013 1.16012/1.16024 1.15998/1.1601 1.16005/1.16017" },
    Sample { name: "EURUSD-2026-01.csv", symbol: "EURUSD", text: "EUR/USD,20260115 07:00:00.051,1.16001,1.16009\nEUR/USD,20260115 07:00:00.900,1.16002,1.16009\n",
        read_as: "TrueFX ticks, bid and ask, UTC", first: "2026-01-15T07:00:00.051Z 1.16001/1.16009" },
    Sample { name: "EURUSD_Ticks.csv", symbol: "EURUSD", text: "Gmt time,Ask,Bid,AskVolume,BidVolume\n15.01.2026 07:00:00.051,1.16009,1.16001,0.75,1.5\n",
        read_as: "Dukascopy ticks, bid and ask, UTC", first: "2026-01-15T07:00:00.051Z 1.16001/1.16009" },
    Sample { name: "EURUSD_1 Min_Bid_2026.01.01_2026.02.01.csv", symbol: "EURUSD", text: "Time (EET),Open,High,Low,Close,Volume \n2026.01.15 09:00:00,1.16001,1.16012,1.15998,1.16005,12.5\n",
        read_as: "Dukascopy bars, bid prices, EET time", first: "2026-01-15T07:00Z 1.16001/1.16013 1.16012/1.16024 1.15998/1.1601 1.16005/1.16017" },
    Sample { name: "EURUSD_Candlestick_1_M_ASK.csv", symbol: "EURUSD", text: "Local time,Open,High,Low,Close,Volume\n15.01.2026 09:00:00.000 GMT+0200,1.16001,1.16012,1.15998,1.16005,3\n",
        read_as: "Dukascopy bars, ask prices, times with their own zone", first: "2026-01-15T07:00Z 1.15989/1.16001 1.16/1.16012 1.15986/1.15998 1.15993/1.16005" },
    Sample { name: "eurusd-m1-bid-2026-01-15.csv", symbol: "EURUSD", text: "timestamp,open,high,low,close,volume\n1768460400000,1.16001,1.16012,1.15998,1.16005,3\n",
        read_as: "Dukascopy bars, bid prices, times with their own zone", first: "2026-01-15T07:00Z 1.16001/1.16013 1.16012/1.16024 1.15998/1.1601 1.16005/1.16017" },
    Sample { name: "eurusd-tick.csv", symbol: "EURUSD", text: "timestamp,askPrice,bidPrice,askVolume,bidVolume\n1768460400051,1.16009,1.16001,1,1\n",
        read_as: "Dukascopy ticks, bid and ask, times with their own zone", first: "2026-01-15T07:00:00.051Z 1.16001/1.16009" },
    Sample { name: "EURUSD.csv", symbol: "EURUSD", text: "2026-01-15 07:00:00.051,1.16009,1.16001,0.75,1.5\n2026-01-15 07:00:01.051,1.16009,1.16001,1.75,0.5\n",
        read_as: "Dukascopy ticks, bid and ask, UTC", first: "2026-01-15T07:00:00.051Z 1.16001/1.16009" },
    Sample { name: "rates.csv", symbol: "EURUSD", text: "time,open,high,low,close,tick_volume,spread,real_volume\n1768467600,1.16001,1.16012,1.15998,1.16005,120,8,0\n",
        read_as: "MetaTrader 5 bars, bid prices, broker time", first: "2026-01-15T07:00Z 1.16001/1.16009 1.16012/1.1602 1.15998/1.16006 1.16005/1.16013" },
    Sample { name: "m15.csv", symbol: "EURUSD", text: "Date,Open,High,Low,Close,Tickvol,Volume,Spread\n2026.01.15 09:00:00,1.16001,1.16012,1.15998,1.16005,60,0,20\n",
        read_as: "MetaTrader 5 bars, bid prices, broker time", first: "2026-01-15T07:00Z 1.16001/1.16021 1.16012/1.16032 1.15998/1.16018 1.16005/1.16025" },
    Sample { name: "EURUSD_M1.csv", symbol: "EURUSD", text: "2026.01.15\t09:00:00\t1.16001\t1.16012\t1.15998\t1.16005\t120\t0\t8\n",
        read_as: "MetaTrader 5 bars, bid prices, broker time", first: "2026-01-15T07:00Z 1.16001/1.16009 1.16012/1.1602 1.15998/1.16006 1.16005/1.16013" },
    Sample { name: "EURUSD_260115.csv", symbol: "EURUSD", text: "<TICKER>;<PER>;<DATE>;<TIME>;<OPEN>;<HIGH>;<LOW>;<CLOSE>;<VOL>\nEURUSD;1;20260115;100000;1.16001;1.16012;1.15998;1.16005;4\n",
        read_as: "Finam bars, prices as they stand, Europe/Moscow time", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "eurusd.txt", symbol: "EURUSD", text: "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\nEURUSD,5,20260115,080000,1.16001,1.16012,1.15998,1.16005,0,0\n",
        read_as: "Stooq bars, prices as they stand, Europe/Warsaw time", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "eurusd_d.csv", symbol: "EURUSD", text: "Date,Open,High,Low,Close\n2026-01-15,1.16001,1.16012,1.15998,1.16005\n",
        read_as: "bars (time, open, high, low, close), prices as they stand, UTC", first: "2026-01-15T00:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "eurusd_5_m.csv", symbol: "EURUSD", text: "Date,Time,Open,High,Low,Close,Volume\n2026-01-15,07:00:00,1.16001,1.16012,1.15998,1.16005,0\n",
        read_as: "bars (time, open, high, low, close), prices as they stand, UTC", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "yahoo.csv", symbol: "EURUSD", text: "Datetime,Open,High,Low,Close,Adj Close,Volume\n2026-01-15 07:00:00+00:00,1.16001,1.16012,1.15998,1.16005,1.16005,0\n",
        read_as: "yfinance bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "EUR_USD Historical Data.csv", symbol: "EURUSD", text: "\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Change %\"\n\"Jan 15, 2026\",\"1.16005\",\"1.16001\",\"1.16012\",\"1.15998\",\"0.37%\"\n",
        read_as: "Investing.com bars, prices as they stand, UTC", first: "2026-01-15T00:00Z 1.16001 1.16012 1.15998 1.16005" },
    Sample { name: "NQ 03-26.Last.txt", symbol: "NQ", text: "20260115 143100;25400;25412.25;25396.5;25410;821\n20260115 143200;25410;25411;25404.75;25405.25;512\n",
        read_as: "NinjaTrader 8 bars, prices as they stand, UTC, bars labelled by their end", first: "2026-01-15T14:30Z 25400 25412.25 25396.5 25410" },
    Sample { name: "NQ 03-26.Last.txt", symbol: "NQ", text: "20260115 143000 0510000;25400.25;25400;25400.5;3\n",
        read_as: "NinjaTrader 8 ticks, bid and ask, UTC", first: "2026-01-15T14:30:00.051Z 25400/25400.5" },
    Sample { name: "EURUSD.Bid.txt", symbol: "EURUSD", text: "20260115 070000 0510000;1.16001;3\n",
        read_as: "NinjaTrader 8 ticks, bid prices, UTC", first: "2026-01-15T07:00:00.051Z 1.16001/1.16013" },
    Sample { name: "glbx.csv", symbol: "NQ", text: "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n1768460400000000000,33,1,42140870,25400000000000,25412250000000,25396500000000,25410000000000,821,NQH6\n",
        read_as: "Databento bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 25400 25412.25 25396.5 25410" },
    Sample { name: "glbx.csv", symbol: "NQ", text: "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol\n2026-01-15T07:00:00.000000000Z,33,1,42140870,25400.000000000,25412.250000000,25396.500000000,25410.000000000,821,NQH6\n",
        read_as: "Databento bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 25400 25412.25 25396.5 25410" },
    Sample { name: "mbp.csv", symbol: "NQ", text: "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,bid_ct_00,ask_ct_00,symbol\n1768460400051000000,1768460400051000000,1,1,4214,A,A,0,25400500000000,1,130,1,2,25400000000000,25400500000000,1,1,1,1,NQH6\n",
        read_as: "Databento ticks, bid and ask, times with their own zone", first: "2026-01-15T07:00:00.051Z 25400/25400.5" },
    Sample { name: "quotes.csv", symbol: "EURUSD", text: "ticker,ask_exchange,ask_price,bid_exchange,bid_price,participant_timestamp\nC:EUR-USD,48,1.16009,48,1.16001,1768460400051000000\n",
        read_as: "Massive flat file ticks, bid and ask, times with their own zone", first: "2026-01-15T07:00:00.051Z 1.16001/1.16009" },
    Sample { name: "BTCUSDT-1m.csv", symbol: "XAUUSD", text: "1768460400000,2650.1,2650.5,2649.9,2650.2,11.5,1768460459999,30000.5,120,5.5,15000.1,0\n",
        read_as: "Binance bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 2650.1 2650.5 2649.9 2650.2" },
    Sample { name: "BTCUSDT-1m.csv", symbol: "XAUUSD", text: "1768460400000000,2650.1,2650.5,2649.9,2650.2,11.5,1768460459999999,30000.5,120,5.5,15000.1,0\n",
        read_as: "Binance bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 2650.1 2650.5 2649.9 2650.2" },
    Sample { name: "futures.csv", symbol: "XAUUSD", text: "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n1768460400000,2650.1,2650.5,2649.9,2650.2,11.5,1768460459999,30000.5,120,5.5,15000.1,0\n",
        read_as: "Binance bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 2650.1 2650.5 2649.9 2650.2" },
    Sample { name: "intraday_NQ.csv", symbol: "NQ", text: "timestamp,open,high,low,close,volume\n2026-01-15 09:30:00,25400,25412.25,25396.5,25410,821\n",
        read_as: "Alpha Vantage bars, prices as they stand, America/New_York time", first: "2026-01-15T14:30Z 25400 25412.25 25396.5 25410" },
    Sample { name: "NQ.txt", symbol: "NQ", text: "01/15/2026,09:30,25400,25412.25,25396.5,25410,821\n01/15/2026,09:31,25410,25411,25404.75,25405.25,512\n",
        read_as: "Kibot bars, prices as they stand, America/New_York time", first: "2026-01-15T14:30Z 25400 25412.25 25396.5 25410" },
    Sample { name: "NQ.txt", symbol: "NQ", text: "01/15/2026,09:30:00,25400.25,25400,25400.5,3\n01/15/2026,09:30:00,25400.5,25400.25,25400.75,1\n",
        read_as: "Kibot ticks, bid and ask, America/New_York time", first: "2026-01-15T14:30Z 25400/25400.5" },
    Sample { name: "20260115_quote.csv", symbol: "EURUSD", text: "25200000,1.1,1.3,1.0,1.2,0,1.2,1.4,1.1,1.3,0\n25260000,1.1,1.3,1.0,1.2,0,1.2,1.4,1.1,1.3,0\n",
        read_as: "QuantConnect Lean bars, bid and ask, UTC", first: "2026-01-15T07:00Z 1.1/1.2 1.3/1.4 1/1.1 1.2/1.3" },
    Sample { name: "20260115_eurusd_tick_quote.csv", symbol: "EURUSD", text: "25200051,1.16001,1.16009\n25200900,1.16001,1.16009\n",
        read_as: "QuantConnect Lean ticks, bid and ask, UTC", first: "2026-01-15T07:00:00.051Z 1.16001/1.16009" },
    Sample { name: "20260115_trade.csv", symbol: "NQ", text: "34200000,254000000,254122500,253965000,254100000,821\n34260000,254100000,254110000,254047500,254052500,512\n",
        read_as: "QuantConnect Lean bars, prices as they stand, America/New_York time", first: "2026-01-15T14:30Z 25400 25412.25 25396.5 25410" },
    Sample { name: "eurusd.csv", symbol: "EURUSD", text: "20260115 00:00,1.1,1.3,1.0,1.2,0,1.2,1.4,1.1,1.3,0\n20260116 00:00,1.1,1.3,1.0,1.2,0,1.2,1.4,1.1,1.3,0\n",
        read_as: "QuantConnect Lean bars, bid and ask, UTC", first: "2026-01-15T00:00Z 1.1/1.2 1.3/1.4 1/1.1 1.2/1.3" },
    Sample { name: "FX_EURUSD, 60.csv", symbol: "EURUSD", text: "time,open,high,low,close\n2026-01-15T07:00:00Z,1.16001,1.16012,1.15998,1.16005\n",
        read_as: "TradingView bars, prices as they stand, times with their own zone", first: "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005" },
];

#[test]
fn every_layout_is_detected_and_described() {
    let mut wrong = Vec::new();
    for sample in &SAMPLES {
        match file(sample.name, sample.text).of(sample.symbol).read() {
            Ok(read) if read.rows[0] == sample.first && read.summary.read_as == sample.read_as => {}
            Ok(read) => wrong.push(format!("{}: {} | {}", sample.text, read.summary.read_as, read.rows[0])),
            Err(error) => wrong.push(format!("{}: {error}", sample.text)),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(SAMPLES[0].first.len() > BAR.len());
}

#[test]
fn two_numbers_without_a_header_are_a_quote() {
    let read = file("a.csv", "2026-01-15T07:00:00Z,1.1,1.2\n").good();
    assert_eq!(read.rows, ["2026-01-15T07:00Z 1.1/1.2"]);
    assert_eq!(file("a.csv", "1768460400000;1,1;1,2\n").good().rows, ["2026-01-15T07:00Z 1.1/1.2"]);
}

#[test]
fn every_vendor_is_tried_and_documented() {
    let docs = include_str!("../../../docs/recordings.md");
    let tried: Vec<_> = SAMPLES.iter().map(|sample| sample.read_as).collect();
    for vendor in VENDORS {
        assert!(docs.contains(&format!("| {}", vendor.name)), "{} is not in docs/recordings.md", vendor.name);
        let elsewhere = ["MetaTrader 4", "Forex Tester", "Sierra Chart"].contains(&vendor.name);
        assert!(elsewhere || tried.iter().any(|title| title.starts_with(vendor.name)), "{} is not tried", vendor.name);
    }
}

#[test]
fn any_packing_and_encoding_gives_the_same_result() {
    use std::io::Write;
    let plain = file("EURUSD.csv", SAMPLES[2].text);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&plain.bytes).unwrap();
    let packed = encoder.finish().unwrap();
    for (name, bytes) in [
        ("EURUSD.csv.gz", packed.clone()),
        ("EURUSD.csv", packed),
        ("EURUSD.csv", [b"\xef\xbb\xbf", plain.bytes.as_slice()].concat()),
        (
            "EURUSD.csv",
            plain.bytes.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect(),
        ),
        ("EURUSD.csv", [b"sep=;\n", plain.bytes.as_slice()].concat()),
        ("EURUSD.csv", [b"# from somewhere\n\n", plain.bytes.as_slice()].concat()),
    ] {
        assert_eq!(File { bytes, ..file(name, "") }.good().rows, plain.good().rows, "{name}");
    }
}

#[test]
fn the_users_options_take_precedence() {
    let text = "Datum;Eröffn.;Hoch;Tief;Zuletzt;Sym\n2026-01-15 07:00;1,16001;1,16012;1,15998;1,16005;x\n";
    let named = "time=Datum,open=Eröffn.,high=Hoch,low=Tief,close=Zuletzt";
    let read = file("a.csv", text).with("columns", named).with("timezone", "+02:00").good();
    assert_eq!(read.rows, ["2026-01-15T05:00Z 1.16001 1.16012 1.15998 1.16005"]);
    assert_eq!(
        read.summary.read_as,
        "bars (time, open, high, low, close), columns as told, prices as they stand, UTC+02:00"
    );
    let placed = "time=#1,open=#2,high=#3,low=#4,close=#5";
    assert_eq!(
        file("a.csv", text).with("columns", placed).good().rows,
        file("a.csv", text).with("columns", named).good().rows
    );
    let bids = file("a.csv", text).with("columns", named).with("price", "bid").with("spread", "8").good();
    assert_eq!(bids.rows, ["2026-01-15T07:00Z 1.16001/1.16009 1.16012/1.1602 1.15998/1.16006 1.16005/1.16013"]);
    assert_eq!(bids.summary.spread.map(|spread| format!("{spread:.5}")).as_deref(), Some("0.00008"));
    let mids = file("a.csv", text).with("columns", named).with("price", "mid").with("spread", "0.00008").good();
    assert_eq!(mids.rows[0], "2026-01-15T07:00Z 1.15997/1.16005 1.16008/1.16016 1.15994/1.16002 1.16001/1.16009");
    let shuffled = "9,1.16005,1.15998,1.16012,1.16001,2026-01-15T07:00:00Z\n";
    let result = file("a.csv", shuffled).with("columns", "time=#6,open=#5,high=#4,low=#3,close=#2").good();
    assert_eq!(result.rows, ["2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005"]);
    let ends = "time,open,high,low,close\n2026-01-15T07:05:00Z,1.1,1.2,1.0,1.1\n2026-01-15T07:10:00Z,1.1,1.2,1.0,1.1\n";
    assert!(file("a.csv", ends).with("bar-label", "end").good().rows[0].starts_with("2026-01-15T07:00Z"));
}

#[test]
fn options_without_effect_are_reported() {
    let quotes = file("a.csv", SAMPLES[0].text);
    for (name, value, part) in [
        ("timezone", "broker", "the times carry their own zone: --timezone has no effect"),
        ("spread", "8", "the file has bid and ask: --price and --spread have no effect"),
        ("bar-label", "end", "the file has ticks: --bar-label has no effect"),
    ] {
        let read = quotes.clone().with(name, value).good();
        assert_eq!(read.rows, quotes.good().rows);
        assert!(read.described().contains(part), "{}", read.described());
    }
}

#[test]
fn a_bid_is_never_what_a_long_pays() {
    let read = file("EURUSD1.csv", "2026.01.15,07:00,1.16001,1.16012,1.15998,1.16005,123\n").good();
    assert_eq!(read.rows, ["2026-01-15T05:00Z 1.16001/1.16013 1.16012/1.16024 1.15998/1.1601 1.16005/1.16017"]);
    assert!(
        read.described().contains("nothing tells their spread: 0.00012 was assumed, 1/10000 of the price"),
        "{}",
        read.described()
    );
}

#[test]
fn unfinished_and_future_bars_are_reported() {
    let text = |last: &str| {
        format!(
            "time,open,high,low,close\n2026-11-28T11:00:00Z,1.1,1.2,1.0,1.1\n2026-11-28T11:30:00Z,1.1,1.2,1.0,1.1\n{last},1.1,1.2,1.0,1.1\n"
        )
    };
    // 28 November is a Saturday: bars with movement are kept, and the last one is incomplete at noon.
    assert!(file("a.csv", &text("2026-11-28T12:00:00Z")).good().described().contains("is not over yet"));
    let part = file("a.csv", &text("2026-11-28T11:17:12Z").replace("11:30", "10:30").replace("11:00", "10:00")).good();
    assert!(part.described().contains("begins between two bars"), "{}", part.described());
}

#[test]
fn a_wrong_zone_shows_in_the_report() {
    let zone: crate::domain::Timezone = "broker".parse().unwrap();
    let begin = parse_time("2026-01-11T22:00:00Z").unwrap();
    let mut text = "time,open,high,low,close,volume\n".to_owned();
    for hour in 0..4 * 7 * 24 {
        let at = begin + TimeDelta::hours(hour);
        // Four weeks of a market that closes on Friday at 22:00, with filler bars on the weekends.
        let open = crate::domain::Session::Forex.is_open(at);
        let (high, volume) = if open { (1.2, 9) } else { (1.1, 0) };
        writeln!(text, "{},1.1,{high},1.1,1.1,{volume}", zone.local(at).format("%Y-%m-%d %H:%M:%S")).unwrap();
    }
    let wrong = file("EURUSD.csv", &text).good();
    assert!(
        wrong.described().contains("lies 2 h late on 3 of 3 weekends as the times are read (UTC)"),
        "{}",
        wrong.described()
    );
    assert!(
        wrong.described().contains("--timezone broker (+02:00 at its first weekend) would fit 3 of 3"),
        "{}",
        wrong.described()
    );
    let right = file("EURUSD.csv", &text).with("timezone", "broker").good();
    assert_eq!(right.summary.warnings, Vec::<String>::new());
    assert_eq!((right.rows.len(), right.left_out()), (480, vec![("closed_market", 192)]));
}
