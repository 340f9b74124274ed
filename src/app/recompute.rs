//! The nightly comparison of the live signals of a day with a backtest over the ticks that were kept of it.

use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backtest::{RecomputeOptions, recompute};
use crate::config::{Settings, SourceSettings};
use crate::domain::{Recomputation, SourceName, WallClock};
use crate::store::{Reader, StoredDayQuery};
use crate::telemetry::Recomputations;
use crate::ticks::{self, RESULT_FILE, RESULT_PARTIAL};
use crate::transport::Gateway;

/// The previous day is recomputed from this time of the day on, UTC.
const AFTER_MIDNIGHT: TimeDelta = TimeDelta::minutes(10);
/// Nothing is recomputed in this time after the start, in which clients come back.
const AFTER_START: Duration = Duration::from_mins(10);
/// How often the wall clock is read. It may be set forward or back.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// How long the work pauses after some thousand ticks, for the rest of the server.
const PAUSE: Duration = Duration::from_millis(5);
/// Maximum size of a result that is read, in bytes. One with all listed differences has less than 1 MB.
const MAX_RESULT_BYTES: u64 = 4 << 20;

/// What the job is made of.
#[derive(Clone)]
struct RecomputeJob {
    /// The data directory.
    dir: PathBuf,
    /// The settings of the engine; `day` and `now` are those of the last run.
    options: RecomputeOptions,
    /// When the server began, less the window of recent signals. In a cluster, where each term begins anew, it is not known.
    recent_since: Option<DateTime<Utc>>,
    replay_window: Duration,
    log: Reader,
    results: Recomputations,
    stopping: CancellationToken,
}

/// Reads the results of the last days, and spawns the job; neither without kept ticks, and no job beside a recording.
pub(super) fn spawn(settings: &Settings, gateway: &Gateway, results: &Recomputations, wall: WallClock) {
    if settings.data.tick_retention.is_zero() {
        return;
    }
    read_results(&settings.data.dir, results);
    if settings.sources.runs(SourceSettings::REPLAY) {
        return;
    }
    let started = wall();
    let clustered = settings.cluster.is_on();
    let options = RecomputeOptions {
        day: started.date_naive(),
        instruments: gateway.instruments.clone(),
        ttl: settings.signals.ttl,
        rules: settings.setups.rules(),
        clustered,
        now: started,
    };
    let job = RecomputeJob {
        dir: settings.data.dir.clone(),
        options,
        recent_since: (!clustered).then(|| started - settings.signals.replay_window),
        replay_window: settings.signals.replay_window,
        log: gateway.log.clone(),
        results: results.clone(),
        stopping: gateway.tasks.stopping(),
    };
    let stopping = gateway.tasks.stopping();
    gateway.tasks.spawn("recomputation", async move {
        stopping.run_until_cancelled(job.run_nightly(wall)).await;
        Ok::<_, Infallible>(())
    });
}

impl RecomputeJob {
    async fn run_nightly(mut self, wall: WallClock) {
        sleep(AFTER_START).await;
        let mut last = None;
        loop {
            let now = wall();
            let is_new = |day: &NaiveDate| last != Some(*day) && self.results.days().iter().all(|it| it.day != *day);
            if let Some(day) = due(now, self.options.ttl).filter(is_new) {
                // Also after a failure: the next attempt is that of the next start.
                last = Some(day);
                self.options = RecomputeOptions { day, now, ..self.options };
                let job = self.clone();
                if let Err(error) = job.run().await {
                    warn!(%day, error = format!("{error:#}"), "the live signals of the day could not be recomputed; run `orion-server recompute` once the cause is gone");
                }
            }
            sleep(CHECK_INTERVAL).await;
        }
    }

