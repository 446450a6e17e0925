//! The command line: one file for each command; arguments, output, progress and exit codes beside them.

pub mod args;
pub mod context;
pub mod error;
pub mod exit;
pub mod output;
pub mod relay;
mod run;
pub mod signal;

pub use run::main;
