//! The API server's audit log, read as it grows and sorted by namespace.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;

use crate::rig::rights::{self, Right};

/// One request as the API server saw it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it came.
    pub came: Timestamp,
    /// Who asked.
    pub user: String,
    /// `create`, `patch`, ...
    pub verb: String,
    /// The plural, with `/status` if it was about that.
    pub resource: String,
    /// The object's name.
    pub name: String,
    /// What was answered.
    pub code: u64,
    /// The answer's body, for our own kinds.
    pub answered: Value,
    /// The right that it took, and in what words it was refused, if it was.
    pub right: Right,
    /// See there.
    pub refused: Option<String>,
    /// The whole line; not of lists and watches, which say nothing that the others do not.
    pub line: String,
}

/// Entries by namespace, and by user where they have none.
#[derive(Clone, Default)]
pub struct Audit(Arc<Mutex<BTreeMap<String, Vec<Entry>>>>);

impl Audit {
    /// Reads a log until the process ends.
    pub fn follow(log: &Path) -> Self {
        let audit = Self::default();
        let (entries, log) = (audit.clone(), log.to_owned());
        std::thread::spawn(move || {
            let open = || File::open(&log).expect("an audit log");
            let (mut reader, mut line) = (BufReader::new(open()), String::new());
            loop {
                match reader.read_line(&mut line) {
                    Ok(read) if read > 0 && line.ends_with('\n') => entries.take_in(std::mem::take(&mut line)),
                    // A log that has grown large is put aside for a new one.
                    _ if line.is_empty() && moved(reader.get_ref(), &log) => reader = BufReader::new(open()),
                    _ => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        audit
    }

    /// What is known about a namespace, or of a user outside all of them. It is forgotten.
    pub fn of(&self, whom: &str) -> Vec<Entry> {
        self.0.lock().unwrap().remove(whom).unwrap_or_default()
    }

    fn take_in(&self, line: String) {
        let Ok(value) = serde_json::from_str::<Value>(&line) else { return };
        // What is about no namespace belongs to whoever asked.
        let namespace = value["objectRef"]["namespace"].as_str().or(value["user"]["username"].as_str());
        let (Some(namespace), Some(right)) = (namespace.map(str::to_owned), rights::used(&value)) else { return };
        let entry = entry(&value, right, line);
        self.0.lock().unwrap().entry(namespace).or_default().push(entry);
    }
}

fn moved(file: &File, log: &Path) -> bool {
    let (read, named) = (file.metadata(), std::fs::metadata(log));
    matches!((read, named), (Ok(read), Ok(named)) if read.ino() != named.ino() && read.len() > 0)
}

fn entry(value: &Value, right: Right, line: String) -> Entry {
    let about = &value["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sub = about["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
    let name = about["name"].as_str().or(value.pointer("/responseObject/metadata/name").and_then(Value::as_str));
    let stream = matches!(right.0.as_str(), "watch" | "list");
    Entry {
        came: text(&value["requestReceivedTimestamp"]).parse().unwrap_or(Timestamp::MAX),
        user: text(&value["user"]["username"]),
        verb: text(&value["verb"]),
        resource: format!("{}{sub}", text(&about["resource"])),
        name: name.unwrap_or_default().to_owned(),
        code: value["responseStatus"]["code"].as_u64().unwrap_or(0),
        answered: if stream { Value::Null } else { value["responseObject"].clone() },
        right,
        refused: rights::refusal(value).map(str::to_owned),
        line: if stream { String::new() } else { line },
    }
}