    /// Recomputes the day on a thread for blocking work, and stores, reports and logs the result.
    async fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let span = self.options.span();
            let stored = |first: DateTime<Utc>| {
                let recent_since = self.recent_since.unwrap_or(first - self.replay_window);
                let (source, day) = (SourceName::new(SourceName::SETUPS), self.options.of_day());
                runtime.block_on(self.log.stored_day(StoredDayQuery { source, day, first, recent_since }))
            };
            let proceed = || {
                std::thread::sleep(PAUSE);
                !self.stopping.is_cancelled()
            };
            let entries = ticks::read(&self.dir, span.start, span.end);
            let Some(result) = recompute(&self.options, entries, stored, proceed)? else { return Ok(()) };
            log_result(&result);
            let folder = ticks::day_folder(&self.dir, result.day);
            if folder.is_dir()
                && let Err(error) = write_result(&folder, &result)
            {
                let file = folder.join(RESULT_FILE);
                warn!(file = %file.display(), %error, "the recomputation of the day is not stored, and is made again after a restart");
            }
            // Of a day without prices and signals, such as a Saturday, there is nothing to show.
            if result.ticks > 0 || result.live > 0 {
                self.results.add(result);
            }
            Ok(())
        })
        .await?
    }
}

/// Returns the previous day, once it can be recomputed.
fn due(now: DateTime<Utc>, ttl: Duration) -> Option<NaiveDate> {
    let midnight = now.date_naive().and_hms_opt(0, 0, 0)?.and_utc();
    // The last signals of the day have ended by then.
    let after = AFTER_MIDNIGHT.max(TimeDelta::from_std(ttl).ok()? + TimeDelta::minutes(5));
    (now >= midnight + after).then(|| now.date_naive().pred_opt()).flatten()
}

fn log_result(result: &Recomputation) {
    let Recomputation { day, ticks, live, recomputed, counts, problem, .. } = result;
    let problem = problem.as_deref().unwrap_or("none");
    let reasons: Vec<_> = counts.iter().map(|(reason, count)| format!("{} {count}", reason.name())).collect();
    if *ticks == 0 {
        info!(%day, live, "no ticks of the day are kept here: its live signals are not compared with a backtest");
    } else if counts.is_empty() {
        info!(%day, ticks, live, recomputed, problem, "the live signals of the day equal a backtest over its ticks");
    } else {
        let differences: u64 = counts.values().sum();
        warn!(
            %day, ticks, live, recomputed, differences, reasons = reasons.join(", "), problem,
            "live signals of the day differ from a backtest over its ticks; the page /admin and `orion-server recompute` list them"
        );
    }
}

/// Replaces the result of a day in its folder.
fn write_result(folder: &Path, result: &Recomputation) -> io::Result<()> {
    let (file, partial) = (folder.join(RESULT_FILE), folder.join(RESULT_PARTIAL));
    fs::remove_file(&partial)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    let written = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        new.write_all(&serde_json::to_vec(result)?)?;
        new.sync_all()?;
        fs::rename(&partial, &file)
    };
    written().inspect_err(|_| drop(fs::remove_file(&partial)))
}

/// Reads the results of the days whose ticks are kept. One that cannot be read is made again.
fn read_results(dir: &Path, results: &Recomputations) {
    for day in ticks::days(dir) {
        let file = ticks::day_folder(dir, day).join(RESULT_FILE);
        match read_result(&file) {
            Ok(result) => results.add(result),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                warn!(file = %file.display(), %error, "the recomputation of a day cannot be read and is left out; `orion-server recompute` makes it again");
            }
        }
    }
}

