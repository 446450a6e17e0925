//! Reading what is to be backed up: content-defined segments, each with its tag, and a description of every file. Runs on
//! a thread of its own and stays a little ahead.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc};

use crate::client::error::ClientError;
use crate::client::put::describe::{Describer, content_tag, nanos};
use crate::client::put::source::{Source, Whole, seek_file};
use crate::client::put::trouble::{Trouble, Why};
use crate::client::put::walk::{Found, FoundKind, Root, Step, WalkOptions, Walker, look};
use crate::client::put::window::Window;
use crate::crypt::TagKey;
use crate::crypt::tag::segment_tag;
use crate::env::{Env, begin_off_thread, is_single_threaded};
use crate::format::Entry;
use crate::format::segment::{Cutter, Plaintext};
use crate::types::limits::SEGMENT_LEN_MAX;
use crate::types::{Tag, Timestamp};
use crate::vault::{SeenContent, SeenFile, SeenFiles};

/// Batches that wait to be taken: enough to keep the reader busy, little enough for memory.
const AHEAD: usize = 4;
/// A batch is handed over when it has so many bytes of segments, or so many messages.
const BATCH_LEN: usize = 1024 * 1024;
const BATCH_COUNT: usize = 128;
/// A file that changed so recently may change again without a sign: clocks of file systems are coarse.
const YOUNG_SECS: i64 = 2;

/// What comes out of the reader, in the order of the walk.
pub(crate) enum Reading {
    /// A folder; what is in it follows.
    Enter(Entry),
    /// The folder that was entered last is complete.
    Leave,
    /// The next segment of the file that is being read.
    Segment { plain: Plaintext, tag: Tag },
    /// The file whose segments came is complete; how it stood, if that can be relied on next time.
    File { entry: Entry, whole: Whole, seen: Option<SeenFile> },
    /// A file that stands as it stood when it was put before; its attributes are those that were recorded then.
    Unchanged { entry: Entry, path: PathBuf, content: SeenContent },
    /// A further link to a file of this put, which came before.
    Link { entry: Entry, path: PathBuf },
    /// Anything but a file or folder.
    Other(Entry),
    /// Everything was read.
    End,
    /// Something cannot be read; the segments of the file that was being read are for nothing.
    Trouble(Trouble),
}

/// What the reader needs to know.
pub(crate) struct ReaderOptions {
    pub(crate) walk: WalkOptions,
    pub(crate) cutter: Cutter,
    pub(crate) segment_key: TagKey,
    pub(crate) seen_key: TagKey,
    /// What need not be read again; `None` reads everything.
    pub(crate) seen: Option<SeenFiles>,
    pub(crate) env: Env,
}

/// Batches of what is read.
pub(crate) type Readings = mpsc::Receiver<Vec<Reading>>;

/// Reads everything below `roots`.
pub(crate) fn read_trees(roots: Vec<Root>, options: ReaderOptions) -> Result<Readings, ClientError> {
    let walkers: Result<Vec<_>, _> = roots.into_iter().map(|root| Walker::new(root, &options.walk)).collect();
    let walkers = walkers?;
    Ok(start(options, move |reader| {
        let _reader_left = walkers.into_iter().flatten().try_for_each(|step| reader.step(step));
    }))
}

/// Reads one file whatever is known of it.
pub(crate) fn read_file(path: PathBuf, name: Vec<u8>, options: ReaderOptions) -> Readings {
    start(options, move |reader| {
        let _reader_left = match look(&path, name) {
            Ok(found) => reader.step(Step::Met(found)),
            Err(error) => reader.push(Reading::Trouble(Trouble { path, why: Why::of(&error) })),
        };
    })
}

/// Reads a stream to its end, as the file that `entry` describes.
pub(crate) fn read_stream(
    from: impl Read + Send + 'static,
    entry: Entry,
    options: ReaderOptions,
) -> Readings {
    start(options, move |reader| {
        let mut source = Source::stream(from);
        let done = reader.segments(&mut source, |_, _| Ok(()));
        let _reader_left = match done {
            Ok(Ok(())) => reader.push(Reading::File { entry, whole: source.finish(), seen: None }),
            Ok(Err(error)) => reader.push(Reading::Trouble(Trouble {
                path: "-".into(),
                why: Why::Unreadable(error.to_string()),
            })),
            Err(gone) => Err(gone),
        };
    })
}

fn start(options: ReaderOptions, work: impl FnOnce(&mut Reader) + Send + 'static) -> Readings {
    let ahead = if is_single_threaded() { Semaphore::MAX_PERMITS } else { AHEAD };
    let (sender, receiver) = mpsc::channel(ahead);
    // Ends by itself: when all is read, or when the receiver is gone.
    begin_off_thread(move || {
        let describer = Describer::new(TagKey::new(*options.seen_key.expose()));
        let (batch, links) = (Vec::new(), BTreeSet::new());
        let window = Window::new(SEGMENT_LEN_MAX as usize);
        let mut reader = Reader { options, describer, sender, window, batch, batch_len: 0, links };
        work(&mut reader);
        let _reader_left = reader.push(Reading::End).and_then(|()| reader.flush());
    });
    receiver
}

/// Nobody takes what is read any more.
struct Gone;

struct Reader {
    options: ReaderOptions,
    describer: Describer,
    sender: mpsc::Sender<Vec<Reading>>,
    window: Window,
    batch: Vec<Reading>,
    batch_len: usize,
    /// Link groups of which a file was read.
    links: BTreeSet<u64>,
}

