//! What the operating system knows of this process, where it tells (Linux): the usual `process_*` series.

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// When the metrics were made, which is when the process started to serve.
static STARTED_S: LazyLock<f64> =
    LazyLock::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));

/// Remembers when the process started.
pub(super) fn started() {
    LazyLock::force(&STARTED_S);
}

/// Adds what is known; nothing where it is not.
pub(super) fn draw(registry: &mut Registry) {
    let start = Gauge::<f64, AtomicU64>::default();
    start.set(*STARTED_S);
    registry.register("process_start_time_seconds", "When the service started, since the epoch", start);
    if let Some(kib) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_kib) {
        let resident = Gauge::<u64, AtomicU64>::default();
        resident.set(kib.saturating_mul(1024));
        registry.register("process_resident_memory_bytes", "Memory that is in use", resident);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let files = Gauge::<i64>::default();
        files.set(i64::try_from(open.count()).unwrap_or(i64::MAX));
        registry.register("process_open_fds", "Open file descriptors", files);
    }
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_is_read() {
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t   1234 kB\nVmData:\t1 kB\n"), Some(1234));
        assert_eq!(resident_kib("Name:\tx\n"), None);
    }
}
