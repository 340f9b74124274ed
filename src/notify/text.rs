//! The texts of notices, in the languages that there are.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::{
    Direction, Instruments, Killzone, NoticeLanguage, NoticeStep, NoticeTemplate, OutcomeClass, SetupKind, Signal,
    SignalState, SourceName, TradeOutcome, ZoneName,
};

/// Longest reason in a message, in characters.
const MAX_REASON: usize = 500;

const ENGLISH: &str = "{icon} {headline}\nEntry {entry}\nStop {stop}\nTargets {targets}\nR:R {rr}\nScore {score}\n{result}\n{reason}\n{killzone} · {time}";
const THAI: &str = "{icon} {headline}\nราคาเข้า {entry}\nตัดขาดทุน {stop}\nเป้าหมาย {targets}\nR:R {rr}\nคะแนน {score}\n{result}\n{reason}\n{killzone} · {time}";

/// A step of a signal, and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct SignalNotice {
    pub(super) step: NoticeStep,
    pub(super) signal: Signal,
    /// How many targets were reached.
    pub(super) targets_hit: usize,
    /// The record, once it has ended.
    pub(super) outcome: Option<TradeOutcome>,
    /// When it happened.
    pub(super) at: DateTime<Utc>,
}

/// How the notices of a channel are written.
#[derive(Debug, Clone)]
pub(super) struct TextStyle {
    language: NoticeLanguage,
    zone: ZoneName,
    template: NoticeTemplate,
    instruments: Arc<Instruments>,
}

impl TextStyle {
    /// Returns the style with the operator's template, or else that of the language.
    pub(super) fn new(
        language: NoticeLanguage,
        zone: ZoneName,
        template: Option<NoticeTemplate>,
        instruments: Arc<Instruments>,
    ) -> Self {
        let own = match language {
            NoticeLanguage::En => ENGLISH,
            NoticeLanguage::Th => THAI,
        };
        let template = template.or_else(|| NoticeTemplate::parse(own).ok());
        let template = template.unwrap_or_else(|| unreachable!("a test parses the built-in templates"));
        Self { language, zone, template, instruments }
    }

    /// Returns the text of a notice. `escape` is applied to what is filled in, not to the template.
    pub(super) fn text(&self, notice: &SignalNotice, escape: impl Fn(&str) -> String) -> String {
        self.template.render(|name| escape(&self.value(name, notice)))
    }

    /// Returns the notice as one line.
    pub(super) fn headline(&self, notice: &SignalNotice) -> String {
        let Signal { symbol, direction, source, .. } = &notice.signal;
        let simulated = match (source.as_str() == SourceName::SIMULATOR, self.language) {
            (false, _) => "",
            (true, NoticeLanguage::En) => "SIMULATED ",
            (true, NoticeLanguage::Th) => "จำลอง ",
        };
        format!("{simulated}{symbol} {} · {}", self.direction(*direction), self.status(notice))
    }

    fn value(&self, name: &str, notice: &SignalNotice) -> String {
        let signal = &notice.signal;
        let price = |price: Option<f64>| price.map(|price| self.price(signal, price)).unwrap_or_default();
        match name {
            "icon" => icon(notice).to_owned(),
            "headline" => self.headline(notice),
            "symbol" => signal.symbol.to_string(),
            "direction" => self.direction(signal.direction).to_owned(),
            "status" => self.status(notice),
            "entry" => price(signal.entry_price),
            "stop" => price(signal.stop_loss),
            "targets" => self.targets(notice),
            "rr" if signal.rr_target > 0.0 => format!("{:.2}", signal.rr_target),
            "score" if signal.confidence > 0.0 => format!("{:.0} %", signal.confidence * 100.0),
            "setup" => SetupKind::named_in(&signal.reason).map(SetupKind::name).unwrap_or_default().to_owned(),
            "reason" => shortened(&signal.reason),
            "killzone" => killzone(signal.killzone).to_owned(),
            "time" => signal.entry_time.with_timezone(&self.zone.0).format("%Y-%m-%d %H:%M %Z").to_string(),
            "source" => signal.source.to_string(),
            "result" => result(notice),
            "id" => signal.id.to_string(),
            _ => String::new(),
        }
    }

