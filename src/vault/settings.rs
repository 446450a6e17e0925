//! Settings: the relays and the providers that this vault knows. Sealed, because they say whom its owner deals with.

use std::collections::BTreeMap;
use std::path::Path;

use nostr::RelayUrl;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypt::{Aad, Access, Layer, SealedKind, open_salted, seal_salted};
use crate::env::Env;
use crate::format::FormatError;
use crate::types::limits::{
    KNOWN_PROVIDER_COUNT_MAX, MEASURED_RELAY_COUNT_MAX, RELAY_URL_LEN_MAX, SETTINGS_LEN_MAX,
};
use crate::types::{DeviceId, ProviderId, Timestamp};
use crate::vault::{ProviderRecord, VaultError, files};

const SETTINGS_VERSION: u8 = 1;
/// Characters of a label; providers choose theirs themselves.
const LABEL_CHAR_COUNT_MAX: usize = 64;
/// Characters of an operator's name.
const OPERATOR_CHAR_COUNT_MAX: usize = 32;

/// What a vault remembers besides its manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Relays to use where none are named.
    #[serde(default)]
    pub relays: Vec<RelayUrl>,
    /// Providers that this vault has dealt with or trusts.
    #[serde(default)]
    pub providers: BTreeMap<ProviderId, KnownProvider>,
    /// The highest counter seen in a head of each device.
    #[serde(default)]
    pub heads_seen: BTreeMap<DeviceId, u64>,
    /// How long chunks the relays pass, as far as that was measured.
    #[serde(default)]
    pub passages: BTreeMap<RelayUrl, Passage>,
}

/// How long chunks a relay passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Bytes of the longest that came through.
    pub chunk_len: u64,
    /// When that was found out.
    pub at: Timestamp,
    /// True if longer ones were lost after a measurement in which they came through.
    #[serde(default)]
    pub is_lossy: bool,
}

/// A provider that this vault has dealt with or trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownProvider {
    /// A name for people; may be empty.
    pub label: String,
    /// True if the owner said so.
    pub trusted: bool,
    /// When it was first used.
    pub first_seen: Timestamp,
    /// When it last answered.
    pub last_seen: Timestamp,
    /// True if the owner wants nothing stored there.
    #[serde(default)]
    pub banned: bool,
    /// Who runs it, if the owner said so: what one operator has is lost together.
    #[serde(default)]
    pub operator: Option<String>,
    /// What it did in earlier runs.
    #[serde(default)]
    pub record: ProviderRecord,
}

#[derive(Serialize, Deserialize)]
struct SettingsFile {
    version: u8,
    #[serde(flatten)]
    settings: Settings,
}

impl Settings {
    /// Remembers what `provider` did in a run that ends at `now`. Its label is taken over where it has none yet.
    ///
    /// Where too many are known, the one that was silent longest is forgotten, out of those about which the owner has
    /// said nothing.
    pub fn remember_provider(
        &mut self,
        provider: ProviderId,
        run: &ProviderRecord,
        label: &str,
        now: Timestamp,
    ) {
        let known = self.provider(provider, now);
        known.record.absorb(run, known.last_seen, now);
        if run.is_heard() {
            known.last_seen = known.last_seen.max(now);
        }
        if known.label.is_empty() {
            known.label = short_text(label, LABEL_CHAR_COUNT_MAX);
        }
        self.forget_beyond_limit();
    }

    /// Counts `provider` as trusted from now on; `label`, if given, replaces the one it has.
    pub fn trust_provider(&mut self, provider: ProviderId, label: Option<&str>, now: Timestamp) {
        let known = self.provider(provider, now);
        (known.trusted, known.banned) = (true, false);
        if let Some(label) = label {
            known.label = short_text(label, LABEL_CHAR_COUNT_MAX);
        }
        self.forget_beyond_limit();
    }

    /// Stores nothing at `provider` from now on.
    pub fn ban_provider(&mut self, provider: ProviderId, now: Timestamp) {
        let known = self.provider(provider, now);
        (known.trusted, known.banned) = (false, true);
        self.forget_beyond_limit();
    }

    /// Says who runs `provider`; an empty name takes that back.
    pub fn set_operator(&mut self, provider: ProviderId, operator: &str, now: Timestamp) {
        let operator = short_text(operator.trim(), OPERATOR_CHAR_COUNT_MAX);
        self.provider(provider, now).operator = Some(operator).filter(|name| !name.is_empty());
        self.forget_beyond_limit();
    }

    /// Remembers how long chunks `relay` passes. Where too many are known, what was found out longest ago is forgotten.
    pub fn remember_passage(&mut self, relay: &RelayUrl, passage: Passage) {
        if relay.as_str().len() > RELAY_URL_LEN_MAX {
            return;
        }
        self.passages.insert(relay.clone(), passage);
        while self.passages.len() > MEASURED_RELAY_COUNT_MAX {
            let oldest = self.passages.iter().min_by_key(|(_, passage)| passage.at);
            let Some(oldest) = oldest.map(|(relay, _)| relay.clone()) else { return };
            self.passages.remove(&oldest);
        }
    }

