//! Laws of the format.

mod items;
mod liveness;
mod manifest;
mod packs;
mod runs;
mod sample;
mod segments;
