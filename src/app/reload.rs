//! Reads the settings again while the server runs, on SIGHUP or from the admin page, and applies what needs no restart.

use std::future;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::signal::unix::Signal;
use tokio::sync::{Mutex, oneshot};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::{access, notices};
use crate::alerts::{AlertRules, Alerts};
use crate::config::{ChangedSetting, ConfigError, Loaded, Settings};
use crate::domain::Instruments;
use crate::http::{ReadLimit, ReloadMode, ReloadReport, ReloadSettings};
use crate::listener::ConnectionRegistry;
use crate::notify::{ChannelSwitch, NewChannels};
use crate::pipeline::clock;
use crate::telemetry::logging::LogFilter;
use crate::transport::Gateway;
use crate::transport::socketio::PollingSessions;

/// Where a reload reads the settings, and what the settings of the log are applied to.
pub struct SettingsSource {
    load: Arc<dyn Fn() -> Result<Loaded, ConfigError> + Send + Sync>,
    log: Option<LogFilter>,
    /// Each one begins a reload.
    pub(super) hangups: Option<Signal>,
}

impl std::fmt::Debug for SettingsSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettingsSource").finish_non_exhaustive()
    }
}

impl SettingsSource {
    /// Reads the settings by `load`, as they were read at the start.
    pub fn new(load: impl Fn() -> Result<Loaded, ConfigError> + Send + Sync + 'static, log: LogFilter) -> Self {
        Self { load: Arc::new(load), log: Some(log), hangups: None }
    }

    /// Always reads these settings.
    pub(super) fn fixed(settings: &Settings) -> Self {
        let loaded = Loaded { settings: settings.clone(), warnings: Vec::new(), file: None };
        Self { load: Arc::new(move || Ok(loaded.clone())), log: None, hangups: None }
    }
}

/// What a reload applies the settings to.
pub(super) struct Reloader {
    source: SettingsSource,
    /// The settings in force. Reloads wait for each other here.
    running: Mutex<Settings>,
    gateway: Arc<Gateway>,
    reads: ReadLimit,
    connections: Arc<ConnectionRegistry>,
    channels: ChannelSwitch,
    pub(super) polling: PollingSessions,
    pub(super) alerts: Alerts,
}

/// The parts of a reload that can fail, ready to be put in force.
struct PreparedReload {
    instruments: Instruments,
    alerts: AlertRules,
    channels: NewChannels,
}

impl Reloader {
    pub(super) fn new(
        settings: &Settings,
        source: SettingsSource,
        gateway: &Arc<Gateway>,
        (reads, connections): (&ReadLimit, Arc<ConnectionRegistry>),
        channels: ChannelSwitch,
    ) -> anyhow::Result<Arc<Self>> {
        let (most, _) = access::connection_limits(&settings.server);
        Ok(Arc::new(Self {
            source,
            running: Mutex::new(settings.clone()),
            gateway: gateway.clone(),
            reads: reads.clone(),
            connections,
            channels,
            polling: PollingSessions::new(access::polling_limits(settings, most)),
            alerts: Alerts::new(&settings.alerts, gateway.metrics.clone(), clock::wall)?,
        }))
    }

    /// Returns what a request calls. A reload that has begun goes on without its client.
    pub(super) fn requested(self: &Arc<Self>) -> ReloadSettings {
        let reloader = self.clone();
        Arc::new(move |mode| {
            let (done, report) = oneshot::channel();
            let working = reloader.clone();
            reloader.gateway.tasks.spawn_connection(async move {
                done.send(working.reload(mode).await).ok();
            });
            async { report.await.unwrap_or_else(|_| Err("the server is stopping".to_owned())) }.boxed()
        })
    }

    /// Reloads the settings at each signal; never returns.
    pub(super) async fn follow(&self, hangups: Option<Signal>) {
        let Some(mut hangups) = hangups else { return future::pending().await };
        while hangups.recv().await.is_some() {
            // The outcome is in the log.
            self.reload(ReloadMode::Apply).await.ok();
        }
        future::pending::<()>().await;
    }

