//! The wire API over real sockets.

mod document;
mod feed;
mod limits;
mod objects;
mod owners;
mod permissions;
mod rig;
mod tenancy;
mod wire;
