//! Keeps one source running: reconnects with back-off after a loss, waits as long as the provider asks, stops a source that the provider rejects, and ends
//! the process on a fatal error.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::{Finished, Source, SourceError, SourceHandle};
use crate::pipeline::Handle;
use crate::telemetry::{Metrics, SourceState, SourceStates};

/// After a connection of at least this length, the back-off starts again with the shortest delay.
const STABLE: Duration = Duration::from_mins(1);

/// Delays of 1–2 s, 2–4 s … up to 2.5–5 min. The random part keeps several servers from reconnecting at the same time.
const BACK_OFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_secs(1))
    .with_max_delay(Duration::from_secs(150))
    .with_factor(2.0)
    .with_jitter()
    .without_max_times();

/// Runs `source` until `stop`, and reconnects after every loss. A source that has finished is not started again.
///
/// The source is listed in `states` immediately, before the future runs.
///
/// # Errors
/// The source's fatal error, which ends the process.
pub fn supervise<S: Source>(
    source: S,
    handle: Handle,
    metrics: &Metrics,
    states: &SourceStates,
    stop: CancellationToken,
) -> impl Future<Output = Result<(), SourceError>> + Send + use<S> {
    let (name, feed) = (source.name(), source.feed());
    states.set(&name, SourceState::Connecting);
    let reconnects = metrics.source_reconnects_total.with_label_values(&[name.as_str()]);
    let out = SourceHandle::new(name, feed, handle, metrics, states);
    async move {
        let stopped = stop.clone();
        stopped.run_until_cancelled(connect_again(source, out, &stop, || reconnects.inc())).await.unwrap_or(Ok(()))
    }
}

