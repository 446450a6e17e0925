//! `blobdvm providers`: who is out there, what they offer, what they have done, and whom this vault trusts.

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::args::{ProvidersArgs, ProvidersVerb};
use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::{count, day, npub, provider};
use crate::cli::printable::plain;
use crate::client::{DirectStanding, Member, Roster, Standing};
use crate::types::{ProviderId, Timestamp};
use crate::vault::{KnownProvider, ProviderRecord, Settings};

/// A provider in `providers --json`.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of its own in JSON")]
struct Row {
    provider: String,
    npub: String,
    name: String,
    label: Option<String>,
    operator: Option<String>,
    trusted: bool,
    banned: bool,
    known: bool,
    answers: bool,
    latency_ms: Option<u64>,
    max_file_size: Option<u64>,
    retention_hours: Option<u64>,
    extensions: Vec<String>,
    endpoints: Vec<String>,
    /// `open`, `failed`, `pending` or `untried`.
    direct: Option<&'static str>,
    direct_error: Option<String>,
    last_seen: Option<Timestamp>,
    record: Option<ProviderRecord>,
}

/// Lists providers, or takes in what the owner says of one.
pub async fn run(args: &ProvidersArgs, context: &Context) -> Result<Exit, CliError> {
    match &args.verb {
        None => list(context).await,
        Some(ProvidersVerb::Trust { provider: text, label, operator }) => {
            change(text, "is trusted", context, |settings, id, now| {
                settings.trust_provider(id, label.as_deref(), now);
                if let Some(operator) = operator {
                    settings.set_operator(id, operator, now);
                }
            })
        }
        Some(ProvidersVerb::Ban { provider: text }) => {
            change(text, "is banned: nothing is stored there any more", context, Settings::ban_provider)
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

fn change(
    text: &str,
    said: &str,
    context: &Context,
    change: impl FnOnce(&mut Settings, ProviderId, Timestamp),
) -> Result<Exit, CliError> {
    let id = provider(text)?;
    let (vault, now) = (context.open_or_make_vault()?, context.env.now());
    vault.update_settings(|settings| change(settings, id, now))?;
    context.output.say(format_args!("{} {said}", npub(&id)));
    Ok(Exit::Ok)
}

async fn list(context: &Context) -> Result<Exit, CliError> {
    let vault = context.open_or_make_vault()?;
    let (client, _progress) = context.client(vault, "providers").await?;
    let roster = Roster::discover(&client, usize::MAX).await?;
    client.remember_deeds();
    let known = client.vault.settings().providers;
    let row_of = |(id, member): (&ProviderId, &Member)| {
        Row::new(*id, Some(member), known.get(id)).reached(client.exchange.direct_standing(*id))
    };
    let mut rows: Vec<_> = roster.members.iter().map(row_of).collect();
    let mut silent: Vec<_> = roster.failures.iter().map(|failure| failure.provider).collect();
    silent.extend(known.keys());
    silent.sort();
    silent.dedup();
    silent.retain(|id| !roster.members.contains_key(id));
    rows.extend(silent.into_iter().map(|id| Row::new(id, None, known.get(&id))));
    let out = &context.output;
    out.json(&rows);
    if rows.is_empty() {
        out.say("no provider announces itself on these relays: `blobdvm serve` runs one");
    }
    for line in rows.iter().flat_map(Row::lines) {
        out.answer(line);
    }
    Ok(Exit::Ok)
}

impl Row {
    fn new(id: ProviderId, member: Option<&Member>, known: Option<&KnownProvider>) -> Self {
        let standing = member.map(|member| member.standing);
        let terms = member.map(|member| &member.terms);
        Self {
            provider: id.to_string(),
            npub: npub(&id),
            name: terms.map_or_else(String::new, |terms| terms.name.clone()),
            label: known.map(|known| known.label.clone()).filter(|label| !label.is_empty()),
            operator: known.and_then(|known| known.operator.clone()),
            trusted: known.is_some_and(|known| known.trusted),
            banned: known.is_some_and(|known| known.banned),
            known: known.is_some() || standing.is_some_and(|standing| standing != Standing::Newcomer),
            answers: member.is_some(),
            latency_ms: member.and_then(|member| u64::try_from(member.latency.as_millis()).ok()),
            max_file_size: terms.map(|terms| terms.max_file_size),
            retention_hours: terms.map(|terms| terms.retention.as_secs() / 3_600),
            extensions: terms.map_or_else(Vec::new, |terms| {
                terms.extensions.iter().map(|extension| extension.as_str().to_owned()).collect()
            }),
            endpoints: terms
                .map_or_else(Vec::new, |terms| terms.endpoints.iter().map(ToString::to_string).collect()),
            direct: None,
            direct_error: None,
            last_seen: known.map(|known| known.last_seen),
            record: known.map(|known| known.record),
        }
    }

    /// How it was reached just now.
    fn reached(self, standing: DirectStanding) -> Self {
        let (direct, direct_error) = match standing {
            DirectStanding::Unannounced => (None, None),
            DirectStanding::Untried => (Some("untried"), None),
            DirectStanding::Pending => (Some("pending"), None),
            DirectStanding::Open => (Some("open"), None),
            DirectStanding::Failed { why } => (Some("failed"), Some(why)),
        };
        Self { direct, direct_error, ..self }
    }

    /// The row for people: who, what it offers, and what it has done as far as there is anything to tell.
    fn lines(&self) -> Vec<String> {
        let state = match self {
            Self { banned: true, .. } => "banned",
            Self { trusted: true, .. } => "trusted",
            Self { known: true, .. } => "known",
            _ => "new",
        };
        let name = self.label.as_deref().unwrap_or(&self.name);
        let mut lines = vec![plain(&format!("{}  {state:<7}  {name}", self.npub)).trim_end().to_owned()];
        lines.push(format!("    {}", self.offer().join(", ")));
        match (self.direct, &self.direct_error) {
            (_, Some(why)) => lines.push(plain(&format!("    no direct path: {why}"))),
            (Some("pending"), _) => {
                let endpoints = self.endpoints.join(", ");
                lines.push(plain(&format!("    no direct path: nobody answers so far at {endpoints}")));
            }
            (Some("untried"), _) => {
                lines.push(plain(&format!("    announces a direct path: {}", self.endpoints.join(", "))));
            }
            _ => {}
        }
        if let Some(operator) = &self.operator {
            lines.push(plain(&format!("    run by {operator}")));
        }
        if let Some(record) = self.record.filter(|record| *record != ProviderRecord::default()) {
            lines.push(format!("    {}", goods(&record).join(", ")));
            if !bads(&record).is_empty() {
                lines.push(format!("    {}", bads(&record).join(", ")));
            }
        }
        lines
    }

    fn offer(&self) -> Vec<String> {
        if !self.answers {
            let seen = self.last_seen.map(|seen| format!("last heard on {}", day(seen)));
            return ["does not answer".to_owned()].into_iter().chain(seen).collect();
        }
        let way = if self.direct == Some("open") { " directly" } else { "" };
        let latency = self.latency_ms.map(|latency| format!("answers in {latency} ms{way}"));
        let days = self.retention_hours.map(|hours| format!("keeps {}", count(hours / 24, "day")));
        let size = self.max_file_size.map(|size| format!("takes blobs up to {}", ByteSize::b(size)));
        [latency, days, size].into_iter().flatten().collect()
    }
}

/// What speaks for a provider, or for nothing.
fn goods(record: &ProviderRecord) -> Vec<String> {
    let mut facts = vec![count(record.answered.into(), "answer")];
    for (bytes, what) in [(record.stored_bytes, "stored"), (record.fetched_bytes, "gave back")] {
        if bytes > 0 {
            facts.push(format!("{what} {}", ByteSize::b(bytes)));
        }
    }
    if let Some(throughput) = record.throughput {
        facts.push(format!("{}/s", ByteSize::b(throughput.into())));
    }
    let audited = u64::from(record.audited_good) + u64::from(record.audited_bad);
    if audited > 0 {
        facts.push(format!("{} of {audited} audited good", record.audited_good));
    }
    facts
}

/// What speaks against it.
fn bads(record: &ProviderRecord) -> Vec<String> {
    let counts = [
        (record.lost, "lost"),
        (record.corrupt, "wrong"),
        (record.refused, "refused"),
        (record.silent, "unanswered"),
    ];
    let mut facts: Vec<_> =
        counts.iter().filter(|(many, _)| *many > 0).map(|(many, what)| format!("{many} {what}")).collect();
    if record.last_failed > Timestamp(0) {
        facts.push(format!("last failed on {}", day(record.last_failed)));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(label: &str) -> KnownProvider {
        let mut settings = Settings::default();
        let id = ProviderId::new([1; 32]);
        settings.trust_provider(id, Some(label), Timestamp(86_400));
        settings.set_operator(id, &"o".repeat(90), Timestamp(86_400));
        settings.providers.remove(&id).unwrap()
    }

    #[test]
    fn what_was_done_is_told_and_what_was_not_is_left_out() {
        let mut known = known("Ada's cellar");
        known.operator = None;
        let silent = Row::new(ProviderId::new([1; 32]), None, Some(&known));
        let lines = silent.lines();
        assert!(lines[0].ends_with("  trusted  Ada's cellar"), "{lines:?}");
        assert_eq!(lines[1..], ["    does not answer, last heard on 1970-01-02"]);
        known.record = ProviderRecord {
            answered: 1,
            audited_good: 299,
            audited_bad: 1,
            lost: 2,
            last_failed: Timestamp(86_400),
            ..ProviderRecord::default()
        };
        let lines = Row::new(ProviderId::new([1; 32]), None, Some(&known)).lines();
        assert_eq!(lines[2], "    1 answer, 299 of 300 audited good");
        assert_eq!(lines[3], "    2 lost, last failed on 1970-01-02");
    }

    #[test]
    fn lines_about_a_long_record_fit_a_hundred_columns() {
        let mut known = known("friend");
        known.record = ProviderRecord {
            throughput: Some(120_000_000),
            answered: 1_000_000,
            refused: 10_000,
            silent: 10_000,
            stored_bytes: 1 << 40,
            fetched_bytes: 1 << 40,
            lost: 10_000,
            corrupt: 10_000,
            audited_good: 1_000_000,
            last_failed: Timestamp(1_790_000_000),
            ..ProviderRecord::default()
        };
        for line in Row::new(ProviderId::new([1; 32]), None, Some(&known)).lines() {
            assert!(line.chars().count() <= 100, "{} {line}", line.len());
        }
    }
}
