//! The whole bench, and what has to be taken back at the end, however it ends.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};
use nostr::RelayUrl;
use tokio::time::{sleep, timeout};

use crate::cli::bench::args::BenchArgs;
use crate::cli::bench::backups::SMALL_LEN;
use crate::cli::bench::blobs::{BLOB_LEN, Way};
use crate::cli::bench::codec;
use crate::cli::bench::cpu;
use crate::cli::bench::losses::{Losses, Place};
use crate::cli::bench::report::{Backup, Blobs, Folder, Peak, Report, Row};
use crate::cli::bench::stage::Stage;
use crate::cli::context::Context;
use crate::cli::demo::failed;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::names::npub;
use crate::client::{CarrierChoice, ClientError, Directory, ProviderTerms, measure_relays};
use crate::env::off_thread;
use crate::erasure::Scheme;
use crate::transport::Carrier;
use crate::types::{ChunkLen, ProviderId};
use crate::vault::Passage;

/// How long relays may take to say what the named providers announce.
const DISCOVERY_DEADLINE: Duration = Duration::from_secs(3);
/// How long it may take to take everything back.
pub(in crate::cli) const CLEAN_UP_MAX: Duration = Duration::from_secs(10);
/// How long that may take on one way.
const GIVE_UP_MAX: Duration = Duration::from_secs(9);
/// How long blobs may arrive after nobody sends any more.
const SETTLE: Duration = Duration::from_millis(500);

/// What all parts share.
pub(super) struct Bench<'a> {
    pub(super) args: &'a BenchArgs,
    pub(super) context: &'a Context,
    pub(super) scheme: Scheme,
    pub(super) stage: &'a Stage,
    pub(super) folder: &'a Path,
    homes: Mutex<Homes>,
    ways: Mutex<Vec<Way>>,
    /// How long chunks the relays pass: measured once, as a vault does when it moves much.
    passages: OnceLock<BTreeMap<RelayUrl, Passage>>,
}

/// A way that vaults and single blobs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Course {
    pub(super) carrier: CarrierChoice,
    /// The longest chunks over relays.
    pub(super) chunk_len: ChunkLen,
}

/// The vaults that were made, and those whose blobs are still there.
#[derive(Default)]
pub(super) struct Homes {
    pub(super) made: u64,
    pub(super) left: BTreeSet<PathBuf>,
}

/// Measures, and leaves nothing behind.
pub async fn run(args: &BenchArgs, context: &Context) -> Result<Exit, CliError> {
    let (scheme, sizes) = (args.scheme()?, args.sizes()?);
    let folder = tempfile::Builder::new().prefix("blobdvm-bench-").tempdir().map_err(failed)?;
    let building = async { Ok(Stage::build(args, scheme.total(), folder.path(), context).await) };
    let stage = context.stop.unless_told(building).await??;
    let (homes, ways, passages) = Default::default();
    let bench = Bench { args, context, scheme, stage: &stage, folder: folder.path(), homes, ways, passages };
    let measured = context.stop.unless_told(async { Ok(Box::pin(bench.measure(&sizes)).await) }).await;
    bench.clean_up().await;
    drop(bench);
    stage.end().await;
    folder.close().map_err(failed)?;
    let report = measured??;
    context.output.json(&report);
    report.failures.into_error().map_or(Ok(Exit::Ok), Err)
}

