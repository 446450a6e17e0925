//! Homes of capabilities, and what the chain of a verify device counts for in others.

use super::*;
use crate::format::Capability;
use crate::types::limits::{PROVIDER_COUNT_MAX, VERIFY_DEVICE_COUNT_MAX};

/// The home of a capability of the vault, in the same folder.
fn verify_home(capability: &Capability, folder: &TempDir) -> Vault {
    let path = Home::at(folder.path().join("shelf")).of_capability(capability);
    Home::open_capability(&path, capability, &env(7)).unwrap()
}

fn promises_of(provider: u16, packs: u8) -> PlacementItem {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&provider.to_le_bytes());
    let promise = |pack| Promise { pack: pack_id(pack), shard: ShardIndex(0), expires: Timestamp(u64::MAX) };
    PlacementItem::Promises(Promises {
        provider: ProviderId::new(id),
        promises: (0..packs).map(promise).collect(),
    })
}

/// All records of the device that `of` is, taken over by `by`.
fn import(of: &Vault, by: &Vault) -> Result<Imported, VaultError> {
    let end = of.chain_position().unwrap();
    by.import_records(end.device, &of.record_bytes(end.device, 0, end.sequence).unwrap())
}

#[test]
fn providers_that_only_a_verify_device_speaks_of_have_no_history_and_are_bounded() {
    let (vault, folder) = fresh(1);
    let verify = verify_home(&vault.grant_capability("", Vec::new()).unwrap(), &folder);
    let many = u16::try_from(PROVIDER_COUNT_MAX).unwrap() + 20;
    let items: Vec<_> = (0..many).map(|provider| promises_of(provider, 1)).collect();
    verify.append(&items, &[]).unwrap();
    import(&verify, &vault).unwrap();
    assert!(vault.providers_with_history().unwrap().is_empty());
    assert_eq!(vault.providers_heard_of().unwrap().len(), PROVIDER_COUNT_MAX);
    assert_eq!(verify.providers_with_history().unwrap().len(), usize::from(many), "it believes itself");
}

#[test]
fn what_a_full_device_promised_is_not_changed_by_a_verify_device() {
    let (vault, folder) = fresh(1);
    let verify = verify_home(&vault.grant_capability("", Vec::new()).unwrap(), &folder);
    let kept = Promises {
        provider: ProviderId::new([0; 32]),
        promises: vec![Promise { pack: pack_id(0), shard: ShardIndex(0), expires: Timestamp(500) }],
    };
    vault.append(&[pack(0), PlacementItem::Promises(kept)], &[]).unwrap();
    verify.append(&[promises_of(0, 2), promises_of(9, 2)], &[]).unwrap();
    import(&verify, &vault).unwrap();
    let expires = |vault: &Vault| {
        let promises = vault.pack(&pack_id(0)).unwrap().unwrap().promises;
        promises.into_iter().map(|promise| promise.2.0).collect::<Vec<_>>()
    };
    assert_eq!(expires(&vault), [500, 0]);
    // The catalog that is made anew says the same.
    drop(vault);
    fs::remove_file(folder.path().join("home/catalog.redb")).unwrap();
    assert_eq!(expires(&reopen(&folder).unwrap()), [500, 0]);
}

#[test]
fn the_chain_of_a_verify_device_is_bounded_where_it_is_written_and_where_it_is_read() {
    let (mut vault, folder) = fresh(1);
    let mut verify = verify_home(&vault.grant_capability("", Vec::new()).unwrap(), &folder);
    verify.append(&[promises_of(0, 200)], &[]).unwrap();
    let end = verify.chain_position().unwrap();
    let len = verify.record_bytes(end.device, 0, end.sequence).unwrap().len() as u64;
    vault.manifest.verify_len_max = len - 1;
    let refused = import(&verify, &vault);
    assert!(matches!(refused, Err(VaultError::ChainTooLong { .. })), "{refused:?}");
    assert!(vault.chain_end(end.device).is_none());
    vault.manifest.verify_len_max = len;
    import(&verify, &vault).unwrap();
    verify.manifest.verify_len_max = len;
    let refused = verify.append(&[promises_of(0, 1)], &[]);
    assert!(matches!(refused, Err(VaultError::ChainTooLong { .. })), "{refused:?}");
    // Full devices have no such limit.
    vault.manifest.verify_len_max = 0;
    vault.append(&[promises_of(0, 200)], &[]).unwrap();
}

#[test]
fn a_verify_device_can_record_promises_only_and_the_home_goes_on_after_a_refusal() {
    let (vault, folder) = fresh(1);
    let verify = verify_home(&vault.grant_capability("", Vec::new()).unwrap(), &folder);
    verify.append(&[promises_of(0, 1)], &[]).unwrap();
    for item in [dropped(1), pack(1)] {
        assert!(verify.append(&[item], &[]).is_err());
    }
    assert!(matches!(verify.append(&[], &[ref_list(1)]), Err(VaultError::ContentsSealed)));
    assert!(matches!(verify.start_new_device(), Err(VaultError::ContentsSealed)));
    verify.append(&[promises_of(1, 1)], &[]).unwrap();
    assert_eq!(verify.chain_position().unwrap().sequence, 2);
    assert!(verify.verify().unwrap().is_sound());
}

#[test]
fn the_home_of_a_capability_opens_with_that_one_alone() {
    let (vault, folder) = fresh(1);
    let [one, other] = ["one", "other"].map(|label| vault.grant_capability(label, Vec::new()).unwrap());
    let verify = verify_home(&one, &folder);
    verify.update_settings(|settings| settings.heads_seen.insert(one.device, 1)).unwrap();
    let path = verify.home().path().to_owned();
    drop(verify);
    let wrong = Home::open_capability(&path, &other, &env(8));
    assert!(matches!(wrong, Err(VaultError::DamagedFile { .. })), "{wrong:?}");
    assert!(matches!(Home::open(&path, &env(8)), Err(VaultError::NoHome { .. })), "it holds no key");
    Home::open_capability(&path, &one, &env(8)).unwrap();
}

#[test]
fn capabilities_are_bounded_and_a_revoked_one_makes_room() {
    let (vault, _folder) = fresh(1);
    let first = vault.grant_capability("", Vec::new()).unwrap();
    for _ in 1..VERIFY_DEVICE_COUNT_MAX {
        vault.grant_capability("", Vec::new()).unwrap();
    }
    let refused = vault.grant_capability("", Vec::new());
    assert!(
        matches!(refused, Err(VaultError::TooManyGrants { max: VERIFY_DEVICE_COUNT_MAX })),
        "{refused:?}"
    );
    vault.revoke_device(first.device).unwrap();
    vault.grant_capability("", Vec::new()).unwrap();
    assert_eq!(vault.live_grants().unwrap().len(), VERIFY_DEVICE_COUNT_MAX);
    assert_eq!(vault.grants().unwrap().len(), VERIFY_DEVICE_COUNT_MAX + 1);
}
