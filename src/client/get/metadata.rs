//! What a restored entry has beside its bytes: owner, attributes, mode, time. What the system does not allow is counted
//! by kind, and no error.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Group, User};

use crate::client::get::options::{NotRestored, Withheld};
use crate::format::{Entry, EntryKind, Xattr};

/// Bits that let a program run as its owner, or as its group.
const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;

/// Gives entries what is recorded of them, and counts what it may not give.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// Ids of names that were looked up here; `None` where there is no such name.
    users: BTreeMap<String, Option<u32>>,
    groups: BTreeMap<String, Option<u32>>,
    withheld: BTreeMap<Withheld, (u64, PathBuf)>,
}

impl Metadata {
    /// Gives what is at `place` the metadata of `entry`, which will be shown as `path`. Symbolic links are not followed.
    ///
    /// The order matters: a change of owner takes attributes and mode bits away, a change of anything the time.
    pub(crate) fn give(&mut self, place: &Path, entry: &Entry, path: &Path) {
        let lost_bits = self.give_owner(place, entry, path);
        // One that is not allowed is no reason to leave out the others.
        let give = |xattr: &Xattr| xattr::set(place, OsStr::from_bytes(&xattr.name), &xattr.value);
        if entry.xattrs.iter().filter(|xattr| give(xattr).is_err()).count() > 0 {
            self.withhold(Withheld::Attributes, path);
        }
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            let mode = entry.mode & !lost_bits;
            if fs::set_permissions(place, Permissions::from_mode(mode)).is_err() || mode != entry.mode {
                self.withhold(Withheld::Mode, path);
            }
        }
        if give_time(place, entry).is_err() {
            self.withhold(Withheld::Time, path);
        }
    }

    /// Counts something that could not be given to what is shown as `path`.
    pub(crate) fn withhold(&mut self, what: Withheld, path: &Path) {
        self.withheld.entry(what).or_insert_with(|| (0, path.to_owned())).0 += 1;
    }

    /// All that could not be given.
    pub(crate) fn into_not_restored(self) -> Vec<NotRestored> {
        let row = |(what, (count, example))| NotRestored { what, count, example };
        self.withheld.into_iter().map(row).collect()
    }

    /// Changes the owner; returns the mode bits that must not be given because it is another one.
    fn give_owner(&mut self, place: &Path, entry: &Entry, path: &Path) -> u32 {
        let (uid, gid) = (self.uid(entry), self.gid(entry));
        let Ok(now) = place.symlink_metadata() else { return 0 };
        if (now.uid(), now.gid()) == (uid, gid) || lchown(place, Some(uid), Some(gid)).is_ok() {
            return 0;
        }
        self.withhold(Withheld::Owner, path);
        let has_group = now.gid() == gid || lchown(place, None, Some(gid)).is_ok();
        if matches!(entry.kind, EntryKind::Dir { .. }) {
            return 0;
        }
        let user_bit = if now.uid() == uid { 0 } else { SETUID };
        user_bit | if has_group { 0 } else { SETGID }
    }

    fn uid(&mut self, entry: &Entry) -> u32 {
        let look_up = |name: &str| User::from_name(name).ok().flatten().map(|user| user.uid.as_raw());
        find(&mut self.users, &entry.user, look_up).unwrap_or(entry.uid)
    }

    fn gid(&mut self, entry: &Entry) -> u32 {
        let look_up = |name: &str| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        find(&mut self.groups, &entry.group, look_up).unwrap_or(entry.gid)
    }
}

/// The id of a name, looked up once.
fn find(
    known: &mut BTreeMap<String, Option<u32>>,
    name: &str,
    look_up: impl FnOnce(&str) -> Option<u32>,
) -> Option<u32> {
    if name.is_empty() {
        return None;
    }
    if let Some(id) = known.get(name) {
        return *id;
    }
    let id = look_up(name);
    known.insert(name.to_owned(), id);
    id
}

fn give_time(place: &Path, entry: &Entry) -> io::Result<()> {
    let mtime = TimeSpec::new(entry.mtime, i64::from(entry.mtime_nanos));
    Ok(utimensat(AT_FDCWD, place, &TimeSpec::UTIME_OMIT, &mtime, UtimensatFlags::NoFollowSymlink)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user: &str, uid: u32) -> Entry {
        let (user, group) = (user.to_owned(), user.to_owned());
        let (name, xattrs, kind) = (b"a".to_vec(), Vec::new(), EntryKind::Fifo);
        Entry {
            name,
            mode: 0,
            uid,
            gid: uid,
            user,
            group,
            mtime: 0,
            mtime_nanos: 0,
            xattrs,
            link_group: 0,
            kind,
        }
    }

    #[test]
    fn an_owner_is_found_by_name_and_else_by_number() {
        let mut metadata = Metadata::default();
        for _ in 0..2 {
            assert_eq!(metadata.uid(&entry("root", 4_711)), 0);
            assert_eq!(metadata.gid(&entry("root", 4_711)), 0);
            assert_eq!(metadata.uid(&entry("nobody of this name", 4_711)), 4_711);
            assert_eq!(metadata.gid(&entry("", 4_711)), 4_711);
        }
    }

    #[test]
    fn what_is_withheld_is_counted_by_kind_with_its_first_example() {
        let mut metadata = Metadata::default();
        for (what, path) in [(Withheld::Mode, "b"), (Withheld::Owner, "a"), (Withheld::Mode, "c")] {
            metadata.withhold(what, Path::new(path));
        }
        let rows = metadata.into_not_restored();
        let rows: Vec<_> = rows.iter().map(|row| (row.what, row.count, row.example.to_str())).collect();
        assert_eq!(rows, [(Withheld::Owner, 1, Some("a")), (Withheld::Mode, 2, Some("b"))]);
    }
}
