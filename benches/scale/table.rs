//! The figures, for people and as JSON.

use std::{fmt, fs, time::Duration};

use serde_json::{Value, json};

/// What a figure is held against.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// So many times the floor, which was measured in the same run.
    Times(f64, f64),
    /// The figure itself.
    Most(f64),
    /// Nothing: it is told.
    Open,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    bound: Bound,
}

impl Row {
    /// The floor, and how many times it the figure is.
    fn ratio(&self) -> Option<(f64, f64)> {
        match self.bound {
            Bound::Times(_, floor) if floor > 0.0 => Some((floor, self.value / floor)),
            _ => None,
        }
    }

    /// Whether it is within its bound; `None` when it has none.
    fn holds(&self) -> Option<bool> {
        match self.bound {
            Bound::Times(most, _) => self.ratio().map(|(_, ratio)| ratio <= most),
            Bound::Most(most) => Some(self.value <= most),
            Bound::Open => None,
        }
    }
}

/// All figures of a run.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// One more figure; it is printed at once.
    pub fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str, bound: Bound) {
        let row = Row { what: what.into(), value, unit, bound };
        println!("{row}");
        self.0.push(row);
    }

    /// A time, in seconds.
    pub fn time(&mut self, what: impl Into<String>, value: Duration, bound: Bound) {
        self.add(what, value.as_secs_f64(), "s", bound);
    }

    /// Writes all as JSON.
    pub fn write(&self, path: &str) {
        let row = |row: &Row| {
            let (floor, ratio) = row.ratio().unzip();
            json!({"what": row.what, "value": row.value, "unit": row.unit, "floor": floor, "ratio": ratio, "holds": row.holds()})
        };
        let rows: Vec<Value> = self.0.iter().map(row).collect();
        let text = serde_json::to_string_pretty(&json!({"at": crate::counts::now(), "figures": rows})).unwrap();
        fs::write(path, text).unwrap();
        println!("written to {path}");
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<58} {:>12.3} {:<8}", self.what, self.value, self.unit)?;
        if let Some((floor, ratio)) = self.ratio() {
            write!(f, " floor {floor:>9.3}  {ratio:>6.2} x")?;
        }
        match self.bound {
            Bound::Times(most, _) => write!(f, "  at most {most} x")?,
            Bound::Most(most) => write!(f, "  at most {most}")?,
            Bound::Open => {}
        }
        match self.holds() {
            Some(true) => f.write_str("  holds"),
            Some(false) => f.write_str("  MISSED"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// The value that this share of all is not above.
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(at).copied().unwrap_or_default()
}
