//! Access to the server: limits of connections, tokens, and open users.

use std::sync::Arc;

use anyhow::Context;
use tracing::{info, warn};

use crate::auth::{OpenUsers, StoredTokens, Tokens};
use crate::config::{Limits, Secret, ServerSettings, Settings};
use crate::domain::UserNote;
use crate::listener::{self, ListenerConfig, Proxies};
use crate::pipeline::clock;
use crate::store::Recovered;
use crate::transport::socketio::PollingLimits;

/// Returns how many connections may be open at a time, and how many of one address. The number of connections is never more than
/// the file descriptors allow.
pub(super) fn connection_limits(settings: &ServerSettings) -> (usize, usize) {
    let descriptors = listener::raise_limit();
    let within = listener::connections_within(descriptors);
    let max_connections = match settings.max_connections {
        0 => within,
        asked if asked > within => {
            warn!(
                asked,
                descriptors,
                within,
                "server.max_connections is more than the limit of file descriptors allows: raise that limit"
            );
            within
        }
        asked => asked,
    };
    info!(max_connections, descriptors, "connections that may be open at a time");
    (max_connections, unlimited_if_zero(settings.max_connections_per_address))
}

/// Returns the limits of the listener.
pub(super) fn listener_config(settings: &ServerSettings) -> anyhow::Result<ListenerConfig> {
    let (max_connections, max_per_address) = connection_limits(settings);
    let (trusted, header) = settings.proxies().context("cannot start")?;
    let proxies = Proxies { trusted, header };
    Ok(ListenerConfig { max_connections, max_per_address, proxies, ..ListenerConfig::default() })
}

/// Memory of the process per open long-polling session, in bytes.
const MEMORY_PER_SESSION: u64 = 128 * 1024;
/// The messages that wait for polls may use one part in this many of the memory.
const WAITING_SHARE: u64 = 8;
/// The memory that is assumed where the system does not report it, in bytes.
const ASSUMED_MEMORY: u64 = 1 << 30;
/// Long-polling sessions that are allowed on any machine.
const MIN_SESSIONS: usize = 256;

/// Returns the limits of long-polling sessions, which depend on the memory of the process.
pub(super) fn polling_limits(settings: &Settings, max_connections: usize) -> PollingLimits {
    let memory = listener::memory_limit().unwrap_or(ASSUMED_MEMORY);
    let sessions = match settings.server.max_polling_sessions {
        0 => ((memory / MEMORY_PER_SESSION) as usize).max(MIN_SESSIONS).min(max_connections),
        asked => asked,
    };
    let per_address = unlimited_if_zero(settings.server.max_connections_per_address);
    let waiting_bytes = (memory / WAITING_SHARE) as usize;
    info!(sessions, waiting_bytes, "long-polling sessions that may be open at a time");
    PollingLimits { sessions, per_address, waiting_bytes, poll_timeout: settings.socketio.ping_timeout }
}

fn unlimited_if_zero(most: usize) -> usize {
    if most == 0 { usize::MAX } else { most }
}

/// Returns the verifier of tokens, with those that are stored and the `admin` token of the first start.
pub(super) fn tokens(settings: &Settings, recovered: &Recovered, admin: Option<Secret>) -> anyhow::Result<Arc<Tokens>> {
    let stored = StoredTokens::open(&settings.data.dir).context("cannot read the stored tokens")?;
    let tokens = Tokens::new(&settings.auth, clock::wall).with_stored(Arc::new(stored)).with_admin(admin);
    limit_tokens(&tokens, settings);
    for UserNote { user, not_before, .. } in &recovered.users {
        if let Some(not_before) = not_before {
            tokens.revoke(user, *not_before);
        }
    }
    Ok(Arc::new(tokens))
}

/// Sets the limits of what the holders of tokens may do.
pub(super) fn limit_tokens(tokens: &Tokens, Settings { server, limits, .. }: &Settings) {
    let Limits { pushes_per_second, pushes_burst, wrong_tokens_per_minute, .. } = *limits;
    tokens.set_max_logins(server.max_connections_per_user);
    tokens.set_pushes(pushes_per_second, pushes_burst);
    tokens.set_max_wrong_tokens(wrong_tokens_per_minute);
}

/// Returns the users whose streams open by user id alone, without a token: by the settings, or because their data is simulated.
pub(super) fn open_users(settings: &Settings) -> OpenUsers {
    if settings.trusts_user_ids() {
        return OpenUsers::Everybody;
    }
    let demo = settings.demo.users.iter().filter(|_| settings.desk_runs());
    OpenUsers::Only(demo.map(|user| user.as_str().into()).collect())
}
