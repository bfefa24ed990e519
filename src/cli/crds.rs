//! `crds`: prints the definitions of the custom resources.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::Failure;
use crate::crd;

/// Prints the CustomResourceDefinitions as YAML, ready for `kubectl apply --server-side -f -`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write one file a kind into this folder instead.
    #[arg(long, value_name = "FOLDER", env = "LOOPBACK_CRDS_OUTPUT")]
    output: Option<PathBuf>,
}

/// Prints or writes the definitions.
pub async fn run(args: Args) -> Result<(), Failure> {
    for definition in crd::all() {
        let text = yaml(&definition)?;
        match &args.output {
            // Not `print!`, which panics when whoever reads has read enough.
            None => io::stdout()
                .write_all(format!("---\n{text}").as_bytes())
                .map_err(|error| Failure::new(format!("cannot print the definitions: {error}")))?,
            Some(folder) => {
                let path = folder.join(file_name(&definition));
                fs::write(&path, text)
                    .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))?;
            }
        }
    }
    Ok(())
}

fn file_name(definition: &CustomResourceDefinition) -> String {
    format!("{}.yaml", definition.spec.names.plural)
}

fn yaml(definition: &CustomResourceDefinition) -> Result<String, Failure> {
    serde_saphyr::to_string(definition).map_err(|error| {
        Failure::new(format!("cannot write the definition of {} as YAML: {error}", definition.spec.names.kind))
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    const REGENERATE: &str = "regenerate with: cargo run -- crds --output crds";

    #[test]
    fn files_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        let mut expected = BTreeSet::new();
        for definition in crd::all() {
            let name = file_name(&definition);
            let written = fs::read_to_string(folder.join(&name)).unwrap_or_default();
            assert!(written == yaml(&definition).unwrap(), "crds/{name} is stale; {REGENERATE}");
            expected.insert(name);
        }
        let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let foreign: Vec<_> = files.filter(|name| !expected.contains(name) && name != "Kustomization").collect();
        assert!(foreign.is_empty(), "crds/ holds files of no kind: {foreign:?}; remove them");
    }
}
