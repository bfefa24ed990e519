//! Who calls, and what they may do.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::Api;
use crate::{
    backend::{
        store::{self, View},
        tenants::{self, Credential, StoredToken},
    },
    protocol::{Access, Code, Permission, Problem, Project, Rule},
};

/// A known token.
#[derive(Clone, Debug)]
pub(super) struct Caller(Arc<StoredToken>);

impl Caller {
    /// The token of a request.
    pub(super) async fn of(api: &Api, headers: &HeaderMap) -> Result<Self, Problem> {
        let credential = bearer(headers).and_then(Credential::parse).ok_or_else(unknown)?;
        let tokens = api.tokens.clone();
        let look = move |view: &dyn View| Ok(tokens.authenticate(view, &credential)?);
        store::read(&*api.store, look).await?.map(Self).ok_or_else(unknown)
    }

    /// Id of the token.
    pub(super) fn token(&self) -> &str {
        &self.0.view.id
    }

    fn rules(&self) -> &[Rule] {
        &self.0.view.rules
    }

    fn allowed(&self, permission: &Permission, organization: Option<&str>, project: Option<&str>) -> bool {
        Access(self.rules()).allows(permission, organization, project)
    }

    pub(super) fn require(
        &self,
        permission: &Permission,
        organization: Option<&str>,
        project: Option<&str>,
    ) -> Result<(), Problem> {
        if self.allowed(permission, organization, project) {
            return Ok(());
        }
        Err(Problem::forbidden(permission.clone()))
    }

    pub(super) fn may(&self, permission: &Permission, project: &Project) -> bool {
        self.allowed(permission, Some(&project.organization), Some(&project.name))
    }

    pub(super) fn require_in(&self, permission: &Permission, project: &Project) -> Result<(), Problem> {
        self.require(permission, Some(&project.organization), Some(&project.name))
    }

    /// The project, for a caller that has at least one of `permissions` there. Who has none hears the same of a project that
    /// does not exist: names of projects are nobody else's business. `permissions` must not be empty.
    pub(super) fn enter(&self, view: &dyn View, project: &str, permissions: &[Permission]) -> Result<Project, Problem> {
        match tenants::project(view, project)? {
            Some(found) if permissions.iter().any(|permission| self.may(permission, &found)) => Ok(found),
            None if permissions.iter().any(|permission| self.everywhere(permission)) => {
                Err(Problem::not_found(format_args!("project {project:?}")))
            }
            _ => Err(permissions.first().map_or_else(
                || Problem::new(Code::Internal, "no permission leads here"),
                |permission| Problem::forbidden(permission.clone()),
            )),
        }
    }

    /// Whether a rule covers all organizations and projects.
    fn everywhere(&self, permission: &Permission) -> bool {
        let wide = |rule: &Rule| rule.organization.is_none() && rule.project.is_none();
        self.rules().iter().any(|rule| wide(rule) && rule.permission == *permission)
    }

    /// What the caller may do in a project, sorted.
    pub(super) fn permissions_in(&self, project: &Project) -> Vec<Permission> {
        let here = |rule: &&Rule| rule.reaches(Some(&project.organization), Some(&project.name));
        let mut permissions: Vec<Permission> =
            self.rules().iter().filter(here).map(|rule| rule.permission.clone()).collect();
        permissions.sort();
        permissions.dedup();
        permissions
    }

    /// Whether all that `rule` allows is allowed to the caller by one rule.
    pub(super) fn covers(&self, rule: &Rule) -> bool {
        let wider = |mine: Option<&String>, theirs: Option<&String>| mine.is_none() || mine == theirs;
        self.rules().iter().any(|mine| {
            mine.permission == rule.permission
                && wider(mine.organization.as_ref(), rule.organization.as_ref())
                && wider(mine.project.as_ref(), rule.project.as_ref())
        })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else { return None };
    let (scheme, token) = value.split_once(' ')?;
    // RFC 9110 section 11.1: the scheme's case does not matter.
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn unknown() -> Problem {
    Problem::new(Code::Unauthenticated, "send Authorization: Bearer with a token that exists and was not revoked")
}
