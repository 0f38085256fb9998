//! What the kernel says of this process, under the names that Prometheus' own clients use.

use std::{fmt::Write as _, fs};

use super::documented;

/// The kernel counts time in so many parts of a second, on all machines.
const TICKS: f64 = 100.0;

/// All that is told, with its kind.
pub(super) const NAMES: [(&str, &str); 6] = [
    ("process_cpu_seconds_total", "counter"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
    ("process_threads", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_max_fds", "gauge"),
];

/// The figures as Prometheus reads them. What cannot be read is left out.
pub(super) fn render() -> String {
    let stat = Stat::read();
    let values = [
        stat.as_ref().map(|stat| stat.cpu_s),
        resident_bytes(),
        stat.as_ref()
            .and_then(|stat| Some(boot_s()? + stat.begun_s)),
        stat.as_ref().map(|stat| stat.threads),
        fs::read_dir("/proc/self/fd")
            .ok()
            .map(|open| open.count() as f64),
        files_max(),
    ];
    let mut text = String::new();
    for ((name, kind), value) in NAMES.into_iter().zip(values) {
        if let Some(value) = value {
            let meaning = documented::meaning(name);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP {name} {meaning}\n# TYPE {name} {kind}\n{name} {value}\n\n"
            );
        }
    }
    text
}

/// Of `/proc/self/stat`.
struct Stat {
    cpu_s: f64,
    threads: f64,
    /// Since the machine was started.
    begun_s: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // Behind the name, which may have anything in it.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            cpu_s: (number(11)? + number(12)?) / TICKS,
            threads: number(17)?,
            begun_s: number(19)? / TICKS,
        })
    }
}

fn boot_s() -> Option<f64> {
    line_of("/proc/stat", "btime ")
}

fn resident_bytes() -> Option<f64> {
    line_of("/proc/self/status", "VmRSS:").map(|kilobytes| kilobytes * 1024.0)
}

fn files_max() -> Option<f64> {
    line_of("/proc/self/limits", "Max open files")
}

/// The first number of a line.
fn line_of(path: &str, beginning: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(beginning))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_of_it() {
        let text = render();
        for (name, _) in NAMES {
            let line = format!("\n{name} ");
            let (_, rest) = text
                .split_once(&line)
                .unwrap_or_else(|| panic!("{name}: {text}"));
            let value: f64 = rest.lines().next().unwrap().parse().unwrap();
            assert!(value >= 0.0, "{name} is {value}");
        }
    }
}
