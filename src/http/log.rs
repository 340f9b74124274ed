//! The log's tree for outsiders: signed checkpoints, tiles (<https://c2sp.org/tlog-tiles>) and proofs.
//!
//! All but the key is for readers: a hash of a fresh entry would tell a reader with a delay whether a guess of it is right.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tlog_tiles::Tile;
use utoipa::ToSchema;

use super::AppState;
use super::describe::Refuses;
use super::error::ApiError;
use super::params::{Params, RawQuery, ReadAccess};
use crate::domain::SignalId;
use crate::record::SignedCheckpoint;
use crate::store::{LeafProof, TreeHead};

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
/// The highest level of a tile: above it a tree would have more than 2^48 leaves.
const MAX_LEVEL: u8 = 5;

/// The proof that a signal is in the log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignalProof)]
struct ProofObject {
    /// The checkpoint that the paths lead to: a signed note, with the size and the root of the tree.
    checkpoint: String,
    /// A leaf for each change of the signal, and one for its outcome, oldest first.
    leaves: Vec<LeafObject>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProvenLeaf)]
struct LeafObject {
    /// The number of the leaf, from 0.
    index: u64,
    /// The data of the leaf: JSON, to be hashed as it is.
    data: String,
    /// SHA-256 of a zero byte and the data, base64.
    hash: String,
    /// The hashes beside the way from the leaf to the root, base64.
    path: Vec<String>,
}

impl From<LeafProof> for LeafObject {
    fn from(leaf: LeafProof) -> Self {
        let LeafProof { index, data, hash, path } = leaf;
        Self { index, data, hash: encode(&hash), path: path.iter().map(encode).collect() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogConsistency)]
struct ConsistencyObject {
    /// The number of leaves of the earlier tree.
    from: u64,
    /// The number of leaves of the later tree.
    to: u64,
    /// The hashes of the proof, base64.
    hashes: Vec<String>,
}

fn encode(hash: &[u8; 32]) -> String {
    BASE64_STANDARD.encode(hash)
}

fn sign(state: &AppState, head: &TreeHead) -> Result<String, ApiError> {
    SignedCheckpoint::sign(&state.log_key, head).map(|note| note.to_string()).map_err(|_| ApiError::Internal)
}

/// Returns the signed checkpoint of the log: the size and the root of the tree over all events and outcomes.
///
/// A signed note (c2sp.org/tlog-checkpoint). A reader with a delay gets the tree as it was then.
#[utoipa::path(
    get,
    path = "/log/checkpoint",
    operation_id = "get_checkpoint",
    security(("reader" = [])),
    responses((status = 200, body = String, content_type = "text/plain", description = "The checkpoint")),
)]
pub(super) async fn checkpoint(_: ReadAccess, State(state): State<AppState>) -> Result<Response, ApiError> {
    let head = state.history.tree_head().await?;
    Ok(([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-cache")], sign(&state, &head)?).into_response())
}

/// Returns the public key that checkpoints are verified with.
///
/// `name+id+base64`, as tools for signed notes read it (c2sp.org/signed-note). Note it once: that it stays the same is what makes
/// checkpoints a proof.
#[utoipa::path(
    get,
    path = "/log/key",
    operation_id = "get_log_key",
    responses((status = 200, body = String, content_type = "text/plain", description = "The key")),
)]
pub(super) async fn key(State(state): State<AppState>) -> Response {
    ([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, "no-cache")], format!("{}\n", state.log_key.public())).into_response()
}

/// Returns a tile of the log's tree: 256 hashes, or the data of 256 leaves.
///
/// `<level>/<number>[.p/<width>]` or `entries/<number>[.p/<width>]` (c2sp.org/tlog-tiles). Entries that are no longer kept, or
/// longer than 65,535 bytes, are not there.
#[utoipa::path(
    get,
    path = "/log/tile/{*tile}",
    operation_id = "get_log_tile",
    security(("reader" = [])),
    params(("tile" = String, Path, description = "Which tile", example = "0/000.p/1")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "The tile"),
        Refuses<404>,
    ),
)]
pub(super) async fn tile(
    _: ReadAccess,
    State(state): State<AppState>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let tile = parse(&path?).ok_or(ApiError::NotFound)?;
    let bytes = if tile.is_data() {
        let entries = state.history.tile_entries(tile.level_index(), tile.width()).await?;
        entries.and_then(|entries| bundle(&entries))
    } else {
        state.history.tile(tile.level(), tile.level_index(), tile.width()).await?
    };
    let bytes = bytes.ok_or(ApiError::NotFound)?;
    // A tile never changes. A shared cache may keep it if everyone may read it.
    let is_open = state.tokens.reader(None).is_ok() && !headers.contains_key(AUTHORIZATION);
    let caching = if is_open { "public, max-age=31536000, immutable" } else { "private, max-age=31536000, immutable" };
    Ok(([(CONTENT_TYPE, BYTES), (CACHE_CONTROL, caching)], bytes).into_response())
}

