//! The feed: all changes of a project, all collections in one stream of JSON lines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ObjectId, Owner, RawObject, Revision};

/// An opaque position in the feed. Give it back as `?after=` to go on from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Cursor(pub String);

/// One line of the feed. Without a cursor the order is `Hello`, `Change` for each object, `Synced`, then what happens; with a
/// valid cursor `Hello`, `Synced` (the reader has all up to the cursor), then what happened since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Frame {
    /// Who is talking. The first line of every answer.
    #[serde(rename_all = "camelCase")]
    Hello {
        /// Identity of the store.
        store: String,
        /// Identity of this run of the backend: a new one each start.
        epoch: String,
        /// Identity of the project, not its name.
        project_id: String,
    },
    /// An object as it is now.
    Change {
        /// Its collection, for instance `load-balancers`.
        collection: String,
        /// The object.
        object: Box<RawObject>,
        /// Position after this line; absent in the snapshot.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<Cursor>,
    },
    /// An object that is no more.
    Gone {
        /// Its collection.
        collection: String,
        /// Its id.
        id: ObjectId,
        /// Who owned it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<Owner>,
        /// When.
        revision: Revision,
        /// Position after this line.
        cursor: Cursor,
    },
    /// The snapshot is complete.
    Synced {
        /// Position after the snapshot.
        cursor: Cursor,
    },
    /// Nothing happened, the line is alive; at least every 10 s.
    Progress {
        /// Position now.
        cursor: Cursor,
    },
    /// The reader must forget its cursor and start over; the stream ends.
    Reset {
        /// Why, for a log line.
        reason: String,
    },
}

/// Longest name or identity, in bytes.
const IDENTITY_LIMIT: usize = 512;
/// Longest cursor, in bytes: it stands in a URL.
const CURSOR_LIMIT: usize = 4_096;

/// The first of these identities that is too long to be one: it would be kept in memory and written into objects.
pub(super) fn too_long<'a>(identities: &[(&'a str, &str)]) -> Option<&'a str> {
    identities.iter().find(|(_, text)| text.len() > IDENTITY_LIMIT).map(|(what, _)| *what)
}

impl Frame {
    /// What of it is longer than anything of its kind is.
    #[must_use]
    pub fn overlong(&self) -> Option<&'static str> {
        let (identities, cursor) = match self {
            Self::Hello { store, epoch, project_id } => {
                (too_long(&[("a store", store), ("an epoch", epoch), ("a project's id", project_id)]), None)
            }
            Self::Change { collection, object, cursor } => {
                (too_long(&[("a collection", collection), ("an id", &object.id)]), cursor.as_ref())
            }
            Self::Gone { collection, id, cursor, .. } => {
                (too_long(&[("a collection", collection), ("an id", id)]), Some(cursor))
            }
            Self::Synced { cursor } | Self::Progress { cursor } => (None, Some(cursor)),
            Self::Reset { .. } => (None, None),
        };
        let cursor = cursor.filter(|cursor| cursor.0.len() > CURSOR_LIMIT).map(|_| "a cursor");
        identities.or(cursor)
    }
}
