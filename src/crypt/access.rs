//! What a device works with: an actor's keys, and the placement layer. Contents only if it is a full device
//! (docs/format.md, "Keys").

use std::fmt;

use nostr::Keys;
use zeroize::Zeroizing;

use crate::types::{DeviceId, ProviderId, VaultId};

use super::derive::{DeviceClass, VaultKeys, expand, head_key, hmac_sha256, label, signing_keys};
use super::secret::{CapabilitySecret, KEY_LEN, LayerKey, VaultSecret};
use super::sign::{PublicKey, Signature};

/// All that somebody who acts for the vault signs and speaks with, derived from one secret: the vault's for the full
/// devices together, its capability's for each verify device.
pub struct ActorKeys {
    secret: Zeroizing<[u8; KEY_LEN]>,
}

impl ActorKeys {
    /// Those of the full devices.
    pub fn of_vault(secret: &VaultSecret) -> Self {
        Self { secret: Zeroizing::new(*secret.expose()) }
    }

    /// Those of one verify device.
    pub fn of_capability(secret: &CapabilitySecret) -> Self {
        Self { secret: Zeroizing::new(*secret.expose()) }
    }

    /// Signs the records and the heads of `device`.
    pub fn device_keys(&self, device: &DeviceId) -> Keys {
        signing_keys(&self.secret, label::DEVICE_KEY, device.as_bytes())
    }

    /// Speaks to `provider` (invariant I3).
    pub fn pseudonym(&self, provider: &ProviderId) -> Keys {
        signing_keys(&self.secret, label::PSEUDONYM, provider.as_bytes())
    }

    /// Signs the events that carry heads.
    pub fn head_author(&self) -> Keys {
        signing_keys(&self.secret, label::HEAD_AUTHOR, &[])
    }

    /// The `d` tag of a device's head: `hex(HMAC-SHA256(key, device id))`.
    pub fn head_name(&self, device: &DeviceId) -> String {
        let key = expand::<KEY_LEN>(self.secret.as_slice(), label::HEAD_NAME, &[]);
        hex::encode(hmac_sha256(&key, &[device.as_bytes()]))
    }

    /// Seals files of the home that are never stored anywhere else.
    pub fn local_key(&self) -> LayerKey {
        LayerKey::new(*expand(self.secret.as_slice(), label::LOCAL, &[]))
    }
}

impl fmt::Debug for ActorKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ActorKeys(..)")
    }
}

/// What a home can do in its vault: everything for a holder of the vault's secret, the placement layer for a holder of a
/// capability. All of the placement layer's code works with this alone.
#[derive(Debug)]
pub struct Access {
    vault: VaultId,
    vault_key: PublicKey,
    placement: LayerKey,
    full_author: PublicKey,
    actor: ActorKeys,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Full(VaultKeys),
    Verify { device: DeviceId, certificate: Signature },
}

/// What a capability says besides its secret.
#[derive(Debug)]
pub struct VerifyAccess<'a> {
    /// The vault.
    pub vault: VaultId,
    /// Certifies devices.
    pub vault_key: PublicKey,
    /// Opens the placement layer and heads.
    pub placement: &'a LayerKey,
    /// Signs the events that carry the full devices' heads.
    pub full_author: PublicKey,
    /// The verify device.
    pub device: DeviceId,
    /// The vault's certificate of it.
    pub certificate: Signature,
}

impl Access {
    /// Everything.
    pub fn full(keys: VaultKeys) -> Self {
        let actor = keys.actor();
        Self {
            vault: keys.vault_id(),
            vault_key: PublicKey::from(keys.identity()),
            placement: keys.placement_key(),
            full_author: PublicKey::from(&actor.head_author()),
            actor,
            role: Role::Full(keys),
        }
    }

    /// The placement layer, for the verify device with this secret.
    pub fn verify(given: &VerifyAccess<'_>, secret: &CapabilitySecret) -> Self {
        Self {
            vault: given.vault,
            vault_key: given.vault_key,
            placement: LayerKey::new(*given.placement.expose()),
            full_author: given.full_author,
            actor: ActorKeys::of_capability(secret),
            role: Role::Verify { device: given.device, certificate: given.certificate },
        }
    }

