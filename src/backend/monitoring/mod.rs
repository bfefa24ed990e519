//! Monitoring.

mod checks;
mod embedded;
mod settings;

pub use checks::{ConditionChecks, ObjectChecks};
pub use embedded::{EmbeddedPlane, Limits, Options};
pub use settings::{HttpSettings, ObjectSettings, ProbeSettings, TcpSettings};
