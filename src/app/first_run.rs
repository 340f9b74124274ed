//! The first start: an admin token where no token is set, and the steps of the console's start page.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use crate::auth::{AdminTokenFile, OneTimeCode};
use crate::config::{BasePath, Secret, Settings};
use crate::domain::Quality;
use crate::http::{StartProgress, StartSteps};
use crate::pipeline::clock;
use crate::transport::Gateway;

/// The file of the steps in the data directory.
const STEPS: &str = "start.json";
/// The interval between two looks at what has happened.
const INTERVAL: Duration = Duration::from_millis(500);

/// What a first start has made, and the steps of the start page.
#[derive(Debug, Default)]
pub(super) struct FirstRun {
    /// The admin token, where the settings have none.
    pub(super) token: Option<Secret>,
    /// What the link is exchanged by.
    pub(super) code: Arc<OneTimeCode>,
    /// The steps of the start page.
    pub(super) progress: Arc<StartProgress>,
    /// The code of the link, if the token is new.
    link: Option<String>,
    file: PathBuf,
}

impl FirstRun {
    /// Opens the log by `open`, which makes the data directory, and notes whether there was anything in it. Then it reads the admin
    /// token of the directory, or makes one where no token is set. In a cluster there is none: it would be valid on one node only.
    pub(super) fn begin<T>(settings: &Settings, open: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(Self, T)> {
        let was_empty = fs::read_dir(&settings.data.dir).map_or(true, |mut entries| entries.next().is_none());
        let opened = open()?;
        let file = AdminTokenFile::in_directory(&settings.data.dir);
        let progress = progress(settings, was_empty);
        let mut first = Self { progress, file: file.path().to_owned(), ..Self::default() };
        if settings.server.first_run && !settings.cluster.is_on() && settings.auth.admin_token.is_none() {
            first.find_token(&file, settings.auth.has_any());
        }
        Ok((first, opened))
    }

    fn find_token(&mut self, file: &AdminTokenFile, has_other_tokens: bool) {
        let found = match file.read() {
            Ok(None) if !has_other_tokens => self.make(file),
            Ok(token) => {
                self.token = token;
                Ok(())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = found {
            let file = self.file.display();
            warn!(%file, %error, "the admin token cannot be read or made; set ORION_ADMIN_TOKEN to use the admin page");
        }
    }

    fn make(&mut self, file: &AdminTokenFile) -> io::Result<()> {
        let token = file.create()?;
        self.link = Some(self.code.issue(token.clone())?);
        self.token = Some(token);
        Ok(())
    }

    /// Prints the link of a new token, or where the token is. The code in the link is good once and for half an hour.
    pub(super) fn announce(&self, address: SocketAddr, base_path: &BasePath) {
        let file = self.file.display();
        match &self.link {
            Some(code) => {
                let link = format!("{}{}/admin.html#code={code}", origin(address), base_path.as_str());
                info!(%link, %file, "first start: this link opens the admin page once, within 30 min; the admin token is in the file");
            }
            None if self.token.is_some() => info!(%file, "the admin token is in the file"),
            None => {}
        }
    }

    /// Watches for the steps until all of them have happened.
    pub(super) fn watch(&self, settings: &Settings, gateway: &Gateway) {
        let (file, stopping) = (settings.data.dir.join(STEPS), gateway.tasks.stopping());
        let (progress, hub, metrics) = (self.progress.clone(), gateway.hub.clone(), gateway.metrics.clone());
        gateway.tasks.spawn("start page", async move {
            while !progress.steps().are_done() && stopping.run_until_cancelled(sleep(INTERVAL)).await.is_some() {
                let steps = &metrics.first_steps;
                let is_real = |quality| !matches!(quality, Quality::Simulated | Quality::Replayed);
                let has_price =
                    progress.steps().price_at.is_none() && hub.prices().iter().any(|price| is_real(price.quality));
                let now = clock::wall();
                let changed = progress.update(|known| {
                    let note = |at: &mut Option<_>, has_happened: bool| {
                        if has_happened {
                            at.get_or_insert(now);
                        }
                    };
                    note(&mut known.dashboard_at, steps.has_dashboard());
                    note(&mut known.push_at, steps.has_push());
                    note(&mut known.price_at, has_price);
                });
                if let Some(known) = changed.filter(|known| known.began_at.is_some()) {
                    let file = file.clone();
                    tokio::task::spawn_blocking(move || save(&file, &known)).await.ok();
                }
            }
            stopping.cancelled().await;
            Ok::<_, Infallible>(())
        });
    }
}

/// Returns the origin of the console as a browser on this machine sees it.
fn origin(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// Reads the steps of the start page; new ones where the data directory was empty.
fn progress(settings: &Settings, was_empty: bool) -> Arc<StartProgress> {
    let file = settings.data.dir.join(STEPS);
    let steps = if !settings.server.first_run {
        StartSteps::default()
    } else if was_empty {
        let steps = StartSteps { began_at: Some(clock::wall()), ..StartSteps::default() };
        save(&file, &steps);
        steps
    } else {
        // A file that cannot be read is as good as none: the page only helps.
        fs::read(&file).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    };
    Arc::new(StartProgress::new(steps))
}

fn save(file: &Path, steps: &StartSteps) {
    let written = serde_json::to_vec(steps).map_err(io::Error::from).and_then(|json| fs::write(file, json));
    if let Err(error) = written {
        warn!(file = %file.display(), %error, "the steps of the start page cannot be saved; after a restart they begin again");
    }
}
