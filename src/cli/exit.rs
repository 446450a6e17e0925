//! Exit codes: the only place that knows them (README.md, "Exit codes").

/// How a run of the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Ok,
    /// A failure that has no code of its own, such as a file that cannot be read.
    Failure,
    /// The command line was wrong.
    Usage,
    /// What was asked for does not exist: snapshot, path, blob.
    NotFound,
    /// Fewer providers than the spread asks for.
    TooFewProviders,
    /// Fewer than k shards of a pack could be had.
    CannotRestore,
    /// Something does not authenticate, or differs from its recorded hash.
    Integrity,
    /// No relay is known or none could be reached.
    NoRelay,
    /// The home is missing, locked, damaged or of another version.
    Home,
    /// A snapshot was made, but something changed, vanished or could not be read meanwhile.
    Incomplete,
    /// Not everything is at full health; all of it can be restored, as far as is known.
    Degraded,
    /// Something cannot be restored any more.
    Lost,
    /// Ended by Ctrl-C or a termination signal.
    Interrupted,
}

impl Exit {
    /// The number the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::TooFewProviders => 4,
            Self::CannotRestore => 5,
            Self::Integrity => 6,
            Self::NoRelay => 7,
            Self::Home => 8,
            Self::Incomplete => 9,
            Self::Degraded => 10,
            Self::Lost => 11,
            Self::Interrupted => 130,
        }
    }
}
