//! Races: what is late is asked of somebody else as well, and the first to be done counts. So no operation stands still
//! for one provider that is slow or frozen.
//!
//! | file | what |
//! |---|---|
//! | `tempo` | when something is late, from what the others take |
//! | `field` | [`Races`]: what the races of one operation share; [`Runner`]: one transfer |

mod field;
mod tempo;
#[cfg(test)]
mod tests;

pub(crate) use field::{Races, Runner};
