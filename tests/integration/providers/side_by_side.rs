//! The promises of every source, kept by several providers at the same time: waiting costs the tests nothing then.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join_all};

use super::{contract, kraken};

/// Waits for all of them, and names those that have failed.
async fn all(promises: Vec<(&str, LocalBoxFuture<'static, ()>)>) {
    let kept = promises
        .into_iter()
        .map(async |(provider, promise)| AssertUnwindSafe(promise).catch_unwind().await.is_err().then_some(provider));
    let broken: Vec<&str> = join_all(kept).await.into_iter().flatten().collect();
    assert!(broken.is_empty(), "not kept by {}", broken.join(", "));
}

macro_rules! side_by_side {
    ($($promise:ident: $($provider:ident)*;)*) => {
        $(#[tokio::test]
        async fn $promise() {
            all(vec![$((
                stringify!($provider),
                contract::$promise::<$provider::Played>().boxed_local(),
            )),*]).await;
        })*
    };
}

side_by_side! {
    delivers_each_tick_once_unaltered_and_in_order: kraken;
    survives_garbage: kraken;
    comes_back_from_silence: kraken;
    comes_back_from_every_loss: kraken;
    waits_and_comes_back_when_it_asked_too_much: kraken;
    comes_back_after_an_outage: kraken;
    loses_nothing_while_the_pipeline_is_busy: kraken;
}
