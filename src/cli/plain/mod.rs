//! The plain protocol on the command line: public, unsealed blobs at single providers (docs/protocol.md, "Base").
//!
//! These commands have nothing to do with the vault. They sign with a key of their own, the file `plain-key` in the
//! home (mode 0600, made on first use), so that whoever uploaded a blob can delete it later, and nobody can link
//! that key to the vault's.

mod delete;
mod download;
mod key;
mod list_servers;
mod servers;
mod upload;

pub use delete::run as delete;
pub use download::run as download;
pub use key::carry_over as carry_key_over;
pub use list_servers::run as list_servers;
pub(in crate::cli) use servers::failed;
pub use upload::run as upload;
