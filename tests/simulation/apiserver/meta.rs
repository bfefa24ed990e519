//! Rules of metadata.

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{call::Call, kinds::Kind, status::Refusal, store::Object};

/// What only the server writes.
const SERVERS: &[&str] = &["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// A text of metadata; empty when absent.
pub fn text(value: &Value, field: &str) -> String {
    value["metadata"][field].as_str().unwrap_or("").to_owned()
}

/// Finalizers of an object.
pub fn finalizers(value: &Value) -> Vec<&str> {
    value["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether nothing holds an object that is being deleted.
pub fn released(value: &Value) -> bool {
    let namespace = value["kind"] == "Namespace" && value["apiVersion"] == "v1";
    let content = value["spec"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    finalizers(value).is_empty() && !(namespace && content)
}

pub fn check_type(kind: &Kind, value: &Value) -> Result<(), Refusal> {
    let (api_version, name) = (value["apiVersion"].as_str().unwrap_or(""), value["kind"].as_str().unwrap_or(""));
    if api_version == kind.api_version() && name == kind.kind {
        return Ok(());
    }
    if kind.custom && api_version == kind.api_version() && !name.is_empty() {
        let named = Kind { group: kind.group.clone(), kind: name.to_owned(), ..plain(kind) };
        let message = format!("Invalid value: \"{name}\": must be {}", kind.kind);
        return Err(Refusal::invalid(&named, &text(value, "name"), &[("FieldValueInvalid", "kind", message)]));
    }
    let message = format!("the object provided is unrecognized (must be of type {}): {name}.{api_version}", kind.kind);
    Err(Refusal::bad(&message))
}

pub fn check_namespace(kind: &Kind, value: &Value, namespace: &str) -> Result<(), Refusal> {
    let own = text(value, "namespace");
    if own.is_empty() || own == namespace || !kind.namespaced {
        return Ok(());
    }
    Err(Refusal::bad("the namespace of the provided object does not match the namespace sent on the request"))
}

pub fn check_name(value: &Value, name: &str) -> Result<(), Refusal> {
    let own = text(value, "name");
    if own == name {
        return Ok(());
    }
    if own.is_empty() {
        return Err(Refusal::bad("name must be provided"));
    }
    let message = format!("the name of the object ({own}) does not match the name on the URL ({name})");
    Err(Refusal::bad(&message))
}

pub fn check_apply(kind: &Kind, configuration: &Value, call: &Call) -> Result<(), Refusal> {
    if call.query.manager.is_empty() {
        let options = Kind { group: "meta.k8s.io".into(), kind: "PatchOptions".into(), ..plain(kind) };
        let cause = ("FieldValueRequired", "fieldManager", "Required value: is required for apply patch".to_owned());
        return Err(Refusal::invalid(&options, "", &[cause]));
    }
    if configuration["metadata"]["managedFields"].as_array().is_some_and(|fields| !fields.is_empty()) {
        return Err(Refusal::bad("metadata.managedFields must be nil"));
    }
    check_type(kind, configuration)?;
    check_namespace(kind, configuration, &call.namespace)?;
    let name = text(configuration, "name");
    if name.is_empty() { Ok(()) } else { check_name(configuration, &call.name) }
}

fn plain(kind: &Kind) -> Kind {
    Kind {
        group: String::new(),
        version: String::new(),
        plural: String::new(),
        kind: String::new(),
        namespaced: false,
        status: false,
        generation: false,
        unconditional: true,
        put_creates: false,
        custom: false,
        schema: kind.schema.clone(),
        selectable: None,
    }
}

/// Another object under the same name is meant.
pub fn precondition(kind: &Kind, key: &str, name: &str, wanted: &str, found: &str) -> Refusal {
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{key}, ResourceVersion: 0, AdditionalErrorMsg: \
         Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}",
        kind.group, kind.plural
    );
    Refusal::conflict(kind, name, &why)
}

/// A PUT that may not be blind.
pub fn no_version(kind: &Kind, name: &str) -> Refusal {
    let resource = Kind { group: kind.group.clone(), kind: kind.plural.clone(), ..plain(kind) };
    let message = "Invalid value: 0: must be specified for an update".to_owned();
    Refusal::invalid(&resource, name, &[("FieldValueInvalid", "metadata.resourceVersion", message)])
}

/// A list or a watch whose options do not go together.
pub fn bad_options(kind: &Kind, field: &str, message: &str) -> Refusal {
    let options = Kind { group: "meta.k8s.io".into(), kind: "ListOptions".into(), ..plain(kind) };
    Refusal::invalid(&options, "", &[("FieldValueForbidden", field, format!("Forbidden: {message}"))])
}

/// Version and UID that a new version names.
pub fn check_identity(kind: &Kind, name: &str, old: &Object, new: &Value, status: bool) -> Result<(), Refusal> {
    let (version, uid) = (text(new, "resourceVersion"), text(new, "uid"));
    if !version.is_empty() && version != old.meta("resourceVersion") {
        return Err(Refusal::modified(kind, name));
    }
    // Of a custom resource's status nothing but the status is looked at: it may reach a namesake.
    if !uid.is_empty() && uid != old.meta("uid") && !(status && kind.custom) {
        let cause = || ("FieldValueInvalid", "metadata.uid", format!("Invalid value: \"{uid}\": field is immutable"));
        // Custom resources are looked at twice.
        let causes = if kind.custom { vec![cause(), cause()] } else { vec![cause()] };
        return Err(Refusal::invalid(kind, name, &causes));
    }
    Ok(())
}

pub fn check_finalizers(kind: &Kind, name: &str, old: &Object, new: &Value) -> Result<(), Refusal> {
    if !old.deleting() {
        return Ok(());
    }
    let known = finalizers(&old.value);
    let added: Vec<String> =
        finalizers(new).into_iter().filter(|one| !known.contains(one)).map(|one| format!("\"{one}\"")).collect();
    if added.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        added.join(", ")
    );
    let cause = || ("FieldValueForbidden", "metadata.finalizers", message.clone());
    Err(Refusal::invalid(kind, name, &if kind.custom { vec![cause(), cause()] } else { vec![cause()] }))
}

/// Metadata of a new object.
pub fn fresh(value: &mut Value, kind: &Kind, namespace: &str, uid: &str, now: &str) {
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    let metadata = value["metadata"].as_object_mut().unwrap();
    for field in SERVERS {
        metadata.remove(*field);
    }
    if kind.namespaced {
        metadata.insert("namespace".into(), namespace.into());
    } else {
        metadata.remove("namespace");
    }
    metadata.insert("uid".into(), uid.into());
    metadata.insert("creationTimestamp".into(), now.into());
    if kind.generation {
        metadata.insert("generation".into(), 1.into());
    }
    normalise(value);
}

/// Of what is applied that which the subresource takes.
pub fn part_applied(mut configuration: Value, kind: &Kind, subresource: &str) -> Value {
    let map = configuration.as_object_mut().unwrap();
    match (kind.status, subresource) {
        (true, "") => drop(map.remove("status")),
        (true, "status") => map.retain(|name, _| name != "spec" && name != "metadata"),
        _ => {}
    }
    configuration
}

/// What the server alone writes stays as it was.
pub fn keep(value: &mut Value, old: &Value) {
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    for field in SERVERS.iter().chain(&["namespace", "resourceVersion", "name"]) {
        let (metadata, old) = (&mut value["metadata"], &old["metadata"]);
        copy(metadata, old, field);
    }
}

/// Makes a field what it was.
pub fn copy(value: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(part) => value[field] = part.clone(),
        None => drop(value.as_object_mut().unwrap().remove(field)),
    }
}

