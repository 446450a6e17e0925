//! Items of the content layer: segments, reference lists, tree pages, snapshots (docs/format.md, "Content").

use crate::crypt::seal::SEAL_OVERHEAD;
use crate::crypt::{Layer, SegmentKey, TagKey, tag};
use crate::types::limits::{
    DIRECT_TAG_COUNT_MAX, LABEL_LEN_MAX, LIST_TAG_COUNT_MAX, PATH_LEN_MAX, PIECE_COUNT_MAX, REF_COUNT_MAX,
    SEGMENT_LEN_MAX, SNAPSHOT_LABEL_COUNT_MAX, SNAPSHOT_PATH_COUNT_MAX,
};
use crate::types::{PackId, SnapshotId, Tag, Timestamp};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::record::Item;
use super::tree::TreePage;

/// One item of a content record.
#[derive(Debug)]
#[non_exhaustive]
pub enum ContentItem {
    /// A segment.
    Segment(Segment),
    /// A list of tags.
    RefList(RefList),
    /// A part of a folder.
    TreePage(TreePage),
    /// A snapshot.
    Snapshot(Snapshot),
}

impl ContentItem {
    pub(super) const REF_LIST: u8 = 2;
    pub(super) const TREE_PAGE: u8 = 3;
}

/// A segment: its key, and where its sealed bytes lie.
#[derive(Debug)]
pub struct Segment {
    /// Its name in the vault.
    pub tag: Tag,
    /// Opens it.
    pub key: SegmentKey,
    /// Bytes of plaintext.
    pub plain_len: u32,
    /// Where the sealed bytes are, in order.
    pub pieces: Vec<Piece>,
}

/// A part of a sealed segment: bytes of one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The pack.
    pub pack: PackId,
    /// Where in the pack they begin.
    pub offset: u32,
    /// How many they are.
    pub len: u32,
}

/// A list of tags, for files and folders too large to name theirs directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefList {
    /// Its name in the vault.
    pub tag: Tag,
    /// The tags, in order.
    pub tags: Vec<Tag>,
}

/// What a file or folder consists of, in order: segments of a file, pages of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refs {
    /// The tags themselves.
    Direct(Vec<Tag>),
    /// Tags of reference lists, whose tags they are.
    Lists(Vec<Tag>),
}

/// A tree of files at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its name, for people.
    pub name: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// Where it was made.
    pub host: String,
    /// What people attached to it.
    pub labels: Vec<String>,
    /// The paths it was made of, as bytes.
    pub paths: Vec<Vec<u8>>,
    /// Pages of its root folder.
    pub root: Refs,
    /// How many files it has.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Segment {
    /// Bytes of the sealed segment: the sum of its pieces.
    pub fn sealed_len(&self) -> u32 {
        self.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.len))
    }

    fn check(&self) -> Result<(), FormatError> {
        let broken = |rule| Err(FormatError::Invalid { what: "a segment", rule });
        if self.plain_len == 0 || self.plain_len > SEGMENT_LEN_MAX {
            return broken("it has 1 byte to 4 MiB");
        }
        // One flag byte, at least one byte of data, the authenticator; compression is used only where it shortens.
        let overhead = 1 + SEAL_OVERHEAD as u64;
        let sealed_len: u64 = self.pieces.iter().map(|piece| u64::from(piece.len)).sum();
        if sealed_len <= overhead || sealed_len > u64::from(self.plain_len) + overhead {
            return broken("its pieces are as long as what is sealed can be");
        }
        if self.pieces.iter().any(|piece| piece.len == 0) {
            return broken("no piece is empty");
        }
        Ok(())
    }
}

impl RefList {
    /// The list of `tags`, named with the vault's key.
    pub fn new(tags: Vec<Tag>, key: &TagKey) -> Result<Self, FormatError> {
        let mut encoding = Writer::new();
        encoding.list(&tags, REF_COUNT_MAX, "tags in a reference list")?;
        Ok(Self { tag: tag::tree_tag(ContentItem::REF_LIST, encoding.as_bytes(), key), tags })
    }
}

impl Refs {
    /// Names `tags` directly where they fit, else in lists, which come back too: they must be recorded.
    pub fn of(tags: Vec<Tag>, key: &TagKey) -> Result<(Self, Vec<RefList>), FormatError> {
        if tags.len() <= DIRECT_TAG_COUNT_MAX {
            return Ok((Self::Direct(tags), Vec::new()));
        }
        let lists = tags.chunks(REF_COUNT_MAX).map(|part| RefList::new(part.to_vec(), key));
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        Ok((Self::of_lists(lists.iter().map(|list| list.tag).collect())?, lists))
    }