impl Reader {
    fn step(&mut self, step: Step) -> Result<(), Gone> {
        let found = match step {
            Step::Leave => return self.push(Reading::Leave),
            Step::Trouble(trouble) => return self.push(Reading::Trouble(trouble)),
            Step::Enter(found) | Step::Met(found) => found,
        };
        if let Some(known) = self.known(&found) {
            return self.push(known);
        }
        let (entry, trouble) = self.describer.entry(&found);
        // Only what was described whole, and stands so until it is read, need not be read next time.
        let state = trouble.is_none().then(|| self.describer.state(&found.metadata));
        if let Some(trouble) = trouble {
            self.push(Reading::Trouble(trouble))?;
        }
        match &found.kind {
            FoundKind::Dir => self.push(Reading::Enter(entry)),
            FoundKind::File => self.file(&found.path, entry, state),
            _ => self.push(Reading::Other(entry)),
        }
    }

    /// What need not be read, because it was, in this put or before.
    fn known(&mut self, found: &Found) -> Option<Reading> {
        if !matches!(found.kind, FoundKind::File) {
            return None;
        }
        let entry = self.describer.entry_without_attributes(found);
        let path = found.path.clone();
        if entry.link_group != 0 && !self.links.insert(entry.link_group) {
            return Some(Reading::Link { entry, path });
        }
        let seen = self.options.seen.as_ref()?;
        let content = seen.find(&self.describer.path(&path), &self.describer.state(&found.metadata))?;
        Some(Reading::Unchanged { entry, path, content })
    }

    fn file(&mut self, path: &Path, entry: Entry, described: Option<Tag>) -> Result<(), Gone> {
        match self.read(path, entry, described)? {
            Ok(()) => Ok(()),
            Err(error) => {
                self.push(Reading::Trouble(Trouble { path: path.to_owned(), why: Why::of(&error) }))
            }
        }
    }

    fn read(
        &mut self,
        path: &Path,
        mut entry: Entry,
        described: Option<Tag>,
    ) -> Result<io::Result<()>, Gone> {
        let begun = seconds(self.options.env.now());
        let opened = open(path).and_then(|file| {
            let before = file.metadata()?;
            Ok((Source::file(file, &before)?, before))
        });
        let (mut source, before) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.segments(&mut source, seek_file)? {
            return Ok(Err(error));
        }
        let after = match source.inner().metadata() {
            Ok(after) => after,
            Err(error) => return Ok(Err(error)),
        };
        let whole = source.finish();
        let state = self.describer.state(&after);
        let is_whole = before.len() == 0 || whole.len == after.len();
        if state != self.describer.state(&before) || !is_whole {
            self.push(Reading::Trouble(Trouble { path: path.to_owned(), why: Why::Changed }))?;
            self.push_file(entry, whole, None)
        } else {
            // It may have been replaced between the walk and now: what was read counts.
            entry.mtime = after.mtime();
            entry.mtime_nanos = nanos(&after);
            let is_settled = after.ctime().max(after.mtime()).saturating_add(YOUNG_SECS) < begun;
            let is_settled = is_settled && described == Some(state);
            let content = content_tag(whole.len, &whole.sha256, &entry.xattrs, &self.options.seen_key);
            let seen = SeenFile { path: self.describer.path(path), state, content };
            self.push_file(entry, whole, is_settled.then_some(seen))
        }
        .map(Ok)
    }

    fn push_file(&mut self, entry: Entry, whole: Whole, seen: Option<SeenFile>) -> Result<(), Gone> {
        self.push(Reading::File { entry, whole, seen })
    }

    /// Cuts what comes from `source` into segments.
    fn segments<R: Read>(
        &mut self,
        source: &mut Source<R>,
        seek: impl Fn(&mut R, u64) -> io::Result<()>,
    ) -> Result<io::Result<()>, Gone> {
        self.window.clear();
        let mut at_end = false;
        loop {
            let rest = self.window.bytes();
            let next = match self.options.cutter.cut(rest) {
                Some(len) => &rest[..len],
                // More is read only when what is there has no cut: moving the rest to the front costs.
                None if !at_end => {
                    match source.fill(&mut self.window, &seek) {
                        Ok(ended) => at_end = ended,
                        Err(error) => return Ok(Err(error)),
                    }
                    continue;
                }
                None if rest.is_empty() => return Ok(Ok(())),
                // The file ends within the window: what is left is its last segment.
                None => rest,
            };
            let tag = segment_tag(next, &self.options.segment_key);
            let plain = Plaintext::copy_of(next);
            self.window.pass(next.len());
            self.batch_len += plain.len();
            self.push(Reading::Segment { plain, tag })?;
        }
    }

    fn push(&mut self, reading: Reading) -> Result<(), Gone> {
        self.batch.push(reading);
        if self.batch_len >= BATCH_LEN || self.batch.len() >= BATCH_COUNT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.batch_len = 0;
        match self.sender.try_send(std::mem::take(&mut self.batch)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) => self.sender.blocking_send(batch).map_err(|_closed| Gone),
            Err(TrySendError::Closed(_)) => Err(Gone),
        }
    }
}

/// Opens a file that was found, without following a link that has taken its place, and without waiting for a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("is no file any more")) }
}

fn seconds(now: Timestamp) -> i64 {
    i64::try_from(now.0).unwrap_or(i64::MAX)
}
