//! CPU time and memory of processes, read from `/proc`.
//!
//! CPU time is the sum over threads of `schedstat` run time (ns), kernel threads of an io_uring included; where the
//! kernel does not keep it, user and system time in ticks of 10 ms. A thread that ends within the window is missed.

use std::fs;

use anyhow::Context;

/// The kernel reports ticks of `stat` at this rate on every Linux ABI.
const TICK_NS: u64 = 10_000_000;

/// What some processes have used together at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUsage {
    pub cpu_ns: u64,
    pub rss_kib: u64,
    pub peak_rss_kib: u64,
}

impl ProcessUsage {
    /// Reads the usage of all `pids`.
    pub fn read(pids: &[u32]) -> anyhow::Result<Self> {
        let mut sum = Self::default();
        for pid in pids {
            let (rss_kib, peak_kib) = memory(*pid)?;
            sum.cpu_ns += match scheduled_ns(*pid) {
                0 => ticks(*pid)? * TICK_NS,
                ns => ns,
            };
            sum.rss_kib += rss_kib;
            sum.peak_rss_kib += peak_kib;
        }
        Ok(sum)
    }
}

/// CPU time of this process, threads that have ended included.
pub fn own_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn scheduled_ns(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0;
    };
    // A thread may end between the listing and the read.
    let read = |path: std::path::PathBuf| fs::read_to_string(path.join("schedstat")).ok();
    tasks.flatten().filter_map(|task| run_ns(&read(task.path())?)).sum()
}

/// First field of a `schedstat` line.
fn run_ns(line: &str) -> Option<u64> {
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn ticks(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let line = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    user_and_system(&line).with_context(|| format!("{path} has no times"))
}

/// Fields 14 and 15 of a `stat` line. The name in field 2 may hold blanks and brackets, hence the last bracket.
fn user_and_system(line: &str) -> Option<u64> {
    let mut fields = line.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn memory(pid: u32) -> anyhow::Result<(u64, u64)> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {path}: is {pid} a running process?"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    // Kernel threads and zombies have no memory of their own.
    Ok((field("VmRSS:").unwrap_or(0), field("VmHWM:").unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_lines_are_parsed() {
        assert_eq!(run_ns("123456 789 3\n"), Some(123_456));
        assert_eq!(run_ns(""), None);
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 1 0 9 1 2";
        assert_eq!(user_and_system(line), Some(175));
        assert_eq!(user_and_system("7 (a) S 1"), None);
    }

    #[test]
    fn own_process_has_usage() {
        let start = ProcessUsage::read(&[std::process::id()]).unwrap();
        let mut sum = 0_u64;
        for number in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum ^ number);
        }
        let end = ProcessUsage::read(&[std::process::id()]).unwrap();
        assert!(end.cpu_ns > start.cpu_ns && end.rss_kib > 0 && end.peak_rss_kib >= start.rss_kib);
        assert!(ProcessUsage::read(&[u32::MAX]).is_err());
    }
}
