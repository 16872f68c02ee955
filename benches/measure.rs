//! What the benches measure with: CPU time, which other processes do not change, memory, and the service's allocator.

use std::fs;

/// The same as the service's (`src/main.rs`), so that what a bench measures in process is what the service takes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// CPU time of this thread, in nanoseconds. What `/proc` tells of it is as old as the last tick of the scheduler, up to 4 ms.
pub(crate) fn on_cpu_ns() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// A line of a process's status in bytes: `VmRSS`, `VmHWM`.
pub(crate) fn status_bytes(line: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("Linux tells a process's memory");
    let found = text.lines().find_map(|each| each.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes = found.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kilobytes.expect("the line is there") * 1_024
}
