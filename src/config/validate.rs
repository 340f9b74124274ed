//! Validates the settings, each and together.

use std::time::Duration;

use super::providers::check_mask;
use super::value::duration;
use super::{Problem, ReadAuth, Settings, SourceSettings, TradingviewSettings, paths};
use crate::domain::{Audience, Instruments, InstrumentsError};

/// Each demo user receives own messages every few seconds, so their number is limited.
const MAX_DEMO_USERS: usize = 100;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const CENTURY: Duration = Duration::from_hours(36_500 * 24);

impl Settings {
    /// Checks everything that the types cannot express.
    ///
    /// # Errors
    /// The first setting that cannot be used, or contradicts others.
    pub fn validate(&self) -> Result<(), Problem> {
        self.sources.check(self.providers.names())?;
        self.check_durations()?;
        self.check_auth()?;
        let instruments = self.check_instruments()?;
        if let Some(file) = &self.replay.file {
            paths::check("replay.file", file)?;
        }
        self.check_replay(&instruments)?;
        self.providers.check(self)?;
        self.server.proxies()?;
        self.limits.check()?;
        if self.data.dir.as_os_str().is_empty() {
            return Err(Problem::new("data.dir", "must not be empty"));
        }
        paths::check("data.dir", &self.data.dir)?;
        if !(1..=1_000).contains(&self.data.messages_per_user) {
            return Err(Problem::new("data.messages_per_user", "must be 1 to 1000"));
        }
        if self.data.max_messages < 1_000 {
            return Err(Problem::new("data.max_messages", "must be at least 1000"));
        }
        self.check_prices()?;
        self.check_signals()?;
        self.check_tradingview()?;
        self.check_demo()?;
        self.setups.check()?;
        self.trading_costs(&instruments)?;
        self.alerts.check()?;
        self.record.check()?;
        self.cluster.check()?;
        self.notify.check(&instruments)?;
        if self.cluster.is_on() && self.sources.runs(SourceSettings::REPLAY) {
            let reason = "'replay' has the clock of its recording, and the nodes of a cluster (cluster.urls) share one";
            return Err(Problem::new("sources.enabled", reason));
        }
        self.check_log()
    }

    /// Returns warnings about settings that work, but probably not as intended.
    pub fn warnings(&self) -> Vec<String> {
        let simulator = self.sources.runs(SourceSettings::SIMULATOR);
        let replay = self.sources.runs(SourceSettings::REPLAY);
        let pushed = self.auth.ingest_token.is_some();
        let cases = [
            (
                simulator && pushed,
                "the simulator runs although an ingest token is set: a pushed price takes its symbol from the simulator \
                 and ends its demo signals, all other symbols stay simulated; ORION_SOURCES=none for pushed data only",
            ),
            (replay && pushed, "an ingest token is set, but pushes are refused while a recording is replayed"),
            (
                self.sources.enabled.is_empty()
                    && !pushed
                    && !self.demo.desk
                    && self.tradingview.webhook_token.is_none(),
                "nothing can come in: no source is enabled, and pushes need ORION_INGEST_TOKEN or a token that is made on the \
                 admin page",
            ),
            (
                self.auth.read_auth == ReadAuth::Required
                    && !self.auth.has_shared_reader()
                    && !self.auth.takes_user_tokens(),
                "auth.read_auth is 'required', and the settings have no token for reading: only tokens that are made on the admin \
                 page or with `orion-server token create` can read",
            ),
            (
                !self.tradingview.addresses.is_empty() && self.tradingview.webhook_token.is_none(),
                "tradingview.addresses has no effect without ORION_TRADINGVIEW_TOKEN",
            ),
            (replay && !self.notify.enabled().is_empty(), "notices are not sent while a recording is replayed"),
            (replay && self.demo.desk, "demo.desk has no effect while a recording is replayed"),
            (!replay && self.replay.file.is_some(), "replay.file has no effect without ORION_SOURCES=replay"),
            (
                self.auth.read_auth == ReadAuth::Open
                    && self.auth.has_shared_reader()
                    && self.auth.open_delay.is_zero(),
                "a read token is set, but auth.read_auth is 'open': anybody may read; ORION_READ_AUTH=required to ask for it",
            ),
            (
                self.server.allowed_hosts.is_empty()
                    && (!self.server.allowed_origins.named().is_empty() || self.sentio.trust_user_id),
                "server.allowed_hosts is empty, although an origin list or trusted user ids are used: a page on a foreign \
                 domain that resolves to this server (DNS rebinding) passes for the server's own; set \
                 ORION_SERVER__ALLOWED_HOSTS to the names under which clients reach the server",
            ),
            (
                self.sentio.trust_user_id,
                "sentio.trust_user_id is on: whoever knows a user's id reads what is published for him",
            ),
        ];
        let cases = cases.into_iter().filter(|(applies, _)| *applies).map(|(_, warning)| warning.to_owned());
        cases.chain(self.providers.warnings(self)).chain(self.secret_warnings()).collect()
    }

