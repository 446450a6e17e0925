//! A home: the folder of one vault on one machine, and how it is made and opened.

use std::path::{Path, PathBuf};

use crate::crypt::{Access, VaultKeys, VaultSecret};
use crate::env::Env;
use crate::format::Capability;
use crate::types::DeviceId;
use crate::vault::lock::HomeLock;
use crate::vault::{Care, Settings, Vault, VaultError, care, files, key_file, settings};

/// A device's id, as text.
const DEVICE_FILE_LEN_MAX: u64 = 64;

/// The folder of a vault (mode 0700; its files 0600):
///
/// | name | what | sealed |
/// |---|---|---|
/// | `key` | the vault's secret (nsec) | no |
/// | `lock` | held by the process that has the home open | no secret |
/// | `device` | id of this device | no secret |
/// | `settings` | relays, known providers | yes |
/// | `head` | the head that this device published last | yes |
/// | `care` | shards to be healed, absent providers, the last round of `watch` | yes |
/// | `nameless` | blobs that providers keep and nothing names, and since when that is known | yes |
/// | `unneeded` | packs that no snapshot needs, and since when that is known | yes |
/// | `unfinished` | what was sent to providers and may not be recorded | yes |
/// | `manifest/` | for each device its records, and how many bytes of them are safe | yes |
/// | `seen` | how files stood when they were put last | no secret |
/// | `capability-…/` | home of a capability that was used here: as this one, without `key` and `device` | |
/// | `catalog.redb`, `catalog.sha256` | derived from the manifest; its checksum while it is closed | no secret |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    path: PathBuf,
}

impl Home {
    /// The home at `path`, whether there is one or not.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Makes a vault with a fresh secret.
    pub fn init_fresh(path: &Path, env: &Env) -> Result<Vault, VaultError> {
        let mut rng = env.rng();
        // Not every 32 bytes are a secret key, but all but one in 2^128 are.
        let secret = std::iter::repeat_with(|| VaultSecret::generate(&mut rng))
            .find(|secret| VaultKeys::new(VaultSecret::new(*secret.expose())).is_ok());
        Self::init(path, secret.expect("the iterator does not end"), env)
    }

    /// Makes a vault of `secret` at `path`, with a new device.
    ///
    /// # Errors
    /// [`VaultError::HomeExists`], and nothing is changed, if there is one.
    pub fn init(path: &Path, secret: VaultSecret, env: &Env) -> Result<Vault, VaultError> {
        let home = Self::at(path);
        home.refuse_existing()?;
        let written = VaultSecret::new(*secret.expose());
        let access = Access::full(VaultKeys::new(secret)?);
        files::make_private_folder(path)?;
        let lock = HomeLock::acquire(&home.file("lock"))?;
        home.refuse_existing()?;
        home.write_device(DeviceId::new(env.random_bytes()))?;
        settings::write(&home.file("settings"), &Settings::default(), &access, env)?;
        // The key comes last: a folder with a key is a whole home.
        key_file::write(&home.file("key"), &written)?;
        Vault::open(home, lock, access, env)
    }

    /// Opens the vault at `path` and holds it until the vault is dropped.
    ///
    /// # Errors
    /// [`VaultError::NoHome`], [`VaultError::Locked`], [`VaultError::LooseKeyFile`], or what is damaged.
    pub fn open(path: &Path, env: &Env) -> Result<Vault, VaultError> {
        let home = Self::at(path);
        if !home.exists()? {
            return Err(VaultError::NoHome { path: home.path });
        }
        let lock = HomeLock::acquire(&home.file("lock"))?;
        let secret = key_file::read(&home.file("key"))?;
        let secret = secret.ok_or_else(|| VaultError::NoHome { path: path.to_owned() })?;
        Vault::open(home, lock, Access::full(VaultKeys::new(secret)?), env)
    }

    /// What is remembered of the vault's health at `path`, and its settings, as they were written last: whoever has the
    /// home open is not disturbed.
    pub fn peek(path: &Path) -> Result<(Care, Settings), VaultError> {
        let home = Self::at(path);
        let secret = key_file::read(&home.file("key"))?;
        let secret = secret.ok_or_else(|| VaultError::NoHome { path: path.to_owned() })?;
        let access = Access::full(VaultKeys::new(secret)?);
        let (vault, local_key) = (access.vault_id(), access.actor().local_key());
        let care = care::read(&home.file(care::FILE_NAME), vault, &local_key)?;
        Ok((care, settings::read(&home.file("settings"), &access)?))
    }

    /// Opens the home of a capability, and makes it if there is none: one that holds the placement layer alone.
    ///
    /// Nothing of the capability is kept in it; it belongs to this capability and opens with no other.
    pub fn open_capability(path: &Path, capability: &Capability, env: &Env) -> Result<Vault, VaultError> {
        let home = Self::at(path);
        files::make_private_folder(path)?;
        let lock = HomeLock::acquire(&home.file("lock"))?;
        Vault::open(home, lock, capability.access(), env)
    }

    /// Where the home of a capability is, beside what else is in this one.
    pub fn of_capability(&self, capability: &Capability) -> PathBuf {
        self.path.join(format!("capability-{}", capability.device))
    }

    /// True if there is a vault.
    pub fn exists(&self) -> Result<bool, VaultError> {
        let key = self.file("key");
        key.try_exists().map_err(VaultError::io("look at", &key))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// This device's id; a new one if none is written down, as in a home that was made of a key alone.
    pub(crate) fn read_or_make_device(&self, env: &Env) -> Result<DeviceId, VaultError> {
        let path = self.file("device");
        let Some(bytes) = files::read_small(&path, DEVICE_FILE_LEN_MAX)? else {
            let device = DeviceId::new(env.random_bytes());
            self.write_device(device)?;
            return Ok(device);
        };
        let text = str::from_utf8(&bytes).map_err(|error| VaultError::damaged_file(&path, error))?;
        DeviceId::parse(text.trim_end()).map_err(|error| VaultError::damaged_file(&path, error))
    }

    pub(crate) fn write_device(&self, device: DeviceId) -> Result<(), VaultError> {
        files::write_atomically(&self.file("device"), format!("{device}\n").as_bytes())
    }

    fn refuse_existing(&self) -> Result<(), VaultError> {
        if self.exists()? { Err(VaultError::HomeExists { path: self.path.clone() }) } else { Ok(()) }
    }
}
