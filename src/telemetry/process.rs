//! What this process takes of its machine, as the kernel counts it.

use std::fs;

/// Ticks of the kernel's clock in a second: 100 on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// Measures the processor from one look to the next.
#[derive(Debug, Default)]
pub struct ProcessorMeter {
    /// Processor time and age of the process at the last look, in ticks.
    last: (f64, f64),
}

impl ProcessorMeter {
    /// Share of all processors since the last look, or since the process began, in percent; `None` where the kernel does
    /// not tell.
    pub fn percent(&mut self) -> Option<f64> {
        let uptime: f64 = fs::read_to_string("/proc/uptime").ok()?.split(' ').next()?.parse().ok()?;
        let (used, began) = processor_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let age = uptime * TICKS - began;
        let (used_before, age_before) = std::mem::replace(&mut self.last, (used, age));
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as f64;
        let share = (used - used_before) / (age - age_before).max(1.0) / processors;
        Some(percent(share))
    }
}

/// Share of the machine's memory that the process holds, in percent; `None` where the kernel does not tell.
pub fn memory_percent() -> Option<f64> {
    let held = kilobytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")?;
    let total = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    (total > 0.0).then(|| percent(held / total))
}

/// A share in percent with two decimals.
fn percent(share: f64) -> f64 {
    (share.clamp(0.0, 1.0) * 10_000.0).round() / 100.0
}

/// Processor time used, and when the process began: fields 14, 15 and 22. The second, its name, may hold anything.
fn processor_ticks(stat: &str) -> Option<(f64, f64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let began: f64 = fields.nth(6)?.parse().ok()?;
    Some((user + system, began))
}

fn kilobytes(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000 10";
        assert_eq!(processor_ticks(stat), Some((300.0, 12345.0)));
        assert_eq!(processor_ticks("7 (a"), None);
        assert_eq!(kilobytes("VmPeak:\t 9 kB\nVmRSS:\t   5120 kB\n", "VmRSS:"), Some(5120.0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_takes_between_nothing_and_everything() {
        let mut meter = ProcessorMeter::default();
        for _ in 0..2 {
            assert!((0.0..=100.0).contains(&meter.percent().unwrap()));
        }
        assert!(memory_percent().is_some_and(|share| share > 0.0 && share < 100.0));
    }
}
