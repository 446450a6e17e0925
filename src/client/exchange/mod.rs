//! Blobs to and from providers: drives the sessions over a carrier, with windows and retries.
//!
//! | file | what |
//! |---|---|
//! | `handle` | [`Exchange`]: the providers that were added, and the window over all of them |
//! | `options`, `error` | what can be set, what can go wrong |
//! | `link` | one provider: its key pair, its window, how fast it is, which relay it was heard on |
//! | `ears` | subscriptions to what providers say |
//! | `window` | how many bytes are under way |
//! | `switch` | which conversation an incoming event belongs to |
//! | `drive` | one session and one link, until the session is done |
//! | `store`, `fetch`, `batch`, `audit` | the operations |
//! | `direct` | the way without relays, where the provider has one |
//! | `record` | what providers did in this run |
//! | `passages`, `measure` | how long chunks the relays pass: what is known, how it is found out |

mod audit;
mod batch;
mod direct;
mod drive;
mod ears;
mod error;
mod fetch;
mod handle;
mod link;
mod measure;
mod options;
mod passages;
mod record;
mod store;
mod switch;
#[cfg(test)]
pub(in crate::client) mod tests;
mod window;

pub use audit::{AuditSample, AuditVerdict, Audited};
pub use error::ExchangeError;
pub use handle::Exchange;
pub use options::{Acquaintance, CarrierChoice, DirectStanding, ExchangeOptions, Receipt, StoreOptions};
pub use passages::measure_relays;
