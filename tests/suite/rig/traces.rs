//! What the operator did, as others saw it: the API server's audit log, its own log.

use serde_json::Value;

use super::{OPERATOR, Scene, json_lines};

const GROUP: &str = "loopback.cloud";
const WRITES: [&str; 4] = ["create", "patch", "update", "delete"];

impl Scene {
    /// Writes of the operator to an object of ours in this namespace, in order: the verb, and the subresource if there is one.
    pub fn writes(&self, name: &str) -> Vec<String> {
        self.writes_in(GROUP, name)
    }

    /// The same of the objects of an API group; the empty one has the Secrets.
    pub fn writes_in(&self, group: &str, name: &str) -> Vec<String> {
        self.audit(|entry, about| {
            let verb = entry["verb"].as_str().filter(|verb| WRITES.contains(verb))?;
            let ours = entry["user"]["username"] == OPERATOR
                && about["name"] == name
                && about["apiGroup"].as_str().unwrap_or_default() == group;
            ours.then(|| format!("{verb} {}", about["subresource"].as_str().unwrap_or_default()).trim_end().to_owned())
        })
    }

    /// How often the operator read one object of ours, and not from a watch.
    pub fn reads(&self, name: &str) -> usize {
        let ours = |entry: &Value, about: &Value| {
            entry["user"]["username"] == OPERATOR && entry["verb"] == "get" && about["name"] == name
        };
        self.audit(|entry, about| ours(entry, about).then_some(())).len()
    }

    /// What `take` makes of the API server's audit entries about this namespace.
    fn audit<T>(&self, take: impl Fn(&Value, &Value) -> Option<T>) -> Vec<T> {
        let entries = json_lines(&self.rig.audit_log, &self.name);
        let about = entries.iter().filter(|entry| entry["objectRef"]["namespace"] == self.name.as_str());
        about.filter_map(|entry| take(entry, &entry["objectRef"])).collect()
    }

    /// How many passes found an object Ready and had nothing to write.
    pub fn passes(&self, name: &str) -> usize {
        let about = format!("namespace=\"{}\" name=\"{name}\"", self.name);
        let quiet = |line: &&str| line.contains(&about) && line.contains("nothing new outcome=\"Ready\"");
        self.rig.operator.log().lines().filter(quiet).count()
    }
}