    /// Forgets `provider`; false if it was not known.
    pub fn forget_provider(&mut self, provider: &ProviderId) -> bool {
        self.providers.remove(provider).is_some()
    }

    /// The trusted providers.
    pub fn trusted_providers(&self) -> impl Iterator<Item = ProviderId> + '_ {
        self.providers.iter().filter(|(_, known)| known.trusted).map(|(id, _)| *id)
    }

    /// The banned providers.
    pub fn banned_providers(&self) -> impl Iterator<Item = ProviderId> + '_ {
        self.providers.iter().filter(|(_, known)| known.banned).map(|(id, _)| *id)
    }

    fn provider(&mut self, provider: ProviderId, now: Timestamp) -> &mut KnownProvider {
        self.providers.entry(provider).or_insert_with(|| KnownProvider::new(now))
    }

    fn forget_beyond_limit(&mut self) {
        let worth = |known: &KnownProvider| {
            let is_owners_word = known.trusted || known.banned || known.operator.is_some();
            (is_owners_word, known.last_seen)
        };
        while self.providers.len() > KNOWN_PROVIDER_COUNT_MAX {
            let least = self.providers.iter().min_by_key(|(_, known)| worth(known));
            let Some(least) = least.map(|(id, _)| *id) else { return };
            self.providers.remove(&least);
        }
    }
}

impl KnownProvider {
    fn new(now: Timestamp) -> Self {
        Self {
            label: String::new(),
            trusted: false,
            first_seen: now,
            last_seen: now,
            banned: false,
            operator: None,
            record: ProviderRecord::default(),
        }
    }
}

/// The beginning of a name, without what would make it longer in the file than it is.
fn short_text(text: &str, char_count_max: usize) -> String {
    text.chars().filter(|char| !char.is_control()).take(char_count_max).collect()
}

/// Seals and writes the settings.
pub(crate) fn write(path: &Path, settings: &Settings, access: &Access, env: &Env) -> Result<(), VaultError> {
    let plain = encode(settings).map_err(|error| VaultError::damaged_file(path, error))?;
    if plain.len() as u64 > SETTINGS_LEN_MAX {
        let (count, max) = (plain.len() as u64, SETTINGS_LEN_MAX);
        return Err(FormatError::TooMany { what: "bytes of settings", count, max }.into());
    }
    let local_key = access.actor().local_key();
    files::write_atomically(path, &seal_salted(&plain, &aad(access), &local_key, &mut env.rng()))
}

/// Reads and opens the settings; those of a new vault if there is no such file.
pub(crate) fn read(path: &Path, access: &Access) -> Result<Settings, VaultError> {
    // Sealing adds some bytes; what is far too long is not ours.
    let Some(sealed) = files::read_small(path, 2 * SETTINGS_LEN_MAX)? else { return Ok(Settings::default()) };
    let plain = open_salted(&sealed, &aad(access), &access.actor().local_key())
        .map_err(|error| VaultError::damaged_file(path, error))?;
    parse(&plain).map_err(|error| match error {
        ParseSettingsError::Version(found) => {
            let known = SETTINGS_VERSION;
            FormatError::UnknownVersion { what: "the settings", found, known }.into()
        }
        ParseSettingsError::Json(error) => VaultError::damaged_file(path, error),
    })
}

/// The settings before sealing.
pub(crate) fn encode(settings: &Settings) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let file = SettingsFile { version: SETTINGS_VERSION, settings: settings.clone() };
    Ok(Zeroizing::new(serde_json::to_vec(&file)?))
}

/// Why opened settings cannot be read.
#[derive(Debug)]
pub(crate) enum ParseSettingsError {
    Version(u8),
    Json(serde_json::Error),
}

/// Reads opened settings.
pub(crate) fn parse(plain: &[u8]) -> Result<Settings, ParseSettingsError> {
    #[derive(Deserialize)]
    struct Version {
        version: u8,
    }
    let Version { version } = serde_json::from_slice(plain).map_err(ParseSettingsError::Json)?;
    if version != SETTINGS_VERSION {
        return Err(ParseSettingsError::Version(version));
    }
    let file: SettingsFile = serde_json::from_slice(plain).map_err(ParseSettingsError::Json)?;
    Ok(file.settings)
}

