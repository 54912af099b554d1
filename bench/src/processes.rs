//! What a process and all that it has started take of the host: a machine is more than one.
use anyhow::{Context, Result};
use std::fs;

/// The process, its children, their children and so on.
fn family(id: u32) -> Vec<u32> {
    let mut all = vec![id];
    let mut next = 0;
    while let Some(id) = all.get(next) {
        let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        // One that has just ended counts no more.
        let children = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let text: String = threads.map(children).collect();
        all.extend(text.split_whitespace().filter_map(|id| id.parse::<u32>().ok()));
        next += 1;
    }
    all
}

/// A field of a file of `/proc/ID`, in kilobytes there, as megabytes.
fn megabytes(id: u32, file: &str, field: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/{file}"))?;
    let value = |line: &str| line.strip_prefix(field)?.split_whitespace().next()?.parse::<f64>().ok();
    Ok(text.lines().find_map(value).with_context(|| format!("no {field}"))? * 1024.0 / 1e6)
}

/// Megabytes resident, those that several share counted once.
pub(crate) fn resident(id: u32) -> Result<f64> {
    family(id).into_iter().map(|id| megabytes(id, "smaps_rollup", "Pss:")).sum()
}

/// The most that was ever resident, in megabytes; what several share is counted for each.
pub(crate) fn peak(id: u32) -> Result<f64> {
    family(id).into_iter().map(|id| megabytes(id, "status", "VmHWM:")).sum()
}

/// Seconds that all their threads have run.
pub(crate) fn processor_time(id: u32) -> Result<f64> {
    let mut total = 0.0;
    for id in family(id) {
        for task in fs::read_dir(format!("/proc/{id}/task"))? {
            // One that has just ended counts no more.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            total += text.split(' ').next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
        }
    }
    Ok(total / 1e9)
}
