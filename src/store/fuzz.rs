//! What fuzzing calls (`fuzz/`): each function takes any bytes, and panics where a law of the store is broken.

pub mod model;

use std::sync::Arc;

use crate::env::{Env, ManualClock};
use crate::store::record::{Record, SLOT_LEN};
use crate::store::{BlobStore, SimDisk, StoreError, StoreOptions, Unsynced, log};
use crate::types::Timestamp;

/// The body of a target.
pub type Target = fn(&[u8]);

/// Every target of this layer: its name in `fuzz/fuzz_targets`, and its body.
pub const TARGETS: [(&str, Target); 3] =
    [("store_log", claims_log), ("store_history", history), ("store_model", model::model)];

/// The claims log: good slots are read and written the same way again, and the rest is counted.
pub fn claims_log(bytes: &[u8]) {
    let Ok((records, state)) = log::read_bytes(bytes) else { return };
    let slots = bytes.as_chunks::<SLOT_LEN>().0;
    assert_eq!(records.len() as u64 + state.damaged_count, state.slot_count);
    assert!(state.slot_count <= slots.len() as u64);
    let mut good =
        (0..).zip(slots).filter_map(|(at, slot)| Record::decode(slot, at).map(|record| (at, slot, record)));
    for record in &records {
        let (at, slot, again) = good.next().expect("a record was read from a good slot");
        assert_eq!((*record, *slot), (again, again.encode(at)));
    }
    assert!(good.next().is_none(), "every good slot was read");
}

/// A store on a disk whose log holds any history: it opens or says why not, and what it then holds it finds again.
pub fn history(bytes: &[u8]) {
    let disk = Arc::new(SimDisk::new());
    let env = Env::seeded(1, Arc::new(ManualClock::new(Timestamp(1_000))));
    let open = |disk: &Arc<SimDisk>| BlobStore::open(disk.clone(), StoreOptions::default(), env.clone());
    drop(open(&disk).expect("a store begins on an empty disk"));
    // The checks of the slots are put right, so that the records are what is tried.
    let slots = bytes.chunks(SLOT_LEN - 8).zip(1..).filter_map(|(body, at)| {
        let mut slot = [0; SLOT_LEN];
        slot[..body.len()].copy_from_slice(body);
        Record::of_body(&slot).map(|record| record.encode(at))
    });
    let tail: Vec<u8> = slots.flatten().collect();
    disk.corrupt(log::LOG, |file| {
        file.truncate(SLOT_LEN);
        file.extend(tail);
    });
    match open(&disk) {
        Ok(store) => {
            let stats = store.stats();
            drop(store);
            let disk = Arc::new(disk.restart(Unsynced::Lost));
            assert_eq!(open(&disk).expect("what was open opens again").stats(), stats);
        }
        Err(error) => {
            assert!(matches!(error, StoreError::Version { .. } | StoreError::Damaged { .. }), "{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, RngCore, SeedableRng};

    use super::*;

    #[test]
    fn any_bytes_are_a_log_of_some_kind() {
        for seed in 0..300 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut bytes = vec![0; rng.random_range(0..3000)];
            rng.fill_bytes(&mut bytes);
            // Few of all values are kinds of a record, and most of a record is zeros at its end.
            for body in bytes.chunks_mut(SLOT_LEN - 8) {
                body[0] %= 7;
                let len = rng.random_range(0..body.len() + 1).max(1);
                body[len..].fill(0);
            }
            claims_log(&bytes);
            history(&bytes);
        }
    }

    #[test]
    fn what_a_store_has_acknowledged_holds_through_any_history() {
        for seed in 0..60 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut script = vec![0; rng.random_range(0..400)];
            rng.fill_bytes(&mut script);
            if seed % 2 == 0 {
                // Histories without faults get further.
                script.iter_mut().skip(3).step_by(4).for_each(|fault| *fault %= 100);
            }
            model::model(&script);
        }
    }
}
