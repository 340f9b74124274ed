//! The whole path of a notice: from the log to stand-ins of the services that check the documented calls.

mod mail;
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::text::tests::signal;
use crate::alerts::Signer;
use crate::config::{
    DiscordSettings, LineSettings, NotifySettings, NtfySettings, Secret, SlackSettings, TelegramSettings,
    WebhookSettings,
};
use crate::domain::{NoticeStep, SignalState};
use rig::{Reply, Rig, StandIn, confirmed, say};

const TOKEN: &str = "123456:the-token-of-the-bot";
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn loopback() -> NotifySettings {
    NotifySettings { allow_plain_loopback: true, ..NotifySettings::default() }
}

fn telegram(url: &str, chats: &[&str]) -> NotifySettings {
    let chats = chats.iter().map(|chat| (*chat).to_owned()).collect::<Vec<_>>().into();
    let telegram = TelegramSettings {
        token: Some(Secret::new(TOKEN)),
        chats,
        api_url: url.to_owned(),
        ..TelegramSettings::default()
    };
    NotifySettings { telegram, ..loopback() }
}

fn line(url: &str) -> NotifySettings {
    let line = LineSettings {
        token: Some(Secret::new("line-token")),
        to: vec!["U1".to_owned()].into(),
        api_url: url.to_owned(),
        ..LineSettings::default()
    };
    NotifySettings { line, ..loopback() }
}

fn discord(url: &str) -> NotifySettings {
    let webhook_url = Some(Secret::new(format!("{url}/api/webhooks/1/hush?thread_id=9")));
    NotifySettings { discord: DiscordSettings { webhook_url, ..DiscordSettings::default() }, ..loopback() }
}

fn webhook(url: &str) -> NotifySettings {
    let webhook = WebhookSettings {
        url: Some(Secret::new(format!("{url}/hook"))),
        secret: Some(Secret::new(WEBHOOK_SECRET)),
        ..WebhookSettings::default()
    };
    NotifySettings { webhook, ..loopback() }
}

/// Telegram's answer to a message that it has taken.
fn taken(id: u64) -> Reply {
    say("200 OK", json!({ "ok": true, "result": { "message_id": id } }))
}

fn refused(status: &'static str, description: &str) -> Reply {
    say(status, json!({ "ok": false, "description": description }))
}

async fn bot() -> StandIn {
    StandIn::start(|number| taken(100 + number)).await
}

#[tokio::test]
async fn a_signals_whole_life_is_one_edited_message() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let running = rig.start(&telegram(&bot.url, &["-1001"])).await;
    let pending = signal("a");
    rig.append(&running, &pending).await;
    let sent = bot.next().await;
    assert_eq!(sent.line, format!("POST /bot{TOKEN}/sendMessage HTTP/1.1"));
    assert_eq!((&sent.body["chat_id"], &sent.body["parse_mode"]), (&json!(-1001), &json!("HTML")));
    let text = sent.body["text"].as_str().unwrap();
    assert!(text.starts_with("⏳ EURUSD LONG · pending\nEntry 1.08500\n"), "{text}");
    assert!(text.contains("MSS+FVG &lt;b&gt; &amp; *stars*"), "{text}");
    rig.settled(1, 0, "telegram").await;

    let open = confirmed(&pending);
    rig.append(&running, &open).await;
    let edit = bot.next().await;
    assert_eq!(edit.line, format!("POST /bot{TOKEN}/editMessageText HTTP/1.1"));
    assert_eq!(edit.body["message_id"], 101);
    assert!(edit.body["text"].as_str().unwrap().starts_with("✅ EURUSD LONG · confirmed\n"));
    rig.settled(1, 1, "telegram").await;
    rig.hit(&running, &open, 1).await;
    let edit = bot.next().await;
    assert_eq!(edit.body["message_id"], 101);
    assert!(edit.body["text"].as_str().unwrap().contains("target 1 of 2 reached"), "{}", edit.text);
    rig.settled(1, 2, "telegram").await;
    rig.close(&running, &open, 2.0).await;
    let edit = bot.next().await;
    assert_eq!(edit.body["message_id"], 101);
    let text = edit.body["text"].as_str().unwrap();
    assert!(text.contains("🟢 EURUSD LONG · all targets reached") && text.contains("+2.00 R"), "{text}");
    rig.settled(1, 3, "telegram").await;
    bot.is_quiet();
}

