//! Builds and spawns the sources that the settings enable, and their rules.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};

use crate::config::{PriceSettings, ReplaySpeed, Settings, SourceSettings};
use crate::domain::{Instruments, Session, SourceName, WallClock};
use crate::engine::PriceRules;
use crate::ingest::{self, metatrader, tradingview};
use crate::pipeline::{Handle, clock};
use crate::sources::Launcher;
use crate::sources::providers::provider;
use crate::sources::replay::{self, Replay};
use crate::sources::simulator::{self, Simulator};
use crate::tasks::Tasks;
use crate::telemetry::SourceStates;
use crate::transport::Gateway;

/// Returns how long a source that follows markets may be without a price; `None` while all markets are closed.
pub(super) fn silence_limit(prices: PriceSettings, instruments: Arc<Instruments>) -> impl Fn() -> Option<Duration> {
    move || {
        let limit = if Session::is_busy(clock::wall()) { prices.stale_after } else { prices.stale_after_quiet };
        market_is_open(&instruments).then_some(limit)
    }
}

/// Whether the market of any instrument is open.
pub(super) fn market_is_open(instruments: &Instruments) -> bool {
    any_is_open(instruments.iter().map(|instrument| instrument.session), clock::wall())
}

/// One that never closes counts only where there are no others: beside them, a weekend would count as open hours.
fn any_is_open(sessions: impl Iterator<Item = Session>, now: DateTime<Utc>) -> bool {
    let mut closing = sessions.filter(|session| *session != Session::Always).peekable();
    closing.peek().is_none() || closing.any(|session| session.is_open(now))
}

/// Returns the rules for prices. The priority of sources is: pushed prices, then sources that call the server, then the
/// enabled sources in their order, with providers of the last resort at the end.
pub(super) fn price_rules(settings: &Settings) -> PriceRules {
    let PriceSettings {
        delayed_after,
        stale_after,
        stale_after_quiet,
        switch_after,
        return_after,
        jump_limit,
        divergence_percent,
    } = settings.prices;
    let callers = [ingest::SOURCE].into_iter().chain(metatrader::SOURCES).chain([tradingview::SOURCE]);
    let is_last = |name: &&String| provider(name).is_some_and(|provider| provider.is_last_resort);
    let (last, listed): (Vec<&String>, Vec<_>) = settings.sources.enabled.iter().partition(is_last);
    let names = |name: &String| match provider(name) {
        Some(provider) => provider.sources.iter().map(|name| SourceName::new(name)).collect(),
        None => vec![SourceName::new(name)],
    };
    let listed = listed.into_iter().chain(last).flat_map(names);
    PriceRules {
        delayed_after,
        stale_after,
        stale_after_quiet,
        jump_limit,
        priority: callers.map(SourceName::new).chain(listed).collect(),
        switch_after,
        return_after,
        divergence: divergence_percent / 100.0,
    }
}

/// Returns what sources are started with: where they deliver, and where they run.
pub(super) fn launcher(
    gateway: &Gateway,
    (handle, tasks): (Handle, Tasks),
    states: &SourceStates,
    wall: &WallClock,
) -> Launcher {
    Launcher {
        instruments: gateway.instruments.clone(),
        wall: wall.clone(),
        handle,
        metrics: gateway.metrics.clone(),
        states: states.clone(),
        tasks,
    }
}

/// Starts every source that is enabled.
pub(super) fn start(settings: &Settings, launcher: &Launcher) -> anyhow::Result<()> {
    let (instruments, wall) = (&launcher.instruments, &launcher.wall);
    for name in settings.sources.enabled.iter() {
        match name.as_str() {
            SourceSettings::SIMULATOR => {
                let options = simulator::Options {
                    seed: settings.simulator.seed,
                    tick_interval: settings.simulator.tick_interval,
                    signal_interval: settings.simulator.signal_interval,
                    signal_ttl: settings.signals.ttl,
                };
                let simulator = Simulator::new(options, instruments, wall.clone());
                launcher.spawn("simulator", simulator.remembering(settings.data.dir.join(Simulator::FILE)));
            }
            SourceSettings::REPLAY => {
                let options = replay::Options {
                    file: settings.replay.file.clone().unwrap_or_default(),
                    symbol: settings.replay.symbol.clone().unwrap_or_default(),
                    speed: match settings.replay.speed {
                        ReplaySpeed::Times(factor) => replay::Speed::Factor(factor),
                        ReplaySpeed::Max => replay::Speed::Max,
                    },
                    reading: settings.replay.reading(),
                };
                launcher.spawn("replay", Replay::new(options, instruments, wall.clone())?);
            }
            name => provider(name).with_context(|| format!("there is no source {name}"))?.start(settings, launcher)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::parse_time;

    #[test]
    fn coins_alone_have_no_weekend() {
        let open = |sessions: &[Session], at| any_is_open(sessions.iter().copied(), parse_time(at).unwrap());
        let (saturday, wednesday) = ("2026-01-10T12:00:00Z", "2026-01-14T12:00:00Z");
        assert!(open(&[Session::Always], saturday));
        assert!(!open(&[Session::Always, Session::Forex], saturday));
        assert!(open(&[Session::Always, Session::Forex], wednesday));
    }
}
