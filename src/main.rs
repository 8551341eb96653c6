//! `ctctl`.

fn main() {}
