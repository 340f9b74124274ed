//! Builds and spawns the sources that the settings enable, and their rules.

use std::sync::Arc;
use std::time::Duration;

use super::providers;
use crate::config::{PriceSettings, ReplaySpeed, Settings, SourceKind};
use crate::domain::{Instruments, Session, SourceName};
use crate::engine::PriceRules;
use crate::pipeline::{Handle, clock};
use crate::sources::massive::Cluster;
use crate::sources::replay::{self, Replay};
use crate::sources::simulator::{self, Simulator};
use crate::sources::{self, SourceStates, WallClock, metatrader, push, tradingview};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;

/// Returns how long a source that follows markets may be without a price; `None` while all markets are closed.
pub(super) fn silence_limit(prices: PriceSettings, instruments: Arc<Instruments>) -> impl Fn() -> Option<Duration> {
    move || {
        let limit = if Session::is_busy(clock::wall()) { prices.stale_after } else { prices.stale_after_quiet };
        market_is_open(&instruments).then_some(limit)
    }
}

/// Whether the market of any instrument is open.
pub(super) fn market_is_open(instruments: &Instruments) -> bool {
    let now = clock::wall();
    let follows = |session: Session| session != Session::Always && session.is_open(now);
    instruments.iter().any(|instrument| follows(instrument.session))
}

/// Returns the rules for prices. The priority of sources is: pushed prices, then sources that call the server, then the
/// enabled sources in their order, with `alpha_vantage` last.
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
    let callers = [push::SOURCE].into_iter().chain(metatrader::SOURCES).chain([tradingview::SOURCE]);
    let (last, listed): (Vec<_>, Vec<_>) =
        settings.sources.enabled.iter().partition(|kind| **kind == SourceKind::AlphaVantage);
    let names = |kind: &SourceKind| {
        let indices = (*kind == SourceKind::Massive).then(|| SourceName::new(Cluster::Indices.source()));
        std::iter::once(SourceName::new(&kind.name())).chain(indices)
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

/// Starts every source that is enabled.
pub(super) fn spawn(
    settings: &Settings,
    instruments: &Arc<Instruments>,
    handle: &Handle,
    metrics: &Metrics,
    states: &SourceStates,
    tasks: &Tasks,
    wall: &WallClock,
) -> anyhow::Result<()> {
    for kind in settings.sources.enabled.iter() {
        let (handle, stop) = (handle.clone(), tasks.stopping());
        match kind {
            SourceKind::Simulator => {
                let options = simulator::Options {
                    seed: settings.simulator.seed,
                    tick_interval: settings.simulator.tick_interval,
                    signal_interval: settings.simulator.signal_interval,
                    signal_ttl: settings.signals.ttl,
                };
                let simulator = Simulator::new(options, instruments, wall.clone())
                    .remembering(settings.data.dir.join(Simulator::FILE));
                tasks.spawn("simulator", sources::supervise(simulator, handle, metrics, states, stop));
            }
            SourceKind::Replay => {
                let options = replay::Options {
                    file: settings.replay.file.clone().unwrap_or_default(),
                    symbol: settings.replay.symbol.clone().unwrap_or_default(),
                    speed: match settings.replay.speed {
                        ReplaySpeed::Times(factor) => replay::Speed::Factor(factor),
                        ReplaySpeed::Max => replay::Speed::Max,
                    },
                    reading: settings.replay.reading(),
                };
                let replay = Replay::new(options, instruments, wall.clone())?;
                tasks.spawn("replay", sources::supervise(replay, handle, metrics, states, stop));
            }
            SourceKind::Oanda => {
                let oanda = providers::oanda(settings, instruments, wall)?;
                tasks.spawn("oanda", sources::supervise(oanda, handle, metrics, states, stop));
            }
            SourceKind::Massive => {
                for (name, massive) in providers::massive(settings, instruments, wall)? {
                    let (handle, stop) = (handle.clone(), stop.clone());
                    tasks.spawn(name, sources::supervise(massive, handle, metrics, states, stop));
                }
            }
            SourceKind::AlphaVantage => {
                let alpha_vantage = providers::alpha_vantage(settings, instruments, wall)?;
                tasks.spawn("alpha_vantage", sources::supervise(alpha_vantage, handle, metrics, states, stop));
            }
        }
    }
    Ok(())
}
