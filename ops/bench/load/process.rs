//! What the kernel says of a server's processes: CPU time and memory.

use std::{collections::BTreeMap, fs};

/// The kernel counts CPU time for user space in steps of so many milliseconds.
const TICK_MS: u64 = 10;

/// One look at some processes and their descendants.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    /// User and system time, ended children's included, milliseconds.
    pub(crate) cpu_ms: u64,
    /// Resident memory; of several processes their proportional shares, so that shared pages count once.
    pub(crate) resident_kib: u64,
}

struct Stat {
    parent: u32,
    cpu_ms: u64,
}

/// Looks at processes and all that descends from them.
pub(crate) fn look(roots: &[u32]) -> Look {
    let family = family(roots);
    let cpu_ms = family.values().sum();
    let resident_kib = match family.len() {
        1 => family
            .keys()
            .map(|pid| memory(*pid, "status", "VmRSS:"))
            .sum(),
        _ => family
            .keys()
            .map(|pid| memory(*pid, "smaps_rollup", "Pss:"))
            .sum(),
    };
    Look {
        cpu_ms,
        resident_kib,
    }
}

/// Looks at the tool itself.
pub(crate) fn own_cpu_ms() -> u64 {
    stat(std::process::id()).map_or(0, |stat| stat.cpu_ms)
}

/// Whether a process runs: it exists and does not just wait for its parent to take notice of its end.
pub(crate) fn is_alive(pid: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"));
    text.is_ok_and(|text| {
        let after_name = text.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        after_name.is_some_and(|rest| !rest.starts_with('Z'))
    })
}

fn family(roots: &[u32]) -> BTreeMap<u32, u64> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some(stat) = stat(pid)
        {
            all.insert(pid, stat);
        }
    }
    let mut found = BTreeMap::new();
    let mut waiting = roots.to_vec();
    while let Some(pid) = waiting.pop() {
        let Some(stat) = all.get(&pid) else { continue };
        if found.insert(pid, stat.cpu_ms).is_none() {
            let children = all.iter().filter(|(_, stat)| stat.parent == pid);
            waiting.extend(children.map(|(child, _)| *child));
        }
    }
    found
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, which may contain anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields
        .get(11..15)?
        .iter()
        .flat_map(|field| field.parse::<u64>())
        .sum();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        cpu_ms: ticks * TICK_MS,
    })
}

fn memory(pid: u32, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
