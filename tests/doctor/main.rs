//! `ctctl doctor --root`: a tree of files for each finding, of which the printed fix cures it; stock trees that are
//! clean; and trees that nobody should have. Needs no root.

mod applies;
mod boot;
mod cures;
mod findings;
mod formats;
mod hostile;
mod loading;
mod modules;
mod speed;
mod spellings;
mod stock;
mod tree;
mod writers;
