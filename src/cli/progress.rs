//! How far something long has come, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::{
    fmt,
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// A bar is drawn so often at most.
const DRAWN_EVERY: Duration = Duration::from_millis(100);

/// A line is written so often at most.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Characters of a full bar.
const WIDTH: u64 = 30;

/// Tells of one thing after the other.
pub(super) struct Bar {
    is_terminal: bool,
    /// What is going on.
    doing: Option<Doing>,
}

struct Doing {
    label: &'static str,
    began: Instant,
    /// How much was done when it began: what an earlier run did says nothing about the pace.
    began_at: u64,
    told: Instant,
}

impl Bar {
    /// Nothing is going on yet.
    pub(super) fn new() -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            doing: None,
        }
    }

    /// So much is done of so much; of 0 when that is not known.
    pub(super) fn tell(&mut self, label: &'static str, done: u64, all: u64) {
        let now = Instant::now();
        let is_new = self.doing.as_ref().is_none_or(|doing| doing.label != label);
        if is_new {
            self.end();
            self.doing = Some(Doing {
                label,
                began: now,
                began_at: done,
                told: now,
            });
        }
        let every = if self.is_terminal {
            DRAWN_EVERY
        } else {
            LINE_EVERY
        };
        let Some(doing) = &mut self.doing else {
            return;
        };
        if !is_new && done != all && now.duration_since(doing.told) < every {
            return;
        }
        doing.told = now;
        let state = State {
            label,
            done,
            all,
            since: done.saturating_sub(doing.began_at),
            took: now.duration_since(doing.began),
        };
        let mut output = std::io::stderr().lock();
        // Who cannot see it misses nothing else.
        let _ = if self.is_terminal {
            write!(output, "\r{} {state}\x1b[K", drawn(done, all)).and_then(|()| output.flush())
        } else {
            writeln!(output, "{state}")
        };
    }

    /// What comes next begins on a line of its own.
    pub(super) fn end(&mut self) {
        if self.doing.take().is_some() && self.is_terminal {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.end();
    }
}

fn drawn(done: u64, all: u64) -> String {
    let full = match all {
        0 => 0,
        _ => (done.min(all) as u128 * u128::from(WIDTH) / u128::from(all)) as usize,
    };
    format!(
        "[{}{}]",
        "#".repeat(full),
        "-".repeat(WIDTH as usize - full)
    )
}

/// One moment, in words.
struct State {
    label: &'static str,
    done: u64,
    all: u64,
    /// Done since it began …
    since: u64,
    /// … which is so long ago.
    took: Duration,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.label, thousands(self.done))?;
        if self.all > 0 {
            let percent = u128::from(self.done) * 100 / u128::from(self.all);
            write!(f, " of {} ({percent} %)", thousands(self.all))?;
        }
        let seconds = self.took.as_secs_f64();
        if self.since == 0 || seconds < 0.5 {
            return Ok(());
        }
        let pace = self.since as f64 / seconds;
        write!(f, ", {} a second", thousands(pace as u64))?;
        if self.all > self.done {
            let left = (self.all - self.done) as f64 / pace;
            write!(f, ", {} left", clock(left as u64))?;
        }
        Ok(())
    }
}

/// Hours, minutes and seconds.
fn clock(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

/// A number with its thousands set apart.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 999, 1_000, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_is_left_is_told_from_the_pace_of_this_run() {
        let state = State {
            label: "records",
            done: 600_000,
            all: 1_000_000,
            since: 100_000,
            took: Duration::from_secs(10),
        };
        let said = "records: 600,000 of 1,000,000 (60 %), 10,000 a second, 0:40 left";
        assert_eq!(state.to_string(), said);
    }

    #[test]
    fn what_has_no_end_has_none_left() {
        let state = State {
            label: "snapshots",
            done: 7,
            all: 0,
            since: 7,
            took: Duration::from_secs(7),
        };
        assert_eq!(state.to_string(), "snapshots: 7, 1 a second");
        assert_eq!(clock(3_725), "1:02:05");
        assert_eq!(drawn(1, 0).len(), drawn(1, 1).len());
    }
}
