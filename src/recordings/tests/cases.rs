//! Files that were tried on the product, each with the correct result.

use super::*;

const HISTDATA: &str = "20260115 070000;1.160010;1.160120;1.159980;1.160050;0\n\
                        20260115 070100;1.160050;1.160090;1.160010;1.160080;0\n\
                        20260702 070000;1.171010;1.171120;1.170980;1.171050;0\n";

#[test]
fn histdata_is_eastern_standard_time_all_year() {
    let read = file("DAT_ASCII_EURUSD_M1_2026.csv", HISTDATA).with("spread", "8").good();
    assert_eq!(
        read.rows,
        [
            "2026-01-15T12:00Z 1.16001/1.16009 1.16012/1.1602 1.15998/1.16006 1.16005/1.16013",
            "2026-01-15T12:01Z 1.16005/1.16013 1.16009/1.16017 1.16001/1.16009 1.16008/1.16016",
            "2026-07-02T12:00Z 1.17101/1.17109 1.17112/1.1712 1.17098/1.17106 1.17105/1.17113",
        ]
    );
    assert_eq!(read.summary.read_as, "HistData bars, bid prices, Etc/GMT+5 (EST without daylight saving)");
    assert_eq!(read.summary.bar_seconds, Some(60.0));
    assert!(
        read.described().contains("as HistData writes them; say otherwise with --timezone"),
        "{}",
        read.described()
    );
    for (zone, winter, summer) in [
        ("America/New_York", "2026-01-15T12:00Z", "2026-07-02T11:00Z"),
        ("UTC", "2026-01-15T07:00Z", "2026-07-02T07:00Z"),
        ("Etc/GMT+5", "2026-01-15T12:00Z", "2026-07-02T12:00Z"),
    ] {
        let read = file("EURUSD.csv", HISTDATA).with("timezone", zone).good();
        assert!(read.rows[0].starts_with(winter) && read.rows[2].starts_with(summer), "{zone}: {:?}", read.rows);
    }
    let result = file("EURUSD.csv", HISTDATA).good().described();
    assert!(result.contains("NinjaTrader and converters of Dukascopy's data"), "{result}");
}

#[test]
fn metatrader_4_exports_are_broker_time_bids() {
    let text =
        "2026.01.15,07:00,1.16001,1.16012,1.15998,1.16005,123\n2026.01.15,07:01,1.16005,1.16009,1.16001,1.16008,98\n";
    let read = file("EURUSD1.csv", text).with("spread", "0.00008").good();
    assert_eq!(read.summary.read_as, "MetaTrader 4 bars, bid prices, broker time");
    assert_eq!(
        read.rows,
        [
            "2026-01-15T05:00Z 1.16001/1.16009 1.16012/1.1602 1.15998/1.16006 1.16005/1.16013",
            "2026-01-15T05:01Z 1.16005/1.16013 1.16009/1.16017 1.16001/1.16009 1.16008/1.16016",
        ]
    );
    assert!(file("EURUSD1.csv", text).with("timezone", "UTC").good().rows[0].starts_with("2026-01-15T07:00Z"));
    let with_header = format!("Date,Time,Open,High,Low,Close,Volume\n{text}");
    assert!(file("EURUSD1.csv", &with_header).good().rows[0].starts_with("2026-01-15T07:00Z 1.16001 1.16012"));
}

const MT5: &str = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n\
                   2026.01.15\t07:00\t1.16001\t1.16012\t1.15998\t1.16005\t120\t0\t8\n\
                   2026.01.15\t07:05\t1.16005\t1.16009\t1.16001\t1.16008\t98\t0\t21\n";

