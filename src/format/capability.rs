//! The text of a verify capability (docs/format.md, "Capabilities"): what a machine needs to check, renew and repair, and
//! nothing that opens contents.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypt::access::VerifyAccess;
use crate::crypt::{Access, CapabilitySecret, DeviceClass, LayerKey, PublicKey, Signature, VaultKeys};
use crate::types::limits::{HEAD_RELAY_COUNT_MAX, RELAY_URL_LEN_MAX};
use crate::types::{DeviceId, Timestamp, VaultId};

use super::FormatError;
use super::codec::{Encoding, Reader, Writer};
use super::grant::Grant;
use super::placement::Device;

const VERSION: u8 = 1;
const NAME: &str = "blobdvm-verify";
const CHECK_LEN: usize = 8;
const WHAT: &str = "a capability";

/// A verify capability.
pub struct Capability {
    /// The verify device that its holder is.
    pub device: DeviceId,
    /// When it was made.
    pub created: Timestamp,
    /// Relays of the vault.
    pub relays: Vec<String>,
    vault: VaultId,
    vault_key: PublicKey,
    placement: LayerKey,
    secret: CapabilitySecret,
    full_author: PublicKey,
    certificate: Signature,
}

impl Capability {
    /// A capability of the vault with `keys`.
    pub fn issue(device: DeviceId, created: Timestamp, relays: Vec<String>, keys: &VaultKeys) -> Self {
        let certified = Device::certify(device, DeviceClass::Verify, created, Vec::new(), keys);
        Self {
            device,
            created,
            relays,
            vault: keys.vault_id(),
            vault_key: PublicKey::from(keys.identity()),
            placement: keys.placement_key(),
            secret: keys.capability_secret(&device),
            full_author: PublicKey::from(&keys.actor().head_author()),
            certificate: certified.certificate,
        }
    }

    /// What its holder can do.
    pub fn access(&self) -> Access {
        let given = VerifyAccess {
            vault: self.vault,
            vault_key: self.vault_key,
            placement: &self.placement,
            full_author: self.full_author,
            device: self.device,
            certificate: self.certificate,
        };
        Access::verify(&given, &self.secret)
    }

    /// The item that tells the vault's devices of it.
    pub fn grant(&self, label: &str) -> Grant {
        let author = PublicKey::from(&self.access().actor().head_author());
        Grant { device: self.device, created: self.created, author, label: label.to_owned() }
    }

    /// One line of text.
    ///
    /// # Errors
    /// More relays, or longer ones, than a head can name.
    pub fn to_text(&self) -> Result<Zeroizing<String>, FormatError> {
        // With room for all that follows: what is written here is not moved, and so is wiped.
        let mut out = Writer::with_capacity(512 + HEAD_RELAY_COUNT_MAX * (4 + RELAY_URL_LEN_MAX));
        self.write(&mut out)?;
        let check: [u8; 32] = Sha256::digest(out.as_bytes()).into();
        out.raw(&check[..CHECK_LEN]);
        let bytes = Zeroizing::new(out.into_bytes());
        let mut text = Zeroizing::new(String::with_capacity(NAME.len() + 4 + bytes.len() * 2));
        text.push_str(NAME);
        text.push_str(&VERSION.to_string());
        text.push(':');
        BASE64.encode_string(bytes.as_slice(), &mut text);
        Ok(text)
    }

    /// Reads a capability, with blanks around it; checks that it is whole and that its vault has certified its device.
    ///
    /// # Errors
    /// What is wrong with it; nothing of its text is repeated.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let broken = |rule| FormatError::Invalid { what: WHAT, rule };
        let rest =
            text.trim().strip_prefix(NAME).ok_or(broken("it is a line that begins with blobdvm-verify1:"))?;
        let (version, encoded) =
            rest.split_once(':').ok_or(broken("a version and a colon follow its name"))?;
        match version.parse::<u8>() {
            Ok(VERSION) if version.len() == 1 => {}
            Ok(found) if found > VERSION => {
                return Err(FormatError::UnknownVersion { what: WHAT, found, known: VERSION });
            }
            _ => return Err(broken("its version is a number")),
        }
        let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| broken("it is base64 to its end"))?);
        let whole = broken("it is whole and unchanged");
        let (plain, check) = bytes.split_last_chunk::<CHECK_LEN>().ok_or(whole.clone())?;
        let expected: [u8; 32] = Sha256::digest(plain).into();
        if expected[..CHECK_LEN] != check[..] {
            return Err(whole);
        }
        let mut input = Reader::new(plain, WHAT);
        let capability = Self::read(&mut input)?;
        input.finish()?;
        capability.describe().verify(capability.vault, &capability.vault_key)?;
        Ok(capability)
    }

    /// The device as the first record of its chain has it.
    fn describe(&self) -> Device {
        Device::of(&self.access(), self.device, self.created, Vec::new())
    }
}

impl Encoding for Capability {
    fn write(&self, out: &mut Writer) -> Result<(), FormatError> {
        self.device.write(out)?;
        out.u64(self.created.0);
        out.raw(self.vault.as_bytes());
        self.vault_key.write(out)?;
        out.raw(self.placement.expose());
        out.raw(self.secret.expose());
        self.full_author.write(out)?;
        self.certificate.write(out)?;
        out.count(self.relays.len(), HEAD_RELAY_COUNT_MAX, "relays of a capability")?;
        for relay in &self.relays {
            out.text(relay, RELAY_URL_LEN_MAX, "bytes of a relay's URL")?;
        }
        Ok(())
    }

    fn read(input: &mut Reader<'_>) -> Result<Self, FormatError> {
        let (device, created) = (DeviceId::read(input)?, Timestamp(input.u64()?));
        let (vault, vault_key) = (VaultId::new(input.array()?), PublicKey::read(input)?);
        let (placement, secret) = (LayerKey::new(input.array()?), CapabilitySecret::new(input.array()?));
        let (full_author, certificate) = (PublicKey::read(input)?, Signature::read(input)?);
        let relay_count = input.count(HEAD_RELAY_COUNT_MAX, "relays of a capability")?;
        let relays = (0..relay_count).map(|_| input.text(RELAY_URL_LEN_MAX, "bytes of a relay's URL"));
        let relays = relays.collect::<Result<_, _>>()?;
        Ok(Self { device, created, relays, vault, vault_key, placement, secret, full_author, certificate })
    }
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capability").field("device", &self.device).finish_non_exhaustive()
    }
}