#[tokio::test]
async fn a_restart_loses_and_doubles_nothing() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let settings = telegram(&bot.url, &["7"]);
    let running = rig.start(&settings).await;
    let (first, second) = (signal("a"), signal("b"));
    rig.append(&running, &first).await;
    bot.next().await;
    rig.settled(1, 0, "telegram").await;
    running.stop().await;

    // While nobody sends, the first signal ends, and another one comes.
    let running = rig.start_while(&settings, || false).await;
    rig.append(&running, &confirmed(&first)).await;
    rig.append(&running, &second).await;
    running.stop().await;
    let running = rig.start(&settings).await;
    let (edit, sent) = (bot.next().await, bot.next().await);
    assert_eq!((edit.body["message_id"].as_u64(), sent.body["message_id"].as_u64()), (Some(101), None));
    assert!(sent.line.contains("sendMessage"), "{}", sent.line);
    rig.settled(2, 1, "telegram").await;
    running.stop().await;
    let running = rig.start(&settings).await;
    rig.append(&running, &confirmed(&second)).await;
    let edit = bot.next().await;
    assert_eq!(edit.body["message_id"], 103);
    rig.settled(2, 2, "telegram").await;
    bot.is_quiet();
}

#[tokio::test]
async fn a_reload_goes_on_with_other_rules() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let settings = telegram(&bot.url, &["7"]);
    let running = rig.start(&settings).await;
    let (first, second) = (signal("a"), signal("b"));
    rig.append(&running, &first).await;
    bot.next().await;
    rig.settled(1, 0, "telegram").await;
    let replace = async |change: fn(&mut TelegramSettings)| {
        let mut settings = settings.clone();
        change(&mut settings.telegram);
        running.switch.replace(running.switch.build(&settings, &rig.instruments).unwrap()).await;
    };
    replace(|telegram| telegram.token = None).await;
    assert!(running.notices.states().is_empty());
    rig.append(&running, &confirmed(&first)).await;
    rig.append(&running, &second).await;
    // What happened meanwhile is sent, by the rules in force: those of the first message edit it all the same.
    replace(|telegram| telegram.statuses = vec![NoticeStep::Confirmed].into()).await;
    assert_eq!(bot.next().await.body["message_id"], 101);
    rig.append(&running, &confirmed(&second)).await;
    let sent = bot.next().await;
    assert!(sent.body["text"].as_str().unwrap().contains("confirmed"), "{}", sent.text);
    rig.settled(2, 1, "telegram").await;
    let faulty = NotifySettings { allow_plain_loopback: false, ..settings.clone() };
    assert!(running.switch.build(&faulty, &rig.instruments).is_err());
    running.stop().await;
    bot.is_quiet();
}

#[tokio::test]
async fn another_node_goes_on_with_the_same_message() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let settings = telegram(&bot.url, &["7"]);
    let first_writes = Arc::new(AtomicBool::new(true));
    let (one, other) = (first_writes.clone(), first_writes.clone());
    let first = rig.start_while(&settings, move || one.load(Ordering::SeqCst)).await;
    let second = rig.start_while(&settings, move || !other.load(Ordering::SeqCst)).await;
    let pending = signal("a");
    rig.append(&first, &pending).await;
    bot.next().await;
    rig.settled(1, 0, "telegram").await;
    first_writes.store(false, Ordering::SeqCst);
    rig.append(&first, &confirmed(&pending)).await;
    let edit = bot.next().await;
    assert_eq!(edit.body["message_id"], 101);
    rig.settled(1, 1, "telegram").await;
    assert!(second.notices.states()[0].sent_at.is_some());
    bot.is_quiet();
}

