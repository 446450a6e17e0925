//! The client: finding providers, and bringing blobs to them and back.
//!
//! | file | what |
//! |---|---|
//! | [`directory`] | who is out there, and what they offer |
//! | [`exchange`] | blobs to and from providers: windows, retries, receipts |

pub mod directory;
pub mod exchange;

pub use directory::{Directory, ProviderTerms};
pub use exchange::{Exchange, ExchangeError, ExchangeOptions, Receipt, StoreOptions};
