//! Who calls, and what they may do.

use http::{HeaderMap, header};

use super::Api;
use crate::{
    backend::{
        store::{self, View},
        tenants::{self, Credential},
    },
    protocol::{Access, Code, ObjectId, Permission, Problem, Project, Rule},
};

/// A known token.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) token: ObjectId,
    pub(super) access: Access,
}

impl Caller {
    /// The token of a request.
    pub(super) async fn of(api: &Api, headers: &HeaderMap) -> Result<Self, Problem> {
        let credential = bearer(headers).and_then(Credential::parse).ok_or_else(unknown)?;
        let look = move |view: &dyn View| Ok(tenants::authenticate(view, &credential)?);
        let token = store::read(&*api.store, look).await?.ok_or_else(unknown)?;
        Ok(Self { token: token.view.id, access: Access(token.view.rules) })
    }

    pub(super) fn require(
        &self,
        permission: &Permission,
        organization: Option<&str>,
        project: Option<&str>,
    ) -> Result<(), Problem> {
        if self.access.allows(permission, organization, project) {
            return Ok(());
        }
        Err(Problem::forbidden(permission.clone()))
    }

    pub(super) fn may(&self, permission: &Permission, project: &Project) -> bool {
        self.access.allows(permission, Some(&project.organization), Some(&project.name))
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
        self.access.0.iter().any(|rule| wide(rule) && rule.permission == *permission)
    }

    /// What the caller may do in a project, sorted.
    pub(super) fn permissions_in(&self, project: &Project) -> Vec<Permission> {
        let rules = self.access.0.iter().map(|rule| &rule.permission);
        let mut permissions: Vec<Permission> =
            rules.filter(|permission| self.may(permission, project)).cloned().collect();
        permissions.sort();
        permissions.dedup();
        permissions
    }

    /// Whether all that `rule` allows is allowed to the caller by one rule.
    pub(super) fn covers(&self, rule: &Rule) -> bool {
        let wider = |mine: Option<&String>, theirs: Option<&String>| mine.is_none() || mine == theirs;
        self.access.0.iter().any(|mine| {
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