fn aad(access: &Access) -> Aad<'static> {
    let device = DeviceId::new([0; DeviceId::LEN]);
    Aad { kind: SealedKind::Local, vault: access.vault_id(), device, layer: Layer::None, extra: b"settings" }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::crypt::{VaultKeys, VaultSecret};

    fn provider(number: u32) -> ProviderId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        ProviderId::new(bytes)
    }

    #[test]
    fn settings_round_trip_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings");
        let keys = Access::full(VaultKeys::new(VaultSecret::new([1; 32])).unwrap());
        assert_eq!(read(&path, &keys).unwrap(), Settings::default());

        let mut settings = Settings::default();
        settings.relays.push(RelayUrl::parse("wss://relay.example").unwrap());
        let run = ProviderRecord { answered: 3, ..ProviderRecord::default() };
        settings.remember_provider(provider(1), &run, "planted-marker", Timestamp(5));
        settings.set_operator(provider(1), " Ada ", Timestamp(5));
        settings.trust_provider(provider(2), None, Timestamp(6));
        write(&path, &settings, &keys, &Env::system()).unwrap();
        assert_eq!(read(&path, &keys).unwrap(), settings);

        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(14).any(|window| window == b"planted-marker"));
        let other = Access::full(VaultKeys::new(VaultSecret::new([2; 32])).unwrap());
        assert!(matches!(read(&path, &other), Err(VaultError::DamagedFile { .. })));
    }

    #[test]
    fn settings_of_a_newer_program_are_not_guessed_at() {
        assert!(matches!(parse(br#"{"version":2,"relays":7}"#), Err(ParseSettingsError::Version(2))));
        assert!(matches!(parse(b"{"), Err(ParseSettingsError::Json(_))));
    }

    #[test]
    fn settings_of_an_older_program_are_read() {
        let id = provider(1).to_string();
        let known = r#"{"label":"Ada","trusted":true,"first_seen":1,"last_seen":2}"#;
        let text = format!(r#"{{"version":1,"providers":{{"{id}":{known}}}}}"#);
        let Ok(settings) = parse(text.as_bytes()) else { panic!("not read") };
        let known = &settings.providers[&provider(1)];
        assert_eq!((known.trusted, known.banned, known.record), (true, false, ProviderRecord::default()));
    }

    #[test]
    fn fullest_settings_fit_their_limit() {
        let most = ProviderRecord {
            latency_ms: Some(u32::MAX),
            throughput: Some(u32::MAX),
            answered: u32::MAX,
            refused: u32::MAX,
            silent: u32::MAX,
            stored_bytes: u64::MAX,
            fetched_bytes: u64::MAX,
            lost: u32::MAX,
            corrupt: u32::MAX,
            audited_good: u32::MAX,
            audited_bad: u32::MAX,
            demerits: u32::MAX,
            last_failed: Timestamp(u64::MAX),
        };
        let mut settings = Settings::default();
        for number in 0..=u32::try_from(KNOWN_PROVIDER_COUNT_MAX).unwrap() {
            let label = "\u{1f980}".repeat(100);
            settings.remember_provider(provider(number), &most, &label, Timestamp(u64::MAX));
            settings.set_operator(provider(number), &label, Timestamp(u64::MAX));
        }
        for number in 0..=MEASURED_RELAY_COUNT_MAX {
            let relay = format!("wss://{number:0>240}.example");
            let passage = Passage { chunk_len: u64::MAX, at: Timestamp(number as u64), is_lossy: true };
            settings.remember_passage(&RelayUrl::parse(&relay).unwrap(), passage);
        }
        assert_eq!(settings.providers.len(), KNOWN_PROVIDER_COUNT_MAX);
        assert_eq!(settings.passages.len(), MEASURED_RELAY_COUNT_MAX);
        assert!(
            settings.passages.values().all(|passage| passage.at > Timestamp(0)),
            "the oldest is forgotten"
        );
        let len = encode(&settings).unwrap().len() as u64;
        assert!(len < SETTINGS_LEN_MAX * 15 / 16, "{len}");
    }

    #[test]
    fn owners_last_word_on_a_provider_counts() {
        let mut settings = Settings::default();
        settings.trust_provider(provider(1), Some("Ada"), Timestamp(1));
        settings.ban_provider(provider(1), Timestamp(2));
        assert_eq!(settings.trusted_providers().count(), 0);
        assert_eq!(settings.banned_providers().collect::<Vec<_>>(), [provider(1)]);
        settings.trust_provider(provider(1), None, Timestamp(3));
        assert_eq!((settings.trusted_providers().count(), settings.banned_providers().count()), (1, 0));
        assert_eq!(settings.providers[&provider(1)].label, "Ada");
        settings.set_operator(provider(1), "", Timestamp(4));
        assert_eq!(settings.providers[&provider(1)].operator, None);
    }

    #[test]
    fn known_providers_are_bounded_and_those_with_a_word_of_the_owner_stay() {
        let mut settings = Settings::default();
        settings.trust_provider(provider(0), Some("friend"), Timestamp(0));
        settings.ban_provider(provider(5_000), Timestamp(0));
        for number in 1..=u32::try_from(KNOWN_PROVIDER_COUNT_MAX).unwrap() + 10 {
            let heard = ProviderRecord { answered: 1, ..ProviderRecord::default() };
            settings.remember_provider(provider(number), &heard, "", Timestamp(number.into()));
        }
        assert_eq!(settings.providers.len(), KNOWN_PROVIDER_COUNT_MAX);
        assert_eq!(settings.trusted_providers().collect::<Vec<_>>(), [provider(0)]);
        assert!(!settings.providers.contains_key(&provider(1)));
        assert!(settings.forget_provider(&provider(0)));
        assert!(!settings.forget_provider(&provider(0)));
    }
}
