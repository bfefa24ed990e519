//! Everything on one machine. [`binaries`] gets a real etcd, kube-apiserver and the controllers that we need,
//! [`controlplane`] runs them, [`cluster`] talks to them (or to a cluster that the user has), [`apply`] puts manifests
//! there: that is for the integration tests too. [`session`] is the `dev` command: all that, the backend, the operator, the
//! samples and what they name.

pub mod apply;
pub mod binaries;
pub mod cluster;
pub mod controlplane;
pub mod demo;
mod kubectl;
pub mod manifests;
pub mod process;
pub mod progress;
pub mod readiness;
pub mod session;
pub mod tips;
pub mod tls;
