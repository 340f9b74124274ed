//! A server under test: in this process, or the real binary as a process of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use orion_server::app;
use orion_server::config::{Loaded, Settings};
use orion_server::listener::listen;
use orion_server::telemetry::logging;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::{PATIENCE, soon, until};

/// The ingest token of every server that is started here.
pub(crate) const TOKEN: &str = "integration-token";

/// The binary under test, with an environment of its own and nothing configured.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orion-server"));
    command.env_clear().env("ORION_LOG_FORMAT", "json").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// A running server. Ends when dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) http: reqwest::Client,
    /// For `/metrics`, where reading needs a token.
    pub(super) read_token: Option<String>,
    host: Host,
    pub(super) log: Log,
    /// Where it runs, and where its data are unless a setting says otherwise.
    _dir: tempfile::TempDir,
}

/// Where a server runs.
enum Host {
    Here { stop: CancellationToken, ended: Option<JoinHandle<anyhow::Result<()>>> },
    Process(Child),
}

impl Drop for Host {
    fn drop(&mut self) {
        if let Self::Here { stop, .. } = self {
            stop.cancel();
        }
    }
}

impl Server {
    /// A server for pushes only, that publishes often.
    pub(crate) async fn push_only() -> Self {
        Self::start(&[]).await
    }

    /// A server in this process, with a runtime and a log of its own and these settings on top: push only unless they say
    /// otherwise.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_changed(settings, |_| ()).await
    }

    /// The same, with a change that no setting can make.
    pub(crate) async fn start_changed(settings: &[(&str, &str)], change: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data").display().to_string();
        let mut env = Self::pushes();
        env.extend([
            ("ORION_LOG_FORMAT", "json"),
            ("PORT", "0"),
            ("ORION_HOST", "127.0.0.1"),
            ("ORION_DATA_DIR", &data),
            // Nothing is kept over its end, which the load balancer need not notice.
            ("ORION_DRAIN_TIMEOUT", "2s"),
        ]);
        env.extend(settings.iter().copied());
        let env: BTreeMap<_, _> = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let Loaded { mut settings, warnings, .. } =
            Settings::load(orion_server::sources::providers::tables(), &env, None).unwrap();
        change(&mut settings);
        let (reader, writer) = std::io::pipe().unwrap();
        let log = Log::of(pipe::Receiver::from_owned_fd(reader.into()).unwrap());
        let (dispatch, _) = logging::dispatch(&settings.log, Arc::new(writer), false).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let run = move || {
            // The log of every thread of the runtime, until it ends.
            let log_here = move || std::mem::forget(tracing::dispatcher::set_default(&dispatch));
            log_here();
            let runtime =
                Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(log_here).build()?;
            runtime.block_on(async {
                for warning in &warnings {
                    tracing::warn!("{warning}");
                }
                app::run(listen(settings.server.address())?, &settings, stopped.cancelled_owned()).await
            })
        };
        let host = Host::Here { stop, ended: Some(std::thread::spawn(run)) };
        Self::listening(host, log, dir, env.get("ORION_READ_TOKEN").cloned()).await
    }

    /// The same by the real binary: for what a process has, such as its memory, signals and an end without notice.
    pub(crate) async fn process(settings: &[(&str, &str)]) -> Self {
        let mut env = Self::pushes();
        env.extend(settings.iter().copied());
        Self::start_with(env).await
    }

    /// The same on a data directory that outlives it, once it is ready.
    pub(crate) async fn start_on(data: impl AsRef<Path>, settings: &[(&str, &str)]) -> Self {
        let data = ("ORION_DATA_DIR", data.as_ref().to_str().unwrap());
        let server = Self::process(&[&[data], settings].concat()).await;
        until("it is ready", async || server.get("/ready").await.0 == 200).await;
        server
    }

    /// A server with these settings and no others. An empty value leaves a setting out.
    pub(crate) async fn start_with(env: BTreeMap<&str, &str>) -> Self {
        Self::launch(binary(), env).await
    }

    /// The same by another command, which becomes the server.
    pub(crate) async fn launch(mut command: Command, env: BTreeMap<&str, &str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        command.current_dir(dir.path()).env("PORT", "0").env("ORION_HOST", "127.0.0.1").stdout(Stdio::piped());
        let read_token = env.get("ORION_READ_TOKEN").map(ToString::to_string);
        command.envs(env.into_iter().filter(|(_, value)| !value.is_empty()));
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stdout.take().unwrap());
        Self::listening(Host::Process(child), log, dir, read_token).await
    }

    async fn listening(host: Host, log: Log, dir: tempfile::TempDir, read_token: Option<String>) -> Self {
        let listening = soon("the server listens", log.line("listening")).await.expect("the server starts");
        let addr = listening["address"].as_str().unwrap().parse().unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { addr, http, read_token, host, log, _dir: dir }
    }

    /// The same as [`Self::process`] in so many MiB of memory: more than that the process cannot have, and would be gone.
    ///
    /// The limit is that of the data segment, which counts private memory that can be written to, and which everybody may
    /// lower for himself: no group of the kernel's is needed, nor root.
    pub(crate) async fn start_within(mebibytes: usize, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new("sh");
        let limited = format!("ulimit -d {} && exec \"$0\"", mebibytes * 1024);
        command.env_clear().stdin(Stdio::null()).kill_on_drop(true).args(["-c", &limited]);
        command.arg(binary().as_std().get_program()).env("ORION_LOG_FORMAT", "json");
        let mut env = Self::pushes();
        env.extend(settings.iter().copied());
        Self::launch(command, env).await
    }

    fn pushes() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("ORION_SOURCES", "none"),
            ("ORION_PUBLISH_INTERVAL", "100ms"),
            ("ORION_INGEST_TOKEN", TOKEN),
            // What the start on an empty data directory does has tests of its own.
            ("ORION_FIRST_RUN", "0"),
            // Tests push as fast as they can.
            ("ORION_LIMITS__PUSHES_PER_SECOND", "0"),
            // And try as many tokens as they like.
            ("ORION_LIMITS__WRONG_TOKENS_PER_MINUTE", "0"),
        ])
    }

    /// Resident memory, in MB.
    pub(crate) fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// Resident memory without that of files, such as the program itself, in MB.
    pub(crate) fn allocated(&self) -> f64 {
        self.memory("RssAnon:")
    }

    /// The most that was resident so far, in MB.
    pub(crate) fn peak(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn child(&self) -> &Child {
        let Host::Process(child) = &self.host else { panic!("this test needs Server::process") };
        child
    }

    fn memory(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child().id().unwrap())).unwrap();
        let line = status.lines().find(|text| text.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        match &mut self.host {
            Host::Here { ended, .. } => ended.as_ref().is_some_and(|ended| !ended.is_finished()),
            Host::Process(child) => child.try_wait().unwrap().is_none(),
        }
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child().id().unwrap())).unwrap().count()
    }

    /// Processor time used so far, in the kernel and outside.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child().id().unwrap())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // The kernel tells it in hundredths of a second, whatever its own clock is.
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn terminate(&self) {
        match &self.host {
            Host::Here { stop, .. } => stop.cancel(),
            Host::Process(_) => self.signal("-TERM"),
        }
    }

    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(mut self) {
        let Host::Process(child) = &mut self.host else { panic!("this test needs Server::process") };
        child.kill().await.unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child().id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        match &mut self.host {
            Host::Here { ended, .. } => {
                let ended = ended.take().expect("it exits once");
                let ended = tokio::task::spawn_blocking(move || ended.join());
                soon("the server ends", ended)
                    .await
                    .unwrap()
                    .expect("no panic")
                    .map_or(ExitStatus::from_raw(256), |()| ExitStatus::default())
            }
            Host::Process(child) => soon("the server exits", child.wait()).await.unwrap(),
        }
    }

    /// Stops cleanly; anything else fails the test.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        assert_eq!(self.exit().await.code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The reason that a test failed is often there.
        if std::thread::panicking() {
            eprintln!("{}", self.complaints().join("\n"));
        }
    }
}
