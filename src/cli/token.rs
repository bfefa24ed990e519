//! `token`: mint, list and revoke tokens of a backend.

use std::str::FromStr;

use clap::Subcommand;
use reqwest::Method;

use super::{
    Failure,
    admin::{Access, Backend},
};
use crate::protocol::{MintedToken, NewToken, Rule, TokenView};

/// Manages the tokens of a backend.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Make a token and print it; it cannot be shown again.
    Mint {
        /// What it is for.
        #[arg(long)]
        description: String,
        /// What it may do: KEY:VERB@ORGANIZATION/PROJECT; without /PROJECT in all projects, without @ everywhere.
        #[arg(long = "rule", required = true)]
        rules: Vec<RuleText>,
    },
    /// List tokens, without their secrets.
    List,
    /// Revoke a token for good.
    Revoke {
        /// Id of the token.
        id: String,
    },
}

/// A rule as it is written on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RuleText(Rule);

impl FromStr for RuleText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (permission, place) = match text.split_once('@') {
            Some((permission, place)) => (permission, Some(place)),
            None => (text, None),
        };
        let (organization, project) = match place.map(|place| place.split_once('/').ok_or(place)) {
            None => (None, None),
            Some(Ok((organization, project))) => (Some(organization), Some(project)),
            Some(Err(organization)) => (Some(organization), None),
        };
        if organization == Some("") || project == Some("") {
            return Err(format!("{text:?}: after @ comes ORGANIZATION or ORGANIZATION/PROJECT"));
        }
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let permission = permission.parse()?;
        Ok(Self(Rule { permission, organization: owned(organization), project: owned(project) }))
    }
}

impl From<&RuleText> for String {
    fn from(RuleText(rule): &RuleText) -> Self {
        match (&rule.organization, &rule.project) {
            (Some(organization), Some(project)) => format!("{}@{organization}/{project}", rule.permission),
            (Some(organization), None) => format!("{}@{organization}", rule.permission),
            _ => rule.permission.to_string(),
        }
    }
}

/// Does what was asked for and prints it.
///
/// # Errors
/// When the file cannot be read, or the backend does not answer or refuses.
pub async fn run(args: Args) -> Result<(), Failure> {
    let backend = Backend::of(&args.access)?;
    match args.command {
        Command::Mint { description, rules } => {
            let new = NewToken { description, rules: rules.into_iter().map(|RuleText(rule)| rule).collect() };
            let minted: MintedToken =
                backend.call(backend.request(Method::POST, &["v3", "tokens"])?.json(&new)).await?;
            println!("{}", minted.secret);
        }
        Command::List => backend.each(&["v3", "tokens"], show).await?,
        Command::Revoke { id } => {
            let revoked: TokenView = backend.call(backend.request(Method::DELETE, &["v3", "tokens", &id])?).await?;
            println!("{} revoked", revoked.id);
        }
    }
    Ok(())
}

fn show(token: TokenView) {
    let rules: Vec<String> = token.rules.into_iter().map(|rule| String::from(&RuleText(rule))).collect();
    println!("{}\t{}\t{}", token.id, token.description, rules.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_round_trip() {
        for text in ["platform.token:create", "project.load_balancer:read@acme", "project.load_balancer:read@acme/shop"]
        {
            assert_eq!(String::from(&text.parse::<RuleText>().unwrap()), text);
        }
        for bad in ["", "x", "x:read@", "x:read@/p", "x:read@o/", "x:write@o/p"] {
            assert!(bad.parse::<RuleText>().is_err(), "{bad}");
        }
    }
}
