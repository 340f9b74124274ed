//! The demo desk: the prices that it trades at, and what it goes on with after a restart.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{Demo as DemoSettings, Settings, SourceKind};
use crate::domain::{Audience, Instrument, Instruments, PriceUpdate, Quality, RelayedMessage};
use crate::gateways::Gateway;
use crate::hub::{Audiences, Hub, Snapshot};
use crate::sources::demo::{Demo, Desk, Quoted};
use crate::sources::simulator::{self, Simulator};
use crate::sources::{self, SourceStates, WallClock};

/// Starts the desk if it is on, and a simulator of what it brings into the catalogue where no other one runs.
pub(super) fn spawn(
    settings: &Settings,
    gateway: &Gateway,
    states: &SourceStates,
    wall: &WallClock,
) -> anyhow::Result<()> {
    if !settings.desk_runs() {
        return Ok(());
    }
    let (tasks, metrics) = (&gateway.tasks, &gateway.metrics);
    if !settings.sources.enabled.contains(&SourceKind::Simulator) {
        let options = simulator::Options {
            seed: settings.simulator.seed,
            tick_interval: settings.simulator.tick_interval,
            signal_interval: Duration::ZERO,
            signal_ttl: settings.signals.ttl,
        };
        let simulator = Simulator::new(options, &brought(settings, &gateway.instruments)?, wall.clone());
        let simulating = sources::supervise(simulator, gateway.handle.clone(), metrics, states, tasks.stopping());
        tasks.spawn("simulator", simulating);
    }
    let users = settings.demo.users.iter().map(|user| user.as_str().into());
    let desk = Desk::new(settings.simulator.seed, users).resume(gateway.hub.with_snapshot(kept));
    let quoted = quoted(gateway.hub.clone(), &gateway.instruments);
    let demo = Demo::new(desk, Box::new(quoted), wall.clone());
    tasks.spawn("demo desk", sources::supervise(demo, gateway.handle.clone(), metrics, states, tasks.stopping()));
    Ok(())
}

/// The instruments that are in the catalogue for the desk alone: the prices of all others are the operator's business.
fn brought(settings: &Settings, instruments: &Instruments) -> anyhow::Result<Instruments> {
    let without = Settings { demo: DemoSettings::default(), ..settings.clone() }.instruments()?;
    let brought = instruments.iter().filter(|instrument| without.get(&instrument.symbol).is_none());
    Ok(Instruments::new(brought.map(|instrument| instrument.as_ref().clone()))?)
}

/// What the log remembers of the desk, oldest first.
fn kept(present: &Snapshot) -> Vec<RelayedMessage> {
    let (messages, _) = present.messages_after(&Audiences::only(&Audience::All), 0);
    let states = present.states(Desk::keeps).into_iter();
    states.chain(messages).filter_map(|kept| kept.published().filter(|kept| Desk::keeps(kept)).cloned()).collect()
}

/// The prices that were published last, without those that are too old to trade at.
fn quoted(hub: Arc<Hub>, instruments: &Instruments) -> impl Fn() -> Vec<Quoted> + Send + Sync + 'static {
    let known = |name| Some((name, instruments.resolve(name).ok()?.clone()));
    let wanted: Vec<(&'static str, Arc<Instrument>)> = Desk::symbols().filter_map(known).collect();
    let is_fresh =
        |update: &PriceUpdate| matches!(update.quality, Quality::Simulated | Quality::Live | Quality::Delayed);
    move || {
        let prices = hub.prices();
        let prices = prices.iter().filter(|update| is_fresh(update)).filter_map(|update| {
            let (symbol, instrument) = wanted.iter().find(|(_, instrument)| instrument.symbol == update.symbol)?;
            let (bid, ask) = update.sides();
            Some(Quoted { symbol, bid, ask, digits: instrument.digits })
        });
        prices.collect()
    }
}
