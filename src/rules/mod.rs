//! Pure rules that both halves apply.

pub mod cidr;
pub mod dns;
pub mod duration;
mod merge_patch;
pub mod monitoring;
pub mod outbound;

pub use merge_patch::{merge_patch, patch_between};
