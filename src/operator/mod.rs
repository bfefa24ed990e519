//! The operator.

pub mod engine;
pub mod kinds;
