//! The memory that this process has needed. Linux alone tells it without further libraries.

/// The largest resident set so far, or since [`reset_peak`], bytes.
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Starts to count anew, where the system allows it (proc(5), `clear_refs`).
pub fn reset_peak() {
    // Where it does not, the peak is that of the whole process, which is a bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
