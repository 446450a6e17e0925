//! What a candidate must be able to do.

use std::path::Path;

/// Name of a segment.
pub type Tag = [u8; 32];

/// Where a segment's record is.
pub struct Entry {
    /// Which segment.
    pub tag: Tag,
    /// Offset of its record in the manifest's log.
    pub offset: u32,
    /// Position of the segment in that record.
    pub item: u32,
}

/// An embedded database that maps tags to places.
pub trait Engine {
    /// What it is called in the table.
    const NAME: &'static str;
    /// Opens or creates the database.
    fn open(path: &Path) -> Self;
    /// Reads everything, to see whether it is whole.
    fn check(&mut self);
    /// Inserts a batch in one commit that needs not survive a power cut.
    fn insert(&self, entries: &[Entry]);
    /// Looks one tag up.
    fn find(&self, tag: &Tag) -> Option<(u32, u32)>;
}
