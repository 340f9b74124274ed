//! Counts wrong tokens per address, in a bounded table of one-minute windows.
//!
//! Only the response to a *wrong* token changes. A valid token is accepted whatever its address has sent before: behind a proxy
//! or the router of an office, a guesser shares the address with honest users.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::TokenKind;

/// The length of a window.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses in the table; beyond it, the address with the oldest window is evicted.
const MAX_ADDRESSES: usize = 4_096;

/// Marks a response that refuses a wrong token, in its extensions: the token has to be counted, and at the limit the response
/// is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongToken(pub TokenKind);

/// The address has reached the limit of wrong tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Too many wrong tokens from this address; try again in {} s", self.seconds())]
pub struct TooManyWrongTokens {
    /// The time until the window ends.
    pub wait: Duration,
}

impl TooManyWrongTokens {
    /// The code of the error response.
    pub const CODE: &'static str = "too_many_wrong_tokens";

    /// Returns the wait in whole seconds, at least 1, for `Retry-After`.
    pub fn seconds(&self) -> u64 {
        self.wait.as_millis().div_ceil(1000).max(1) as u64
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    count: u32,
}

/// The table of windows by address.
#[derive(Debug)]
pub(super) struct WrongTokens {
    max_per_window: AtomicU32,
    windows: Mutex<HashMap<IpAddr, Window>>,
}

impl WrongTokens {
    /// Returns a table with a limit of `max_per_window` wrong tokens per address and window; 0 for no limit.
    pub(super) fn new(max_per_window: u32) -> Self {
        Self { max_per_window: max_per_window.into(), windows: Mutex::default() }
    }

    /// Replaces the limit.
    pub(super) fn set_max(&self, max_per_window: u32) {
        self.max_per_window.store(max_per_window, Ordering::Relaxed);
    }

    /// Counts a wrong token.
    ///
    /// # Errors
    /// When the address is above the limit.
    pub(super) fn count(&self, address: IpAddr, now: Instant) -> Result<(), TooManyWrongTokens> {
        let max_per_window = self.max_per_window.load(Ordering::Relaxed);
        if max_per_window == 0 {
            return Ok(());
        }
        let network = network(address);
        let mut windows = self.windows.lock();
        if windows.len() >= MAX_ADDRESSES && !windows.contains_key(&network) {
            evict_oldest(&mut windows, now);
        }
        let window = windows.entry(network).or_insert(Window { began: now, count: 0 });
        if now.duration_since(window.began) >= WINDOW {
            *window = Window { began: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        if window.count <= max_per_window {
            return Ok(());
        }
        Err(TooManyWrongTokens { wait: WINDOW.saturating_sub(now.duration_since(window.began)) })
    }
}

fn evict_oldest(windows: &mut HashMap<IpAddr, Window>, now: Instant) {
    windows.retain(|_, window| now.duration_since(window.began) < WINDOW);
    if windows.len() >= MAX_ADDRESSES {
        let oldest = windows.iter().min_by_key(|(_, window)| window.began).map(|(address, _)| *address);
        oldest.map(|address| windows.remove(&address));
    }
}

/// Returns the network of one customer: the IPv4 address itself, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn beyond_the_limit_the_wait_is_reported() {
        let (table, now) = (WrongTokens::new(3), Instant::now());
        let count = |text: &str, seconds| table.count(address(text), now + Duration::from_secs(seconds));
        assert!((0..3).all(|second| count("203.0.113.9", second).is_ok()));
        let refused = count("::ffff:203.0.113.9", 20).unwrap_err();
        assert_eq!((refused.wait, refused.seconds()), (Duration::from_secs(40), 40));
        assert_eq!(count("203.0.113.10", 20), Ok(()), "another address");
        assert_eq!(count("203.0.113.9", 60), Ok(()), "another minute");
        let unlimited = WrongTokens::new(0);
        assert!((0..1_000).all(|_| unlimited.count(address("203.0.113.9"), now).is_ok()));
    }

    #[tokio::test]
    async fn an_ipv6_network_is_counted_as_one() {
        let (table, now) = (WrongTokens::new(1), Instant::now());
        assert!(table.count(address("2001:db8:1:2::1"), now).is_ok());
        assert!(table.count(address("2001:db8:1:2:ffff::9"), now).is_err());
        assert!(table.count(address("2001:db8:1:3::1"), now).is_ok());
    }

    #[tokio::test]
    async fn the_table_never_outgrows_its_bound() {
        let (table, now) = (WrongTokens::new(1), Instant::now());
        for number in 0..2 * MAX_ADDRESSES as u32 {
            let address = std::net::Ipv4Addr::from_bits(number).into();
            assert!(table.count(address, now + Duration::from_millis(u64::from(number))).is_ok());
        }
        assert_eq!(table.windows.lock().len(), MAX_ADDRESSES);
        let last = std::net::Ipv4Addr::from_bits(2 * MAX_ADDRESSES as u32 - 1).into();
        assert!(table.count(last, now + Duration::from_secs(9)).is_err(), "the latest are remembered");
    }
}
