//! Pure rules that both halves apply.

pub mod cidr;
pub mod duration;
pub mod outbound;
