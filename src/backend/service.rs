//! A service: what one entry in the list of services brings.

use super::{
    api::collections::{Collection, Fact},
    plane::BoxedPlane,
};

/// One service of the backend.
pub struct Service {
    /// Its collections, parents before their children.
    pub collections: Vec<Collection>,
    /// What it tells about itself.
    pub facts: Vec<Fact>,
    /// What makes all its collections real.
    pub plane: BoxedPlane,
}
