//! The protocol's conversations as state machines. Pure: no I/O, clock or randomness; `now` is an argument, and a
//! seed stands for chance.
//!
//! A session is driven one way: give it one input, then call `step` and do what it says until it says when to wake.
//! It never waits by itself and never names an event: whoever drives it builds, signs and sends the events, and
//! tells the session which of its tries an answer belongs to.
//!
//! | file | conversation |
//! |---|---|
//! | [`chunking`] | cutting a blob into chunks |
//! | [`attests`] | who signed a chunk, for when it matters |
//! | [`pace`], [`patience`] | how long to wait, when to try again, when to give up |
//! | [`store`] | client: a blob goes to a provider in chunks (extension `chunked`) |
//! | [`fetch`] | client: a blob comes from a provider |
//! | [`ask`] | client: one request, one answer |
//! | [`reassembly`] | provider: chunks come together to a blob |

pub mod ask;
pub mod attests;
pub mod chunking;
pub mod fetch;
pub mod fuzz;
pub mod pace;
pub mod patience;
pub mod reassembly;
pub mod step;
pub mod store;
#[cfg(test)]
mod tests;

pub use ask::AskSession;
pub use attests::Attests;
pub use fetch::{FetchOptions, FetchSession};
pub use pace::Pace;
pub use patience::Patience;
pub use reassembly::{Assembled, BeginError, Begun, Reassembly, ReassemblyLimits, UploadKey};
pub use step::{Failure, Step, Try};
pub use store::{StoreSend, StoreSession};
