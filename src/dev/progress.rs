//! What people see during long work: a moving line on a terminal, a plain line every 15 seconds elsewhere.

use std::{
    io::IsTerminal,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// Where progress goes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress(Output);

#[derive(Clone, Debug)]
enum Output {
    Terminal(MultiProgress),
    Plain,
    Hidden,
}

/// What the numbers of a [`Task`] count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Packages of a build, of which the total is a guess.
    Packages,
}

/// One piece of long work. Its line goes away when it is dropped.
#[derive(Debug)]
pub struct Task {
    what: String,
    unit: Unit,
    bar: Option<ProgressBar>,
    plain: bool,
    position: AtomicU64,
    total: AtomicU64,
    started: Instant,
    printed: Mutex<Instant>,
}

impl Progress {
    /// Standard error: bars on a terminal, plain lines elsewhere.
    #[must_use]
    pub fn stderr() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self(if terminal { Output::Terminal(MultiProgress::new()) } else { Output::Plain })
    }

    /// Nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        Self(Output::Hidden)
    }

    /// Says one thing, above the moving lines.
    pub fn note(&self, line: &str) {
        match &self.0 {
            // A terminal that went away is no reason to stop working.
            Output::Terminal(bars) => drop(bars.println(line)),
            Output::Plain => eprintln!("{line}"),
            Output::Hidden => {}
        }
    }

    /// Begins a piece of work. `total` 0: not known.
    #[must_use]
    pub fn task(&self, what: &str, unit: Unit, total: u64) -> Task {
        let bar = match &self.0 {
            Output::Terminal(bars) => Some(bars.add(new_bar(what, unit))),
            Output::Plain | Output::Hidden => None,
        };
        let now = Instant::now();
        let task = Task {
            what: what.to_owned(),
            unit,
            bar,
            plain: matches!(self.0, Output::Plain),
            position: AtomicU64::new(0),
            total: AtomicU64::new(0),
            started: now,
            printed: Mutex::new(now),
        };
        task.set_total(total);
        task
    }
}

fn new_bar(what: &str, unit: Unit) -> ProgressBar {
    let template = match unit {
        Unit::Bytes => "{spinner} {prefix} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {wide_msg}",
        Unit::Packages => "{spinner} {prefix} {bar:30} {pos} of about {len} packages, {elapsed} {wide_msg}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::no_length().with_style(style).with_prefix(what.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

impl Task {
    /// Corrects the total, in the task's unit.
    pub fn set_total(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        if let Some(bar) = self.bar.as_ref().filter(|_| total > 0) {
            bar.set_length(total);
        }
    }

    /// Moves on by `amount`.
    pub fn advance(&self, amount: u64) {
        self.position.fetch_add(amount, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(amount);
        }
        self.tick();
    }

    /// Names the part that is being worked on.
    pub fn message(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
    }

    /// To be called now and then: prints the plain line when its time has come.
    pub fn tick(&self) {
        if !self.plain {
            return;
        }
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        if printed.elapsed() >= PLAIN_INTERVAL {
            *printed = Instant::now();
            eprintln!("{}", self.line());
        }
    }

    fn line(&self) -> String {
        let (position, total) = (self.position.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        plain_line(&self.what, self.unit, position, total, self.started.elapsed())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn plain_line(what: &str, unit: Unit, position: u64, total: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    match unit {
        Unit::Bytes if total > 0 => {
            format!("{what}: {} of {} MB, {seconds} s", position / 1_000_000, total / 1_000_000)
        }
        Unit::Bytes => format!("{what}: {} MB, {seconds} s", position / 1_000_000),
        Unit::Packages => format!("{what}: {position} of about {total} packages, {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_say_how_far() {
        let line = |unit, total| plain_line("etcd", unit, 3_000_000, total, Duration::from_secs(30));
        assert_eq!(line(Unit::Bytes, 25_000_000), "etcd: 3 of 25 MB, 30 s");
        assert_eq!(line(Unit::Bytes, 0), "etcd: 3 MB, 30 s");
        let build = plain_line("build", Unit::Packages, 812, 2242, Duration::from_secs(75));
        assert_eq!(build, "build: 812 of about 2242 packages, 75 s");
    }
}