#[test]
fn metatrader_5_bars_add_their_own_spread() {
    for text in [MT5.to_owned(), MT5.replace("07:00\t", "07:00:00\t").replace("07:05\t", "07:05:00\t")] {
        let read = file("EURUSD_M5.csv", &text).good();
        assert_eq!(read.summary.read_as, "MetaTrader 5 bars, bid prices, broker time");
        assert_eq!(
            read.rows,
            [
                "2026-01-15T05:00Z 1.16001/1.16009 1.16012/1.1602 1.15998/1.16006 1.16005/1.16013",
                "2026-01-15T05:05Z 1.16005/1.16026 1.16009/1.1603 1.16001/1.16022 1.16008/1.16029",
            ]
        );
        assert!(read.described().contains("column '<SPREAD>', in points of 0.00001"), "{}", read.described());
    }
    let gold = MT5.replace("\t1.1", "\t2650.1");
    let read = file("XAUUSD_M5.csv", &gold).of("XAUUSD").with("spread", "25").good();
    assert!(read.rows[0].ends_with("2650.16005/2650.41005"), "{:?}", read.rows);
}

#[test]
fn daily_bars_need_no_time_column() {
    let text = "<DATE>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n\
                2026.01.15\t1.16001\t1.17012\t1.15098\t1.16505\t120000\t0\t8\n";
    let read = file("EURUSD_D1.csv", text).good();
    assert_eq!(read.rows, ["2026-01-14T22:00Z 1.16001/1.16009 1.17012/1.1702 1.15098/1.15106 1.16505/1.16513"]);
    assert_eq!(read.summary.bar_seconds, Some(86_400.0));
    assert!(read.described().contains("bars of 1440 minutes are too coarse"), "{}", read.described());
}

const SERVER: &str = "time,open,high,low,close\n2026-01-15 09:00:00,1.1600,1.1612,1.1599,1.1605\n\
                      2026-07-02 10:00:00,1.1710,1.1712,1.1698,1.1705\n";

#[test]
fn broker_time_is_new_york_and_seven_hours() {
    let read = file("EURUSD_H1_server.csv", SERVER).with("timezone", "broker").good();
    assert_eq!(read.rows[0], "2026-01-15T07:00Z 1.16 1.1612 1.1599 1.1605");
    assert_eq!(read.rows[1], "2026-07-02T07:00Z 1.171 1.1712 1.1698 1.1705");
    assert_eq!(read.summary.bar_seconds, Some(3600.0), "not the 168 days between the two");
    let (steps, _) = file("EURUSD_H1_server.csv", SERVER).steps().unwrap();
    assert_eq!(iso(steps[3].tick.observed_at), "2026-01-15T09:59:59.999Z");
    let unnamed = file("server.csv", SERVER).good();
    assert!(unnamed.described().contains("nothing shows how long a bar is"), "{}", unnamed.described());
    assert!(unnamed.described().contains("were read as UTC"), "{}", unnamed.described());
}

#[test]
fn a_one_sided_tick_keeps_the_other_side() {
    let text = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n\
                2026.01.15\t07:00:00.051\t1.16001\t1.16009\t\t\t6\n\
                2026.01.15\t07:00:00.317\t1.16003\t\t\t\t2\n\
                2026.01.15\t07:00:00.655\t\t1.16010\t\t\t4\n\
                2026.01.15\t07:00:00.900\t1.16004\t1.16011\t0.00\t0\t6\n";
    let read = file("EURUSD_ticks.csv", text).good();
    assert_eq!(
        read.rows,
        [
            "2026-01-15T05:00:00.051Z 1.16001/1.16009",
            "2026-01-15T05:00:00.317Z 1.16003/1.16009",
            "2026-01-15T05:00:00.655Z 1.16003/1.1601",
            "2026-01-15T05:00:00.900Z 1.16004/1.16011",
        ]
    );
    assert_eq!(read.left_out(), []);
    assert_eq!(read.summary.read_as, "MetaTrader 5 ticks, bid and ask, broker time");
    assert_eq!(file("t.csv", &text.replace("1.16003\t\t", "1.16003\t0.00000\t")).good().rows, read.rows);
    let late = text.replace("1.16001\t1.16009", "1.16001\t");
    let read = file("EURUSD_ticks.csv", &late).good();
    assert_eq!((read.rows.len(), read.left_out()), (2, vec![("one_sided", 2)]));
}

