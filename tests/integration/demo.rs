//! The demo desk speaks past the dialects, because sources do not know them: everything that it says is what they would let
//! out.

use chrono::TimeDelta;
use orion_server::domain::parse_time;
use orion_server::gateways::dialects::published;
use orion_server::sources::demo::Desk;
use serde_json::Value;

#[test]
fn everything_that_the_demo_desk_says_has_the_shape_of_its_dialect() {
    let start = parse_time("2026-01-14T16:30:00Z").unwrap();
    for seed in 0..3 {
        let mut desk = Desk::new(seed, ["demo".into(), "u2".into()], |_| false);
        for beat in 0..120 {
            let now = start + TimeDelta::seconds(beat);
            for message in desk.step(now) {
                let data: Value = serde_json::from_str(&message.data).unwrap();
                let parsed = published::parse(message.kind, &data, now);
                let parsed = parsed.unwrap_or_else(|faults| panic!("{faults:?}: {message:?}")).remove(0);
                let read: Value = serde_json::from_str(&parsed.data).unwrap();
                assert_eq!((parsed.key.as_str(), &read), (&*message.key, &data), "{}", message.kind.name());
                assert!(!message.data.contains(".0,") && !message.data.contains(".0}"), "{}", message.data);
            }
        }
    }
}
