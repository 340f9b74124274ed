//! Assigns the numbers of a text to fields, by the words before them.

use std::collections::BTreeSet;

use super::tokens::{Token, tokens};
use crate::domain::{Direction, Fault, Instrument, Instruments, UnknownSymbol};
use crate::ingest::words::{PENDING_ORDER, TradeWord, trade_word};

/// Adjacent numbers without a word between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumberGroup<'t> {
    pub numbers: Vec<&'t str>,
    /// Whether a comma or a slash separates them.
    pub is_list: bool,
}

/// The meaning of the numbers that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Label {
    Unlabelled,
    Entry,
    Stop,
    Target,
    /// A word without a meaning for prices, such as `risk`.
    Other,
}

/// The result of the walk over all tokens.
#[derive(Debug)]
pub(super) struct Walk<'t, 'i> {
    pub direction: Option<Direction>,
    pub instrument: Option<&'i Instrument>,
    /// A word that looks like a symbol but is not in the catalogue.
    pub unknown: Option<UnknownSymbol>,
    pub entries: Vec<&'t str>,
    pub stops: Vec<&'t str>,
    pub targets: Vec<&'t str>,
    pub unlabelled: Vec<NumberGroup<'t>>,
    pub faults: Vec<Fault>,
    /// Lines, from 0, in which a number or everything had no effect.
    pub unread_lines: BTreeSet<usize>,
    label: Label,
    /// How many numbers came after the label.
    counted: usize,
    /// Whether the label is alone on its line and applies to the lines below.
    is_heading: bool,
    previous: Option<Token<'t>>,
}

const NEGATIONS: [&str; 7] = ["no", "not", "dont", "don't", "don’t", "avoid", "never"];
const NEWS: [&str; 9] = ["hit", "reached", "closed", "close", "cancel", "canceled", "cancelled", "delete", "deleted"];
const PENDING: [&str; 2] = ["limit", "pending"];
/// Words of a conditional entry, such as "above": a stop may stand "below" a price.
const CONDITION: [&str; 9] = ["above", "below", "if", "when", "once", "after", "break", "breaks", "until"];
const ENTRY: [&str; 9] = ["entry", "entries", "enter", "cmp", "between", "now", "market", "from", "instant"];
/// Words before any price. They begin an entry only if no label waits for its number.
const BEFORE_PRICE: [&str; 7] = ["at", "price", "zone", "around", "near", "area", "range"];
const STOP: [&str; 8] = ["sl", "stop", "stoploss", "stop-loss", "s/l", "s.l", "stops", "invalidation"];
const TARGET: [&str; 10] =
    ["tp", "tps", "target", "targets", "t/p", "t.p", "takeprofit", "take-profit", "takeprofits", "take-profits"];

impl<'t, 'i> Walk<'t, 'i> {
    pub(super) fn over(text: &'t str, instruments: &'i Instruments) -> Self {
        let mut walk = Self {
            direction: None,
            instrument: None,
            unknown: None,
            entries: Vec::new(),
            stops: Vec::new(),
            targets: Vec::new(),
            unlabelled: Vec::new(),
            faults: Vec::new(),
            unread_lines: BTreeSet::new(),
            label: Label::Unlabelled,
            counted: 0,
            is_heading: false,
            previous: None,
        };
        let tokens = tokens(text);
        let (mut line, mut is_read, mut has_words) = (0, false, false);
        for (at, token) in tokens.iter().enumerate() {
            match *token {
                Token::Word(word) => {
                    has_words = true;
                    is_read |= walk.word(word, &tokens[at + 1..], instruments);
                }
                Token::Number(number) => is_read |= walk.number(number, &tokens[at + 1..], line),
                Token::Distance(_) => walk.distance(line),
                Token::Other(_) => drop(walk.unread_lines.insert(line)),
                Token::Mark('@') => walk.before_price(),
                Token::Emoji(emoji) => walk.emoji(emoji),
                Token::LineEnd => {
                    if has_words && !is_read {
                        walk.unread_lines.insert(line);
                    }
                    walk.line_end();
                    (line, is_read, has_words) = (line + 1, false, false);
                }
                Token::Dash | Token::Comma | Token::Mark(_) => {}
            }
            walk.previous = Some(*token);
        }
        if walk.instrument.is_none() {
            walk.spaced_symbol(&tokens, instruments);
        }
        walk
    }

