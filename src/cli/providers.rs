//! `blobdvm providers`: who is out there, what they offer, and whom this vault trusts.

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::args::{ProvidersArgs, ProvidersVerb};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{npub, provider};
use crate::client::{Member, Roster, Standing};
use crate::types::ProviderId;

/// A provider in `providers --json`.
#[derive(Debug, Serialize)]
struct Row {
    provider: String,
    npub: String,
    name: String,
    label: Option<String>,
    trusted: bool,
    known: bool,
    answers: bool,
    latency_ms: Option<u64>,
    max_file_size: Option<u64>,
    retention_hours: Option<u64>,
    extensions: Vec<String>,
}

/// Lists providers, or changes whom the vault trusts.
pub async fn run(args: &ProvidersArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        None => list(context).await,
        Some(ProvidersVerb::Trust { provider: text, label }) => {
            let id = provider(text)?;
            let vault = context.open_or_make_vault()?;
            let now = context.env.now();
            vault.update_settings(|settings| settings.trust_provider(id, label.as_deref(), now))?;
            context.output.say(format_args!("{} is trusted", npub(&id)));
            Ok(Exit::Ok)
        }
        Some(ProvidersVerb::Forget { provider: text }) => {
            let id = provider(text)?;
            let vault = context.open_vault()?;
            if !vault.update_settings(|settings| settings.forget_provider(&id))? {
                let what = format!("{} is not known", npub(&id));
                return Err(CliError::new(
                    Exit::NotFound,
                    what,
                    "see `blobdvm providers` for those that are",
                ));
            }
            context.output.say(format_args!("{} is forgotten", npub(&id)));
            Ok(Exit::Ok)
        }
    }
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_or_make_vault()?;
    let (client, _progress) = context.client(vault, "providers").await?;
    let roster = Roster::discover(&client, usize::MAX).await?;
    let settings = client.vault.settings();
    let labels = |id: &ProviderId| {
        settings.providers.get(id).map(|known| known.label.clone()).filter(|label| !label.is_empty())
    };
    let mut rows: Vec<_> =
        roster.members.iter().map(|(id, member)| row(*id, Some(member), labels(id))).collect();
    rows.extend(roster.failures.iter().map(|failure| row(failure.provider, None, labels(&failure.provider))));
    let out = &context.output;
    out.json(&rows);
    if rows.is_empty() {
        out.say("no provider announces itself on these relays: `blobdvm serve` runs one");
    }
    for row in &rows {
        let state = match (row.answers, row.trusted, row.known) {
            (false, ..) => "silent",
            (_, true, _) => "trusted",
            (_, _, true) => "known",
            _ => "new",
        };
        let size = row.max_file_size.map_or_else(String::new, |size| ByteSize::b(size).to_string());
        let days = row.retention_hours.map_or_else(String::new, |hours| format!("{} days", hours / 24));
        let latency = row.latency_ms.map_or_else(String::new, |latency| format!("{latency} ms"));
        let name = row.label.as_deref().unwrap_or(&row.name);
        out.answer(format_args!("{}  {state:<7}  {latency:>7}  {size:>9}  {days:>8}  {name}", row.npub));
    }
    Ok(Exit::Ok)
}

fn row(id: ProviderId, member: Option<&Member>, label: Option<String>) -> Row {
    let standing = member.map(|member| member.standing);
    let terms = member.map(|member| &member.terms);
    Row {
        provider: id.to_string(),
        npub: npub(&id),
        name: terms.map_or_else(String::new, |terms| terms.name.clone()),
        label,
        trusted: standing == Some(Standing::Trusted),
        known: standing.is_some_and(|standing| standing != Standing::Newcomer),
        answers: member.is_some(),
        latency_ms: member.and_then(|member| u64::try_from(member.latency.as_millis()).ok()),
        max_file_size: terms.map(|terms| terms.max_file_size),
        retention_hours: terms.map(|terms| terms.retention.as_secs() / 3_600),
        extensions: terms.map_or_else(Vec::new, |terms| {
            terms.extensions.iter().map(|extension| extension.as_str().to_owned()).collect()
        }),
    }
}
