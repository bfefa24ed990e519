//! The plane and its probes against real servers.

mod alerts;
mod probes;
mod rig;