    pub(super) fn is_faulty(&self, field: &str) -> bool {
        self.faults.iter().any(|fault| fault.field == field)
    }

    fn fault(&mut self, field: &str, reason: impl Into<String>) {
        if !self.is_faulty(field) {
            self.faults.push(Fault::new(field, reason));
        }
    }

    fn before_price(&mut self) {
        let waits = matches!(self.label, Label::Entry | Label::Stop | Label::Target) && self.counted == 0;
        if !waits {
            self.set(Label::Entry);
        }
    }

    fn is_about_entry(&self) -> bool {
        self.direction.is_some() && !matches!(self.label, Label::Stop | Label::Target)
    }

    fn set(&mut self, label: Label) {
        (self.label, self.counted, self.is_heading) = (label, 0, false);
    }

    /// Reads a word. Returns whether it has a meaning.
    fn word(&mut self, word: &'t str, rest: &[Token<'t>], instruments: &'i Instruments) -> bool {
        let lower = word.to_lowercase();
        let lower = lower.trim_end_matches(['.', '\'']);
        let follows = |name: &str| matches!(rest.first(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(name));
        if let Some(number) = self.glued(word) {
            return number;
        }
        if let Some(TradeWord::Direction(direction)) = trade_word(word).filter(|_| !lower.contains(['/', '.'])) {
            return self.read_direction(direction, rest);
        }
        if NEWS.contains(&lower) {
            self.fault(
                "body",
                format!("reads like news of a signal ({lower}): send the id of the signal with its status"),
            );
        } else if PENDING.contains(&lower) || CONDITION.contains(&lower) && self.is_about_entry() {
            self.fault("direction", PENDING_ORDER);
        } else if STOP.contains(&lower) {
            self.set(Label::Stop);
        } else if is_target(lower) || lower == "take" && (follows("profit") || follows("profits")) {
            self.set(Label::Target);
        } else if ["loss", "profit", "profits"].contains(&lower) && self.counted == 0 {
            // The second half of `stop loss` and `take profit`.
        } else if lower == "open" && matches!(self.label, Label::Stop | Label::Target) {
            self.set(Label::Unlabelled);
        } else if ENTRY.contains(&lower) {
            self.set(Label::Entry);
        } else if BEFORE_PRICE.contains(&lower) || lower == "open" {
            self.before_price();
        } else if ["to", "and", "or", "the", "a", "is"].contains(&lower) {
            // A filler word.
        } else {
            return self.symbol(word, instruments);
        }
        true
    }