    fn price(&self, signal: &Signal, price: f64) -> String {
        match self.instruments.get(&signal.symbol) {
            Some(instrument) => format!("{price:.0$}", usize::from(instrument.digits)),
            None => price.to_string(),
        }
    }

    fn targets(&self, notice: &SignalNotice) -> String {
        let target = |(place, price): (usize, &f64)| {
            let mark = if place < notice.targets_hit { " ✓" } else { "" };
            format!("{}{mark}", self.price(&notice.signal, *price))
        };
        notice.signal.take_profits.iter().enumerate().map(target).collect::<Vec<_>>().join(" · ")
    }

    fn direction(&self, direction: Direction) -> &'static str {
        match (direction, self.language) {
            (Direction::Long, NoticeLanguage::En) => "LONG",
            (Direction::Short, NoticeLanguage::En) => "SHORT",
            (Direction::Long, NoticeLanguage::Th) => "ซื้อ (LONG)",
            (Direction::Short, NoticeLanguage::Th) => "ขาย (SHORT)",
        }
    }

    fn status(&self, notice: &SignalNotice) -> String {
        let english = self.language == NoticeLanguage::En;
        let text = |en: &str, th: &str| if english { en.to_owned() } else { th.to_owned() };
        let (hit, all) = (notice.targets_hit, notice.signal.take_profits.len());
        match notice.step {
            NoticeStep::Pending => text("pending", "รอยืนยัน"),
            NoticeStep::Confirmed => text("confirmed", "ยืนยันแล้ว"),
            NoticeStep::Invalidated => match &notice.signal.state {
                SignalState::Invalidated(why) => format!("{} ({})", text("invalidated", "ยกเลิก"), why.as_str()),
                _ => text("invalidated", "ยกเลิก"),
            },
            NoticeStep::Target if english => format!("target {hit} of {all} reached"),
            NoticeStep::Target => format!("ถึงเป้าหมายที่ {hit} จาก {all}"),
            NoticeStep::Closed => match notice.outcome.as_ref().map(|outcome| outcome.class) {
                Some(OutcomeClass::Targets) => text("all targets reached", "ถึงเป้าหมายครบ"),
                Some(OutcomeClass::Stop | OutcomeClass::Ambiguous) => text("stopped out", "ชนจุดตัดขาดทุน"),
                Some(OutcomeClass::Expired) => text("closed, time is over", "ปิด หมดเวลา"),
                Some(OutcomeClass::NotFilled) => text("closed, no position", "ปิด ไม่ได้เข้าออเดอร์"),
                Some(OutcomeClass::Interrupted | OutcomeClass::Unmeasured) | None => {
                    text("closed, not measured", "ปิด ไม่ได้วัดผล")
                }
            },
        }
    }
}

fn icon(notice: &SignalNotice) -> &'static str {
    match notice.step {
        NoticeStep::Pending => "⏳",
        NoticeStep::Confirmed => "✅",
        NoticeStep::Invalidated => "❌",
        NoticeStep::Target => "🎯",
        NoticeStep::Closed => match notice.outcome.as_ref().filter(|outcome| outcome.counts()) {
            Some(outcome) if outcome.r > 0.0 => "🟢",
            Some(outcome) if outcome.r < 0.0 => "🔴",
            _ => "⚪",
        },
    }
}

fn result(notice: &SignalNotice) -> String {
    notice
        .outcome
        .as_ref()
        .filter(|outcome| outcome.counts())
        .map(|outcome| format!("{:+.2} R", outcome.r))
        .unwrap_or_default()
}

fn killzone(zone: Killzone) -> &'static str {
    match zone {
        Killzone::Asia => "Asia",
        Killzone::London => "London",
        Killzone::NyAm => "New York AM",
        Killzone::Lunch => "Lunch",
        Killzone::Pm => "New York PM",
    }
}

