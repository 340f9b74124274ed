//! Wires the demo desk: its prices, and the state that it resumes after a restart.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{DemoSettings, Settings, SourceSettings};
use crate::domain::{Audience, Instrument, Instruments, PriceUpdate, Quality, RelayedMessage};
use crate::hub::{Audiences, Hub, Snapshot};
use crate::sources::Launcher;
use crate::sources::demo::{Demo, Desk, Quoted};
use crate::sources::simulator::{self, Simulator};
use crate::transport::Gateway;

/// Spawns the desk if it is enabled, with a simulator for its own instruments unless the source `simulator` runs.
pub(super) fn spawn(settings: &Settings, gateway: &Gateway, launcher: &Launcher) -> anyhow::Result<()> {
    if !settings.desk_runs() {
        return Ok(());
    }
    let wall = &launcher.wall;
    if !settings.sources.runs(SourceSettings::SIMULATOR) {
        let options = simulator::Options {
            seed: settings.simulator.seed,
            tick_interval: settings.simulator.tick_interval,
            signal_interval: Duration::ZERO,
            signal_ttl: settings.signals.ttl,
        };
        let simulator = Simulator::new(options, &desk_instruments(settings, &launcher.instruments)?, wall.clone());
        launcher.spawn("simulator", simulator);
    }
    let users = settings.demo.users.iter().map(|user| user.as_str().into());
    let types = gateway.published.iter().map(|declared| declared.kind);
    let desk = Desk::new(settings.simulator.seed, users, types).resume(gateway.hub.with_snapshot(desk_messages));
    let quotes = quotes(gateway.hub.clone(), &launcher.instruments);
    let demo = Demo::new(desk, Box::new(quotes), wall.clone());
    launcher.spawn("demo desk", demo);
    Ok(())
}

/// Returns the instruments that only the desk adds to the catalogue. Prices of all others come from the configured sources.
fn desk_instruments(settings: &Settings, instruments: &Instruments) -> anyhow::Result<Instruments> {
    let without = Settings { demo: DemoSettings::default(), ..settings.clone() }.instruments()?;
    let own = instruments.iter().filter(|instrument| without.get(&instrument.symbol).is_none());
    Ok(Instruments::new(own.map(|instrument| instrument.as_ref().clone()))?)
}

/// Returns the desk's messages in the hub, oldest first.
fn desk_messages(present: &Snapshot) -> Vec<RelayedMessage> {
    let (messages, _) = present.messages_after(&Audiences::only(&Audience::All), 0);
    let states = present.states(Desk::keeps).into_iter();
    let published = states.chain(messages).filter_map(|envelope| envelope.published().cloned());
    published.filter(Desk::keeps).collect()
}

/// Returns a function that returns the latest prices, without those that are too old to trade at.
fn quotes(hub: Arc<Hub>, instruments: &Instruments) -> impl Fn() -> Vec<Quoted> + Send + Sync + 'static {
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
