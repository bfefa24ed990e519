//! Loopback: a Kubernetes operator for project load balancers, buckets, DNS zones and monitoring, and the backend that it
//! reconciles against. Both halves ship in one binary and talk only through the wire API in [`protocol`].
//!
//! ```text
//! operator -> crd, protocol, rules, runtime        backend -> protocol, rules, runtime        cli -> everything
//! ```

#[cfg(feature = "backend")]
pub mod backend;
pub mod cli;
#[cfg(feature = "operator")]
pub mod crd;
#[cfg(all(feature = "operator", feature = "backend"))]
pub mod dev;
#[cfg(feature = "operator")]
pub mod operator;
pub mod protocol;
pub mod rules;
pub mod runtime;
