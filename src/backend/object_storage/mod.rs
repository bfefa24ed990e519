//! Object storage.

mod embedded;
