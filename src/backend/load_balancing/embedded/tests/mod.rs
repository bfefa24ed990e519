//! The plane on real sockets.

mod changes;
mod failures;
mod rig;
mod traffic;
