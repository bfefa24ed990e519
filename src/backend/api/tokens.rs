//! Tokens: mint, list, revoke.

use super::{answer::Answer, call::Call, collections::Registry, paging::Paging};
use crate::{
    backend::{
        store::{self, Table, Transaction, View},
        tenants::{self, DESCRIPTION_LIMIT, RULES_LIMIT, StoredToken},
    },
    protocol::{MintedToken, NewToken, Page, Permission, Problem, Rule, TokenView, Verb},
};

fn require(call: &Call, verb: Verb) -> Result<(), Problem> {
    call.caller.require(&Permission::new("platform.token", verb), None, None)
}

/// A token can only be given what its maker may do.
pub(super) async fn mint(call: Call) -> Result<Answer, Problem> {
    require(&call, Verb::Create)?;
    let NewToken { description, rules } = call.json()?;
    if description.is_empty() || description.len() > DESCRIPTION_LIMIT || description.chars().any(char::is_control) {
        let detail = format!("must have 1 to {DESCRIPTION_LIMIT} bytes and no control characters");
        return Err(Problem::invalid("/description", detail));
    }
    check_rules(&rules, &call.api.collections)?;
    if let Some(rule) = rules.iter().find(|rule| !call.caller.covers(rule)) {
        return Err(Problem::forbidden(rule.permission.clone()));
    }
    let view = TokenView { id: call.api.world.id("tk"), description, rules };
    let (secret, stored) = tenants::new_token(view, call.api.world.secret());
    let token = stored.view.clone();
    let work = move |tx: &mut dyn Transaction| Ok(tenants::put_token(tx, &stored)?);
    store::write(&*call.api.store, true, work).await?;
    Answer::created(&MintedToken { token, secret })
}

fn check_rules(rules: &[Rule], registry: &Registry) -> Result<(), Problem> {
    if rules.is_empty() || rules.len() > RULES_LIMIT {
        return Err(Problem::invalid("/rules", format!("must have 1 to {RULES_LIMIT} rules")));
    }
    let known = registry.permissions();
    for (index, rule) in rules.iter().enumerate() {
        if !known.contains(&rule.permission) {
            let detail = format!("{} is no permission of this backend", rule.permission);
            return Err(Problem::invalid(format!("/rules/{index}/permission"), detail));
        }
        if rule.project.is_some() && rule.organization.is_none() {
            let detail = "a rule for a project names its organization, too";
            return Err(Problem::invalid(format!("/rules/{index}/organization"), detail));
        }
        for (field, label) in [("organization", &rule.organization), ("project", &rule.project)] {
            if let Some(label) = label {
                tenants::check_label(label, &format!("/rules/{index}/{field}"))?;
            }
        }
    }
    Ok(())
}

pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    require(&call, Verb::Read)?;
    let paging = Paging::of(&call)?;
    let look = move |view: &dyn View| {
        let keep = |_: &StoredToken| true;
        let (items, more) = tenants::list(view, Table::Tokens, &paging.after, paging.limit, &keep)?;
        let next = items.last().filter(|_| more).map(|item| Paging::next(&item.view.id));
        Ok(Page { items: items.into_iter().map(|item| item.view).collect(), next })
    };
    Answer::ok::<Page<TokenView>>(&store::read(&*call.api.store, look).await?)
}

pub(super) async fn revoke(call: Call) -> Result<Answer, Problem> {
    require(&call, Verb::Delete)?;
    let id = call.path("id").to_owned();
    let work = move |tx: &mut dyn Transaction| {
        let revoked = tenants::token(tx, &id)?.map(|token| token.view);
        tenants::revoke_token(tx, &id)?;
        Ok(revoked)
    };
    Answer::ok(&store::write(&*call.api.store, true, work).await?.answer)
}