    fn check_prices(&self) -> Result<(), Problem> {
        let prices = &self.prices;
        if !(prices.delayed_after <= prices.stale_after && prices.stale_after <= prices.stale_after_quiet) {
            let reason = "must not be shorter than prices.delayed_after, nor longer than prices.stale_after_quiet";
            return Err(Problem::new("prices.stale_after", reason));
        }
        for (key, value, most) in [
            ("prices.jump_limit", prices.jump_limit, 1000.0),
            ("prices.divergence_percent", prices.divergence_percent, 100.0),
        ] {
            if !(0.0..=most).contains(&value) {
                return Err(Problem::new(key, format!("must be 0 to {most}, not {value}")));
            }
        }
        Ok(())
    }

    fn check_signals(&self) -> Result<(), Problem> {
        let percent = self.signals.max_stop_distance_percent;
        if !(1.0..=100.0).contains(&percent) {
            return Err(Problem::new("signals.max_stop_distance_percent", format!("must be 1 to 100, not {percent}")));
        }
        Ok(())
    }

    fn check_tradingview(&self) -> Result<(), Problem> {
        let TradingviewSettings { webhook_token, .. } = &self.tradingview;
        let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
        if webhook_token.as_ref().is_some_and(|token| !token.consists_of(16..=128, fits)) {
            let reason =
                "must be 16 to 128 letters, digits, - and _: it is a part of an address, and all that protects it";
            return Err(Problem::new("tradingview.webhook_token", reason));
        }
        Ok(())
    }

    fn check_demo(&self) -> Result<(), Problem> {
        let users = &self.demo.users;
        if users.len() > MAX_DEMO_USERS {
            return Err(Problem::new("demo.users", format!("must be at most {MAX_DEMO_USERS}")));
        }
        match users.iter().find(|user| user.chars().count() > Audience::MAX_USER) {
            Some(_) => Err(Problem::new("demo.users", format!("an id has at most {} characters", Audience::MAX_USER))),
            None => Ok(()),
        }
    }

    fn check_log(&self) -> Result<(), Problem> {
        if self.log.filter.trim().is_empty() {
            return Err(Problem::new("log.filter", "must not be empty; 'off' silences the log"));
        }
        if let Some(word) = self.log.stray_word() {
            return Err(Problem::new("log.filter", format!("{word:?} is neither a level nor target=level")));
        }
        self.log.env_filter().map(drop).map_err(|error| Problem::new("log.filter", error.to_string()))
    }

    fn check_auth(&self) -> Result<(), Problem> {
        let tokens = [
            ("auth.ingest_token", &self.auth.ingest_token),
            ("auth.admin_token", &self.auth.admin_token),
            ("auth.read_token", &self.auth.read_token),
            ("auth.delayed_read_token", &self.auth.delayed_read_token),
            ("auth.jwt_secret", &self.auth.jwt_secret),
            ("auth.jwt_previous_secret", &self.auth.jwt_previous_secret),
            ("tradingview.webhook_token", &self.tradingview.webhook_token),
            ("alerts.webhook_url", &self.alerts.webhook_url),
            ("alerts.webhook_secret", &self.alerts.webhook_secret),
            ("cluster.credentials", &self.cluster.credentials),
            ("record.key", &self.record.key),
        ];
        for (key, token) in tokens {
            check_mask(key, token.as_ref())?;
        }
        self.auth.check_user_tokens()?;
        self.auth.check_delays()?;
        if self.auth.jwt_previous_secret.is_some() && self.auth.jwt_secret.is_none() {
            return Err(Problem::new("auth.jwt_previous_secret", "needs auth.jwt_secret, which it is the one before"));
        }
        Ok(())
    }

