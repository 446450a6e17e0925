//! What a bench could not measure: told, and left out, so that everything else is still measured.

use serde::Serialize;

use crate::cli::bench::report::over_of;
use crate::cli::error::CliError;

/// Where a row of the report stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Place {
    /// The field of the report: `backups`, `files` or `blobs`.
    pub(super) part: &'static str,
    /// As in the row.
    pub(super) carrier: &'static str,
    /// As in the row.
    pub(super) chunk_size: Option<u64>,
    /// As in the row; none where the way could not be begun at all.
    pub(super) size: Option<u64>,
}

/// A row that there is not.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Loss {
    #[serde(flatten)]
    pub(super) place: Place,
    /// What happened.
    pub(super) why: String,
}

/// All of them.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Losses {
    all: Vec<Loss>,
    #[serde(skip)]
    first: Option<CliError>,
}

impl Losses {
    /// Whether something failed on this way, in this part: it is not tried again, because each try may take long.
    pub(super) fn are_on(&self, place: &Place) -> bool {
        let way = |place: &Place| (place.part, place.carrier, place.chunk_size);
        self.all.iter().any(|loss| way(&loss.place) == way(place))
    }

    /// Adds one.
    pub(super) fn add(&mut self, place: Place, error: CliError) {
        self.all.push(Loss { place, why: error.happened().to_owned() });
        self.first.get_or_insert(error);
    }

    /// How the bench ends: with the first error, if there was any.
    pub(super) fn into_error(self) -> Option<CliError> {
        let others = self.all.len().saturating_sub(1);
        let first = self.first?;
        let happened = match others {
            0 => format!("not everything could be measured: {}", first.happened()),
            _ => format!("not everything could be measured: {}, and {others} more", first.happened()),
        };
        Some(first.with_happened(happened))
    }
}

impl Place {
    /// What is measured there, as people call it.
    pub(super) fn name(&self) -> String {
        over_of(self.carrier, self.chunk_size, self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::exit::Exit;

    #[test]
    fn a_way_that_failed_is_not_tried_again_in_that_part_and_the_first_error_counts() {
        let place = |part, carrier, size| Place { part, carrier, chunk_size: None, size };
        let mut losses = Losses::default();
        let failed = place("backups", "direct", Some(1));
        assert!(!losses.are_on(&failed));
        losses.add(failed, CliError::new(Exit::TooFewProviders, "nobody answers", "wait"));
        losses.add(place("blobs", "blossom", None), CliError::new(Exit::Failure, "refused", "ask"));
        assert!(losses.are_on(&place("backups", "direct", Some(2))));
        assert!(!losses.are_on(&place("backups", "relay", Some(1))));
        assert!(!losses.are_on(&place("files", "direct", Some(1))));
        let error = losses.into_error().unwrap();
        assert_eq!(error.exit(), Exit::TooFewProviders);
        assert!(error.happened().contains("nobody answers, and 1 more"), "{error}");
        assert!(Losses::default().into_error().is_none());
    }
}
