//! What is recorded of a file besides its bytes: owner, mode, times, extended attributes, links.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};

use crate::client::put::trouble::{Trouble, Why};
use crate::client::put::walk::{Found, FoundKind};
use crate::crypt::TagKey;
use crate::crypt::tag::seen_tag;
use crate::format::{Entry, EntryKind, File, Refs, Xattr};
use crate::types::Tag;
use crate::types::limits::{LABEL_LEN_MAX, XATTR_COUNT_MAX, XATTR_LEN_MAX};

/// Bytes of all extended attributes of one entry, so that every entry fits into a tree page.
const XATTRS_LEN_MAX: usize = 128 * 1024;

/// Describes what was found. Remembers the names of owners.
pub(crate) struct Describer {
    users: BTreeMap<u32, String>,
    groups: BTreeMap<u32, String>,
    key: TagKey,
}

impl Describer {
    /// `key` makes the numbers of link groups.
    pub(crate) fn new(key: TagKey) -> Self {
        Self { users: BTreeMap::new(), groups: BTreeMap::new(), key }
    }

    /// The entry of what was found; of a file and a folder without its content. And what is wrong with it.
    pub(crate) fn entry(&mut self, found: &Found) -> (Entry, Option<Trouble>) {
        let (xattrs, why) = xattrs(&found.path);
        let trouble = why.map(|why| Trouble { path: found.path.clone(), why: Why::Attributes(why) });
        (Entry { xattrs, ..self.entry_without_attributes(found) }, trouble)
    }

    /// The entry of what was found as far as it is known without another look at it.
    pub(crate) fn entry_without_attributes(&mut self, found: &Found) -> Entry {
        let metadata = &found.metadata;
        Entry {
            name: found.name.clone(),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            user: self.user(metadata.uid()),
            group: self.group(metadata.gid()),
            mtime: metadata.mtime(),
            mtime_nanos: nanos(metadata),
            xattrs: Vec::new(),
            link_group: self.link_group(found),
            kind: kind(found),
        }
    }

    /// How a file stands: whatever changes its bytes, its mode, its owner or its attributes changes this.
    pub(crate) fn state(&self, metadata: &Metadata) -> Tag {
        let numbers = [
            metadata.len(),
            metadata.ino(),
            metadata.mtime().cast_unsigned(),
            metadata.mtime_nsec().cast_unsigned(),
            metadata.ctime().cast_unsigned(),
            metadata.ctime_nsec().cast_unsigned(),
        ];
        let bytes = numbers.map(u64::to_be_bytes);
        seen_tag(&[b"state".as_slice(), bytes.as_flattened()], &self.key)
    }

    /// The name of a path in what the home remembers.
    pub(crate) fn path(&self, path: &Path) -> Tag {
        seen_tag(&[b"path ".as_slice(), path.as_os_str().as_bytes()], &self.key)
    }

    /// A number that only the links to this file have; 0 if there is one link only.
    fn link_group(&self, found: &Found) -> u64 {
        let metadata = &found.metadata;
        if !matches!(found.kind, FoundKind::File) || metadata.nlink() < 2 {
            return 0;
        }
        // The inode alone may be that of another file by the time the second name is met.
        let place = [
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime().cast_unsigned(),
            metadata.mtime_nsec().cast_unsigned(),
        ];
        let place = place.map(u64::to_be_bytes);
        let tag = seen_tag(&[b"links".as_slice(), place.as_flattened()], &self.key);
        let (number, _) = tag.as_bytes().split_first_chunk().expect("a tag is longer than a number");
        u64::from_be_bytes(*number).max(1)
    }

    fn user(&mut self, uid: u32) -> String {
        let find = || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
        self.users.entry(uid).or_insert_with(|| label(find())).clone()
    }

    fn group(&mut self, gid: u32) -> String {
        let find = || Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name);
        self.groups.entry(gid).or_insert_with(|| label(find())).clone()
    }
}

/// What was read of a file, as the home remembers it.
///
/// Its attributes belong to it: the snapshot that is compared with may be an older one than that which was put last.
pub(crate) fn content_tag(len: u64, sha256: &[u8; 32], xattrs: &[Xattr], key: &TagKey) -> Tag {
    let mut attributes = Vec::new();
    for text in xattrs.iter().flat_map(|xattr| [&xattr.name, &xattr.value]) {
        attributes.extend_from_slice(&(text.len() as u64).to_be_bytes());
        attributes.extend_from_slice(text);
    }
    seen_tag(&[b"bytes".as_slice(), &len.to_be_bytes(), sha256, &attributes], key)
}

/// Nanoseconds of the last change; 0 where a file system says nonsense.
pub(crate) fn nanos(metadata: &Metadata) -> u32 {
    u32::try_from(metadata.mtime_nsec()).ok().filter(|nanos| *nanos < 1_000_000_000).unwrap_or(0)
}

/// A name that the format has room for; else it counts as unknown.
fn label(name: Option<String>) -> String {
    name.filter(|name| name.len() <= LABEL_LEN_MAX).unwrap_or_default()
}

fn kind(found: &Found) -> EntryKind {
    let rdev = found.metadata.rdev();
    match &found.kind {
        FoundKind::File => EntryKind::File(File {
            len: 0,
            sha256: [0; 32],
            holes: Vec::new(),
            content: Refs::Direct(Vec::new()),
        }),
        FoundKind::Dir => EntryKind::Dir { pages: Refs::Direct(Vec::new()) },
        FoundKind::Symlink(target) => EntryKind::Symlink { target: target.clone() },
        FoundKind::Fifo => EntryKind::Fifo,
        FoundKind::CharDevice => EntryKind::CharDevice { rdev },
        FoundKind::BlockDevice => EntryKind::BlockDevice { rdev },
        FoundKind::Socket => EntryKind::Socket,
    }
}

/// The extended attributes that can be read and kept, in the order of their names; and why others cannot.
fn xattrs(path: &Path) -> (Vec<Xattr>, Option<String>) {
    let names = match xattr::list(path) {
        Ok(names) => names,
        Err(error) if is_no_trouble(&error) => return (Vec::new(), None),
        Err(error) => return (Vec::new(), Some(error.to_string())),
    };
    let mut names: Vec<_> = names.collect();
    names.sort();
    names.dedup();
    let (mut xattrs, mut why, mut len) = (Vec::new(), None, 0);
    for name in names {
        match read_xattr(path, &name) {
            Ok(Some(value)) if xattrs.len() < XATTR_COUNT_MAX && len + value.len() <= XATTRS_LEN_MAX => {
                len += value.len() + name.len();
                xattrs.push(Xattr { name: name.as_bytes().to_vec(), value });
            }
            Ok(Some(_)) => why = Some("they are too many or too long".to_owned()),
            Ok(None) => {}
            Err(error) => why = Some(format!("{}: {error}", name.display())),
        }
    }
    (xattrs, why)
}

fn read_xattr(path: &Path, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    match xattr::get(path, name) {
        Ok(value) => Ok(value.filter(|value| value.len() <= XATTR_LEN_MAX)),
        // Some are for the superuser alone, and were not this person's to begin with.
        Err(error) if is_no_trouble(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_no_trouble(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound
    )
}
