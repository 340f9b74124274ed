//! How many file descriptors the system lets us have, and how many of them connections may take.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any machine serves; where the system sets no bound, the table of descriptors still needs one.
const MOST: u64 = 1 << 20;
/// Kept back: the database, sources and their links, answers to whoever is refused, health checks.
const RESERVE: u64 = 192;

/// Raises the limit as far as the system lets us, and says what it is then. A login shell's 1,024 is for programs that use
/// `select`, and its owner may raise it himself up to the hard limit.
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (current, wanted) = (current.unwrap_or(MOST), maximum.unwrap_or(MOST).min(MOST));
    if current >= wanted {
        return current.min(MOST);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::debug!(%error, "the limit of file descriptors stays as it is");
            current
        }
    }
}

/// Connections that fit into this many descriptors, with some to spare: at most half are kept back.
pub fn connections_within(limit: u64) -> usize {
    limit.saturating_sub(RESERVE).max(limit / 2).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_back() {
        for (limit, connections) in [(1_048_576, 1_048_384), (10_240, 10_048), (1_024, 832), (256, 128), (1, 1), (0, 1)]
        {
            assert_eq!(connections_within(limit), connections, "{limit}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        let limit = raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.unwrap_or(MOST).min(MOST), limit);
        assert_eq!(raise_limit(), limit);
    }
}