    /// What this device may do.
    pub fn class(&self) -> DeviceClass {
        match self.role {
            Role::Full(_) => DeviceClass::Full,
            Role::Verify { .. } => DeviceClass::Verify,
        }
    }

    /// The whole key schedule; `None` without the vault's secret.
    pub fn vault_keys(&self) -> Option<&VaultKeys> {
        match &self.role {
            Role::Full(keys) => Some(keys),
            Role::Verify { .. } => None,
        }
    }

    /// The verify device that this is, and the vault's certificate of it; `None` of a full one.
    pub fn verify_device(&self) -> Option<(DeviceId, Signature)> {
        match self.role {
            Role::Full(_) => None,
            Role::Verify { device, certificate } => Some((device, certificate)),
        }
    }

    /// What it signs and speaks with.
    pub fn actor(&self) -> &ActorKeys {
        &self.actor
    }

    /// What a device signs and speaks with, as far as this one may act for it: itself, and for a full one everybody.
    pub fn actor_of(&self, class: DeviceClass, device: &DeviceId) -> Option<ActorKeys> {
        match (&self.role, class) {
            (Role::Full(keys), DeviceClass::Full) => Some(keys.actor()),
            (Role::Full(keys), DeviceClass::Verify) => Some(keys.verify_actor(device)),
            (Role::Verify { device: own, .. }, DeviceClass::Verify) if own == device => {
                Some(ActorKeys { secret: self.actor.secret.clone() })
            }
            (Role::Verify { .. }, _) => None,
        }
    }

    /// Name of the vault in associated data.
    pub fn vault_id(&self) -> VaultId {
        self.vault
    }

    /// The vault's public key, which certifies devices.
    pub fn vault_key(&self) -> PublicKey {
        self.vault_key
    }

    /// Seals the placement layer.
    pub fn placement_key(&self) -> &LayerKey {
        &self.placement
    }

    /// Seals heads.
    pub fn head_key(&self) -> LayerKey {
        head_key(&self.placement)
    }

    /// The public key that signs the events with the full devices' heads.
    pub fn full_author(&self) -> PublicKey {
        self.full_author
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::new([1; 16]);
    const OTHER: DeviceId = DeviceId::new([2; 16]);

    fn full() -> Access {
        Access::full(VaultKeys::new(VaultSecret::new([7; KEY_LEN])).unwrap())
    }

    fn verify(full: &Access) -> Access {
        let keys = full.vault_keys().unwrap();
        let given = VerifyAccess {
            vault: full.vault_id(),
            vault_key: full.vault_key(),
            placement: full.placement_key(),
            full_author: full.full_author(),
            device: DEVICE,
            certificate: Signature([0; 64]),
        };
        Access::verify(&given, &keys.capability_secret(&DEVICE))
    }

    #[test]
    fn a_capability_acts_for_itself_alone_and_the_vault_for_everybody() {
        let full = full();
        let verify = verify(&full);
        assert!(verify.vault_keys().is_none());
        assert!(verify.actor_of(DeviceClass::Full, &DEVICE).is_none());
        assert!(verify.actor_of(DeviceClass::Verify, &OTHER).is_none());
        let author = |access: &Access, class, device| {
            access.actor_of(class, device).unwrap().head_author().public_key()
        };
        let own = author(&verify, DeviceClass::Verify, &DEVICE);
        assert_eq!(own, author(&full, DeviceClass::Verify, &DEVICE));
        assert_ne!(own, author(&full, DeviceClass::Verify, &OTHER));
        assert_ne!(own, author(&full, DeviceClass::Full, &DEVICE));
        assert_eq!(verify.head_key().expose(), full.head_key().expose());
    }

    #[test]
    fn debug_shows_no_byte_of_a_secret() {
        for access in [full(), verify(&full())] {
            let text = format!("{access:?}");
            assert!(text.contains("ActorKeys(..)") && !text.contains(&"7, ".repeat(9)), "{text}");
        }
    }
}
