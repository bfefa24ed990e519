//! What `dev` applies. The files are part of the program, so it works wherever it is started.

use kube::api::DynamicObject;

use super::apply::{ApplyProblem, parse};
use crate::crd;

/// Namespace of the operator's own objects.
pub const SYSTEM_NAMESPACE: &str = "loopback-system";
/// The operator's ServiceAccount.
pub const SERVICE_ACCOUNT: &str = "loopback-operator";

macro_rules! deployed {
    ($($file:literal),* $(,)?) => { [$(($file, include_str!(concat!("../../deploy/", $file)))),*] };
}

/// From `deploy/`: what the operator needs except the pod that it runs in.
const OPERATOR: [(&str, &str); 6] = deployed![
    "namespace.yaml",
    "service-account.yaml",
    "roles.yaml",
    "role-secrets.yaml",
    "roles-users.yaml",
    "deletion-protection.yaml"
];

/// Of `deploy/`, what makes no sense where no pods run.
#[cfg(test)]
const PODS: [&str; 2] = ["deployment.yaml", "service.yaml"];

/// From `deploy/samples/`.
const SAMPLES: [(&str, &str); 10] = deployed![
    "samples/namespace.yaml",
    "samples/loopback-backend.yaml",
    "samples/project-binding.yaml",
    "samples/project-load-balancer.yaml",
    "samples/monitoring-object.yaml",
    "samples/monitoring-condition.yaml",
    "samples/project-dns-zone.yaml",
    "samples/dns-record.yaml",
    "samples/object-bucket.yaml",
    "samples/object-bucket-credential.yaml",
];

/// Definitions of our kinds, and the operator's account with its roles.
///
/// # Errors
/// Never, as the tests show; the files are part of the program.
pub fn operator() -> Result<Vec<DynamicObject>, ApplyProblem> {
    let mut objects = parse_all(&OPERATOR)?;
    for definition in crd::all() {
        let object = serde_json::to_value(&definition).and_then(serde_json::from_value);
        objects.push(object.map_err(|error| ApplyProblem::Manifest(error.to_string()))?);
    }
    Ok(objects)
}

/// The samples.
///
/// # Errors
/// As [`operator`].
pub fn samples() -> Result<Vec<DynamicObject>, ApplyProblem> {
    parse_all(&SAMPLES)
}

fn parse_all(files: &[(&str, &str)]) -> Result<Vec<DynamicObject>, ApplyProblem> {
    let mut objects = Vec::new();
    for (file, text) in files {
        let read = parse(text).map_err(|problem| ApplyProblem::Manifest(format!("deploy/{file}: {problem}")))?;
        objects.extend(read);
    }
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// The YAML files of a folder below `deploy/`, with that folder's name.
    fn files(folder: &str) -> BTreeSet<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(folder);
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name.ends_with(".yaml") && name != "kustomization.yaml")
            .map(|name| folder.to_owned() + &name)
            .collect()
    }

    #[test]
    fn nothing_of_the_deployment_is_forgotten() {
        let known = OPERATOR.iter().map(|file| file.0).chain(PODS).map(str::to_owned).collect();
        assert_eq!(files(""), known, "name a new file in OPERATOR, or in PODS");
        assert_eq!(files("samples/"), SAMPLES.iter().map(|file| file.0.to_owned()).collect());
    }

    #[test]
    fn all_can_be_read_and_the_account_is_there() {
        let objects = operator().unwrap();
        let account = objects.iter().find(|object| object.types.as_ref().unwrap().kind == "ServiceAccount").unwrap();
        assert_eq!(account.metadata.name.as_deref(), Some(SERVICE_ACCOUNT));
        assert_eq!(account.metadata.namespace.as_deref(), Some(SYSTEM_NAMESPACE));
        assert!(objects.iter().any(|object| object.types.as_ref().unwrap().kind == "CustomResourceDefinition"));
        assert!(!samples().unwrap().is_empty());
    }
}
