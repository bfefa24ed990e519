//! Tokens that called lately.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    backend::{
        store::{StoreProblem, Table, View, decode},
        tenants::{self, Credential, StoredToken},
    },
    protocol::ObjectId,
};

/// How many are kept.
const KEPT: usize = 256;

/// Tokens as they were decoded last, each beside the row that it came from. Each call reads the row, so what was revoked or
/// changed counts at once; only one that is byte for byte the same is not decoded again.
#[derive(Clone, Default)]
pub struct KnownTokens(Arc<Mutex<BTreeMap<ObjectId, Known>>>);

struct Known {
    row: Vec<u8>,
    token: Arc<StoredToken>,
}

impl KnownTokens {
    /// As [`tenants::authenticate`].
    pub(super) fn authenticate(
        &self,
        view: &dyn View,
        credential: &Credential,
    ) -> Result<Option<Arc<StoredToken>>, StoreProblem> {
        let row = view.get(Table::Tokens, &tenants::token_key(&credential.id))?;
        let token = self.decoded(&credential.id, row)?;
        Ok(token.filter(|token| token.opens(credential)))
    }

    fn decoded(&self, id: &str, row: Option<Vec<u8>>) -> Result<Option<Arc<StoredToken>>, StoreProblem> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(row) = row else {
            all.remove(id);
            return Ok(None);
        };
        if let Some(known) = all.get(id).filter(|known| known.row == row) {
            return Ok(Some(known.token.clone()));
        }
        let token = Arc::new(decode::<StoredToken>(&row)?);
        if all.len() >= KEPT {
            all.pop_first();
        }
        all.insert(id.to_owned(), Known { row, token: token.clone() });
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{store::memory::Memory, tenants::new_token},
        protocol::{Rule, TokenView},
    };

    fn view(id: &str, permission: &str) -> TokenView {
        let rule = Rule { permission: permission.parse().unwrap(), organization: None, project: None };
        TokenView { id: id.into(), description: "d".into(), rules: vec![rule] }
    }

    #[test]
    fn what_is_revoked_or_changed_counts_at_once() {
        let (mut store, known) = (Memory::default(), KnownTokens::default());
        let (text, mut stored) = new_token(view("tk-1", "a:read"), [7; 32]);
        let credential = Credential::parse(&text).unwrap();
        let wrong = Credential::parse(&text.replace("0707", "0708")).unwrap();
        assert!(known.authenticate(&store, &credential).unwrap().is_none());
        store.job(|tx| Ok(tenants::put_token(tx, &stored)?)).unwrap();
        let first = known.authenticate(&store, &credential).unwrap().unwrap();
        let again = known.authenticate(&store, &credential).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &again), "a row that is the same is decoded once");
        assert!(known.authenticate(&store, &wrong).unwrap().is_none(), "another secret opens nothing that is known");

        stored.view.rules = view("", "b:read").rules;
        store.job(|tx| Ok(tenants::put_token(tx, &stored)?)).unwrap();
        let narrowed = known.authenticate(&store, &credential).unwrap().unwrap();
        assert_eq!(narrowed.view.rules, stored.view.rules);

        store.job(|tx| tenants::revoke_token(tx, "tk-1")).unwrap();
        assert!(known.authenticate(&store, &credential).unwrap().is_none());
        let (_, namesake) = new_token(view("tk-1", "a:read"), [8; 32]);
        store.job(|tx| Ok(tenants::put_token(tx, &namesake)?)).unwrap();
        assert!(known.authenticate(&store, &credential).unwrap().is_none());
    }

    #[test]
    fn no_more_are_kept_than_that() {
        let (mut store, known) = (Memory::default(), KnownTokens::default());
        for number in 0..KEPT + 20 {
            let (text, stored) = new_token(view(&format!("tk-{number}"), "a:read"), [7; 32]);
            store.job(|tx| Ok(tenants::put_token(tx, &stored)?)).unwrap();
            let token = known.authenticate(&store, &Credential::parse(&text).unwrap()).unwrap();
            assert_eq!(token.unwrap().view.id, stored.view.id);
        }
        assert_eq!(known.0.lock().unwrap().len(), KEPT);
    }
}
