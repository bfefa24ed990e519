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

/// One request as the API server saw it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it came.
    pub came: Timestamp,
    /// When it was answered.
    pub at: Timestamp,
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
    /// The whole line.
    pub line: String,
}

/// Entries by namespace.
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

    /// What is known about a namespace, which is forgotten.
    pub fn of(&self, namespace: &str) -> Vec<Entry> {
        self.0.lock().unwrap().remove(namespace).unwrap_or_default()
    }

    fn take_in(&self, line: String) {
        // Streams say nothing that the others do not.
        if line.contains(r#""verb":"watch""#) || line.contains(r#""verb":"list""#) {
            return;
        }
        let Ok(value) = serde_json::from_str::<Value>(&line) else { return };
        let about = &value["objectRef"];
        let Some(namespace) = about["namespace"].as_str() else { return };
        let namespace = namespace.to_owned();
        let entry = entry(&value, line);
        self.0.lock().unwrap().entry(namespace).or_default().push(entry);
    }
}

fn moved(file: &File, log: &Path) -> bool {
    let (read, named) = (file.metadata(), std::fs::metadata(log));
    matches!((read, named), (Ok(read), Ok(named)) if read.ino() != named.ino() && read.len() > 0)
}

fn entry(value: &Value, line: String) -> Entry {
    let about = &value["objectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sub = about["subresource"].as_str().map(|sub| format!("/{sub}")).unwrap_or_default();
    let name = about["name"].as_str().or(value.pointer("/responseObject/metadata/name").and_then(Value::as_str));
    Entry {
        came: text(&value["requestReceivedTimestamp"]).parse().unwrap_or(Timestamp::MAX),
        at: text(&value["stageTimestamp"]).parse().unwrap_or(Timestamp::MAX),
        user: text(&value["user"]["username"]),
        verb: text(&value["verb"]),
        resource: format!("{}{sub}", text(&about["resource"])),
        name: name.unwrap_or_default().to_owned(),
        code: value["responseStatus"]["code"].as_u64().unwrap_or(0),
        answered: value["responseObject"].clone(),
        line,
    }
}