    /// Names lists that were made before, of [`REF_COUNT_MAX`] tags each, and the last of as many as are left.
    ///
    /// # Errors
    /// [`FormatError::TooMany`] if there are more than [`LIST_TAG_COUNT_MAX`].
    pub fn of_lists(lists: Vec<Tag>) -> Result<Self, FormatError> {
        if lists.len() > LIST_TAG_COUNT_MAX {
            let (count, max) = (lists.len() as u64, LIST_TAG_COUNT_MAX as u64);
            return Err(FormatError::TooMany { what: "reference lists", count, max });
        }
        Ok(Self::Lists(lists))
    }
}

impl Item for ContentItem {
    const LAYER: Layer = Layer::Content;
}

impl Encoding for ContentItem {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        match self {
            Self::Segment(segment) => {
                out.u8(1);
                segment.write(out)
            }
            Self::RefList(list) => {
                out.u8(Self::REF_LIST);
                list.tag.write(out)?;
                out.list(&list.tags, REF_COUNT_MAX, "tags in a reference list")
            }
            Self::TreePage(page) => {
                out.u8(Self::TREE_PAGE);
                page.write(out)
            }
            Self::Snapshot(snapshot) => {
                out.u8(4);
                snapshot.write(out)
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        match input.u8()? {
            1 => Ok(Self::Segment(Segment::read(input)?)),
            Self::REF_LIST => Ok(Self::RefList(RefList {
                tag: Tag::read(input)?,
                tags: input.list(REF_COUNT_MAX, "tags in a reference list")?,
            })),
            Self::TREE_PAGE => Ok(Self::TreePage(TreePage::read(input)?)),
            4 => Ok(Self::Snapshot(Snapshot::read(input)?)),
            found => Err(FormatError::UnknownType { what: "a content item", found }),
        }
    }
}

impl Encoding for Segment {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.check()?;
        self.tag.write(out)?;
        out.raw(self.key.expose());
        out.u32(self.plain_len);
        out.list(&self.pieces, PIECE_COUNT_MAX, "pieces of a segment")
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let segment = Self {
            tag: Tag::read(input)?,
            key: SegmentKey::new(input.array()?),
            plain_len: input.u32()?,
            pieces: input.list(PIECE_COUNT_MAX, "pieces of a segment")?,
        };
        segment.check()?;
        Ok(segment)
    }
}

impl Encoding for Piece {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.pack.write(out)?;
        out.u32(self.offset);
        out.u32(self.len);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self { pack: PackId::read(input)?, offset: input.u32()?, len: input.u32()? })
    }
}

impl Encoding for Refs {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        match self {
            Self::Direct(tags) => {
                out.u8(1);
                out.list(tags, DIRECT_TAG_COUNT_MAX, "tags named directly")
            }
            Self::Lists(tags) => {
                out.u8(2);
                out.list(tags, LIST_TAG_COUNT_MAX, "reference lists")
            }
        }
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        match input.u8()? {
            1 => Ok(Self::Direct(input.list(DIRECT_TAG_COUNT_MAX, "tags named directly")?)),
            2 => Ok(Self::Lists(input.list(LIST_TAG_COUNT_MAX, "reference lists")?)),
            found => Err(FormatError::UnknownType { what: "references", found }),
        }
    }
}

impl Encoding for Snapshot {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.id.write(out)?;
        out.text(&self.name, LABEL_LEN_MAX, "bytes of a snapshot's name")?;
        out.u64(self.made_at.0);
        out.text(&self.host, LABEL_LEN_MAX, "bytes of a host's name")?;
        out.count(self.labels.len(), SNAPSHOT_LABEL_COUNT_MAX, "labels of a snapshot")?;
        for label in &self.labels {
            out.text(label, LABEL_LEN_MAX, "bytes of a label")?;
        }
        out.count(self.paths.len(), SNAPSHOT_PATH_COUNT_MAX, "paths of a snapshot")?;
        for path in &self.paths {
            out.bytes(path, PATH_LEN_MAX, "bytes of a path")?;
        }
        self.root.write(out)?;
        out.u64(self.files);
        out.u64(self.bytes);
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let id = SnapshotId::read(input)?;
        let name = input.text(LABEL_LEN_MAX, "bytes of a snapshot's name")?;
        let made_at = Timestamp(input.u64()?);
        let host = input.text(LABEL_LEN_MAX, "bytes of a host's name")?;
        let label_count = input.count(SNAPSHOT_LABEL_COUNT_MAX, "labels of a snapshot")?;
        let labels = (0..label_count).map(|_| input.text(LABEL_LEN_MAX, "bytes of a label"));
        let labels = labels.collect::<Result<_, _>>()?;
        let path_count = input.count(SNAPSHOT_PATH_COUNT_MAX, "paths of a snapshot")?;
        let paths = (0..path_count).map(|_| Ok(input.bytes(PATH_LEN_MAX, "bytes of a path")?.to_vec()));
        let paths = paths.collect::<Result<_, FormatError>>()?;
        let root = Refs::read(input)?;
        Ok(Self { id, name, made_at, host, labels, paths, root, files: input.u64()?, bytes: input.u64()? })
    }
}
