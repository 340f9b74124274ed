//! The parser finds every way in which a room can be used.

use super::uses::Crate;

/// Three rooms: `a` may use nothing of `b`, nor through `c` what `c` has of `b`.
fn found(a: &str) -> Vec<String> {
    let rooms = [
        ("lib.rs", "pub mod a; pub mod b; pub mod c;"),
        ("a/mod.rs", a),
        ("a/inner.rs", "use crate::b::Thing;"),
        (
            "b/mod.rs",
            "pub struct Thing; pub mod deep { pub struct Deep; pub fn call() {} } pub use deep::Deep as Shallow;",
        ),
        ("c.rs", "pub use crate::b::Thing as Lent; pub use crate::b::deep; pub struct Own;"),
    ];
    Crate::parse_texts(&rooms, "planted")
        .uses()
        .into_iter()
        .filter(|found| found.from == "a" && found.to == "b")
        .map(|found| found.item)
        .collect()
}

#[test]
fn every_planted_violation_is_found() {
    for (item, a) in [
        ("Thing", "use crate::b::Thing;"),
        ("Thing", "use crate::{b::{Thing as Renamed}};"),
        ("Thing", "use super::b::Thing;"),
        ("Thing", "mod inner;"),
        ("Thing", "mod nested { use super::super::b::Thing; }"),
        ("Thing", "mod nested { mod more { fn f() { let _ = crate::b::Thing; } } }"),
        ("Thing", "use crate::b; fn f(_: b::Thing) {}"),
        ("Thing", "use crate::b as other; fn f(_: other::Thing) {}"),
        ("Thing", "use crate as root; fn f(_: root::b::Thing) {}"),
        ("Thing", "fn f() { use crate::b::Thing; }"),
        ("Thing", "struct S(Vec<Option<crate::b::Thing>>);"),
        ("Thing", "impl crate::b::Thing { fn f() {} }"),
        ("Thing", "fn f() { println!(\"{:?}\", crate::b::Thing); }"),
        ("Thing", "macro_rules! m { () => { $crate::b::Thing } }"),
        ("Thing", "fn f() -> planted::b::Thing { todo() }"),
        ("Thing", "fn f(t: &dyn Fn(crate::b::Thing)) {}"),
        ("Thing", "#[derive(Serialize)] struct S { #[serde(with = \"crate::b::Thing\")] x: u8 }"),
        ("Thing", "#[cfg(test)] mod tests {} use crate::b::Thing;"),
        ("Thing", "use crate::c::Lent;"),
        ("Thing", "use crate::c; fn f(_: c::Lent) {}"),
        ("deep::call", "fn f() { crate::b::deep::call() }"),
        ("deep::Deep", "fn f(_: crate::c::deep::Deep) {}"),
        ("*", "use crate::b::*;"),
    ] {
        let items = found(a);
        assert!(items.iter().any(|found| found == item), "{a}\nwas read as {items:?}");
    }
}

#[test]
fn allowed_uses_are_not_reported() {
    for a in [
        "use crate::c::Own;",
        "#[cfg(test)] mod tests { use crate::b::Thing; }",
        "#[cfg(test)] use crate::b::Thing;",
        "mod b { pub struct Thing; } fn f(_: b::Thing) {}",
        "struct Thing; fn f(_: Thing) {}",
        "/// Unlike [`crate::b::Thing`].\npub struct Documented;",
        "fn f(b: u8) -> u8 { b }",
    ] {
        assert_eq!(found(a), [] as [String; 0], "{a}");
    }
}
