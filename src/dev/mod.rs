//! The local control plane: a real etcd, kube-apiserver and the controllers that we need, for the `dev` command and for
//! the integration tests. [`binaries`] gets the programs, [`controlplane`] runs them, [`cluster`] talks to them (or to a
//! cluster that the user has), [`apply`] puts manifests there.

pub mod apply;
pub mod binaries;
pub mod cluster;
pub mod controlplane;
mod process;
pub mod progress;
pub mod tls;
