//! What could not be backed up as it is: said at the end, while the rest goes through.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Troubles that are kept by name; of more only the number is known.
const KEPT: usize = 1_000;

/// A file, folder or other thing that is not in the snapshot as it was when the put began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It changed while it was read: the snapshot has what was read.
    Changed,
    /// It was gone when it was to be read.
    Vanished,
    /// It cannot be read, for this reason.
    Unreadable(String),
    /// It is in the snapshot, but without some of its extended attributes, for this reason.
    Attributes(String),
}

impl Why {
    pub(crate) fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Vanished
        } else {
            Self::Unreadable(error.to_string())
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed => f.write_str("changed while it was read; the snapshot has what was read"),
            Self::Vanished => f.write_str("vanished before it was read"),
            Self::Unreadable(why) => f.write_str(why),
            Self::Attributes(why) => write!(f, "stored without some of its extended attributes: {why}"),
        }
    }
}

/// The troubles of one put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Troubles {
    /// The first of them.
    pub first: Vec<Trouble>,
    /// How many there are.
    pub count: u64,
}

impl Troubles {
    pub(crate) fn add(&mut self, trouble: Trouble) {
        self.count += 1;
        if self.first.len() < KEPT {
            self.first.push(trouble);
        }
    }
}