#[test]
fn utf_16_is_read_with_or_without_mark() {
    let text = "time,open,high,low,close\r\n2026-01-15T07:00:00Z,1.1,1.2,1.0,1.1\r\n";
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [[b"\xff\xfe", wide.as_slice()].concat(), wide.clone()] {
        let read = File { bytes, ..file("bom.csv", "") }.good();
        assert_eq!(read.rows, ["2026-01-15T07:00Z 1.1 1.2 1 1.1"]);
    }
}

#[test]
fn dukascopy_fillers_of_closed_markets_are_counted() {
    let text = "Gmt time,Open,High,Low,Close,Volume\n\
                15.01.2026 07:00:00.000,1.16001,1.16012,1.15998,1.16005,1234.56\n\
                15.01.2026 07:01:00.000,1.16005,1.16005,1.16005,1.16005,0\n\
                17.01.2026 07:00:00.000,1.16200,1.16200,1.16200,1.16200,0\n";
    let read = file("EURUSD_Candlestick_1_M_BID.csv", text).with("spread", "10").good();
    assert_eq!(read.rows.len(), 2);
    assert_eq!(read.rows[0], "2026-01-15T07:00Z 1.16001/1.16011 1.16012/1.16022 1.15998/1.16008 1.16005/1.16015");
    assert_eq!(read.left_out(), [("closed_market", 1)]);
    assert_eq!(read.summary.read_as, "Dukascopy bars, bid prices, UTC");
    assert!(read.described().contains("left out: 1 filling a closed market"), "{}", read.described());
    let asks = file("EURUSD_Candlestick_1_M_ASK.csv", text).with("spread", "10").good();
    assert!(asks.rows[0].starts_with("2026-01-15T07:00Z 1.15991/1.16001"), "{:?}", asks.rows);
}

#[test]
fn forex_tester_dates_are_never_in_1970() {
    let text = |clock: &str, next: &str| {
        format!(
            "<TICKER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n\
             EURUSD,20260115,{clock},1.16001,1.16012,1.15998,1.16005,4\n\
             EURUSD,20260115,{next},1.16005,1.16009,1.16001,1.16008,4\n\
             EURUSD,20260116,000000,1.16105,1.16109,1.16101,1.16108,4\n"
        )
    };
    for (clock, next) in [("070000", "070100"), ("70000", "70100")] {
        let read = file("EURUSD_ft.csv", &text(clock, next)).with("price", "mid").good();
        let times: Vec<_> = read.rows.iter().map(|row| &row[..17]).collect();
        assert_eq!(times, ["2026-01-15T07:00Z", "2026-01-15T07:01Z", "2026-01-16T00:00Z"], "{clock}");
    }
    for (clock, next) in [("0700", "0701"), ("700", "701")] {
        let read = file("EURUSD_ft.csv", &text(clock, next).replace("000000", "0000")).good();
        assert!(read.rows[1].starts_with("2026-01-15T07:01Z"), "{:?}", read.rows);
        assert_eq!(read.summary.read_as, "Forex Tester bars, bid prices, UTC");
    }
}

