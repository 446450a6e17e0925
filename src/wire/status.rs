//! Kind 21999: a provider's status and error messages.

use nostr::{Event, EventId};

use crate::types::ClientId;
use crate::types::limits::STATUS_TEXT_LEN_MAX;
use crate::wire::tags::{
    expect_kind, parse_optional, printable, request_id, requester, required, tag, value,
};
use crate::wire::{Draft, ErrorCode, RequestNumber, STATUS_KIND, WireError};

/// Characters of a status word.
const STATUS_LEN_MAX: usize = 80;

/// What a provider says about a request besides its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The request's event.
    pub request: EventId,
    /// Who sent it.
    pub requester: ClientId,
    /// The request's number, where it had one.
    pub number: Option<RequestNumber>,
    /// What is said.
    pub kind: StatusKind,
    /// The same for people, without the code.
    pub text: String,
}

/// The meaning of a status message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusKind {
    /// The provider is at it.
    Processing,
    /// The provider refuses.
    Error(ErrorCode),
    /// A status that this program does not know.
    Other(String),
}

impl Status {
    /// The event to sign. The code of an error stands in a tag and at the start of the text.
    pub fn to_draft(&self) -> Draft {
        let text = printable(&self.text, STATUS_TEXT_LEN_MAX);
        let (status, content) = match &self.kind {
            StatusKind::Processing => ("processing", text),
            StatusKind::Error(code) => ("error", format!("{code}: {text}")),
            StatusKind::Other(status) => (status.as_str(), text),
        };
        let mut tags = vec![
            tag(["e", &self.request.to_hex()]),
            tag(["p", &self.requester.to_string()]),
            tag(["status", status]),
        ];
        if let StatusKind::Error(code) = &self.kind {
            tags.push(tag(["code", code.as_str()]));
        }
        tags.extend(self.number.map(|number| tag(["req", &number.to_string()])));
        Draft { kind: STATUS_KIND, content, tags }
    }

    /// Reads a verified event. Where an error has no code tag, its text may begin with the code.
    pub fn parse(event: &Event) -> Result<Self, WireError> {
        expect_kind(event, STATUS_KIND)?;
        let status = printable(required(event, "status")?, STATUS_LEN_MAX);
        let (kind, text) = match status.as_str() {
            "processing" => (StatusKind::Processing, event.content.as_str()),
            "error" => parse_error(event),
            _ => (StatusKind::Other(status), event.content.as_str()),
        };
        Ok(Self {
            request: request_id(event)?,
            requester: requester(event)?,
            number: parse_optional(event, "req")?,
            text: printable(text, STATUS_TEXT_LEN_MAX).trim_start().to_owned(),
            kind,
        })
    }
}

/// The code of an error, from its tag or the beginning of its text, and the text without it.
fn parse_error(event: &Event) -> (StatusKind, &str) {
    let (leading, rest) = event.content.split_once(':').unwrap_or((&event.content, ""));
    let leading = ErrorCode::parse(leading.trim());
    let text = if leading.is_some() { rest } else { &event.content };
    let code = value(event, "code").and_then(ErrorCode::parse).or(leading);
    (StatusKind::Error(code.unwrap_or(ErrorCode::InternalError)), text)
}