    fn read_direction(&mut self, direction: Direction, rest: &[Token<'t>]) -> bool {
        let next = |at: usize| match rest.get(at) {
            Some(Token::Word(next)) => next.to_lowercase(),
            _ => String::new(),
        };
        if next(0) == "term" {
            return false;
        }
        let negated =
            matches!(self.previous, Some(Token::Word(word)) if NEGATIONS.contains(&word.to_lowercase().as_str()));
        let is_stop_order = next(0) == "stop" && next(1) != "loss";
        if negated {
            self.fault("direction", "is negated: send a signal only where there is one");
        } else if next(0) == "limit" || is_stop_order {
            self.fault("direction", PENDING_ORDER);
        } else if self.direction.is_some_and(|before| before != direction) {
            self.fault("direction", "says both buy and sell");
        }
        self.direction.get_or_insert(direction);
        self.set(Label::Unlabelled);
        true
    }

    /// Reads a label and its number without a blank between them: `SL4038`, `TP1.1650`.
    fn glued(&mut self, word: &'t str) -> Option<bool> {
        let at = word.find(|c: char| c.is_ascii_digit())?;
        let (stem, number) = word.split_at(at);
        let is_price =
            number.chars().all(|c| c.is_ascii_digit() || c == '.') && (number.contains('.') || number.len() > 2);
        let stem = stem.to_lowercase();
        let label = match () {
            () if !is_price => return None,
            () if STOP.contains(&stem.as_str()) => Label::Stop,
            () if TARGET.contains(&stem.as_str()) => Label::Target,
            () if stem == "entry" => Label::Entry,
            () => return None,
        };
        self.set(label);
        Some(self.number(number, &[], 0))
    }

    fn symbol(&mut self, word: &str, instruments: &'i Instruments) -> bool {
        // `es` and `mes` are also words of other languages; the futures are written in capitals.
        let is_short = word.len() <= 3 && word.chars().any(char::is_lowercase);
        let found = if is_short || word.len() < 2 {
            None
        } else {
            let exact = instruments.named(word);
            exact.or_else(|| instruments.resolve(word).ok().filter(|_| word.len() >= 6 || word.ends_with('!')))
        };
        if let Some(found) = found {
            match self.instrument {
                Some(before) if before.symbol != found.symbol => {
                    self.fault("symbol", format!("there are two: {} and {}", before.symbol, found.symbol));
                }
                _ => self.instrument = Some(found),
            }
            if self.label == Label::Other {
                self.set(Label::Unlabelled);
            }
            return true;
        }
        let letters = word.chars().filter(|c| *c != '/').count();
        if letters == 6 && word.chars().all(|c| c.is_ascii_uppercase() || c == '/') {
            self.unknown.get_or_insert_with(|| UnknownSymbol(word.to_owned()));
        }
        self.set(Label::Other);
        false
    }

    /// Reads `EUR USD`, `XAU / USD`.
    fn spaced_symbol(&mut self, tokens: &[Token<'t>], instruments: &'i Instruments) {
        let words: Vec<&str> = tokens
            .iter()
            .filter_map(|token| match token {
                Token::Word(word) => Some(*word),
                _ => None,
            })
            .collect();
        let is_currency = |word: &str| word.len() == 3 && word.chars().all(|c| c.is_ascii_uppercase());
        let mut pairs = words.windows(2).filter(|pair| is_currency(pair[0]) && is_currency(pair[1]));
        self.instrument = pairs.find_map(|pair| instruments.named(&pair.concat())).map(AsRef::as_ref);
    }

    /// Reads a number. Returns whether it is a price.
    fn number(&mut self, number: &'t str, rest: &[Token<'t>], line: usize) -> bool {
        let is_index = self.label == Label::Target
            && self.counted == 0
            && number.parse::<usize>().is_ok_and(|number| (1..=10).contains(&number))
            && matches!(rest.first(), Some(Token::Mark(':' | ')' | '=' | '@') | Token::Dash | Token::Number(_)));
        if is_index {
            return true;
        }
        let continues = self.counted > 0;
        self.counted += 1;
        match self.label {
            Label::Entry => self.entries.push(number),
            Label::Stop => self.stops.push(number),
            Label::Target => self.targets.push(number),
            Label::Other => {
                self.unread_lines.insert(line);
                return false;
            }
            Label::Unlabelled => match (self.previous, self.unlabelled.last_mut()) {
                (Some(Token::Dash | Token::Comma), Some(group)) if continues => {
                    group.numbers.push(number);
                    group.is_list |= self.previous == Some(Token::Comma);
                }
                _ => self.unlabelled.push(NumberGroup { numbers: vec![number], is_list: false }),
            },
        }
        true
    }

    /// Reads a distance. Beside a price it is an explanation; in place of a price it is a fault.
    fn distance(&mut self, line: usize) {
        let field = match self.label {
            Label::Stop if self.counted == 0 => "stop_loss",
            Label::Target if self.counted == 0 => "take_profits",
            _ => {
                self.unread_lines.insert(line);
                return;
            }
        };
        self.fault(field, "is a price; this looks like a distance (points, pips, ATR): send the price itself");
    }

    fn emoji(&mut self, emoji: char) {
        match emoji {
            '🛑' | '⛔' | '🚫' | '❌' => self.set(Label::Stop),
            '🎯' | '✅' | '💰' | '🏆' | '🥇' | '🥈' | '🥉' | '🏁' => self.set(Label::Target),
            // An arrow between a label and its number.
            _ if self.label != Label::Other && self.counted == 0 => {}
            _ => self.set(Label::Unlabelled),
        }
    }

    fn line_end(&mut self) {
        let waits = matches!(self.label, Label::Entry | Label::Stop | Label::Target) && self.counted == 0;
        if waits {
            self.is_heading = true;
        } else if !(self.is_heading && self.label == Label::Target) {
            self.set(Label::Unlabelled);
        }
    }
}

/// Returns whether a word is `tp`, `tp2`, `target3`, `t1`.
fn is_target(word: &str) -> bool {
    let stem = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &word[stem.len()..];
    TARGET.contains(&stem) && number.len() <= 2 || stem == "t" && (1..=2).contains(&number.len())
}