/// Returns the text on one line, and not too long.
fn shortened(text: &str) -> String {
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((end, _)) = text.char_indices().nth(MAX_REASON) {
        text.truncate(end);
        text.push('…');
    }
    text.trim().to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{Instrument, Now, SignalDraft, SignalId, Symbol, parse_time};

    pub(in crate::notify) fn signal(id: &str) -> Signal {
        let instrument: Instrument = Instruments::documented().swap_remove(0);
        let draft = SignalDraft {
            direction: Some(Direction::Long),
            symbol: Some(Symbol::new("EURUSD")),
            entry_price: Some(1.085),
            stop_loss: Some(1.082),
            take_profits: Some(vec![1.088, 1.092]),
            confidence: Some(0.85),
            reason: Some("MSS+FVG <b> & *stars*".into()),
            ..SignalDraft::default()
        };
        let now = Now { wall: parse_time("2026-01-15T07:30:00Z").unwrap(), mono: std::time::Duration::ZERO };
        let (id, push) = (SignalId::new(id).unwrap(), SourceName::new(SourceName::PUSH));
        Signal::create(id, &draft, &instrument, push, now, std::time::Duration::from_mins(5)).unwrap()
    }

    fn notice(step: NoticeStep) -> SignalNotice {
        let signal = signal("a");
        SignalNotice { step, at: signal.updated_at, signal, targets_hit: 1, outcome: None }
    }

    fn style(language: NoticeLanguage, template: Option<&str>) -> TextStyle {
        let zone = ZoneName::try_from("Asia/Bangkok".to_owned()).unwrap();
        let instruments = Arc::new(Instruments::new(Instruments::documented()).unwrap());
        TextStyle::new(language, zone, template.map(|text| NoticeTemplate::parse(text).unwrap()), instruments)
    }

    #[test]
    fn both_languages_tell_the_whole_signal() {
        let english = style(NoticeLanguage::En, None).text(&notice(NoticeStep::Target), str::to_owned);
        assert_eq!(
            english,
            "🎯 EURUSD LONG · target 1 of 2 reached\nEntry 1.08500\nStop 1.08200\nTargets 1.08800 ✓ · 1.09200\nR:R 2.33\n\
             Score 85 %\nMSS+FVG <b> & *stars*\nLondon · 2026-01-15 14:30 +07"
        );
        let thai = style(NoticeLanguage::Th, None).text(&notice(NoticeStep::Confirmed), str::to_owned);
        assert!(thai.starts_with("✅ EURUSD ซื้อ (LONG) · ยืนยันแล้ว\nราคาเข้า 1.08500\n"), "{thai}");
    }

    #[test]
    fn a_closed_signal_has_its_result() {
        let signal = signal("a");
        let mut outcome = TradeOutcome::unwatched(&signal, OutcomeClass::Stop);
        outcome.r = -1.0;
        let notice = SignalNotice { outcome: Some(outcome), ..notice(NoticeStep::Closed) };
        let text = style(NoticeLanguage::En, Some("{icon}|{status}|{result}")).text(&notice, str::to_owned);
        assert_eq!(text, "🔴|stopped out|-1.00 R");
    }

    #[test]
    fn only_what_is_filled_in_is_escaped() {
        let template = style(NoticeLanguage::En, Some("<b>{reason}</b>"));
        let text = template.text(&notice(NoticeStep::Pending), |text| text.replace('<', "&lt;"));
        assert_eq!(text, "<b>MSS+FVG &lt;b> & *stars*</b>");
    }

    #[test]
    fn a_long_reason_is_shortened() {
        let mut notice = notice(NoticeStep::Pending);
        notice.signal.reason = "ก\n".repeat(400);
        let text = style(NoticeLanguage::En, Some("{reason}")).text(&notice, str::to_owned);
        assert!(text.chars().count() <= MAX_REASON + 1 && text.ends_with('…') && !text.contains('\n'), "{text}");
    }
}
