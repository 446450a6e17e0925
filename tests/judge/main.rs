//! The program judged from outside: raw events and processes, and no code shared with what is judged.
//!
//! All that is known here of the base protocol is the text of the protocol itself (`raw`).

mod audit;
mod base_protocol;
mod base_providers;
mod claims;
mod detector;
mod durability;
mod forgery;
mod hostile;
mod mob;
mod raw;
mod secrecy;
#[expect(dead_code, reason = "made for several test programs")]
#[path = "../e2e/support.rs"]
mod support;