#[tokio::test]
async fn limits_and_failures_are_waited_out() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let too_many =
        json!({ "ok": false, "description": "Too Many Requests: retry after 1", "parameters": { "retry_after": 1 } });
    bot.script([say("429 Too Many Requests", too_many), say("502 Bad Gateway", "nginx")]);
    let running = rig.start(&telegram(&bot.url, &["7"])).await;
    let began = tokio::time::Instant::now();
    rig.append(&running, &signal("a")).await;
    for _ in 0..3 {
        bot.next().await;
    }
    assert!(began.elapsed().as_secs_f64() >= 1.0, "{:?}", began.elapsed());
    rig.settled(1, 0, "telegram").await;
    rig.counted(&rig.metrics.notify_retried_total, &["telegram"], 2).await;
    bot.is_quiet();
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    for (reply, says) in [
        (refused("401 Unauthorized", &format!("Unauthorized {TOKEN}")), "check notify.telegram.token"),
        (refused("404 Not Found", "Not Found"), "check notify.telegram.token"),
        (refused("403 Forbidden", "Forbidden: bot was blocked by the user"), "check notify.telegram.chats"),
        (refused("400 Bad Request", "Bad Request: chat not found"), "check notify.telegram.chats"),
        (
            say(
                "400 Bad Request",
                json!({ "ok": false, "description": "upgraded", "parameters": { "migrate_to_chat_id": -1009 } }),
            ),
            "put -1009 in its place in notify.telegram.chats",
        ),
    ] {
        let (rig, is_right) = (Rig::new(), Arc::new(AtomicBool::new(false)));
        let right = is_right.clone();
        let usual = move |number| if right.load(Ordering::SeqCst) { taken(number) } else { reply.clone() };
        let bot = StandIn::start(usual).await;
        let running = rig.start(&telegram(&bot.url, &["7"])).await;
        rig.append(&running, &signal("a")).await;
        rig.counted_at_least(&rig.metrics.notify_failed_total, &["telegram"], 1).await;
        let complaint = running.notices.complaint().expect(says);
        assert!(complaint.starts_with("notices are not delivered: telegram: Telegram answers"), "{complaint}");
        assert!(complaint.contains(says) && !complaint.contains(TOKEN), "{complaint}");
        is_right.store(true, Ordering::SeqCst);
        rig.settled(1, 0, "telegram").await;
        assert_eq!(running.notices.complaint(), None, "it is over");
    }
}

#[tokio::test]
async fn a_deleted_message_is_sent_anew() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let running = rig.start(&telegram(&bot.url, &["7"])).await;
    let pending = signal("a");
    rig.append(&running, &pending).await;
    bot.next().await;
    rig.settled(1, 0, "telegram").await;
    bot.script([refused("400 Bad Request", "Bad Request: message to edit not found")]);
    let open = confirmed(&pending);
    rig.append(&running, &open).await;
    assert!(bot.next().await.line.contains("editMessageText"));
    assert!(bot.next().await.line.contains("sendMessage"));
    rig.settled(2, 0, "telegram").await;
    bot.script([refused("400 Bad Request", "Bad Request: message is not modified: specified new message")]);
    rig.close(&running, &open, 1.0).await;
    assert_eq!(bot.next().await.body["message_id"], 103, "the new message takes its place");
    rig.settled(2, 1, "telegram").await;
    bot.is_quiet();
}

#[tokio::test]
async fn one_bad_message_holds_nothing_up() {
    let (mut bot, rig) = (bot().await, Rig::new());
    bot.script([refused("400 Bad Request", "Bad Request: can't parse entities")]);
    let running = rig.start(&telegram(&bot.url, &["7"])).await;
    rig.append(&running, &signal("a")).await;
    rig.append(&running, &signal("b")).await;
    bot.next().await;
    bot.next().await;
    rig.settled(1, 0, "telegram").await;
    rig.counted(&rig.metrics.notify_failed_total, &["telegram"], 1).await;
}

/// The Bot API knows no key by which it would recognize the second attempt.
#[tokio::test]
async fn a_lost_answer_of_telegram_sends_again() {
    let (mut bot, rig) = (bot().await, Rig::new());
    bot.script([Reply::Lost]);
    let running = rig.start(&telegram(&bot.url, &["7"])).await;
    rig.append(&running, &signal("a")).await;
    assert_eq!(bot.next().await.text, bot.next().await.text);
    rig.settled(1, 0, "telegram").await;
}

