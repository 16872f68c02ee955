//! What the benches measure with: CPU time, which other processes do not change, and memory.

use std::fs;

/// CPU time of this thread, in nanoseconds.
pub(crate) fn on_cpu_ns() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells a thread's CPU time");
    text.split(' ').next().and_then(|word| word.parse().ok()).expect("schedstat begins with a number")
}

/// A line of a process's status in bytes: `VmRSS`, `VmHWM`.
pub(crate) fn status_bytes(line: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux tells a process's memory");
    let found = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = found.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.expect("the line is there") * 1_024
}
