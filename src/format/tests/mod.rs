//! Laws of the format.

mod items;
mod manifest;
mod packs;
mod sample;
mod segments;
