//! The figures, for people and as JSON.

use std::{fmt, fs, time::SystemTime};

use serde_json::{Value, json};

use crate::turns::{Figures, OURS};

/// What the figures of a group are called; a peer's stand beside how many times them ours are.
const HEAD: &str = "                               req/s    p50 ms    p99 ms   CPU us  errors  clients   ours / it:  req/s    p50    p99    CPU";

/// One load, on ours and on its peers.
pub struct Group {
    case: String,
    ours: Figures,
    peers: Vec<(&'static str, Result<Figures, String>)>,
    /// Figures of other programs, which were not measured here.
    reference: Option<&'static str>,
    /// Ours does what is due and no more: its rate says nothing.
    paced: bool,
}

/// How many times a peer's figure ours is, in the order of the table.
fn ratios(ours: &Figures, peer: &Figures, paced: bool) -> [Option<f64>; 4] {
    let of = |ours: Option<f64>, peer: Option<f64>| Some(ours? / peer.filter(|peer| *peer > 0.0)?);
    let rate = if paced { None } else { of(Some(ours.rate), Some(peer.rate)) };
    [rate, of(ours.p50, peer.p50), of(ours.p99, peer.p99), of(Some(ours.cpu), Some(peer.cpu))]
}

impl Group {
    pub fn new(case: &str, ours: Figures) -> Self {
        Self { case: case.to_owned(), ours, peers: vec![], reference: None, paced: false }
    }

    /// One more peer, or why there is nothing of it.
    pub fn peer(&mut self, name: &'static str, figures: Result<Figures, String>) {
        self.peers.push((name, figures));
    }

    /// What others were seen to do, in a run on another machine.
    pub fn reference(self, text: &'static str) -> Self {
        Self { reference: Some(text), ..self }
    }

    /// Ours does what is due and no more.
    pub fn paced(self) -> Self {
        Self { paced: true, ..self }
    }

    fn json(&self) -> Value {
        let figures = |name: &str, seen: &Figures| {
            json!({"server": name, "rate": seen.rate, "p50Ms": seen.p50, "p99Ms": seen.p99, "cpuMicros": seen.cpu,
                "errors": seen.errors, "clients": seen.client})
        };
        let mut rows = vec![figures(OURS, &self.ours)];
        for (name, seen) in &self.peers {
            rows.push(match seen {
                Ok(seen) => {
                    let [rate, p50, p99, cpu] = ratios(&self.ours, seen, self.paced);
                    let mut row = figures(name, seen);
                    row["oursToIt"] = json!({"rate": rate, "p50": p50, "p99": p99, "cpu": cpu});
                    row
                }
                Err(why) => json!({"server": name, "missing": why}),
            });
        }
        json!({"case": self.case, "paced": self.paced, "servers": rows, "referenceOfAnotherMachine": self.reference})
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, seen: &Figures) -> fmt::Result {
    let shown = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.3}"));
    let (p50, p99) = (shown(seen.p50), shown(seen.p99));
    write!(f, "  {name:<22} {:>11.0} {p50:>9} {p99:>9} {:>8.1}", seen.rate, seen.cpu)?;
    write!(f, " {:>7.0} {:>6.0} %", seen.errors, seen.client * 100.0)
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.case)?;
        row(f, OURS, &self.ours)?;
        if let Some(reference) = self.reference {
            write!(f, "   another machine's run: {reference}")?;
        }
        for (name, seen) in &self.peers {
            writeln!(f)?;
            match seen {
                Err(why) => write!(f, "  {name:<22} {why}")?,
                Ok(seen) => {
                    row(f, name, seen)?;
                    write!(f, "            ")?;
                    for ratio in ratios(&self.ours, seen, self.paced) {
                        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
                        write!(f, " {ratio:>6}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// All figures of a run.
#[derive(Default)]
pub struct Table(Vec<Group>);

impl Table {
    /// One more group; it is printed at once.
    pub fn add(&mut self, group: Group) {
        println!("{HEAD}\n{group}");
        self.0.push(group);
    }

    /// Writes all as JSON.
    pub fn write(&self, path: &str) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let groups: Vec<Value> = self.0.iter().map(Group::json).collect();
        let all = json!({"at": at, "optimised": !cfg!(debug_assertions), "groups": groups});
        fs::write(path, serde_json::to_string_pretty(&all).unwrap()).unwrap();
        println!("written to {path}");
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if cfg!(debug_assertions) {
            writeln!(f, "Ours is not optimised in this build: its figures say nothing.")?;
        }
        writeln!(f, "{HEAD}")?;
        self.0.iter().try_for_each(|group| writeln!(f, "{group}"))
    }
}