#[tokio::test]
async fn a_lost_answer_of_line_sends_once() {
    let rig = Rig::new();
    let mut api = StandIn::start(|_| say("200 OK", "{}")).await;
    api.script([Reply::Lost, say("409 Conflict", json!({ "message": "The retry key is already accepted" }))]);
    let running = rig.start(&line(&api.url)).await;
    rig.append(&running, &signal("a")).await;
    let (first, second) = (api.next().await, api.next().await);
    assert_eq!(first.line, "POST /v2/bot/message/push HTTP/1.1");
    assert_eq!(first.header("authorization"), "Bearer line-token");
    assert_eq!(first.body["to"], "U1");
    assert_eq!(first.body["messages"][0]["type"], "text");
    assert_eq!(first.header("x-line-retry-key"), second.header("x-line-retry-key"));
    assert_eq!(first.text, second.text);
    rig.settled(1, 0, "line").await;
    api.is_quiet();
}

#[tokio::test]
async fn line_gets_a_message_for_each_step() {
    let (rig, mut api) = (Rig::new(), StandIn::start(|_| say("200 OK", "{}")).await);
    let running = rig.start(&line(&api.url)).await;
    let pending = signal("a");
    let open = confirmed(&pending);
    rig.append(&running, &pending).await;
    rig.append(&running, &open).await;
    rig.settled(2, 0, "line").await;
    rig.hit(&running, &open, 1).await;
    rig.close(&running, &open, 2.0).await;
    rig.settled(3, 0, "line").await;
    let mut keys = Vec::new();
    for says in ["pending", "confirmed", "all targets reached"] {
        let call = api.next().await;
        assert!(call.body["messages"][0]["text"].as_str().unwrap().contains(says), "{}", call.text);
        keys.push(call.header("x-line-retry-key").to_owned());
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
    api.is_quiet();
}

#[tokio::test]
async fn line_says_when_the_month_is_used_up() {
    let rig = Rig::new();
    let mut api =
        StandIn::start(|_| say("429 Too Many Requests", json!({ "message": "You have reached your monthly limit." })))
            .await;
    let running = rig.start(&line(&api.url)).await;
    assert!(running.notices.line_takes(&signal("a")));
    rig.append(&running, &signal("a")).await;
    api.next().await;
    rig.counted(&rig.metrics.notify_retried_total, &["line"], 1).await;
    let complaint = running.notices.complaint().unwrap();
    assert!(complaint.contains("the messages of this month are used up"), "{complaint}");
    assert!(!running.notices.line_takes(&signal("a")), "line_sent is no promise then");
}

#[tokio::test]
async fn discord_messages_are_edited_in_place() {
    let rig = Rig::new();
    let mut api = StandIn::start(|number| say("200 OK", json!({ "id": (9_000 + number).to_string() }))).await;
    let limited = json!({ "message": "You are being rate limited.", "retry_after": 0.05, "global": false });
    api.script([say("429 Too Many Requests", limited)]);
    let running = rig.start(&discord(&api.url)).await;
    let pending = signal("a");
    rig.append(&running, &pending).await;
    api.next().await;
    let sent = api.next().await;
    assert_eq!(sent.line, "POST /api/webhooks/1/hush?wait=true&thread_id=9 HTTP/1.1");
    assert_eq!(sent.body["allowed_mentions"], json!({ "parse": [] }));
    let text = sent.body["content"].as_str().unwrap();
    assert!(text.contains("MSS+FVG \\<b\\> & \\*stars\\*"), "{text}");
    rig.settled(1, 0, "discord").await;
    rig.append(&running, &confirmed(&pending)).await;
    let edit = api.next().await;
    assert_eq!(edit.line, "PATCH /api/webhooks/1/hush/messages/9002?thread_id=9 HTTP/1.1");
    rig.settled(1, 1, "discord").await;
    api.script([say("404 Not Found", json!({ "message": "Unknown Message", "code": 10_008 }))]);
    rig.close(&running, &confirmed(&pending), 1.0).await;
    assert!(api.next().await.line.starts_with("PATCH "));
    assert!(api.next().await.line.starts_with("POST "));
    rig.settled(2, 1, "discord").await;
    let unknown = say("404 Not Found", json!({ "message": "Unknown Webhook", "code": 10_015 }));
    api.script(std::iter::repeat_n(unknown, 1_000));
    rig.append(&running, &signal("b")).await;
    api.next().await;
    rig.counted_at_least(&rig.metrics.notify_failed_total, &["discord"], 1).await;
    let complaint = running.notices.complaint().unwrap();
    assert!(complaint.contains("check notify.discord.webhook_url") && !complaint.contains("hush"), "{complaint}");
}

#[tokio::test]
async fn slack_and_ntfy_get_their_documented_calls() {
    let rig = Rig::new();
    let (mut slack, mut ntfy) =
        (StandIn::start(|_| say("200 OK", "ok")).await, StandIn::start(|_| say("200 OK", "{}")).await);
    let settings = NotifySettings {
        slack: SlackSettings {
            webhook_url: Some(Secret::new(format!("{}/services/T/B/X", slack.url))),
            ..SlackSettings::default()
        },
        ntfy: NtfySettings {
            topic: Some(Secret::new("signals-77")),
            server_url: ntfy.url.clone(),
            token: Some(Secret::new("tk_1")),
            ..NtfySettings::default()
        },
        ..loopback()
    };
    let running = rig.start(&settings).await;
    rig.append(&running, &signal("a")).await;
    let posted = slack.next().await;
    assert_eq!(posted.line, "POST /services/T/B/X HTTP/1.1");
    assert!(posted.body["text"].as_str().unwrap().contains("&lt;b&gt; &amp; *stars*"), "{}", posted.text);
    let posted = ntfy.next().await;
    assert_eq!((posted.line.as_str(), posted.header("authorization")), ("POST / HTTP/1.1", "Bearer tk_1"));
    let said = ["topic", "title", "priority", "tags"].map(|key| posted.body[key].clone());
    let tags = json!(["chart_with_upwards_trend", "pending"]);
    assert_eq!(said, [json!("signals-77"), json!("EURUSD LONG · pending"), json!(3), tags]);
    rig.settled(1, 0, "slack").await;
    rig.settled(1, 0, "ntfy").await;
}

#[tokio::test]
async fn the_webhook_gets_every_step_signed() {
    let (rig, mut api) = (Rig::new(), StandIn::start(|_| say("204 No Content", "")).await);
    api.script([Reply::Lost, say("500 Internal Server Error", "")]);
    let running = rig.start(&webhook(&api.url)).await;
    let pending = signal("a");
    let open = confirmed(&pending);
    rig.append(&running, &pending).await;
    let attempts = [api.next().await, api.next().await, api.next().await];
    assert!(attempts.iter().all(|call| call.header("webhook-id") == attempts[0].header("webhook-id")));
    rig.append(&running, &open).await;
    rig.settled(2, 0, "webhook").await;
    rig.hit(&running, &open, 1).await;
    rig.settled(3, 0, "webhook").await;
    rig.close(&running, &open, 2.0).await;
    let calls = [api.next().await, api.next().await, api.next().await];
    let types: Vec<_> = calls.iter().map(|call| call.body["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["signal.confirmed", "signal.target", "signal.closed"]);
    let last = &calls[2];
    let (id, timestamp) = (last.header("webhook-id"), last.header("webhook-timestamp").parse().unwrap());
    let signature = Signer::new(&Secret::new(WEBHOOK_SECRET)).unwrap().sign(id, timestamp, &last.text);
    assert_eq!(last.header("webhook-signature"), signature);
    assert_eq!(last.body["data"]["signal"]["id"], "a");
    assert_eq!((&last.body["data"]["outcome"]["r"], &last.body["data"]["targets_hit"]), (&json!(2.0), &json!(2)));
    rig.settled(4, 0, "webhook").await;
}

#[tokio::test]
async fn what_is_too_old_is_left_out() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let settings = telegram(&bot.url, &["7"]);
    let running = rig.start_while(&settings, || true).await;
    let known = signal("known");
    rig.append(&running, &known).await;
    bot.next().await;
    rig.settled(1, 0, "telegram").await;
    running.stop().await;
    let running = rig.start_while(&settings, || false).await;
    rig.append(&running, &confirmed(&known)).await;
    rig.append(&running, &signal("old")).await;
    running.stop().await;
    rig.advance(TimeDelta::minutes(16));
    let running = rig.start(&settings).await;
    let mut fresh = signal("fresh");
    fresh.updated_at = rig.now();
    rig.append(&running, &fresh).await;
    assert_eq!(bot.next().await.body["message_id"], 101, "a message that is there is brought up to date");
    assert!(bot.next().await.body["message_id"].is_null());
    rig.settled(2, 1, "telegram").await;
    rig.counted(&rig.metrics.notify_skipped_total, &["telegram", "old"], 1).await;
    bot.is_quiet();
}

#[tokio::test]
async fn each_receiver_fails_for_itself() {
    let rig = Rig::new();
    let mut bot = StandIn::start(|number| taken(100 + number)).await;
    let running = rig.start(&telegram(&bot.url, &["7", "8"])).await;
    bot.script([refused("403 Forbidden", "Forbidden: bot was blocked by the user")]);
    rig.append(&running, &signal("a")).await;
    let mut chats: Vec<Value> = Vec::new();
    for _ in 0..3 {
        chats.push(bot.next().await.body["chat_id"].clone());
    }
    rig.settled(2, 0, "telegram").await;
    assert!(chats.contains(&json!(7)) && chats.contains(&json!(8)), "{chats:?}");
}

/// An hour without the service, in the time of the log: nothing piles up, and what is young enough arrives.
#[tokio::test]
async fn an_hour_of_outage_only_lags() {
    let rig = Rig::new();
    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    let usual =
        move |number| if up.load(Ordering::SeqCst) { taken(number) } else { say("503 Service Unavailable", "") };
    let mut bot = StandIn::start(usual).await;
    let running = rig.start(&webhookless_discord(&bot.url)).await;
    for minute in 0..60 {
        rig.advance(TimeDelta::minutes(1));
        let mut pushed = signal(&format!("s{minute}"));
        pushed.updated_at = rig.now();
        let began = tokio::time::Instant::now();
        rig.append(&running, &pushed).await;
        assert!(began.elapsed().as_millis() < 1_000, "the log waits for nobody: {:?}", began.elapsed());
    }
    rig.counted_at_least(&rig.metrics.notify_retried_total, &["discord"], 3).await;
    running.notices.update(&rig.metrics);
    assert!(rig.metrics.notify_lag_seconds.with_label_values(&["discord"]).get() > 600.0);
    assert_eq!(rig.metrics.notify_failing.with_label_values(&["discord"]).get(), 1);
    assert!(running.notices.complaint().is_some());
    is_up.store(true, Ordering::SeqCst);
    let mut told = Vec::new();
    while told.last().is_none_or(|text: &String| !text.contains("s59")) {
        let text = bot.next().await.body["content"].as_str().unwrap().to_owned();
        told.retain(|other| *other != text);
        told.push(text);
    }
    rig.counted(&rig.metrics.notify_sent_total, &["discord"], 16).await;
}

fn webhookless_discord(url: &str) -> NotifySettings {
    let mut settings = discord(url);
    settings.discord.template = Some(crate::domain::NoticeTemplate::parse("{id}").unwrap());
    settings
}

#[tokio::test]
async fn only_the_wanted_steps_begin_a_message() {
    let (mut bot, rig) = (bot().await, Rig::new());
    let mut settings = telegram(&bot.url, &["7"]);
    settings.telegram.statuses = vec![NoticeStep::Confirmed].into();
    let running = rig.start(&settings).await;
    let pending = signal("a");
    rig.append(&running, &pending).await;
    rig.append(&running, &confirmed(&pending)).await;
    let withdrawn = signal("b");
    rig.append(&running, &withdrawn).await;
    let reason = crate::domain::Invalidation::MANUAL;
    rig.append(&running, &withdrawn.clone().ended(SignalState::Invalidated(reason), withdrawn.updated_at)).await;
    let sent = bot.next().await;
    assert!(sent.body["text"].as_str().unwrap().contains("confirmed"), "{}", sent.text);
    rig.settled(1, 0, "telegram").await;
    bot.is_quiet();
}
