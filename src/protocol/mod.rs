//! The wire API between operator and backend: one envelope for every object, one file of intent and reality types a
//! service, one client. Everything here is data; neither half's behaviour lives here.

pub mod client;
pub mod dns;
mod envelope;
mod feed;
pub mod load_balancer;
pub mod monitoring;
pub mod object_storage;
mod permission;
mod problem;
mod secret;
mod tenancy;

pub use envelope::{
    Etag, Intent, Member, Members, Object, ObjectId, Owner, Phase, RawObject, Reality, Revision, nested_part,
};
pub use feed::{Cursor, Frame};
pub use permission::{Access, Permission, Rule, Verb};
pub use problem::{Code, Problem};
pub use secret::{Delivered, Delivery, DeliveryRef, SecretValues};
pub use tenancy::{
    Claim, Create, Domain, MintedToken, NewToken, Organization, Page, Project, ProjectView, RetireOptions, Retired,
    TokenView,
};
