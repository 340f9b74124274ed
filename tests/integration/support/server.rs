//! The real binary as a process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

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

/// A running server process. Killed when dropped.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) http: reqwest::Client,
    child: Child,
    pub(super) log: Log,
    /// Where it runs, and where its data are unless a setting says otherwise.
    _dir: tempfile::TempDir,
}

impl Server {
    /// A server for pushes only, that publishes often.
    pub(crate) async fn push_only() -> Self {
        Self::start(&[]).await
    }

    /// A server with these settings on top: push only unless they say otherwise.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let mut env = Self::pushes();
        env.extend(settings.iter().copied());
        Self::start_with(env).await
    }

    /// The same on a data directory that outlives it, once it is ready.
    pub(crate) async fn start_on(data: impl AsRef<Path>, settings: &[(&str, &str)]) -> Self {
        let data = ("ORION_DATA_DIR", data.as_ref().to_str().unwrap());
        let server = Self::start(&[&[data], settings].concat()).await;
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
        command.envs(env.into_iter().filter(|(_, value)| !value.is_empty()));
        let mut child = command.spawn().unwrap();
        let log = Log::of(child.stdout.take().unwrap());
        let listening = soon("the server listens", log.line("listening")).await.expect("the server starts");
        let addr = listening["address"].as_str().unwrap().parse().unwrap();
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self { addr, http, child, log, _dir: dir }
    }

    /// The same as [`Self::start`] in so many MiB of memory: more than that the process cannot have, and would be gone.
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

    fn memory(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find(|text| text.starts_with(line)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id().unwrap())).unwrap().count()
    }

    /// Processor time used so far, in the kernel and outside.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id().unwrap())).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        // The kernel tells it in hundredths of a second, whatever its own clock is.
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) async fn exit(&mut self) -> ExitStatus {
        soon("the server exits", self.child.wait()).await.unwrap()
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