/// Empty parts of metadata are absent; the server sends `managedFields` from elsewhere.
pub fn normalise(value: &mut Value) {
    let Some(metadata) = value["metadata"].as_object_mut() else { return };
    metadata.remove("managedFields");
    for field in ["labels", "annotations"] {
        if let Some(Value::Object(map)) = metadata.get_mut(field) {
            map.retain(|_, value| !value.is_null());
        }
    }
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    });
}

/// Whether a new version asks for something else.
pub fn intent_changed(old: &Value, new: &Value, kind: &Kind) -> bool {
    let intent = |(name, _): &(&String, &Value)| *name != "metadata" && !(kind.status && *name == "status");
    let (old, new) = (old.as_object().into_iter().flatten(), new.as_object().into_iter().flatten());
    old.filter(intent).ne(new.filter(intent))
}

/// What a built-in kind has when it is absent.
pub fn built_in(value: &mut Value, kind: &Kind) {
    strings_to_data(value, kind);
    if kind.plural == "secrets" && value["type"].is_null() {
        value["type"] = "Opaque".into();
    }
}

/// `stringData` of a Secret ends in `data`.
pub fn strings_to_data(value: &mut Value, kind: &Kind) {
    if kind.plural != "secrets" {
        return;
    }
    let Some(Value::Object(strings)) = value.as_object_mut().and_then(|map| map.remove("stringData")) else { return };
    for (name, text) in strings {
        value["data"][name] = BASE64.encode(text.as_str().unwrap_or("").as_bytes()).into();
    }
}
