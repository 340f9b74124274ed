//! Signed checkpoints of the log's tree: the key, the notes that it signs (<https://c2sp.org/signed-note>,
//! <https://c2sp.org/tlog-checkpoint>), and the cosignatures of witnesses (<https://c2sp.org/tlog-cosignature>).

mod checkpoint;
mod key;
mod publish;
mod witness;

pub use checkpoint::{CheckpointError, SignedCheckpoint};
pub use key::{LogKey, LogKeyError};
pub use publish::append_to;
pub use witness::{WitnessFault, check_growth};
