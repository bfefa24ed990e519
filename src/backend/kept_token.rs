//! Tokens that the backend makes for itself and keeps in a file that only its user can read.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    store::{self, Store, Table, Transaction, decode, encode, key},
    tenants::{self, Credential, StoredToken},
};
use crate::{
    protocol::{Problem, Rule, TokenView},
    runtime::World,
};

/// Why a token cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptTokenProblem {
    /// The file cannot be read or written.
    #[error("the token file {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: io::Error,
    },
    /// The store refused.
    #[error("the token of {path}: {problem}")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: Box<Problem>,
    },
}

/// Makes sure that `path` (mode 0600) holds a token with these rules and this description. A token that is there keeps its
/// secret; when the file was lost, the earlier token is revoked. `name` tells such tokens apart.
///
/// # Errors
/// When the file or the store fails.
pub async fn keep_token(
    store: &dyn Store,
    world: &World,
    path: &Path,
    name: &str,
    rules: Vec<Rule>,
) -> Result<(), KeptTokenProblem> {
    let file = |problem| KeptTokenProblem::File { path: path.to_owned(), problem };
    let credential = match fs::read_to_string(path) {
        Ok(text) => Credential::parse(text.trim()),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => None,
        Err(problem) => return Err(file(problem)),
    };
    let view = TokenView { id: world.id("tk"), description: name.to_owned(), rules };
    let (text, fresh) = tenants::new_token(view, world.secret());
    let work = move |tx: &mut dyn Transaction| settle(tx, credential.as_ref(), &fresh);
    let written = store::write(store, true, work).await;
    let kept = written.map_err(|problem| KeptTokenProblem::Store { path: path.to_owned(), problem: problem.into() })?;
    match kept.answer {
        Kept::Present => Ok(()),
        Kept::Fresh => write_private(path, &text).map_err(file),
    }
}

enum Kept {
    Present,
    Fresh,
}

fn settle(tx: &mut dyn Transaction, present: Option<&Credential>, fresh: &StoredToken) -> Result<Kept, Problem> {
    let present = match present {
        Some(credential) => tenants::authenticate(tx, credential)?,
        None => None,
    };
    if let Some(mut token) = present {
        token.view.rules.clone_from(&fresh.view.rules);
        tenants::put_token(tx, &token)?;
        return Ok(Kept::Present);
    }
    let kept = key(&["kept-token", &fresh.view.description]);
    if let Some(bytes) = tx.get(Table::Meta, &kept)? {
        let earlier: String = decode(&bytes)?;
        tx.delete(Table::Tokens, &tenants::token_key(&earlier))?;
    }
    tx.put(Table::Meta, &kept, encode(&fresh.view.id)?)?;
    tenants::put_token(tx, fresh)?;
    Ok(Kept::Fresh)
}

/// Writes a file that only its owner can read: whole or not at all.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    // A leftover may have another mode.
    match fs::remove_file(&partial) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => return Err(problem),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&partial, path)
}
