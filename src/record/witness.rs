//! What a witness holds against a log: that it only grows.

use tlog_tiles::check_tree;

use crate::store::{Hash, TreeHead};

/// What is wrong with a newer checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WitnessFault {
    /// It has fewer leaves.
    #[error(
        "the log has {found} leaves, and had {held}: its end was cut off, or this is an older copy of it. The checkpoint that is \
         held stays"
    )]
    Shrunk {
        /// The number of leaves of the checkpoint that is held.
        held: u64,
        /// The number of leaves that the log has.
        found: u64,
    },
    /// The tree of the checkpoint that is held is not its beginning.
    #[error(
        "FORK: the log of {found} leaves does not begin with the {held} leaves of the checkpoint that is held: its history was \
         rewritten. The checkpoint that is held stays, and the other one is beside it"
    )]
    Forked {
        /// The number of leaves of the checkpoint that is held.
        held: u64,
        /// The number of leaves that the log has.
        found: u64,
    },
}

/// Checks that the tree with the head `held` is the beginning of the one with the head `found`. `proof` is what the log gave for it;
/// nothing where it is not needed.
///
/// # Errors
/// [`WitnessFault`].
pub fn check_growth(held: &TreeHead, found: &TreeHead, proof: &[Hash]) -> Result<(), WitnessFault> {
    if found.size < held.size {
        return Err(WitnessFault::Shrunk { held: held.size, found: found.size });
    }
    // Every tree begins with the empty one.
    if held.size == 0 && found.size > 0 {
        return Ok(());
    }
    let proof = proof.iter().map(|hash| tlog_tiles::Hash(*hash)).collect();
    let grew = if held.size == found.size {
        held.root == found.root
    } else {
        let [now, before] = [found.root, held.root].map(tlog_tiles::Hash);
        check_tree(&proof, found.size, now, held.size, before).is_ok()
    };
    if grew { Ok(()) } else { Err(WitnessFault::Forked { held: held.size, found: found.size }) }
}

#[cfg(test)]
mod tests {
    use tlog_tiles::{node_hash, record_hash};

    use super::*;

    #[test]
    fn only_a_log_that_grew_is_followed() {
        let leaves = ["a", "b", "c"].map(|data| record_hash(data.as_bytes()));
        let two = node_hash(leaves[0], leaves[1]);
        let head = |size, root: tlog_tiles::Hash| TreeHead { size, root: root.0 };
        let (empty, earlier) = (TreeHead { size: 0, root: [0; 32] }, head(2, two));
        let later = head(3, node_hash(two, leaves[2]));
        let proof = [leaves[2].0];
        assert_eq!(check_growth(&earlier, &later, &proof), Ok(()));
        assert_eq!(check_growth(&earlier, &earlier, &[]), Ok(()));
        assert_eq!(check_growth(&empty, &later, &[]), Ok(()));
        assert_eq!(check_growth(&later, &earlier, &[]), Err(WitnessFault::Shrunk { held: 3, found: 2 }));
        let forked = Err(WitnessFault::Forked { held: 2, found: 3 });
        assert_eq!(check_growth(&earlier, &later, &[]), forked);
        assert_eq!(check_growth(&earlier, &later, &[two.0]), forked);
        assert_eq!(check_growth(&head(2, leaves[0]), &later, &proof), forked);
        let same_size = check_growth(&head(3, two), &later, &[]);
        assert_eq!(same_size, Err(WitnessFault::Forked { held: 3, found: 3 }));
    }
}
