//! Parses numbers as people and programs write them: with a decimal point or comma, and with separators of thousands.

/// The number style of a file, as far as its rows show it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NumberStyle {
    /// A number can only have a decimal point.
    point: bool,
    /// A number can only have a decimal comma.
    comma: bool,
    /// A number has separators of thousands.
    grouped: bool,
    /// A number is ambiguous by itself.
    ambiguous: bool,
}

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberFault {
    /// The text is not a number.
    NotANumber,
    /// `1,234` may be 1234 or 1.234.
    Ambiguous,
}

/// What a number shows about the style of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberForm {
    /// Digits, possibly with a point that is most likely a decimal one: `1.234`, `1234`.
    Plain,
    /// `1.5`: not three digits after the point.
    Point,
    /// `1,5`.
    Comma,
    /// `1,234`.
    Ambiguous,
    /// `1,234.5` or `1,234,567`.
    GroupedByCommas,
    /// `1.234,5` or `1.234.567`.
    GroupedByPoints,
    Nothing,
}

/// Returns whether the digits are in groups of three after the first group: `1,234,567`.
fn is_grouped(text: &str, mark: char) -> bool {
    let mut groups = text.split(mark);
    let digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    (1..=3).contains(&first.len())
        && digits(first)
        && !first.starts_with('0')
        && groups.all(|group| group.len() == 3 && digits(group))
}

fn form(text: &str) -> NumberForm {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let count = |mark: char| text.matches(mark).count();
    match (count(','), count('.')) {
        (0, 0) => NumberForm::Plain,
        (0, 1) => {
            let (whole, fraction) = text.split_once('.').unwrap_or_default();
            if fraction.len() == 3 && is_grouped(text, '.') {
                NumberForm::Plain
            } else if digits(whole) && digits(fraction) {
                NumberForm::Point
            } else {
                NumberForm::Plain
            }
        }
        (1, 0) => {
            let (whole, fraction) = text.split_once(',').unwrap_or_default();
            match () {
                () if is_grouped(text, ',') => NumberForm::Ambiguous,
                () if digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) => {
                    NumberForm::Comma
                }
                () => NumberForm::Nothing,
            }
        }
        (_, 0) if is_grouped(text, ',') => NumberForm::GroupedByCommas,
        (0, _) if is_grouped(text, '.') => NumberForm::GroupedByPoints,
        (_, 1) if text.split_once('.').is_some_and(|(whole, rest)| is_grouped(whole, ',') && digits(rest)) => {
            NumberForm::GroupedByCommas
        }
        (1, _) if text.split_once(',').is_some_and(|(whole, rest)| is_grouped(whole, '.') && digits(rest)) => {
            NumberForm::GroupedByPoints
        }
        _ => NumberForm::Nothing,
    }
}

/// Removes blanks and apostrophes between thousands, which are unambiguous.
fn without_blanks(text: &str) -> Option<String> {
    let is_mark = |c: char| matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\u{2009}' | '\'' | '\u{2019}');
    if !text.contains(is_mark) {
        return None;
    }
    let whole_end = text.find(['.', ',']).unwrap_or(text.len());
    let (whole, rest) = text.split_at(whole_end);
    let commas: String = whole.chars().map(|c| if is_mark(c) { ',' } else { c }).collect();
    let plain = is_grouped(commas.trim_start_matches(['-', '+']), ',') && !rest.contains(is_mark);
    plain.then(|| format!("{}{rest}", commas.replace(',', "")))
}

impl NumberStyle {
    /// Records what a number shows.
    pub(super) fn observe(&mut self, text: &str) {
        if !text.bytes().any(|b| matches!(b, b',' | b'.')) {
            return;
        }
        match form(&without_blanks(text).unwrap_or_else(|| text.to_owned())) {
            NumberForm::Plain | NumberForm::Nothing => {}
            NumberForm::Point => self.point = true,
            NumberForm::Comma => self.comma = true,
            NumberForm::Ambiguous => self.ambiguous = true,
            NumberForm::GroupedByCommas => (self.point, self.grouped) = (true, true),
            NumberForm::GroupedByPoints => (self.comma, self.grouped) = (true, true),
        }
    }

