//! What to sample of a provider, and what samples say about the rest. PURE.

use std::fmt;

use rand::Rng;
use rand::seq::SliceRandom;

use crate::client::exchange::{AuditSample, AuditVerdict, Audited};
use crate::types::ProviderId;

/// How sure a statement about what was not looked at is.
const CONFIDENCE: f64 = 0.95;
/// Halvings of an interval from 0 to 1 until its ends are the same number.
const HALVING_COUNT: u32 = 60;

/// Chooses `count` samples of the blobs that a provider is to keep.
///
/// Every blob is as likely as any other. No blob is sampled again before all were; which leaf of it is asked for
/// follows from the audit's nonce.
pub fn choose(blobs: &[AuditSample], count: usize, rng: &mut impl Rng) -> Vec<AuditSample> {
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count && !blobs.is_empty() {
        let mut order: Vec<usize> = (0..blobs.len()).collect();
        let (round, _) = order.partial_shuffle(rng, count - chosen.len());
        chosen.extend(round.iter().map(|index| blobs[*index]));
    }
    chosen
}

/// What the samples of one provider came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// The provider.
    pub provider: ProviderId,
    /// Samples that were proved.
    pub good: u32,
    /// Samples whose blobs the provider has not got.
    pub missing: u32,
    /// Samples that were answered wrongly.
    pub corrupt: u32,
    /// Bytes that moved for it, both ways.
    pub bytes_moved: u64,
}

