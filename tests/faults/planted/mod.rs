//! Bugs that the operator does not have.
use std::sync::Arc;
use crate::proxy::{Answer, Request, Run, Upstream};
/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {}
/// Before.
pub async fn before(_bug: Bug, _run: &Arc<Run>, _upstream: &Upstream, _request: &mut Request) -> Option<Answer> { None }
/// After.
pub async fn after(_bug: Bug, _run: &Arc<Run>, _upstream: &Upstream, _request: &Request, _answer: &mut Answer) {}
