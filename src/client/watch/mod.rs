//! Watching over a vault: a round renews what is half over, audits a little, repairs what is missing for too long, and
//! publishes heads again where relays lost them.
//!
//! | file | what |
//! |---|---|
//! | `absence` | who is away, since when, and who is still waited for (pure) |
//! | `round` | one round from end to end |

mod absence;
mod round;

pub use round::WatchOptions;
