//! The writer's signs of life.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::lease::Lease;
use super::wire::Beat;
use super::{BEAT, Shared};

/// Beats while this node writes, until `stop`.
pub(super) async fn beat(shared: Arc<Shared>, stop: CancellationToken) {
    let mut tick = interval(Lease::beat_interval(shared.lease));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let beats = async {
        loop {
            tick.tick().await;
            let view = shared.view.borrow().clone();
            // What was buffered while this node was cut off would be no sign of life.
            if let Some(term) = view.writing()
                && shared.is_connected()
            {
                let (epoch, node) = (shared.epoch.clone(), shared.name.to_string());
                let beat = Beat { epoch, term, node, stream_seq: view.stream_seq, leaving: false, successor: None };
                shared.publish(BEAT, &beat).await;
            }
        }
    };
    stop.run_until_cancelled(beats).await;
}