impl Tally {
    /// Counts what an audit found.
    pub fn of(provider: ProviderId, audited: &Audited) -> Self {
        let count = |wanted| {
            let found = audited.verdicts.iter().filter(|verdict| **verdict == wanted).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        Self {
            provider,
            good: count(AuditVerdict::Good),
            missing: count(AuditVerdict::Missing),
            corrupt: count(AuditVerdict::Corrupt),
            bytes_moved: audited.bytes_moved,
        }
    }

    /// How many samples there were.
    pub fn count(&self) -> u32 {
        self.good.saturating_add(self.missing).saturating_add(self.corrupt)
    }

    /// Less than this part of what the provider is to keep is missing, with 95% confidence.
    ///
    /// It is the exact upper bound of Clopper and Pearson: were this part or more missing, so few failures among so many
    /// samples would have a chance of at most 5%. Without failures among n samples that is 1 - 0.05^(1/n); of no
    /// samples, everything.
    pub fn missing_below(&self) -> f64 {
        let (count, failed) = (self.count(), self.count() - self.good);
        if failed == count {
            return 1.0;
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVING_COUNT {
            let middle = f64::midpoint(low, high);
            if chance_of_at_most(failed, count, middle) > 1.0 - CONFIDENCE {
                low = middle;
            } else {
                high = middle;
            }
        }
        high
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, bytes) = (self.count(), Bytes(self.bytes_moved));
        write!(f, "provider {}: {} of {count} good", self.provider.short(), self.good)?;
        if self.missing > 0 {
            write!(f, ", {} missing", self.missing)?;
        }
        if self.corrupt > 0 {
            write!(f, ", {} answered wrongly", self.corrupt)?;
        }
        if self.missing_below() < 1.0 {
            let percent = percent(self.missing_below());
            write!(f, ", less than {percent}% missing with 95% confidence")?;
        }
        write!(f, ", {bytes} moved")
    }
}

/// Chance that at most `failed` of `count` samples fail where each fails with chance `part`: the binomial distribution.
fn chance_of_at_most(failed: u32, count: u32, part: f64) -> f64 {
    // In logarithms, because the first factors alone are too small for a number.
    let mut ln_term = f64::from(count) * (-part).ln_1p();
    let mut sum = ln_term.exp();
    for k in 1..=failed {
        ln_term += (f64::from(count - k + 1) / f64::from(k)).ln() + part.ln() - (-part).ln_1p();
        sum += ln_term.exp();
    }
    sum
}

/// A part as a percentage with two digits that count, never less than it is.
fn percent(part: f64) -> String {
    let percent = part * 100.0;
    let mut places = 0_usize;
    let mut scale = 1.0;
    while percent * scale < 10.0 && places < 6 {
        places += 1;
        scale *= 10.0;
    }
    let text = format!("{:.places$}", (percent * scale).ceil() / scale);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A number of bytes as people write it.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000 => write!(f, "{} B", self.0),
            1_000..10_000_000 => write!(f, "{} KB", self.0.div_ceil(1_000)),
            _ => write!(f, "{} MB", self.0.div_ceil(1_000_000)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::types::{BlobHash, MerkleRoot};

    fn blobs(count: u8) -> Vec<AuditSample> {
        let root = MerkleRoot::new([0; 32]);
        (0..count).map(|number| AuditSample { hash: BlobHash::new([number; 32]), root, len: 1 }).collect()
    }

    fn tally(good: u32, missing: u32, corrupt: u32) -> Tally {
        let provider = ProviderId::new([0xab; 32]);
        Tally { provider, good, missing, corrupt, bytes_moved: 639_001 }
    }

    #[test]
    fn no_blob_is_sampled_twice_before_all_were_and_each_is_as_likely() {
        let (blobs, mut rng) = (blobs(20), StdRng::seed_from_u64(1));
        let mut counts = [0_u32; 20];
        for _ in 0..1_000 {
            let chosen = choose(&blobs, 5, &mut rng);
            let mut hashes: Vec<_> = chosen.iter().map(|sample| sample.hash).collect();
            hashes.sort_unstable();
            hashes.dedup();
            assert_eq!(hashes.len(), 5);
            for hash in &hashes {
                counts[usize::from(hash.as_bytes()[0])] += 1;
            }
        }
        assert!(counts.iter().all(|count| (200..300).contains(count)), "{counts:?}");
        let chosen = choose(&blobs, 50, &mut rng);
        for blob in &blobs {
            let times = chosen.iter().filter(|sample| *sample == blob).count();
            assert!((2..=3).contains(&times), "{times}");
        }
        assert!(choose(&[], 10, &mut rng).is_empty());
    }

    #[test]
    fn without_failures_the_bound_is_the_exact_one() {
        for count in [1, 2, 10, 59, 100, 299, 300, 1_000, 100_000] {
            let exact = 1.0 - 0.05_f64.powf(1.0 / f64::from(count));
            assert!((tally(count, 0, 0).missing_below() - exact).abs() < 1e-12, "{count}");
        }
    }

    #[test]
    fn with_failures_the_bound_is_that_of_the_published_tables() {
        // One-sided 95% Clopper-Pearson upper bounds: Beta(0.95; failed + 1, count - failed).
        for (good, failed, bound) in [(9, 1, 0.394_163), (18, 2, 0.282_618), (297, 3, 0.025_644), (0, 5, 1.0)]
        {
            let found = tally(good, failed, 0).missing_below();
            assert!((found - bound).abs() < 1e-5, "{failed} of {}: {found}", good + failed);
        }
        assert!((tally(0, 0, 0).missing_below() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn statement_is_what_a_person_understands() {
        for (tally, expected) in [
            (tally(300, 0, 0), "300 of 300 good, less than 1% missing with 95% confidence"),
            (tally(100, 0, 0), "100 of 100 good, less than 3% missing with 95% confidence"),
            (tally(1_000, 0, 0), "1000 of 1000 good, less than 0.3% missing with 95% confidence"),
            (
                tally(297, 2, 1),
                "297 of 300 good, 2 missing, 1 answered wrongly, less than 2.6% missing with 95% confidence",
            ),
            (tally(0, 7, 0), "0 of 7 good, 7 missing"),
        ] {
            assert_eq!(tally.to_string(), format!("provider abababab: {expected}, 640 KB moved"));
        }
    }

    #[test]
    fn percentages_are_never_rounded_down() {
        for (part, expected) in
            [(0.009_94, "1"), (0.259, "26"), (0.050_1, "5.1"), (0.002_99, "0.3"), (0.95, "95")]
        {
            assert_eq!(percent(part), expected);
        }
    }
}
