//! The character-level parser of lenient JSON.

use serde_json::{Map, Number, Value};

use super::{Loose, LooseError, Oddity, is_not_a_number};

/// Deepest accepted nesting.
const MAX_DEPTH: usize = 32;
/// How many paths of `NaN` are kept.
const MAX_PLACES: usize = 20;
/// Longest quote of a field name (in characters) or a path (in bytes) in an error.
const MAX_NAME: usize = 64;
const MAX_PLACE: usize = 128;
/// How many texts are tried as nested objects. The limit is needed because each attempt may read to the end of the
/// whole text.
const MAX_INNER: usize = 16;
/// Words for an absent value.
const NOTHING: [&str; 6] = ["null", "none", "nil", "undefined", "na", "n/a"];

pub(super) fn is_double(c: char) -> bool {
    matches!(c, '“' | '”' | '„' | '‟' | '″' | '«' | '»' | '＂')
}

fn is_single(c: char) -> bool {
    matches!(c, '\'' | '‘' | '’' | '‚' | '‛' | '′' | '`' | '´')
}

fn is_quote(c: char) -> bool {
    c == '"' || is_double(c) || is_single(c)
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}')
}

pub(super) struct LooseReader<'a> {
    text: &'a str,
    at: usize,
    path: Vec<String>,
    not_numbers: Vec<String>,
    oddities: Vec<Oddity>,
    /// How many texts were tried as objects.
    inner: usize,
    any_double_ends: bool,
}

impl<'a> LooseReader<'a> {
    /// Creates a parser. With `any_double_ends`, a text that begins with a plain quote may end with a typographic one.
    pub(super) fn new(text: &'a str, any_double_ends: bool) -> Self {
        let (path, not_numbers, oddities) = (Vec::new(), Vec::new(), Vec::new());
        Self { text, at: 0, path, not_numbers, oddities, inner: 0, any_double_ends }
    }