    fn check_durations(&self) -> Result<(), Problem> {
        let ranges = [
            ("server.drain_timeout", self.server.drain_timeout, 2 * SECOND, 600 * SECOND),
            ("data.signal_retention", self.data.signal_retention, DAY, CENTURY),
            ("data.bar_retention", self.data.bar_retention, HOUR, CENTURY),
            ("data.tick_retention", self.data.tick_retention, Duration::ZERO, 31 * DAY),
            ("data.message_retention", self.data.message_retention, HOUR, CENTURY),
            ("simulator.tick_interval", self.simulator.tick_interval, 10 * MS, 5 * SECOND),
            ("simulator.signal_interval", self.simulator.signal_interval, Duration::ZERO, DAY),
            ("publish.interval", self.publish.interval, 100 * MS, 5 * SECOND),
            ("prices.delayed_after", self.prices.delayed_after, SECOND, HOUR),
            ("prices.stale_after", self.prices.stale_after, SECOND, HOUR),
            ("prices.stale_after_quiet", self.prices.stale_after_quiet, SECOND, DAY),
            ("prices.switch_after", self.prices.switch_after, SECOND, HOUR),
            ("prices.return_after", self.prices.return_after, SECOND, DAY),
            ("signals.ttl", self.signals.ttl, SECOND, DAY),
            ("signals.replay_window", self.signals.replay_window, Duration::ZERO, DAY),
            ("tradingview.repeat_window", self.tradingview.repeat_window, SECOND, DAY),
            ("setups.cool_down", self.setups.cool_down, Duration::ZERO, DAY),
            ("heartbeat.protocol_ping", self.heartbeat.protocol_ping, SECOND, HOUR),
            ("heartbeat.peer_timeout", self.heartbeat.peer_timeout, SECOND, DAY),
            ("heartbeat.app_ping", self.heartbeat.app_ping, SECOND, HOUR),
            ("alerts.pending_for", self.alerts.pending_for, Duration::ZERO, HOUR),
            ("alerts.repeat_every", self.alerts.repeat_every, Duration::ZERO, 7 * DAY),
            ("alerts.no_signal_after", self.alerts.no_signal_after, Duration::ZERO, 30 * DAY),
            ("record.publish_interval", self.record.publish_interval, 60 * SECOND, DAY),
            ("cluster.lease", self.cluster.lease, 500 * MS, 60 * SECOND),
            ("orion.alarm_window", self.orion.alarm_window, Duration::ZERO, DAY),
            ("aria.catch_up", self.aria.catch_up, SECOND, 600 * SECOND),
            ("sentio.update_interval", self.sentio.update_interval, 100 * MS, 60 * SECOND),
            ("socketio.ping_interval", self.socketio.ping_interval, SECOND, HOUR),
            ("socketio.ping_timeout", self.socketio.ping_timeout, SECOND, HOUR),
        ];
        for (key, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let [value, least, most] = [value, least, most].map(duration::text);
                return Err(Problem::new(key, format!("must be {least} to {most}, not {value}")));
            }
        }
        if self.heartbeat.peer_timeout <= self.heartbeat.protocol_ping {
            let ping = duration::text(self.heartbeat.protocol_ping);
            return Err(Problem::new(
                "heartbeat.peer_timeout",
                format!("must be longer than heartbeat.protocol_ping ({ping}): silent peers are told apart by pings"),
            ));
        }
        let ticks = self.data.tick_retention;
        if !ticks.is_zero() && ticks < DAY {
            return Err(Problem::new(
                "data.tick_retention",
                "must be 0s (none) or at least 1d: whole days are removed",
            ));
        }
        let signals = self.simulator.signal_interval;
        if !signals.is_zero() && signals < 100 * MS {
            return Err(Problem::new("simulator.signal_interval", "must be 0s (none) or at least 100ms"));
        }
        Ok(())
    }

    fn check_instruments(&self) -> Result<Instruments, Problem> {
        let instruments = self.instruments().map_err(|error| {
            let symbol = match &error {
                InstrumentsError::Ambiguous { second, .. } => second,
                InstrumentsError::Invalid { symbol, .. } => symbol,
            };
            let index = self.instruments.iter().rposition(|entry| entry.symbol == symbol.as_str());
            let key = index.map_or_else(|| "instruments".to_owned(), |index| format!("instruments[{index}]"));
            Problem::new(key, error.to_string())
        })?;
        if instruments.iter().next().is_none() {
            return Err(Problem::new("instrument_sets", "there is no instrument: name a set or add [[instruments]]"));
        }
        Ok(instruments)
    }

    fn check_replay(&self, instruments: &Instruments) -> Result<(), Problem> {
        if !self.sources.runs(SourceSettings::REPLAY) {
            return Ok(());
        }
        if self.sources.enabled.len() > 1 {
            return Err(Problem::new(
                "sources.enabled",
                "'replay' cannot run beside other sources: everything runs on the recording's clock",
            ));
        }
        let needed = |key, name| Problem::new(key, format!("the source 'replay' needs it ({name})"));
        let file = self.replay.file.as_ref().ok_or_else(|| needed("replay.file", "a CSV file"))?;
        if !file.is_file() {
            return Err(Problem::new("replay.file", format!("there is no file {:?}", file.display())));
        }
        let symbol = self.replay.symbol.as_ref().ok_or_else(|| needed("replay.symbol", "what the file holds"))?;
        instruments.resolve(symbol).map(drop).map_err(|error| Problem::new("replay.symbol", error.to_string()))
    }
}
