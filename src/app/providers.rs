//! Builds the providers of market data from the settings.

use std::time::Duration;

use anyhow::Context;

use crate::config::Settings;
use crate::domain::{Instruments, WallClock};
use crate::sources::alpha_vantage::{self, AlphaVantage};
use crate::sources::massive::{self, Cluster, Massive};
use crate::sources::oanda::{self, Oanda};

/// Builds the source `oanda`.
pub(super) fn oanda(settings: &Settings, instruments: &Instruments, wall: &WallClock) -> anyhow::Result<Oanda> {
    let own = &settings.oanda;
    let options = oanda::Options {
        url: own.address().to_owned(),
        token: own.token.clone().context("oanda.token is missing")?,
        account: own.account.clone().context("oanda.account is missing")?,
        instruments: own.instruments.to_vec(),
        silence: oanda::Options::SILENCE,
    };
    let prices = &settings.prices;
    let source = Oanda::new(options, instruments, wall.clone())?;
    Ok(source.with_mute_after(prices.switch_after, prices.stale_after_quiet))
}

/// Builds one source `massive` per cluster that has instruments.
pub(super) fn massive(
    settings: &Settings,
    instruments: &Instruments,
    wall: &WallClock,
) -> anyhow::Result<Vec<(&'static str, Massive)>> {
    let own = &settings.massive;
    let clusters = [("massive", Cluster::Forex, &own.instruments), ("massive indices", Cluster::Indices, &own.indices)];
    let wanted = clusters.into_iter().filter(|(.., names)| !names.is_empty());
    wanted
        .map(|(task, cluster, names)| {
            let key = own.key.clone().context("massive.key is missing")?;
            let mut options = massive::Options::new(own.address(), cluster, key);
            (options.instruments, options.delayed) = (names.to_vec(), own.delayed);
            Ok((task, Massive::new(options, instruments, wall.clone())?))
        })
        .collect()
}

/// Builds the source `alpha_vantage`.
pub(super) fn alpha_vantage(
    settings: &Settings,
    instruments: &Instruments,
    wall: &WallClock,
) -> anyhow::Result<AlphaVantage> {
    let own = &settings.alpha_vantage;
    let options = alpha_vantage::Options {
        url: own.address().to_owned(),
        key: own.key.clone().context("alpha_vantage.key is missing")?,
        instruments: own.instruments.to_vec(),
        daily: own.daily_requests,
        file: settings.data.dir.join(alpha_vantage::Options::FILE),
        // A plan with more calls a day has more calls a minute.
        gap: (Duration::from_hours(24) / own.daily_requests).clamp(Duration::from_secs(1), alpha_vantage::Options::GAP),
        pause: alpha_vantage::Options::PAUSE,
        patience: alpha_vantage::Options::PATIENCE,
    };
    Ok(AlphaVantage::new(options, instruments, wall.clone())?)
}
