//! Deserializes single values: strictly (the crate `config` would accept `true` as a port), with readable errors.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A list of values: an array, or a text with commas; `none` is the empty list. Duplicates are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> Self {
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            if !list.contains(&item) {
                list.push(item);
            }
        }
        Self(list)
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: DeserializeOwned + PartialEq> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned + PartialEq> Visitor<'de> for ListVisitor<T> {
    type Value = List<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, or one text with commas between its parts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<List<T>, E> {
        list(text.split(','))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
        let mut texts = Vec::<PlainText>::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        list(texts.iter().map(|text| text.0.as_str()))
    }
}

fn list<'a, T: DeserializeOwned + PartialEq, E: Error>(texts: impl Iterator<Item = &'a str>) -> Result<List<T>, E> {
    let texts: Vec<&str> = texts.map(str::trim).filter(|text| !text.is_empty()).collect();
    if texts == ["none"] {
        return Ok(List(Vec::new()));
    }
    let items: Result<Vec<T>, E> = texts.into_iter().map(|text| T::deserialize(StrDeserializer::new(text))).collect();
    Ok(items?.into())
}

/// A text; other types are not converted.
struct PlainText(String);

impl<'de> Deserialize<'de> for PlainText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = PlainText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<PlainText, E> {
                Ok(PlainText(text.to_owned()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// Deserializes a text.
pub(super) fn text<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<T, D::Error> {
    PlainText::deserialize(deserializer).map(|text| text.0.into())
}

/// Deserializes the name of an enum variant.
pub fn choice<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(StrDeserializer::new(PlainText::deserialize(deserializer)?.0.trim()))
}

/// Deserializes the name of an enum variant, for a setting whose default depends on others.
pub(super) fn optional_choice<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    choice(deserializer).map(Some)
}

/// Deserializes a text; the empty text means unset, as in `ORION_INGEST_TOKEN=` of an environment file.
pub fn unless_empty<'de, D: Deserializer<'de>, T: From<String>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let text = PlainText::deserialize(deserializer)?.0;
    Ok((!text.trim().is_empty()).then(|| text.into()))
}

/// Parses a text into a value; the empty text means unset.
pub(super) fn parsed_unless_empty<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: TryFrom<String>,
    T::Error: fmt::Display,
{
    let text = PlainText::deserialize(deserializer)?.0;
    if text.trim().is_empty() {
        return Ok(None);
    }
    T::try_from(text).map(Some).map_err(D::Error::custom)
}

/// Parses a text into a value.
pub(super) fn parsed<'de, D: Deserializer<'de>, T>(deserializer: D) -> Result<T, D::Error>
where
    T: TryFrom<String>,
    T::Error: fmt::Display,
{
    T::try_from(PlainText::deserialize(deserializer)?.0).map_err(D::Error::custom)
}

/// Deserializes a boolean; in text (as in the environment) also `1` and `0`.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct FlagVisitor;
    impl Visitor<'_> for FlagVisitor {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: Error>(self, flag: bool) -> Result<bool, E> {
            Ok(flag)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
            match text.trim().to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok(true),
                "0" | "false" | "no" | "off" => Ok(false),
                _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }
    }
    deserializer.deserialize_any(FlagVisitor)
}

/// Deserializes a whole number, also from text, as in the environment.
pub fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(deserializer: D) -> Result<T, D::Error> {
    struct WholeVisitor;
    impl Visitor<'_> for WholeVisitor {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
            Ok(number)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<u64, E> {
            u64::try_from(number).map_err(|_| out_of_range(number))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
            text.trim().parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
    let number = deserializer.deserialize_any(WholeVisitor)?;
    T::try_from(number).map_err(|_| out_of_range(number))
}

/// Deserializes a finite number, also from text, as in the environment.
pub(super) fn decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct DecimalVisitor;
    impl Visitor<'_> for DecimalVisitor {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
            text.trim().parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
        }
    }
    let number = deserializer.deserialize_any(DecimalVisitor)?;
    if number.is_finite() { Ok(number) } else { Err(out_of_range(number)) }
}

fn out_of_range<E: Error>(number: impl fmt::Display) -> E {
    E::custom(format_args!("{number} is out of range"))
}

/// Durations such as `250ms`, `10s`, `5m`, `30d`.
/// Durations such as `250ms`, `10s`, `5m` or `30d`.
pub mod duration {
    use std::time::Duration;

    use humantime_serde::re::humantime::{format_duration, parse_duration};
    use serde::{Serializer, de};

    use super::{Deserializer, Unexpected, Visitor, fmt};

    struct DurationVisitor;

    impl Visitor<'_> for DurationVisitor {
        type Value = Duration;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as 250ms, 10s, 5m or 30d")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
            parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
        }
    }

    /// Parses a duration such as `250ms`, `10s`, `5m` or `30d`.
    pub fn parse(text: &str) -> Option<Duration> {
        parse_duration(text.trim()).ok()
    }

    /// Deserializes a duration.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }

    /// Serializes a duration as [`text`].
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*span))
    }

    /// Formats the duration in the largest unit in which it is whole: 365 days are `365d`, not `11months 30days …`.
    pub fn text(span: Duration) -> String {
        let millis = span.as_millis();
        if span.is_zero() || !span.subsec_nanos().is_multiple_of(1_000_000) {
            return format_duration(span).to_string();
        }
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
            .into_iter()
            .find(|(_, unit)| millis.is_multiple_of(*unit))
            .map_or_else(String::new, |(name, unit)| format!("{}{name}", millis / unit))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_duration_has_its_largest_whole_unit() {
        for (span, text) in [
            (Duration::from_hours(365 * 24), "365d"),
            (Duration::from_mins(90), "90m"),
            (Duration::from_mins(5), "5m"),
            (Duration::from_millis(1500), "1500ms"),
            (Duration::ZERO, "0s"),
            (Duration::from_micros(1500), "1ms 500us"),
        ] {
            assert_eq!(duration::text(span), text);
        }
    }

    #[test]
    fn a_list_is_an_array_or_a_text_with_commas() {
        let read = |json: &str| serde_json::from_str::<List<String>>(json).map(|list| list.to_vec());
        assert_eq!(read("\"a, b,,a\"").unwrap(), ["a", "b"]);
        assert_eq!(read("[\"a\",\"b\"]").unwrap(), ["a", "b"]);
        assert!(read("\"none\"").unwrap().is_empty() && read("[]").unwrap().is_empty());
        assert!(read("5").is_err() && read("[5]").is_err());
    }
}