#[test]
fn a_date_alone_is_its_midnight() {
    let compact = "20260115;1.16001;1.17012;1.15098;1.16505;0\n20260116;1.16505;1.17012;1.16098;1.16905;0\n";
    let read = file("daily_compact.csv", compact).with("timezone", "UTC").good();
    assert_eq!(read.rows[0], "2026-01-15T00:00Z 1.16001 1.17012 1.15098 1.16505");
    assert_eq!(read.rows[1], "2026-01-16T00:00Z 1.16505 1.17012 1.16098 1.16905");
    assert_eq!(read.summary.bar_seconds, Some(86_400.0));
    let iso = "Date,Open,High,Low,Close,Volume\n2026-01-15,1.16001,1.17012,1.15098,1.16505,0\n";
    assert_eq!(file("daily_iso.csv", iso).good().rows, ["2026-01-15T00:00Z 1.16001 1.17012 1.15098 1.16505"]);
    assert_eq!(file("us.csv", &iso.replace("2026-01-15", "01/15/2026")).good().rows[0][..17], *"2026-01-15T00:00Z");
    let error = file("us.csv", &iso.replace("2026-01-15", "01/02/2026")).error();
    assert!(error.contains("line 2: '01/02/2026' may be day/month or month/day"), "{error}");
    assert!(error.contains("--columns date_order=dmy or date_order=mdy"), "{error}");
}

#[test]
fn a_later_row_decides_what_comes_first() {
    let days = |days: &[&str]| {
        let rows = days.iter().map(|day| format!("{day}/2026 07:00,1.1,1.2,1.0,1.1\n"));
        format!("time,open,high,low,close\n{}", rows.collect::<String>())
    };
    let day_first = days(&["01/02", "02/02", "13/02"]);
    assert!(file("x.csv", &day_first).good().rows[1].starts_with("2026-02-02T07:00Z"));
    assert!(file("x.csv", &days(&["01/02", "01/13"])).good().rows[0].starts_with("2026-01-02T07:00Z"));
    // Far behind the sample.
    let begin = parse_time("2026-02-01T00:00:00Z").unwrap();
    let minute = |n: i64| (begin + TimeDelta::minutes(10 * n)).format("%d/%m/%Y %H:%M,1.1,1.2,1.0,1.1\n").to_string();
    let long = format!("time,open,high,low,close\n{}", (0..13 * 144).map(minute).collect::<String>());
    assert!(file("x.csv", &long).good().rows[0].starts_with("2026-02-01T00:00Z"));
    let result = file("x.csv", &days(&["01/02", "02/02"])).with("columns", "date_order=dmy").good();
    assert!(result.rows[0].starts_with("2026-02-01T07:00Z"));
}

#[test]
fn yfinance_has_three_lines_of_header() {
    let text = "Price,Close,High,Low,Open,Volume\nTicker,EURUSD=X,EURUSD=X,EURUSD=X,EURUSD=X,EURUSD=X\nDatetime,,,,,\n\
                2026-01-15 07:00:00+00:00,1.16005,1.16012,1.15998,1.16001,0\n\
                2026-01-15 07:01:00+00:00,1.16008,1.16009,1.16001,1.16005,0\n";
    let read = file("yf.csv", text).good();
    assert_eq!(
        read.rows,
        ["2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005", "2026-01-15T07:01Z 1.16005 1.16009 1.16001 1.16008"]
    );
    assert_eq!(read.summary.read_as, "yfinance bars, prices as they stand, times with their own zone");
    let error = file("yf.csv", text).of("XAUUSD").error();
    assert!(error.contains("none of its rows is of XAUUSD: they are of EURUSD=X"), "{error}");
    let two = "Price,Close,Close,High,High,Low,Low,Open,Open\n\
               Ticker,GBPUSD=X,EURUSD=X,GBPUSD=X,EURUSD=X,GBPUSD=X,EURUSD=X,GBPUSD=X,EURUSD=X\nDate,,,,,,,,\n\
               2026-01-15,1.34,1.16005,1.35,1.16012,1.33,1.15998,1.34,1.16001\n";
    assert_eq!(file("yf.csv", two).good().rows, ["2026-01-15T00:00Z 1.16001 1.16012 1.15998 1.16005"]);
}