    /// Returns whether there was an ambiguous number that the others have not decided.
    pub(super) fn is_open(self) -> bool {
        self.ambiguous && !self.point && !self.comma
    }

    /// Parses a number.
    pub(super) fn read(self, text: &str) -> Result<f64, NumberFault> {
        let bytes = text.as_bytes();
        let is_plain =
            !bytes.is_empty() && bytes.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
        if is_plain && !self.comma {
            return text
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map_or_else(|| self.read_marked(text), Ok);
        }
        self.read_marked(text)
    }

    fn read_marked(self, text: &str) -> Result<f64, NumberFault> {
        let without = without_blanks(text);
        let text = without.as_deref().unwrap_or(text);
        let parse = |text: &str| {
            let sound = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
            let number = if sound { text.parse().ok() } else { None };
            number.filter(|number: &f64| number.is_finite()).ok_or(NumberFault::NotANumber)
        };
        match form(text) {
            NumberForm::Plain if self.comma && !self.point && text.contains('.') => {
                if self.grouped {
                    parse(&text.replace('.', ""))
                } else {
                    Err(NumberFault::Ambiguous)
                }
            }
            NumberForm::Plain | NumberForm::Point => parse(text),
            NumberForm::Comma => parse(&text.replace(',', ".")),
            NumberForm::Ambiguous if self.point && !self.comma => parse(&text.replace(',', "")),
            NumberForm::Ambiguous if self.comma && !self.point => parse(&text.replace(',', ".")),
            NumberForm::Ambiguous => Err(NumberFault::Ambiguous),
            NumberForm::GroupedByCommas => parse(&text.replace(',', "")),
            NumberForm::GroupedByPoints => parse(&text.replace('.', "").replace(',', ".")),
            NumberForm::Nothing => Err(NumberFault::NotANumber),
        }
    }
}

/// Returns the number of decimals.
pub(super) fn decimals(text: &str) -> usize {
    text.rsplit_once(['.', ',']).map_or(0, |(_, decimals)| decimals.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(texts: &[&str]) -> NumberStyle {
        let mut style = NumberStyle::default();
        for text in texts {
            style.observe(text);
        }
        style
    }

    #[test]
    fn a_number_with_one_meaning_is_read() {
        for (text, number) in [
            ("1.16001", 1.16001),
            ("1,16001", 1.16001),
            ("49,412.50", 49412.5),
            ("49.412,50", 49412.5),
            ("1,234,567", 1_234_567.0),
            ("1.234.567", 1_234_567.0),
            ("25 380.00", 25380.0),
            ("25\u{a0}380,5", 25380.5),
            ("25'380.25", 25380.25),
            ("0,123", 0.123),
            ("1.160", 1.16),
            ("1e5", 1e5),
            (".5", 0.5),
        ] {
            assert_eq!(NumberStyle::default().read(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn an_ambiguous_number_needs_the_whole_file() {
        assert_eq!(NumberStyle::default().read("49,412"), Err(NumberFault::Ambiguous));
        assert!(style(&["49,412"]).is_open());
        assert_eq!(style(&["49,412", "49,100.5"]).read("49,412"), Ok(49412.0));
        assert_eq!(style(&["1,160", "1,16005"]).read("1,160"), Ok(1.16));
        assert_eq!(style(&["1,16005"]).read("1.160"), Err(NumberFault::Ambiguous));
        assert_eq!(style(&["49.412,5"]).read("49.412"), Ok(49412.0));
        assert_eq!(style(&["1.16", "1,16"]).read("1,160"), Err(NumberFault::Ambiguous), "a file that mixes both");
    }

    #[test]
    fn an_invalid_number_is_rejected() {
        for text in ["", "x", "inf", "NaN", "1,2,3", "1.2.3", "12,34.5", "1 2", ",", ".", "--1", "1e999", "١"] {
            assert_eq!(NumberStyle::default().read(text), Err(NumberFault::NotANumber), "{text}");
        }
    }
}