impl Bench<'_> {
    async fn measure(&self, sizes: &[u64]) -> Result<Report, CliError> {
        self.look_at_blossom().await?;
        let found = self.look().await?;
        let courses = self.courses(&found).await?;
        let (spread, need) = (self.scheme.total(), self.scheme.need());
        let mut report = Report {
            spread,
            need,
            embedded: self.stage.is_embedded(),
            providers: self.stage.providers.iter().map(npub).collect(),
            blossom: self.stage.blossom.clone(),
            cpu_of: if self.stage.is_embedded() { "client, relay and providers" } else { "client" },
            ..Report::default()
        };
        self.head(
            &format!("files through a vault, {need} of {spread}; CPU seconds of {}", report.cpu_of),
            Backup::HEAD,
        );
        for size in sizes {
            for course in courses.iter().filter(|course| course.matters_for(*size)) {
                let place = course.place("backups", Some(*size));
                let row = self.row(place, &mut report.failures, self.backup(*course, *size)).await;
                report.backups.extend(row);
            }
        }
        self.head(&format!("many small files in one put, {need} of {spread}"), Folder::HEAD);
        for course in &courses {
            let place = course.place("files", Some(SMALL_LEN));
            let row = self.row(place, &mut report.failures, self.small_files(*course)).await;
            report.files.extend(row);
        }
        // What this process holds from here on are the blobs that it compares, and its own Blossom server.
        let peak = cpu::peak_mib(cpu::own());
        report.peaks.extend(peak.map(|peak_mib| Peak { process: "client".to_owned(), peak_mib }));
        self.head(
            "single blobs at one provider and at a Blossom server, neither sealed nor coded",
            Blobs::HEAD,
        );
        let ways = self.every_way(&courses, &found, &mut report.failures).await?;
        let lens: BTreeSet<u64> = sizes.iter().map(|size| (*size).min(BLOB_LEN)).collect();
        for len in lens {
            for way in ways.iter().filter(|way| way.matters_for(len)) {
                let row = self.row(way.place(Some(len)), &mut report.failures, self.blobs(way, len)).await;
                report.blobs.extend(row);
            }
        }
        self.head(&format!("stages on one core, GB/s of plaintext, {need} of {spread}"), "");
        report.codec = self.codec().await?;
        for stage in &report.codec {
            self.context.output.answer(stage.line());
        }
        report.peaks.extend(self.stage.server_peaks());
        let peaks = report.peaks.iter().map(|peak| format!("{} {} MiB", peak.process, peak.peak_mib));
        self.context.output.answer(format_args!("\npeak memory: {}", peaks.collect::<Vec<_>>().join(", ")));
        Ok(report)
    }

    /// Says a row, and hands it on; none where it cannot be measured, or nothing could on this way.
    async fn row<T: Row>(
        &self,
        place: Place,
        losses: &mut Losses,
        measured: impl Future<Output = Result<T, CliError>>,
    ) -> Option<T> {
        if losses.are_on(&place) {
            return None;
        }
        match measured.await {
            Ok(row) => {
                self.context.output.answer(row.line());
                Some(row)
            }
            Err(error) => {
                self.lose(place, error, losses);
                None
            }
        }
    }

    fn lose(&self, place: Place, error: CliError, losses: &mut Losses) {
        self.context.output.warn(format_args!("{} is not measured: {}", place.name(), error.happened()));
        losses.add(place, error);
    }

    /// What the providers announce. All that are named must be there.
    async fn look(&self) -> Result<Vec<ProviderTerms>, CliError> {
        let carrier = self.connect().await?;
        let mut directory = Directory::by_ids(&*carrier, &self.stage.providers, DISCOVERY_DEADLINE).await;
        let mut found = Vec::new();
        for id in &BTreeSet::from_iter(&self.stage.providers) {
            let missing = || {
                let happened = format!("provider {} is not announced on these relays", npub(id));
                CliError::new(Exit::TooFewProviders, happened, "name the relays that it uses: --relay URL")
            };
            found.push(directory.providers.remove(id).ok_or_else(missing)?);
        }
        Ok(found)
    }

    /// The ways that are measured: the one that was asked for, or both, where there are both. Over relays with chunks of
    /// the base protocol, and with the longest that they pass.
    async fn courses(&self, found: &[ProviderTerms]) -> Result<Vec<Course>, CliError> {
        let is_direct = found.iter().all(|terms| !terms.endpoints.is_empty());
        let base = |carrier| Course { carrier, chunk_len: ChunkLen::BASE };
        let mut courses = Vec::new();
        if self.context.carrier != CarrierChoice::Direct {
            courses.push(base(CarrierChoice::Relay));
            let chunk_len = self.longest_chunks().await?;
            if chunk_len > ChunkLen::BASE {
                courses.push(Course { carrier: CarrierChoice::Relay, chunk_len });
            }
        }
        match self.context.carrier {
            CarrierChoice::Relay => {}
            CarrierChoice::Direct if !is_direct => {
                return Err(ClientError::NoEndpoints { found: found.len() }.into());
            }
            CarrierChoice::Best if !is_direct => {
                self.context.output.warn("not all of these providers have a direct path: it is not measured");
            }
            _ => courses.push(base(CarrierChoice::Direct)),
        }
        Ok(courses)
    }

    /// The longest chunks that are to be used and that every relay passes.
    async fn longest_chunks(&self) -> Result<ChunkLen, CliError> {
        if self.context.chunk_len_max == ChunkLen::BASE {
            return Ok(ChunkLen::BASE);
        }
        let measured = measure_relays(&*self.connect().await?, &self.context.env).await;
        let shortest = measured.values().map(|passage| passage.chunk_len).min().unwrap_or(0);
        let _first_and_only = self.passages.set(measured);
        Ok(ChunkLen::at_most(shortest).min(self.context.chunk_len_max))
    }

    /// What is known of the relays.
    pub(super) fn passages(&self) -> BTreeMap<RelayUrl, Passage> {
        self.passages.get().cloned().unwrap_or_default()
    }

    async fn every_way(
        &self,
        courses: &[Course],
        found: &[ProviderTerms],
        losses: &mut Losses,
    ) -> Result<Vec<Way>, CliError> {
        let mut ways = Vec::new();
        if let Some(terms) = found.first() {
            for course in courses {
                match self.way_to(terms, *course).await {
                    Ok(way) => ways.push(way),
                    Err(error) => self.lose(course.place("blobs", None), error, losses),
                }
            }
        }
        match &self.stage.blossom {
            Some(url) => ways.push(self.way_to_blossom(url)?),
            None => {
                self.context.output.warn("no Blossom server to compare with: name one with --blossom URL");
            }
        }
        Ok(ways)
    }

    async fn codec(&self) -> Result<Vec<super::report::Stage>, CliError> {
        let (scheme, is_quick, env) = (self.scheme, self.args.quick, self.context.env.clone());
        let measured = off_thread(move || codec::measure(scheme, is_quick, &env)).await;
        measured.map_err(|error| CliError::new(Exit::Failure, error, "report it: this is a defect"))
    }

    /// Connections of one's own to the relays.
    pub(super) async fn connect(&self) -> Result<Arc<dyn Carrier>, CliError> {
        if self.stage.relays.is_empty() {
            return self.context.connect(&[]).await;
        }
        let relays = self.stage.relays.clone();
        Context { relays, ..self.context.clone() }.connect(&[]).await
    }

    /// Takes back what is still at providers and servers that go on.
    async fn clean_up(&self) {
        if self.stage.is_embedded() && self.args.blossom.is_none() {
            return;
        }
        let homes: Vec<_> = self.homes().left.iter().cloned().collect();
        let ways: Vec<_> = self.ways().clone();
        let giving_up = join_all(ways.iter().map(|way| async {
            // One that is dead keeps nobody from the others.
            let why = match timeout(GIVE_UP_MAX, way.give_up()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.happened().to_owned(),
                Err(_elapsed) => "they could not be deleted in time".to_owned(),
            };
            self.context.output.warn(format_args!("some blobs are left: {why}"));
        }));
        let withdrawing = async {
            if !homes.is_empty() {
                // What was under way when everything was dropped arrives, or never will.
                sleep(SETTLE).await;
            }
            for home in homes {
                if let Err(error) = self.withdraw(&home).await {
                    self.context.output.warn(format_args!("some blobs are left: {}", error.happened()));
                }
            }
        };
        if timeout(CLEAN_UP_MAX, join(giving_up, withdrawing)).await.is_err() {
            self.context.output.warn("some blobs are left at the providers, until their promises lapse");
        }
    }

    /// Says that something could not be taken back.
    pub(super) fn leave(&self, provider: &ProviderId, why: &str) {
        self.context
            .output
            .warn(format_args!("blobs are left at {} until their promises lapse: {why}", npub(provider)));
    }

    fn head(&self, title: &str, columns: &str) {
        self.context.output.answer(format_args!("\n{title}"));
        if !columns.is_empty() {
            self.context.output.answer(columns);
        }
    }

    pub(super) fn homes(&self) -> MutexGuard<'_, Homes> {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ways(&self) -> MutexGuard<'_, Vec<Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Course {
    /// `relay` or `direct`.
    pub(super) fn carrier(self) -> &'static str {
        if self.carrier == CarrierChoice::Direct { "direct" } else { "relay" }
    }

    /// The length of chunks, where there are any.
    pub(super) fn chunk_size(self) -> Option<u64> {
        (self.carrier != CarrierChoice::Direct).then_some(self.chunk_len.bytes())
    }

    /// Where what is measured on it stands in the report.
    pub(super) fn place(self, part: &'static str, size: Option<u64>) -> Place {
        Place { part, carrier: self.carrier(), chunk_size: self.chunk_size(), size }
    }

    /// Whether what is `len` bytes long goes another way than it does with chunks of the base protocol.
    pub(super) fn matters_for(self, len: u64) -> bool {
        self.chunk_len == ChunkLen::BASE || len > ChunkLen::BASE.bytes()
    }
}