    /// Parses one value that spans the whole text.
    pub(super) fn whole(mut self) -> Result<Loose, LooseError> {
        self.skip_blanks();
        let value = self.value(0)?;
        self.skip_blanks();
        if self.peek().is_some() {
            return Err(self.unexpected());
        }
        Ok(Loose { value, not_numbers: self.not_numbers, oddities: self.oddities })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.next();
        }
    }

    fn record(&mut self, oddity: Oddity) {
        if !self.oddities.contains(&oddity) {
            self.oddities.push(oddity);
        }
    }

    fn unexpected(&self) -> LooseError {
        let before = &self.text[..self.at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        LooseError::Unexpected { line, column }
    }

    /// Returns the path of the current position: `strategy.tp[1]`.
    fn place(&self) -> String {
        let mut place = String::new();
        for part in &self.path {
            if !place.is_empty() && !part.starts_with('[') {
                place.push('.');
            }
            place.extend(part.chars().take(MAX_NAME));
            if place.len() > MAX_PLACE {
                break;
            }
        }
        if place.is_empty() { "body".to_owned() } else { place }
    }

    fn value(&mut self, depth: usize) -> Result<Value, LooseError> {
        if depth > MAX_DEPTH {
            return Err(LooseError::TooDeep);
        }
        match self.peek() {
            None => Err(LooseError::Unclosed),
            Some('{') if self.text[self.at..].starts_with("{{") => self.placeholder(),
            Some('{') => self.object(depth),
            Some('[') => self.list(depth),
            Some(',' | '}' | ']') => {
                self.record(Oddity::MissingValue);
                Ok(Value::Null)
            }
            Some(c) if is_quote(c) => self.quoted(depth),
            Some(_) => self.bare(),
        }
    }

    /// Parses a placeholder that was not expanded; it counts as absent.
    fn placeholder(&mut self) -> Result<Value, LooseError> {
        let end = self.text[self.at..].find("}}").ok_or(LooseError::Unclosed)?;
        self.at += end + 2;
        self.record(Oddity::BareWord);
        Ok(Value::Null)
    }

    fn object(&mut self, depth: usize) -> Result<Value, LooseError> {
        let mut object = Map::new();
        self.next();
        let mut after_comma = false;
        loop {
            self.skip_blanks();
            match self.peek().ok_or(LooseError::Unclosed)? {
                '}' => {
                    self.next();
                    if after_comma {
                        self.record(Oddity::ExtraComma);
                    }
                    return Ok(Value::Object(object));
                }
                ',' => {
                    self.next();
                    self.record(Oddity::ExtraComma);
                    continue;
                }
                _ => {}
            }
            let name = self.name()?;
            self.path.push(name.clone());
            self.skip_blanks();
            let value = self.value(depth + 1)?;
            if object.get(&name).is_some_and(|before| *before != value) {
                return Err(LooseError::Twice(self.place()));
            }
            self.path.pop();
            object.insert(name, value);
            after_comma = self.comma('}')?;
        }
    }

    /// Parses a name and the colon after it.
    fn name(&mut self) -> Result<String, LooseError> {
        let name = match self.peek() {
            Some(c) if is_quote(c) => match self.quoted_text()? {
                Value::String(name) => name,
                _ => return Err(self.unexpected()),
            },
            Some(c) if c.is_alphanumeric() || c == '_' => {
                let rest = &self.text[self.at..];
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
                let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
                self.at += name.len();
                name.to_owned()
            }
            _ => return Err(self.unexpected()),
        };
        self.skip_blanks();
        if self.peek() != Some(':') {
            return Err(if self.peek().is_none() { LooseError::Unclosed } else { self.unexpected() });
        }
        self.next();
        Ok(name)
    }

    fn list(&mut self, depth: usize) -> Result<Value, LooseError> {
        let mut list = Vec::new();
        self.next();
        let mut after_comma = false;
        loop {
            self.skip_blanks();
            if self.peek().ok_or(LooseError::Unclosed)? == ']' {
                self.next();
                if after_comma {
                    self.record(Oddity::ExtraComma);
                }
                return Ok(Value::Array(list));
            }
            self.path.push(format!("[{}]", list.len()));
            list.push(self.value(depth + 1)?);
            self.path.pop();
            after_comma = self.comma(']')?;
        }
    }

    /// Parses the comma after an entry, or the closing bracket.
    fn comma(&mut self, end: char) -> Result<bool, LooseError> {
        self.skip_blanks();
        match self.peek() {
            Some(',') => {
                self.next();
                Ok(true)
            }
            Some(c) if c == end => Ok(false),
            Some(_) => Err(self.unexpected()),
            None => Err(LooseError::Unclosed),
        }
    }

    /// Parses a text, including TradingView's adjusted symbols `"={"symbol":"OANDA:EURUSD"}"`, whose quotes are not
    /// escaped.
    fn quoted(&mut self, depth: usize) -> Result<Value, LooseError> {
        let began = self.at;
        let quote = self.peek().unwrap_or('"');
        let inside = &self.text[began + quote.len_utf8()..];
        let is_adjusted = inside.starts_with("={");
        let is_object = inside.trim_start().starts_with('{') && !inside.trim_start().starts_with("{{");
        if (is_adjusted || is_object) && self.inner < MAX_INNER {
            self.inner += 1;
            let path = self.path.clone();
            let (oddities, not_numbers) = (self.oddities.clone(), self.not_numbers.clone());
            self.at += quote.len_utf8() + inside.find('{').unwrap_or_default();
            let inner = self.object(depth + 1);
            let is_whole = inner.is_ok() && self.peek().is_some_and(is_quote) && {
                self.next();
                self.ends_here()
            };
            match inner {
                Ok(inner) if is_whole && is_adjusted => return Ok(inner),
                Ok(_) if is_whole => return Err(LooseError::JsonWithinJson(self.place())),
                _ => {}
            }
            (self.at, self.path, self.oddities, self.not_numbers) = (began, path, oddities, not_numbers);
        }
        let text = self.quoted_text()?;
        if self.ends_here() { Ok(text) } else { Err(LooseError::QuotesWithinQuotes(self.place())) }
    }

    /// Returns whether a value can end at this position.
    fn ends_here(&self) -> bool {
        let next = self.text[self.at..].chars().find(|c| !is_blank(*c));
        next.is_none_or(|next| matches!(next, ',' | '}' | ']'))
    }

    fn quoted_text(&mut self) -> Result<Value, LooseError> {
        let opening = self.next().unwrap_or('"');
        if is_double(opening) {
            self.record(Oddity::TypographicQuotes);
        } else if is_single(opening) {
            self.record(Oddity::SingleQuotes);
        }
        let mut text = String::new();
        loop {
            let c = self.next().ok_or(LooseError::Unclosed)?;
            let ends = match opening {
                '"' => c == '"' || self.any_double_ends && is_double(c),
                '\'' => c == '\'',
                opening if is_double(opening) => c == '"' || is_double(c),
                _ => is_single(c),
            };
            if ends {
                return Ok(Value::String(text));
            }
            match c {
                '\\' => self.escape(&mut text)?,
                '\n' | '\r' | '\t' => {
                    self.record(Oddity::RawControl);
                    text.push(c);
                }
                '\0'..'\u{20}' => self.record(Oddity::RawControl),
                c => text.push(c),
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), LooseError> {
        match self.next().ok_or(LooseError::Unclosed)? {
            'n' => text.push('\n'),
            'r' => text.push('\r'),
            't' => text.push('\t'),
            'b' => text.push('\u{8}'),
            'f' => text.push('\u{c}'),
            'u' => {
                let unit = |reader: &mut Self| {
                    let digits = reader.text.get(reader.at..reader.at + 4)?;
                    let unit = u16::from_str_radix(digits, 16).ok()?;
                    reader.at += 4;
                    Some(unit)
                };
                let first = unit(self).ok_or_else(|| self.unexpected())?;
                let mut units = vec![first];
                if (0xd800..0xdc00).contains(&first) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    units.push(unit(self).ok_or_else(|| self.unexpected())?);
                }
                text.push_str(&String::from_utf16_lossy(&units));
            }
            c => text.push(c),
        }
        Ok(())
    }

    /// Parses a number, a word, or a text without its quotes.
    fn bare(&mut self) -> Result<Value, LooseError> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| matches!(c, ',' | '}' | ']' | '{' | '[' | '\n' | '\r') || is_quote(c));
        let word = rest[..end.unwrap_or(rest.len())].trim_end_matches(is_blank);
        if word.is_empty() {
            return Err(self.unexpected());
        }
        self.at += word.len();
        if let Ok(number) = serde_json::from_str::<Number>(word) {
            return Ok(Value::Number(number));
        }
        if is_not_a_number(word) {
            if self.not_numbers.len() < MAX_PLACES {
                let place = self.place();
                self.not_numbers.push(place);
            }
            return Ok(Value::Null);
        }
        if matches!(word, "true" | "false" | "null") {
            return Ok(serde_json::from_str(word).unwrap_or(Value::Null));
        }
        self.record(Oddity::BareWord);
        if NOTHING.iter().any(|nothing| word.eq_ignore_ascii_case(nothing)) {
            return Ok(Value::Null);
        }
        Ok(match word.to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => word.parse().ok().and_then(Number::from_f64).map_or_else(|| word.into(), Value::Number),
        })
    }
}
