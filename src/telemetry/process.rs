//! The resources that this process uses, read from `/proc`. Without `/proc`, the values are absent.

use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

/// The age up to which a sample is reused, so that frequent calls cost nothing.
const MAX_AGE: Duration = Duration::from_secs(1);
/// The unit of the times in `/proc/self/stat`; constant on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the resources of the process.
#[derive(Debug)]
pub struct Process {
    started: Instant,
    last: Mutex<Option<UsageSample>>,
}

/// The resources of a process. `None` where the system does not report them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Time since the start of the process.
    pub uptime: Duration,
    /// Processor time since the start, in user and kernel mode, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Processor time since the previous sample, in percent of all processors that the process may use.
    pub cpu_percent: Option<f64>,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Resident memory in percent of the machine's memory.
    pub resident_percent: Option<f64>,
    /// Virtual memory in bytes.
    pub virtual_bytes: Option<u64>,
    /// Available memory of the machine, in percent.
    pub available_percent: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open files and connections.
    pub open_files: Option<u64>,
    /// The limit of open files and connections.
    pub max_files: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct UsageSample {
    at: Instant,
    usage: Usage,
}

impl Default for Process {
    fn default() -> Self {
        Self { started: Instant::now(), last: Mutex::default() }
    }
}

impl Process {
    /// Returns the usage, at most `MAX_AGE` old.
    pub fn usage(&self) -> Usage {
        let mut last = self.last.lock();
        let now = Instant::now();
        let uptime = now - self.started;
        match last.as_ref() {
            Some(sample) if now - sample.at < MAX_AGE => Usage { uptime, ..sample.usage },
            before => {
                // Before the first sample, the processor time is 0 at the start.
                let (since, used) =
                    before.map_or((self.started, Some(0.0)), |sample| (sample.at, sample.usage.cpu_seconds));
                let mut usage = Usage { uptime, ..read() };
                let cpu = usage.cpu_seconds.zip(used);
                usage.cpu_percent = cpu.and_then(|(cpu, used)| percent(cpu - used, now - since));
                *last = Some(UsageSample { at: now, usage });
                usage
            }
        }
    }
}

fn percent(cpu_seconds: f64, span: Duration) -> Option<f64> {
    let processors = available_parallelism().map_or(1, NonZero::get) as f64;
    let percent = 100.0 * cpu_seconds / (span.as_secs_f64() * processors);
    percent.is_finite().then(|| percent.clamp(0.0, 100.0))
}

fn read() -> Usage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = |name| field(&status, name).map(|kilobytes| kilobytes * 1024);
    let total = field(&memory, "MemTotal");
    let share = |part: u64, total: u64| 100.0 * part as f64 / total as f64;
    let available = field(&memory, "MemAvailable").zip(total);
    Usage {
        cpu_seconds: cpu_seconds(),
        resident_bytes: kilobytes("VmRSS"),
        resident_percent: field(&status, "VmRSS").zip(total).map(|(held, total)| share(held, total)),
        virtual_bytes: kilobytes("VmSize"),
        available_percent: available.map(|(available, total)| share(available, total)),
        threads: field(&status, "Threads"),
        open_files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
        max_files: getrlimit(Resource::Nofile).current,
        ..Usage::default()
    }
}

/// Parses the number in a line such as `VmRSS:     1234 kB`.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the processor time of the process, in user and kernel mode.
fn cpu_seconds() -> Option<f64> {
    ticks(&fs::read_to_string("/proc/self/stat").ok()?).map(|ticks| ticks / TICKS_PER_SECOND)
}

/// Returns the sum of fields 14 and 15. Field 2, the name of the program in brackets, may contain any character.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_by_their_whole_name() {
        let status = "Name:\torion\nVmRSSX:\t1 kB\nVmRSS:\t  2048 kB\nThreads:\t5\n";
        assert_eq!((field(status, "VmRSS"), field(status, "Threads")), (Some(2048), Some(5)));
        assert_eq!(field(status, "VmSize"), None);
    }

    #[test]
    fn processor_time_is_found_behind_any_name() {
        assert_eq!(ticks("7 (a) b) R 1 2 3 4 5 6 7 8 9 10 30 12 0 0 20 0 5"), Some(42.0));
        assert_eq!(ticks("7 (a) R 1"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_reports_every_value() {
        let usage = Process::default().usage();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{usage:?}");
        assert!(usage.virtual_bytes >= usage.resident_bytes, "{usage:?}");
        assert!(usage.threads.is_some_and(|threads| threads > 0), "{usage:?}");
        assert!(usage.open_files.is_some_and(|files| files > 0), "{usage:?}");
        assert!(usage.max_files.is_none_or(|most| Some(most) >= usage.open_files), "{usage:?}");
        assert!(usage.cpu_seconds.is_some_and(|seconds| seconds >= 0.0), "{usage:?}");
        assert!(usage.available_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{usage:?}");
        assert!(usage.cpu_percent.is_some_and(|percent| (0.0..=100.0).contains(&percent)), "{usage:?}");
    }
}
