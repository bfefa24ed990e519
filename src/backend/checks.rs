//! What a service decides when an intent is accepted.

use serde_json::Value;

use super::store::Transaction;
use crate::protocol::{Problem, Project, SecretValues};

/// What a service decides inside the transaction that accepts an intent.
pub trait Checks: Send + Sync + 'static {
    /// Refuses what cannot be, and chooses what the backend chooses; that is kept for the life of the object. `before` is what
    /// was chosen earlier, absent at create. The intent has the shape of the service's type. The result must follow from the
    /// transaction and the arguments alone: the call may be made again.
    ///
    /// # Errors
    /// Why the intent is refused, with the field. Nothing of the transaction is kept then.
    fn accept(
        &self,
        tx: &mut dyn Transaction,
        id: &str,
        project: &Project,
        intent: &Value,
        before: Option<&Value>,
    ) -> Result<Value, Problem>;

    /// Mints a secret for an object of a collection that has secrets, at create and when it is issued anew; the one before is
    /// revoked with it. Kept beside the object, for the plane and until its holder has acknowledged it for the holder; never in
    /// the feed, a list or a log. May be called again: only what the last call returned is kept.
    ///
    /// # Errors
    /// Why there can be none.
    fn mint(&self, tx: &mut dyn Transaction, id: &str, chosen: &Value) -> Result<Option<SecretValues>, Problem> {
        let _ = (tx, id, chosen);
        Ok(None)
    }

    /// Gives back what was chosen, when the object is gone.
    ///
    /// # Errors
    /// When the store fails.
    fn release(&self, tx: &mut dyn Transaction, id: &str, chosen: &Value) -> Result<(), Problem>;
}

/// Checks of a service that has nothing to decide.
#[derive(Clone, Copy, Debug)]
pub struct NoChecks;

impl Checks for NoChecks {
    fn accept(
        &self,
        _: &mut dyn Transaction,
        _: &str,
        _: &Project,
        _: &Value,
        _: Option<&Value>,
    ) -> Result<Value, Problem> {
        Ok(Value::Null)
    }

    fn release(&self, _: &mut dyn Transaction, _: &str, _: &Value) -> Result<(), Problem> {
        Ok(())
    }
}
