//! Trees: folders as pages of entries, sorted by name (docs/format.md, "TreePage", "Entry").

use crate::crypt::{TagKey, tag};
use crate::types::Tag;
use crate::types::limits::{
    HOLE_COUNT_MAX, LABEL_LEN_MAX, NAME_LEN_MAX, PAGE_ENTRY_COUNT_MAX, PAGE_LEN_MAX, PATH_LEN_MAX,
    XATTR_COUNT_MAX, XATTR_LEN_MAX,
};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::content::{ContentItem, Refs};

/// A part of a folder: entries in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreePage {
    /// Its name in the vault.
    pub tag: Tag,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// A file, folder or other thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name: not empty, no `/`, no NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Owner by name; empty if not known.
    pub user: String,
    /// Group by name; empty if not known.
    pub group: String,
    /// Seconds since 1970 of the last change of its content.
    pub mtime: i64,
    /// Nanoseconds after `mtime`, below 10^9.
    pub mtime_nanos: u32,
    /// Extended attributes, in the order of their names.
    pub xattrs: Vec<Xattr>,
    /// Entries of a snapshot with the same number other than 0 are one file.
    pub link_group: u64,
    /// What it is.
    pub kind: EntryKind,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File(File),
    /// A folder.
    Dir {
        /// Its pages.
        pages: Refs,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as bytes.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice {
        /// Its number.
        rdev: u64,
    },
    /// A block device.
    BlockDevice {
        /// Its number.
        rdev: u64,
    },
    /// A socket.
    Socket,
}

/// A file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// How many they are, holes included.
    pub len: u64,
    /// SHA-256 of all of them, holes read as zeros.
    pub sha256: [u8; 32],
    /// Where the file has no bytes of its own: in order, apart from each other.
    pub holes: Vec<Hole>,
    /// Segments that hold the bytes outside the holes, end to end.
    pub content: Refs,
}

/// A range of a file that reads as zeros and is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    /// Where it begins.
    pub offset: u64,
    /// How long it is, at least 1.
    pub len: u64,
}

impl TreePage {
    /// The page of `entries`, which must be in order, named with the vault's key.
    pub fn new(entries: Vec<Entry>, key: &TagKey) -> Result<Self, FormatError> {
        let mut encoding = Writer::new();
        write_entries(&entries, &mut encoding)?;
        Ok(Self { tag: tag::tree_tag(ContentItem::TREE_PAGE, encoding.as_bytes(), key), entries })
    }
}

impl Encoding for TreePage {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.tag.write(out)?;
        write_entries(&self.entries, out)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let tag = Tag::read(input)?;
        let before = input.remaining();
        let entries: Vec<Entry> = input.list(PAGE_ENTRY_COUNT_MAX, "entries of a tree page")?;
        check_page(&entries, before - input.remaining())?;
        Ok(Self { tag, entries })
    }
}

fn write_entries(entries: &[Entry], out: &mut Writer) -> Result<(), FormatError> {
    let before = out.as_bytes().len();
    out.list(entries, PAGE_ENTRY_COUNT_MAX, "entries of a tree page")?;
    check_page(entries, out.as_bytes().len() - before)
}

fn check_page(entries: &[Entry], len: usize) -> Result<(), FormatError> {
    if len > PAGE_LEN_MAX {
        let (count, max) = (len as u64, PAGE_LEN_MAX as u64);
        return Err(FormatError::TooMany { what: "bytes of a tree page", count, max });
    }
    if !entries.is_sorted_by(|a, b| a.name < b.name) {
        return Err(FormatError::Invalid { what: "a tree page", rule: "names are in order and different" });
    }
    Ok(())
}

impl Entry {
    fn check(&self) -> Result<(), FormatError> {
        let broken = |rule| Err(FormatError::Invalid { what: "a tree entry", rule });
        if self.name.is_empty() || self.name == b"." || self.name == b".." {
            return broken("its name is not empty, `.` or `..`");
        }
        if self.name.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return broken("its name has no `/` and no NUL");
        }
        if self.mode > 0o7777 {
            return broken("its mode has permission bits only");
        }
        if self.mtime_nanos >= 1_000_000_000 {
            return broken("its time has less than 10^9 nanoseconds");
        }
        if !self.xattrs.is_sorted_by(|a, b| a.name < b.name) {
            return broken("its attributes are in order and different");
        }
        match &self.kind {
            EntryKind::File(file) => file.check(),
            _ => Ok(()),
        }
    }
}

