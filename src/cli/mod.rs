//! The command line: one file for each command; arguments, output, progress and exit codes beside them.

pub mod args;
pub mod bench;
pub mod capability;
pub mod cat;
pub mod check;
pub mod context;
pub mod demo;
pub mod error;
pub mod exit;
mod failure;
pub mod get;
pub mod health;
pub mod init;
pub mod key;
pub mod ls;
pub mod manifest;
pub mod names;
pub mod output;
pub mod plain;
pub mod printable;
pub mod progress;
pub mod providers;
pub mod prune;
pub mod put;
pub mod recover;
pub mod relay;
pub mod renew;
pub mod repair;
pub mod rm;
mod run;
pub mod serve;
pub mod signal;
pub mod status;
pub mod watch;

pub use run::main;