/// Parses the path of a tile of height 8.
fn parse(path: &str) -> Option<Tile> {
    let (level, rest) = path.split_once('/')?;
    let level = if level == "entries" {
        "data"
    } else {
        level.parse::<u8>().ok().filter(|level| *level <= MAX_LEVEL)?;
        level
    };
    if let Some((_, width)) = rest.rsplit_once(".p/") {
        width.parse::<u8>().ok().filter(|width| *width > 0)?;
    }
    Tile::from_path(&format!("tile/8/{level}/{rest}")).ok()
}

/// Encodes entries, each after its length in two bytes; `None` when one is too long for that.
fn bundle(entries: &[String]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for entry in entries {
        bytes.extend(u16::try_from(entry.len()).ok()?.to_be_bytes());
        bytes.extend(entry.as_bytes());
    }
    Some(bytes)
}

/// Proves that a signal is in the log: a checkpoint, and the way to it from each change of the signal and from its outcome.
#[utoipa::path(
    get,
    path = "/api/signals/{id}/proof",
    operation_id = "prove_signal",
    security(("reader" = [])),
    params(("id" = String, Path, description = "Id of the signal", example = "model_001")),
    responses((status = 200, body = ProofObject, description = "The proof"), Refuses<404>),
)]
pub(super) async fn proof(
    _: ReadAccess,
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let id = SignalId::new(&id?).ok_or(ApiError::SignalNotFound)?;
    let (head, leaves) = state.history.signal_proof(&id).await?.ok_or(ApiError::SignalNotFound)?;
    let leaves = leaves.into_iter().map(LeafObject::from).collect();
    let proof = ProofObject { checkpoint: sign(&state, &head)?, leaves };
    Ok(([(CACHE_CONTROL, "no-cache")], Json(proof)).into_response())
}

/// Proves that the log only grew: the tree with `from` leaves is the beginning of the tree with `to` leaves.
#[utoipa::path(
    get,
    path = "/api/log/consistency",
    operation_id = "prove_consistency",
    security(("reader" = [])),
    params(
        ("from" = u64, Query, description = "Number of leaves of the earlier checkpoint", minimum = 1, example = 1),
        ("to" = Option<u64>, Query, description = "Number of leaves of the later one; those of the current one by default", minimum = 1),
    ),
    responses((status = 200, body = ConsistencyObject, description = "The proof"), Refuses<422>),
)]
pub(super) async fn consistency(
    _: ReadAccess,
    State(state): State<AppState>,
    query: RawQuery,
) -> Result<Response, ApiError> {
    let size = state.history.tree_head().await?.size;
    let mut params = Params::new(query)?;
    params.require("from");
    let within = |least: u64| move |text: &str| text.parse().ok().filter(|leaves| (least..=size).contains(leaves));
    let range = format!("a number of leaves from 1 to {size}, those that the log has");
    let from = params.read("from", &range, within(1));
    let to = params.read("to", &format!("a number of leaves from `from` to {size}"), within(from.unwrap_or(1)));
    params.finish()?;
    let (from, to) = (from.ok_or(ApiError::Internal)?, to.unwrap_or(size));
    let hashes = state.history.consistency(from, to).await?.ok_or(ApiError::Internal)?;
    let hashes = hashes.iter().map(encode).collect();
    Ok(Json(ConsistencyObject { from, to, hashes }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_is_parsed_or_not_found() {
        let tile =
            |path: &str| parse(path).map(|tile| (tile.is_data(), tile.level(), tile.level_index(), tile.width()));
        assert_eq!(tile("0/000"), Some((false, 0, 0, 256)));
        assert_eq!(tile("2/x001/x234/067.p/8"), Some((false, 2, 1_234_067, 8)));
        assert_eq!(tile("entries/007.p/255"), Some((true, 0, 7, 255)));
        for wrong in [
            "",
            "0",
            "/",
            "0/",
            "6/000",
            "63/000",
            "200/000",
            "-1/000",
            "+1/000",
            "00/000",
            "data/000",
            "0/0",
            "0/000.p",
            "0/000.p/",
            "0/000.p/0",
            "0/000.p/00",
            "0/000.p/256",
            "0/000.p/+5",
            "0/000.p/5/",
            "0/000.p/5/000",
            "entries",
            "0/x000/000",
            "0/x018/x446/x744/x073/x709/x551/616",
            "0/000/../000",
            "0/é00",
            "entries/entries/000",
        ] {
            assert_eq!(tile(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_entry_too_long_for_a_bundle_is_missing() {
        assert_eq!(bundle(&["ab".into(), String::new()]), Some(vec![0, 2, b'a', b'b', 0, 0]));
        assert_eq!(bundle(&["a".repeat(65_536)]), None);
    }
}