impl File {
    /// Bytes that its segments hold.
    pub fn stored_len(&self) -> u64 {
        self.holes.iter().fold(self.len, |len, hole| len.saturating_sub(hole.len))
    }

    fn check(&self) -> Result<(), FormatError> {
        let mut end = None;
        for hole in &self.holes {
            let next = hole.offset.checked_add(hole.len).filter(|next| *next <= self.len && hole.len > 0);
            if next.is_none() || end.is_some_and(|end| hole.offset <= end) {
                let rule = "holes are in order, apart from each other, and within the file";
                return Err(FormatError::Invalid { what: "a file", rule });
            }
            end = next;
        }
        Ok(())
    }
}

impl Encoding for Entry {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        out.bytes(&self.name, NAME_LEN_MAX, "bytes of a file name")?;
        out.u32(self.mode);
        out.u32(self.uid);
        out.u32(self.gid);
        out.text(&self.user, LABEL_LEN_MAX, "bytes of a user's name")?;
        out.text(&self.group, LABEL_LEN_MAX, "bytes of a group's name")?;
        out.i64(self.mtime);
        out.u32(self.mtime_nanos);
        out.list(&self.xattrs, XATTR_COUNT_MAX, "extended attributes")?;
        out.u64(self.link_group);
        self.kind.write(out)
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let entry = Self {
            name: input.bytes(NAME_LEN_MAX, "bytes of a file name")?.to_vec(),
            mode: input.u32()?,
            uid: input.u32()?,
            gid: input.u32()?,
            user: input.text(LABEL_LEN_MAX, "bytes of a user's name")?,
            group: input.text(LABEL_LEN_MAX, "bytes of a group's name")?,
            mtime: input.i64()?,
            mtime_nanos: input.u32()?,
            xattrs: input.list(XATTR_COUNT_MAX, "extended attributes")?,
            link_group: input.u64()?,
            kind: EntryKind::read(input)?,
        };
        entry.check()?;
        Ok(entry)
    }
}

impl Encoding for Xattr {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.bytes(&self.name, LABEL_LEN_MAX, "bytes of an attribute's name")?;
        out.bytes(&self.value, XATTR_LEN_MAX, "bytes of an attribute's value")
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            name: input.bytes(LABEL_LEN_MAX, "bytes of an attribute's name")?.to_vec(),
            value: input.bytes(XATTR_LEN_MAX, "bytes of an attribute's value")?.to_vec(),
        })
    }
}

impl Encoding for EntryKind {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        match self {
            Self::File(file) => {
                out.u8(1);
                out.u64(file.len);
                out.raw(&file.sha256);
                out.list(&file.holes, HOLE_COUNT_MAX, "holes of a file")?;
                file.content.write(out)?;
            }
            Self::Dir { pages } => {
                out.u8(2);
                pages.write(out)?;
            }
            Self::Symlink { target } => {
                out.u8(3);
                out.bytes(target, PATH_LEN_MAX, "bytes of a link's target")?;
            }
            Self::Fifo => out.u8(4),
            Self::CharDevice { rdev } => {
                out.u8(5);
                out.u64(*rdev);
            }
            Self::BlockDevice { rdev } => {
                out.u8(6);
                out.u64(*rdev);
            }
            Self::Socket => out.u8(7),
        }
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(match input.u8()? {
            1 => Self::File(File {
                len: input.u64()?,
                sha256: input.array()?,
                holes: input.list(HOLE_COUNT_MAX, "holes of a file")?,
                content: Refs::read(input)?,
            }),
            2 => Self::Dir { pages: Refs::read(input)? },
            3 => Self::Symlink { target: input.bytes(PATH_LEN_MAX, "bytes of a link's target")?.to_vec() },
            4 => Self::Fifo,
            5 => Self::CharDevice { rdev: input.u64()? },
            6 => Self::BlockDevice { rdev: input.u64()? },
            7 => Self::Socket,
            found => return Err(FormatError::UnknownType { what: "a tree entry", found }),
        })
    }
}

impl Encoding for Hole {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        out.u64(self.offset);
        out.u64(self.len);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { offset: input.u64()?, len: input.u64()? })
    }
}