async fn connect_again<S: Source>(
    mut source: S,
    out: SourceHandle,
    stop: &CancellationToken,
    reconnecting: impl Fn(),
) -> Result<(), SourceError> {
    let SourceHandle { name, states, .. } = &out;
    let mut waits = BACK_OFF.build();
    loop {
        let (error, pause) = match source.run(&out).await {
            Ok(Finished) => {
                states.set(name, SourceState::Finished);
                tracing::info!(source = %name, "the source has finished; its last prices stay");
                stop.cancelled().await;
                return Ok(());
            }
            // The pipeline's own task reports the reason; this task only waits for the shutdown.
            Err(SourceError::Stopped(_)) => {
                states.set(name, SourceState::Failed);
                stop.cancelled().await;
                return Ok(());
            }
            Err(error @ SourceError::Fatal(_)) => {
                states.set(name, SourceState::Failed);
                return Err(error);
            }
            Err(SourceError::Refused(error)) => {
                states.set(name, SourceState::Refused);
                tracing::error!(source = %name, %error, "source refused; it is not asked again before a restart");
                stop.cancelled().await;
                return Ok(());
            }
            Err(SourceError::Transient(error)) => (error, Duration::ZERO),
            Err(SourceError::Limited { error, pause }) => (error, pause),
        };
        let lasted = states.connected_for(name);
        if lasted.is_some_and(|lasted| lasted >= STABLE) {
            waits = BACK_OFF.build();
        }
        let retry_in = pause + waits.next().unwrap_or(STABLE);
        states.set(name, SourceState::Waiting { retry_in });
        let retry_in_ms = retry_in.as_millis() as u64;
        let what = if lasted.is_some() { "lost its connection" } else { "could not connect" };
        tracing::warn!(source = %name, %error, retry_in_ms, "the source {what}; it tries again after a wait");
        tokio::time::sleep(retry_in).await;
        reconnecting();
        states.set(name, SourceState::Connecting);
        tracing::info!(source = %name, "the source connects again");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::time::Instant;

    use super::*;
    use crate::domain::{Feed, Quote, SourceName, Symbol, Tick, parse_time};
    use crate::telemetry::SourceStatus;

    /// One connection of the test source: how long it lasts, with a tick at its start, and how it ends.
    enum ScriptStep {
        Lost(Duration),
        Limited(Duration),
        Refused,
        Broken,
        Over,
    }

    struct Script(VecDeque<ScriptStep>, Vec<Instant>);

    impl Source for &mut Script {
        fn name(&self) -> SourceName {
            SourceName::new("script")
        }

        fn feed(&self) -> Feed {
            Feed::Live
        }

        async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
            self.1.push(Instant::now());
            let tick = Tick {
                symbol: Symbol::new("EURUSD"),
                quote: Quote::Last(1.1),
                volume: None,
                observed_at: parse_time("2026-01-15T07:00:00Z").unwrap(),
                feed: Feed::Live,
                source: out.name.clone(),
            };
            match self.0.pop_front() {
                Some(ScriptStep::Lost(lasted)) => {
                    if !lasted.is_zero() {
                        out.ticks(vec![tick]).await?;
                    }
                    tokio::time::sleep(lasted).await;
                    Err(SourceError::transient("connection reset"))
                }
                Some(ScriptStep::Limited(pause)) => Err(SourceError::limited("too many requests", pause)),
                Some(ScriptStep::Refused) => Err(SourceError::refused("the key is not known")),
                Some(ScriptStep::Broken) => Err(SourceError::fatal("no such file")),
                Some(ScriptStep::Over) | None => Ok(Finished),
            }
        }
    }

    async fn live(
        lives: impl IntoIterator<Item = ScriptStep>,
    ) -> (Result<(), SourceError>, Vec<f64>, SourceStatus, Metrics) {
        let metrics = Metrics::new().unwrap();
        let states = SourceStates::new(&metrics);
        let (handle, _receiver) = Handle::channel();
        let stop = CancellationToken::new();
        let mut script = Script(lives.into_iter().collect(), Vec::new());
        let supervised = supervise(&mut script, handle, &metrics, &states, stop.clone());
        let later = async {
            tokio::time::sleep(Duration::from_hours(24)).await;
            stop.cancel();
        };
        let (end, ()) = tokio::join!(supervised, later);
        let gaps = script.1.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        (end, gaps, states.list().remove(0), metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_until_a_stable_connection() {
        let lost = |seconds| ScriptStep::Lost(Duration::from_secs(seconds));
        let (end, gaps, status, metrics) =
            live([lost(0), lost(0), lost(0), lost(60), lost(0), lost(0), ScriptStep::Over]).await;
        assert!(end.is_ok());
        let between = |gap: f64, low: f64, high: f64| assert!((low..=high + 0.1).contains(&gap), "{gaps:?}");
        for (gap, low, high) in [(0, 1.0, 2.0), (1, 2.0, 4.0), (2, 4.0, 8.0), (3, 61.0, 62.0), (4, 2.0, 4.0)] {
            between(gaps[gap], low, high);
        }
        assert_eq!(status.state, SourceState::Finished);
        assert_eq!(metrics.source_reconnects_total.with_label_values(&["script"]).get(), 6);
        assert_eq!(metrics.source_ticks_total.with_label_values(&["script"]).get(), 1);
        assert_eq!(metrics.source_up.with_label_values(&["script"]).get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_never_longer_than_five_minutes() {
        let (_, gaps, ..) = live((0..20).map(|_| ScriptStep::Lost(Duration::ZERO))).await;
        assert_eq!(gaps.len(), 20);
        assert!(gaps.iter().all(|gap| *gap <= 300.1), "{gaps:?}");
        assert!(gaps[19] >= 150.0, "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limited_source_waits_as_long_as_asked() {
        let limited = ScriptStep::Limited(Duration::from_secs(600));
        let (_, gaps, ..) = live([limited, ScriptStep::Over]).await;
        assert!(gaps.len() == 1 && (601.0..=602.1).contains(&gaps[0]), "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fatal_error_comes_out_as_it_is() {
        let (end, _, status, _) = live([ScriptStep::Broken]).await;
        assert_eq!(end.unwrap_err().to_string(), "no such file");
        assert_eq!(status.state, SourceState::Failed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_not_tried_again() {
        let (end, gaps, status, metrics) =
            live([ScriptStep::Lost(Duration::ZERO), ScriptStep::Refused, ScriptStep::Over]).await;
        assert!(end.is_ok(), "the process goes on");
        assert_eq!((gaps.len(), status.state), (1, SourceState::Refused));
        assert_eq!(metrics.source_up.with_label_values(&["script"]).get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_prices_and_silence_are_distinguished() {
        struct Late;
        impl Source for Late {
            fn name(&self) -> SourceName {
                SourceName::new("late")
            }

            fn feed(&self) -> Feed {
                Feed::Delayed
            }

            async fn run(&mut self, out: &SourceHandle) -> Result<Finished, SourceError> {
                let state = || out.states.list()[0].state;
                out.live();
                assert_eq!(state(), SourceState::Live);
                out.delayed();
                assert_eq!(state(), SourceState::Delayed);
                out.stalled();
                assert_eq!(state(), SourceState::Stalled);
                assert!(out.states.connected_for(&out.name).is_some(), "mute, but connected");
                out.live();
                assert_eq!(state(), SourceState::Delayed, "still late");
                Ok(Finished)
            }
        }
        let metrics = Metrics::new().unwrap();
        let (handle, _receiver) = Handle::channel();
        let stop = CancellationToken::new();
        let supervised = supervise(Late, handle, &metrics, &SourceStates::new(&metrics), stop.clone());
        let (end, ()) = tokio::join!(supervised, async {
            tokio::task::yield_now().await;
            stop.cancel();
        });
        assert!(end.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_state_can_be_read_at_any_time() {
        let metrics = Metrics::new().unwrap();
        let states = SourceStates::new(&metrics);
        let (handle, _receiver) = Handle::channel();
        let stop = CancellationToken::new();
        let mut script = Script([ScriptStep::Lost(Duration::from_secs(10)), ScriptStep::Over].into(), Vec::new());
        let supervised = supervise(&mut script, handle, &metrics, &states, stop.clone());
        assert_eq!(states.list()[0].state, SourceState::Connecting, "listed before it runs");
        let watch = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let status = states.list().remove(0);
            assert_eq!((status.state, status.last_tick_age), (SourceState::Live, Some(Duration::from_secs(5))));
            assert_eq!(metrics.source_up.with_label_values(&["script"]).get(), 1);
            tokio::time::sleep(Duration::from_millis(5500)).await;
            let status = states.list().remove(0);
            assert!(
                matches!(status.state, SourceState::Waiting { retry_in } if retry_in < Duration::from_millis(1600))
            );
            assert!(status.state.to_string().starts_with("waiting (retry in "), "{}", status.state);
            stop.cancel();
        };
        let (end, ()) = tokio::join!(supervised, watch);
        assert!(end.is_ok(), "a stop is no error, also in the middle of a wait");
    }
}
