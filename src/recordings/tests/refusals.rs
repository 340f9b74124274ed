//! Unreadable files are rejected with line, reason and remedy; skipped rows are counted.

use super::*;

#[test]
fn an_unreadable_file_gets_its_reason() {
    for (text, part) in [
        ("hello", "separated by neither comma, semicolon, tab nor '|': 'hello'"),
        ("bid,ask\n", "no column is a time (time, timestamp, datetime, date); its columns are bid, ask"),
        ("time,name,city\n", "they are time, name, city; name them with --columns"),
        ("time,bid_open,ask_close\n", "they are time, bid_open, ask_close"),
        ("2026-01-15T07:00:00Z,1.1\n", "it has 2, which are neither ticks"),
        ("2026-01-15T07:00:00Z,1,5,3,4,5,6\n", "by what their numbers show"),
        ("time,bid,ask\n", "it has a header, but no rows"),
        ("\n \n", "it is empty"),
        ("", "it is empty"),
        ("a\0,b\x01\x02\n", "it is not text"),
        ("25200000,1.1,1.2\n25260000,1.1,1.2\n", "its name holds no date: call it YYYYMMDD_quote.csv"),
        ("{\"Information\": \"rate limit\"}", "it is JSON"),
    ] {
        let error = file("EURUSD.csv", text).error();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert_eq!(file("a.csv", &"x,".repeat(10_000)).error(), "its first line is longer than 4096 bytes");
}

#[test]
fn a_bad_line_names_its_place_and_reason() {
    for (header, line, place) in [
        ("time,bid,ask", "today,1.1,1.2", "column 'time': 'today' is not a time"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,x,1.2", "column 'bid': 'x' is not a price of EURUSD"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,1.1,-1.2", "column 'ask': '-1.2' is not a price of EURUSD"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,1.1,inf", "column 'ask': 'inf' is not a price of EURUSD"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,1e-9,1", "column 'bid': '1e-9' is not a price of EURUSD"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,1.1,1e300", "column 'ask': '1e300' is not a price of EURUSD"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,1.2,1.1", "has its bid above its ask"),
        ("time,bid,ask", "2026-01-15T07:00:00Z,1.2", "column 'ask': is missing"),
        ("time,bid,ask", "1971-01-15T07:00:00Z,1.1,1.2", "1971-01-15 is before 1990 or in the future"),
        ("time,bid,ask", "2612-01-15T07:00:00Z,1.1,1.2", "2612-01-15 is before 1990 or in the future"),
        ("time,bid,ask", "2026-11-30T07:00:00Z,1.1,1.2", "2026-11-30 is before 1990 or in the future"),
        ("time,bid,ask", "1,1.1,1.2", "column 'time': '1' is not a time"),
        ("time,bid,ask", "46037.25,1.1,1.2", "is the day number of a spreadsheet"),
        ("time,bid,ask", "15/01/26 07:00,1.1,1.2", "has a year of two digits"),
        ("time,o,h,l,c", "2026-01-15T07:00:00Z,1.2,1.1,1.0,1.1", "column 'h': is not the highest price of its bar"),
        ("time,o,h,l,c", "2026-01-15T07:00:00Z,1.2,1.3,1.25,1.3", "column 'l': is not the lowest price of its bar"),
        ("time,o,h,l,c", "2026-01-15T07:00:00Z,,,,", "has no price"),
        ("time,o,h,l,c", "2026-01-15T07:00:00Z,1,16,1,17,1,15,1,16", "has 9 columns, 5 are named"),
        ("time,o,h,l,c", "2026-01-15T07:00:00Z,\"1.1,1.2,1.0,1.1", "has a quotation mark that is not closed"),
        ("time;o;h;l;c", "2026-01-15T07:00:00Z;49,412;49,525;49,096;49,412", "'49,412' may have a decimal comma"),
    ] {
        let error = file("EURUSD.csv", &format!("{header}\n{line}\n")).error();
        let mentions = error.starts_with("none of its first 1 rows can be used; line 2");
        assert!(mentions && error.contains(place), "{line}: {error}");
    }
}

#[test]
fn skipped_rows_are_counted_by_reason() {
    let text = "time,bid,ask\n2026-01-15T07:00:05Z,1.1,1.2\n2026-01-15T07:00:05Z,1.2,1.3\nx,y,z\n2026-01-15T07:00:04Z,1.1,1.2\n\
                2026-01-15T07:00:06Z,1.3,1.2\n1970-01-15T07:00:06Z,1.1,1.2\n2026-01-15T07:00:06Z,,\n2026-01-15T07:00:07Z,1.3,1.4";
    let read = file("a.csv", text).good();
    assert_eq!(read.rows.len(), 3);
    let expected = [("unreadable", 1), ("time_out_of_range", 1), ("back_in_time", 1), ("crossed", 1), ("no_price", 1)];
    assert_eq!(read.left_out(), expected);
    let json = serde_json::to_value(&read.summary).unwrap();
    assert_eq!(json["left_out"]["crossed"]["rows"], 1);
    assert_eq!(json["left_out"]["crossed"]["first"], "line 6: has its bid above its ask");
    assert!(
        read.described().contains("left out: 1 unreadable, 1 before 1990 or in the future, 1 back in time"),
        "{}",
        read.described()
    );
}

#[test]
fn bars_cannot_share_a_time() {
    let text = "time,open,high,low,close,volume\n2026-01-15T07:00:00Z,1.1,1.4,1.0,1.3,5\n\
                2026-01-15T07:00:00Z,9,9,9,9,9\n2026-01-15T07:01:00Z,1.3,1.4,1.0,1.1,6\n";
    let (steps, counts) = file("a.csv", text).steps().unwrap();
    let prices: Vec<f64> = steps.iter().map(|step| step.tick.quote.mid()).collect();
    assert_eq!(prices, [1.1, 1.0, 1.4, 1.3, 1.3, 1.4, 1.0, 1.1]);
    assert_eq!((counts.rows, counts.left_out, counts.bytes), (3, 1, text.len() as u64));
}

#[test]
fn an_unordered_file_is_rejected() {
    let row = |minute: usize| format!("2026-01-15T07:{minute:02}:00Z,1.1,1.2\n");
    // Rises twice and falls in all other rows.
    let rows: String = [50, 51, 52].into_iter().chain(0..30).map(row).collect();
    let error = file("a.csv", &format!("time,bid,ask\n{rows}")).error();
    assert_eq!(error, "30 of its 33 rows go back in time; line 5: goes back in time: sort it by time first");
}

#[test]
fn a_nonexistent_hour_is_skipped() {
    let text = "time,bid,ask\n2026-03-08 01:59:00,1.1,1.2\n2026-03-08 02:30:00,1.1,1.2\n2026-03-08 03:00:00,1.1,1.2\n";
    let read = file("a.csv", text).with("timezone", "America/New_York").good();
    assert_eq!(read.rows, ["2026-03-08T06:59Z 1.1/1.2", "2026-03-08T07:00Z 1.1/1.2"]);
    assert_eq!(read.left_out(), [("no_such_local_time", 1)]);
}

#[test]
fn a_spread_in_the_wrong_unit_is_rejected() {
    let bars = "2026.01.15,07:00,1.16001,1.16012,1.15998,1.16005,123\n";
    let error = file("EURUSD1.csv", bars).with("spread", "8.0").error();
    assert!(error.contains("a spread of 8 is more than 1 % of the price 1.16001"), "{error}");
    let error = file("EURUSD1.csv", bars).with("spread", "column").error();
    assert!(error.contains("--spread column needs a column with the spread"), "{error}");
    let error = file("a.csv", "time,o,h,l,c\n1768460400,1,1,1,1\n").with("columns", "time=when").error();
    assert_eq!(error, "--columns names 'when', but its columns are time, o, h, l, c");
}

#[test]
fn a_file_of_bad_rows_is_abandoned() {
    let many = format!("time,bid,ask\n{}", "a,b,c\n".repeat(5000));
    let error = file("a.csv", &many).error();
    assert_eq!(error, "none of its first 1000 rows can be used; line 2, column 'time': 'a' is not a time");
    // Rows of other instruments are not faults.
    let others = "C:GBP-USD,1.3,1.4,1768460400000000000\n".repeat(5000);
    let text = format!("ticker,bid,ask,window_start\n{others}C:EUR-USD,1.1,1.2,1768460400000000000\n");
    assert_eq!(file("a.csv", &text).good().left_out(), [("other_instrument", 5000)]);
}

#[test]
fn an_unknown_symbol_needs_the_users_option() {
    let text = "symbol,time,bid,ask\n6EH6,2026-01-15T07:00:00Z,1.1,1.2\n";
    let read = file("a.csv", text).good();
    assert!(
        read.described().contains("the file calls its instrument '6EH6', which is not in the catalogue"),
        "{}",
        read.described()
    );
    let two = format!("{text}6EM6,2026-01-15T07:00:00Z,1.1,1.2\n");
    let error = file("a.csv", &two).error();
    assert!(error.contains("they are of 6EH6, 6EM6; name the instrument with --symbol"), "{error}");
    assert_eq!(file("a.csv", &two).with("columns", "symbol=none").good().rows.len(), 2);
    // Many rows of the first instrument, then another one: the first is not accepted.
    let long = format!(
        "symbol,time,bid,ask\n{}EURUSD,2026-01-15T08:00:00Z,1.1,1.2\n",
        "AUDNZD,2026-01-15T07:00:00Z,9,9\n".repeat(1500)
    );
    assert_eq!(file("a.csv", &long).good().rows, ["2026-01-15T08:00Z 1.1/1.2"]);
}

#[test]
fn an_endless_line_is_one_bad_row() {
    let text = format!(
        "time,bid,ask\n2026-01-15T07:00:00Z,1.1,1.2\n{}\n2026-01-15T07:00:02Z,1.3,1.4\n",
        "7,".repeat(1_000_000)
    );
    let read = file("a.csv", &text).good();
    assert_eq!((read.rows.len(), read.left_out()), (2, vec![("unreadable", 1)]));
}
