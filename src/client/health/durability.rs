//! How likely a pack is to last a year, under assumptions that are said with the figure. PURE.
//!
//! Providers vanish independently of each other, at the same rate; after each interval everything is repaired to full
//! health, if enough is left. So a year is lost when in one of its intervals more than `parity` of `total` vanish.

use std::time::Duration;

use crate::erasure::Scheme;

const YEAR: f64 = 365.0 * 86_400.0;
/// A share of providers that vanish in a year that is neither hopeful nor a catastrophe.
pub const YEARLY_LOSS: f64 = 0.2;
/// Fewer nines than these are thin, and worth a warning.
pub const NINES_THIN: f64 = 3.0;

/// The nines of a pack's chance to last a year: 3.4 stands for 99.96%. At most 15.
///
/// `yearly_loss` is the share of providers that vanish in a year, 0 to 1.
pub fn nines(scheme: Scheme, repaired_every: Duration, yearly_loss: f64) -> f64 {
    let interval = repaired_every.as_secs_f64().clamp(1.0, YEAR) / YEAR;
    let vanishes = 1.0 - (1.0 - yearly_loss.clamp(0.0, 1.0)).powf(interval);
    let lost_in_interval = tail(scheme.total(), scheme.parity(), vanishes);
    let lost_in_year = -f64::exp_m1(f64::ln_1p(-lost_in_interval) / interval);
    (-lost_in_year.max(1e-15).log10()).clamp(0.0, 15.0)
}

/// The chance that more than `spare` of `count` things happen, each with the chance `each`.
fn tail(count: u8, spare: u8, each: f64) -> f64 {
    let mut sum = 0.0;
    for happen in u32::from(spare) + 1..=u32::from(count) {
        let mut term = 1.0;
        for step in 0..happen {
            term *= f64::from(u32::from(count) - step) / f64::from(step + 1) * each;
        }
        let others = i32::try_from(u32::from(count) - happen).expect("at most 255");
        sum += term * (1.0 - each).powi(others);
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn year(need: u8, total: u8, every: Duration) -> f64 {
        nines(Scheme::new(need, total).unwrap(), every, YEARLY_LOSS)
    }

    #[test]
    fn figures_are_those_that_were_worked_out_elsewhere() {
        let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.06, "{found} for {wanted}");
        close(year(2, 3, DAY), 3.4);
        close(year(2, 3, DAY * 30), 1.9);
        close(year(3, 5, DAY), 6.1);
        close(year(3, 5, DAY * 30), 3.1);
    }

    #[test]
    fn more_parity_and_sooner_repair_never_make_it_worse() {
        for total in 2..12 {
            for need in 1..total {
                for days in [1, 7, 30, 365] {
                    let here = year(need, total, DAY * days);
                    assert!(here + 1e-9 >= year(need + 1, total, DAY * days), "{need} of {total}");
                    assert!(here + 1e-9 >= year(need, total, DAY * days * 2), "{need} of {total}");
                }
            }
        }
    }
}
