//! Pure rules that both halves apply.

mod merge_patch;

pub use merge_patch::merge_patch;
