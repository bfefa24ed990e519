//! The wire API over real sockets.

mod document;
mod domains;
mod escrow;
mod family;
mod feed;
mod limits;
mod object_storage;
mod objects;
mod owners;
mod permissions;
mod rig;
mod shelves;
mod tenancy;
mod wire;
