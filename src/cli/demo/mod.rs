//! `blobdvm demo`: the whole story in one process and a temporary folder, told in a few lines.
//!
//! | file | what |
//! |---|---|
//! | `stage` | the relay, the providers, and what can be done to them |
//! | `story` | what happens on it |

mod stage;
mod story;

pub(in crate::cli) use story::failed;
pub use story::run;