const INVESTING: &str = "\"Date\",\"Price\",\"Open\",\"High\",\"Low\",\"Vol.\",\"Change %\"\n\
                         \"01/16/2026\",\"49,412.50\",\"49,100.10\",\"49,525.80\",\"49,096.00\",\"150.25K\",\"0.37%\"\n\
                         \"01/15/2026\",\"49,100.00\",\"49,080.20\",\"49,205.40\",\"48,975.10\",\"\",\"-0.58%\"\n";

#[test]
fn investing_com_is_reversed() {
    for text in
        [INVESTING.to_owned(), INVESTING.replace("01/16/2026", "2026-01-16").replace("01/15/2026", "2026-01-15")]
    {
        let read = file("US30.csv", &text).of("US30").good();
        assert_eq!(
            read.rows,
            ["2026-01-15T00:00Z 49080.2 49205.4 48975.1 49100", "2026-01-16T00:00Z 49100.1 49525.8 49096 49412.5"]
        );
        assert_eq!(read.summary.read_as, "Investing.com bars, prices as they stand, UTC");
        assert!(read.described().contains("its newest row came first: it was reversed"), "{}", read.described());
        assert_eq!(read.left_out(), []);
    }
}

#[test]
fn alpha_vantage_is_reversed() {
    let text = "timestamp,open,high,low,close\n2026-01-15 07:10:00,1.3,1.4,1.2,1.3\n2026-01-15 07:05:00,1.2,1.3,1.1,1.2\n\
                2026-01-15 07:00:00,1.1,1.2,1.0,1.1\n";
    let read = file("intraday_5min_EURUSD.csv", text).good();
    let times: Vec<_> = read.rows.iter().map(|row| &row[..20]).collect();
    assert_eq!(times, ["2026-01-15T07:00Z 1.", "2026-01-15T07:05Z 1.", "2026-01-15T07:10Z 1."]);
    assert_eq!(read.summary.read_as, "Alpha Vantage bars, prices as they stand, UTC");
}

#[test]
fn invalid_rows_do_not_stop_a_reversal() {
    let text = "time,open,high,low,close,volume\n1760000000,1.1,1.2,1.0,1.1\n1796000000,1.1,1.2,1.0,1.1\n\
                1700000000,1.1,1.2,1.0,1.1\n0,1.1,1.2\n";
    let read = file("recording.csv", text).with("timezone", "UTC").with("bar-label", "start").good();
    assert_eq!(read.rows, ["2023-11-14T22:13:20Z 1.1 1.2 1 1.1", "2025-10-09T08:53:20Z 1.1 1.2 1 1.1"]);
    assert_eq!(read.left_out(), [("unreadable", 1), ("time_out_of_range", 1)]);

    let bad = "x,1.1,1.2\n".repeat(1000);
    let text = format!(
        "time,bid,ask\n2026-01-15T07:00:01Z,1.2,1.3\n2026-01-15T07:00:00Z,1.1,1.2\n{bad}1971-01-15T07:00:00Z,1.1,1.2\n"
    );
    let read = file("recording.csv", &text).good();
    assert_eq!(read.rows, ["2026-01-15T07:00Z 1.1/1.2", "2026-01-15T07:00:01Z 1.2/1.3"]);
    assert_eq!(read.left_out(), [("unreadable", 1000), ("time_out_of_range", 1)]);
}