    /// Reads the settings, and applies what needs no restart. Writes one line into the log, unless it only compares.
    async fn reload(&self, mode: ReloadMode) -> Result<ReloadReport, String> {
        let outcome = self.reload_silently(mode).await.map_err(|error| format!("{error:#}"));
        if mode == ReloadMode::DryRun {
            return outcome
                .map(|(applied, needs_restart, warnings)| ReloadReport::new(mode, applied, needs_restart, warnings));
        }
        let count = |outcome| self.gateway.metrics.reloads_total.with_label_values(&[outcome]).inc();
        let (applied, needs_restart, warnings) = outcome.inspect_err(|why| {
            count("rejected");
            error!(why, "the settings were not reloaded, and none was changed; correct them and reload again");
        })?;
        for warning in &warnings {
            warn!("{warning}");
        }
        if applied.is_empty() && needs_restart.is_empty() {
            count("unchanged");
            info!("settings reloaded: none has changed");
        } else {
            count("applied");
            let (applied, needs_restart) = (names(&applied), names(&needs_restart));
            info!(applied, needs_restart, "settings reloaded");
        }
        Ok(ReloadReport::new(mode, applied, needs_restart, warnings))
    }

    async fn reload_silently(
        &self,
        mode: ReloadMode,
    ) -> anyhow::Result<(Vec<ChangedSetting>, Vec<ChangedSetting>, Vec<String>)> {
        let mut running = self.running.lock().await;
        let load = self.source.load.clone();
        let Loaded { settings: read, warnings, .. } = spawn_blocking(move || load()).await??;
        let plan = running.plan_reload(&read);
        // Whatever can fail comes first: a reload is never applied in part.
        let instruments = plan.settings.instruments()?;
        let prepared = PreparedReload {
            alerts: self.alerts.rules_of(&plan.settings.alerts)?,
            channels: self.channels.build(notices::used(&plan.settings), &Arc::new(instruments.clone()))?,
            instruments,
        };
        if mode == ReloadMode::Apply {
            self.apply(&running, &plan.settings, prepared).await?;
            *running = plan.settings;
        }
        Ok((plan.applied, plan.needs_restart, warnings))
    }

    async fn apply(&self, old: &Settings, new: &Settings, prepared: PreparedReload) -> anyhow::Result<()> {
        let Self { gateway, .. } = self;
        gateway.instruments.extend(&prepared.instruments)?;
        if let Some(log) = self.source.log.as_ref().filter(|_| old.log != new.log) {
            log.set(&new.log)?;
        }
        if old.limits != new.limits || old.server != new.server {
            access::limit_tokens(&gateway.tokens, new);
            gateway.limits.set(new.limits.clone());
            gateway.channels.set_max(new.server.max_connections_per_channel);
            self.reads.set(new.limits.concurrent_reads);
            let (most, per_address) = access::connection_limits(&new.server);
            self.connections.set_limits(most, per_address);
            self.polling.set_limits(access::polling_limits(new, most));
        }
        if old.alerts != new.alerts {
            self.alerts.set_rules(prepared.alerts);
        }
        if old.notify != new.notify {
            self.channels.replace(prepared.channels).await;
            notices::show(gateway, self.channels.notices());
        }
        Ok(())
    }
}

fn names(changes: &[ChangedSetting]) -> String {
    changes.iter().map(|change| change.setting.as_str()).collect::<Vec<_>>().join(" ")
}

/// Waits for the SIGHUP that comes because the terminal of the process is gone, which is no wish for a reload. Whether there is
/// a terminal is noted at the call.
pub(super) fn terminal_gone(mut hangups: Signal) -> impl Future<Output = ()> {
    let has_terminal = || io::stdin().is_terminal();
    let had_terminal = has_terminal();
    async move {
        while hangups.recv().await.is_some() {
            if had_terminal && !has_terminal() {
                return;
            }
        }
        future::pending::<()>().await;
    }
}