fn read_result(file: &Path) -> io::Result<Recomputation> {
    if fs::metadata(file)?.len() > MAX_RESULT_BYTES {
        return Err(io::Error::other(format!("it has more than {MAX_RESULT_BYTES} bytes")));
    }
    Ok(serde_json::from_slice(&fs::read(file)?)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;
    use crate::domain::{DifferenceReason, Feed, Instruments, Quote, SetupRules, Symbol, Tick, UsedTick, parse_time};
    use crate::store::{Options, Store};
    use crate::telemetry::Metrics;
    use crate::ticks::{Keeper, KeeperOptions};

    fn at(text: &str) -> DateTime<Utc> {
        parse_time(text).unwrap()
    }

    #[test]
    fn a_day_is_due_when_its_signals_have_ended() {
        let (five, hour) = (Duration::from_mins(5), Duration::from_hours(1));
        let fourth = Some(at("2026-01-04T00:00:00Z").date_naive());
        for (time, ttl, day) in [
            ("2026-01-05T00:09:59Z", five, None),
            ("2026-01-05T00:10:00Z", five, fourth),
            ("2026-01-05T23:59:59Z", five, fourth),
            ("2026-01-05T01:04:59Z", hour, None),
            ("2026-01-05T01:05:00Z", hour, fourth),
        ] {
            assert_eq!(due(at(time), ttl), day, "{time}");
        }
    }

    fn result(day: &str) -> Recomputation {
        Recomputation {
            day: at(&format!("{day}T00:00:00Z")).date_naive(),
            computed_at: at("2026-01-05T00:10:00Z"),
            ticks: 7,
            live: 2,
            recomputed: 1,
            counts: BTreeMap::from([(DifferenceReason::LateTick, 1)]),
            differences: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn results_are_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = |result: &Recomputation| {
            let folder = ticks::day_folder(dir.path(), result.day);
            fs::create_dir_all(&folder).unwrap();
            // A day is listed as long as its ticks are kept.
            fs::write(folder.join("000000000-00.jsonl.gz"), "").unwrap();
            write_result(&folder, result).unwrap();
            folder.join(RESULT_FILE)
        };
        let (older, newer, broken) = (result("2026-01-03"), result("2026-01-04"), result("2026-01-02"));
        for result in [&older, &newer, &older] {
            store(result);
        }
        assert_eq!(fs::metadata(store(&newer)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(store(&broken), "{").unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let results = Recomputations::new(&metrics);
        read_results(dir.path(), &results);
        let read: Vec<_> = results.days().iter().map(|it| it.as_ref().clone()).collect();
        assert_eq!(read, [newer, older]);
        assert_eq!(metrics.recompute_differences.with_label_values(&["late_tick"]).get(), 1);
    }

    async fn keep_a_tick(dir: &Path, received_at: DateTime<Utc>, metrics: &Arc<Metrics>) {
        let (keeper, task) = Keeper::new(KeeperOptions {
            dir: dir.to_owned(),
            retention: Duration::from_hours(100),
            max_bytes: KeeperOptions::MAX_BYTES,
            low_space: Box::new(|| None),
            clock: Arc::new(move || received_at),
            metrics: metrics.clone(),
        });
        let (symbol, source, quote) = (Symbol::new("EURUSD"), SourceName::new("push"), Quote::Last(1.1));
        let tick = Tick { symbol, quote, volume: None, observed_at: received_at, feed: Feed::Live, source };
        keeper.begin(received_at);
        keeper.keep(vec![UsedTick { tick, received_at }]);
        drop(keeper);
        task.run().await.unwrap();
    }

    #[tokio::test]
    async fn a_night_stores_and_shows_its_result() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new().unwrap());
        let (noon, night) = (at("2026-01-05T12:00:00Z"), at("2026-01-06T00:10:00Z"));
        keep_a_tick(dir.path(), noon, &metrics).await;
        let options = Options {
            signal_retention: Duration::from_hours(24),
            bar_retention: Duration::from_hours(24),
            recent_since: noon,
            messages_per_user: 1,
            message_retention: Duration::from_hours(24),
            max_messages: 1,
            message_type: super::super::message_type,
            upgrade_backup: false,
            clock: || DateTime::UNIX_EPOCH,
        };
        let (store, _) = Store::open(dir.path(), options, metrics.clone()).unwrap();
        let mut job = RecomputeJob {
            dir: dir.path().to_owned(),
            options: RecomputeOptions {
                day: noon.date_naive(),
                instruments: Arc::new(Instruments::new(Instruments::documented()).unwrap()),
                ttl: Duration::from_mins(5),
                rules: SetupRules::default(),
                clustered: false,
                now: night,
            },
            recent_since: Some(noon),
            replay_window: Duration::from_hours(24),
            log: store.reader(),
            results: Recomputations::new(&metrics),
            stopping: CancellationToken::new(),
        };
        job.clone().run().await.unwrap();
        let read = Recomputations::new(&metrics);
        read_results(dir.path(), &read);
        for results in [&job.results, &read] {
            let results = results.days();
            let [result] = &results[..] else { panic!("{results:?}") };
            assert_eq!((result.day, result.ticks, result.counts.len()), (noon.date_naive(), 1, 0));
            assert_eq!(result.computed_at, night);
        }
        job.options.day = at("2026-01-04T00:00:00Z").date_naive();
        job.clone().run().await.unwrap();
        assert_eq!(job.results.days().len(), 1, "nothing happened on a Sunday");
    }
}