#[test]
fn sierra_chart_closes_with_last() {
    let text = "Date, Time, Open, High, Low, Last, Volume, NumberOfTrades, BidVolume, AskVolume\n\
                2026/1/15, 09:30:00, 25400.00, 25412.25, 25396.50, 25410.00, 821, 647, 405, 416\n\
                2026/1/15, 09:31:00.018, 25410.00, 25411.00, 25404.75, 25405.25, 512, 300, 210, 302\n";
    let read = file("NQH26.txt", text).of("NQ").good();
    assert_eq!(
        read.rows,
        ["2026-01-15T14:30Z 25400 25412.25 25396.5 25410", "2026-01-15T14:31Z 25410 25411 25404.75 25405.25"]
    );
    assert_eq!(read.summary.read_as, "Sierra Chart bars, prices as they stand, America/New_York time");
    let dashes = file("NQH26.txt", &text.replace("2026/1/15", "2026-01-15")).of("NQ").with("timezone", "UTC").good();
    assert!(dashes.rows[0].starts_with("2026-01-15T09:30Z 25400 "));
    let ends = file("NQH26.txt", text).of("NQ").with("bar-label", "end").good();
    assert!(ends.rows[0].starts_with("2026-01-15T14:29Z"), "{:?}", ends.rows);
    let twice = text.replace("BidVolume, AskVolume", "Low, Low");
    let read = file("NQH26.txt", &twice).of("NQ").good();
    assert!(read.rows[0].ends_with("25400 25412.25 25396.5 25410"));
    assert!(read.described().contains("'Low' (3 times); the first one counts"), "{}", read.described());
}

#[test]
fn a_flat_file_gives_its_instrument_only() {
    let text = "ticker,volume,open,close,high,low,window_start,transactions\n\
                C:EUR-USD,12,1.16001,1.16005,1.16012,1.15998,1768460400000000000,12\n\
                C:GBP-USD,9,1.34001,1.34005,1.34012,1.33998,1768460400000000000,9\n";
    let read = file("forex_minute_aggs.csv", text).good();
    assert_eq!(read.rows, ["2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005"]);
    assert_eq!(read.left_out(), [("other_instrument", 1)]);
    assert_eq!(file("f.csv", &text.replace("window_start", "time")).good().rows, read.rows);
    let gbp = file("forex_minute_aggs.csv", text).of("GBPUSD").good();
    assert_eq!(gbp.rows, ["2026-01-15T07:00Z 1.34001 1.34012 1.33998 1.34005"]);
    let error = file("f.csv", text).of("XAUUSD").error();
    assert!(error.contains("none of its rows is of XAUUSD: they are of C:EUR-USD, C:GBP-USD"), "{error}");
}

#[test]
fn tradingview_exports_keep_their_first_columns() {
    let text = "time,open,high,low,close,Plot,Plot,Liquidity Pool\n\
                1768460400,1.16001,1.16012,1.15998,1.16005,0,1,PDH\n\
                1768460700,1.16005,1.16009,1.16001,1.16008,NaN,,\n\
                2026-01-15T02:10:00-05:00,1.16008,1.16010,1.16000,1.16002,0,1,\n";
    let read = file("OANDA_EURUSD, 5.csv", text).good();
    assert_eq!(
        read.rows,
        [
            "2026-01-15T07:00Z 1.16001 1.16012 1.15998 1.16005",
            "2026-01-15T07:05Z 1.16005 1.16009 1.16001 1.16008",
            "2026-01-15T07:10Z 1.16008 1.1601 1.16 1.16002",
        ]
    );
    assert_eq!(read.summary.read_as, "TradingView bars, prices as they stand, times with their own zone");
    assert!(read.described().contains("'Plot' (2 times)"), "{}", read.described());
}

#[test]
fn epochs_that_a_spreadsheet_rounded_are_rejected() {
    let text = "time,open,high,low,close\n1.76846E+12,1.16001,1.16012,1.15998,1.16005\n\
                1.76846E+12,1.16005,1.16009,1.16001,1.16008\n1.76846E+12,1.16008,1.16010,1.16000,1.16002\n";
    let error = file("excel.csv", text).error();
    assert!(error.contains("line 2: its times were rounded by a spreadsheet ('1.76846E+12')"), "{error}");
    let one = file("excel.csv", &text.replacen("1.76846E+12", "1768460400000", 1)).error();
    assert!(one.contains("line 3: its times were rounded by a spreadsheet"), "{one}");
    let written_out = file("excel.csv", &text.replace("1.76846E+12", "1768460000000")).error();
    assert!(written_out.contains("have the time of the bar before"), "{written_out}");
}
