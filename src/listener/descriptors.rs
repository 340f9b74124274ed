//! The limit of file descriptors, and how many of them connections may use.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit where the system sets none: more than any machine serves.
const MAX_DESCRIPTORS: u64 = 1 << 20;
/// Descriptors that connections may not use: for the database, the sources, answers to refused connections and health checks.
const RESERVE: u64 = 192;

/// Raises the limit of file descriptors up to the hard limit, and returns the new limit. The usual soft limit of 1,024 is
/// meant for programs that use `select`.
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (current, wanted) =
        (current.unwrap_or(MAX_DESCRIPTORS), maximum.unwrap_or(MAX_DESCRIPTORS).min(MAX_DESCRIPTORS));
    if current >= wanted {
        return current.min(MAX_DESCRIPTORS);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::debug!(%error, "cannot raise the limit of file descriptors");
            current
        }
    }
}

/// Returns how many connections fit into `limit` descriptors: `RESERVE`, but at most half of them, are reserved.
pub fn connections_within(limit: u64) -> usize {
    limit.saturating_sub(RESERVE).max(limit / 2).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_reserved() {
        for (limit, connections) in [(1_048_576, 1_048_384), (10_240, 10_048), (1_024, 832), (256, 128), (1, 1), (0, 1)]
        {
            assert_eq!(connections_within(limit), connections, "{limit}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_the_hard_limit() {
        let limit = raise_limit();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current.unwrap_or(MAX_DESCRIPTORS).min(MAX_DESCRIPTORS), limit);
        assert_eq!(raise_limit(), limit);
    }
}
