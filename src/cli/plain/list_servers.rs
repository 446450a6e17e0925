//! `blobdvm list-servers`: the providers that announce themselves.

use bytesize::ByteSize;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::npub;
use crate::cli::plain::servers::DISCOVERY_DEADLINE;
use crate::client::{Directory, ProviderTerms};

/// A provider in `list-servers --json`.
#[derive(Debug, Serialize)]
struct Row {
    provider: String,
    npub: String,
    name: String,
    about: String,
    max_file_size: u64,
    chunk_size: u64,
    retention_hours: u64,
    extensions: Vec<&'static str>,
    announced_at: u64,
}

impl Row {
    fn new(terms: &ProviderTerms) -> Self {
        Self {
            provider: terms.id.to_string(),
            npub: npub(&terms.id),
            name: terms.name.clone(),
            about: terms.about.clone(),
            max_file_size: terms.max_file_size,
            chunk_size: terms.chunk_size,
            retention_hours: terms.retention.as_secs() / 3_600,
            extensions: terms.extensions.iter().map(|extension| extension.as_str()).collect(),
            announced_at: terms.announced_at.0,
        }
    }
}

/// Lists announcements, newest first. Whether anybody is behind one is another question.
pub async fn run(context: &Context) -> Result<Exit, CliError> {
    let carrier = context.connect(&[]).await?;
    let directory = Directory::discover(&*carrier, DISCOVERY_DEADLINE).await;
    if directory.answered.is_empty() {
        let remedy = "name another relay with --relay URL, or try again";
        return Err(CliError::new(Exit::NoRelay, "no relay answered in time", remedy));
    }
    let mut rows: Vec<Row> = directory.providers.values().map(Row::new).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.announced_at));
    context.output.json(&rows);
    if rows.is_empty() {
        context.output.say("no provider announces itself on these relays: `blobdvm serve` runs one");
    }
    for row in &rows {
        let size = ByteSize::b(row.max_file_size).to_string();
        let kind = if row.extensions.is_empty() { "plain" } else { "extended" };
        let hours = row.retention_hours;
        context.output.answer(format_args!("{}  {size:>9}  {hours:>5} h  {kind:<8}  {}", row.npub, row.name));
    }
    Ok(Exit::Ok)
}
