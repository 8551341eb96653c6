//! The borrowed decode on any bytes: no panic, no loop, and never another tuple than the typed parse reads. It begins
//! with what a kernel was recorded to send, each message alone and each datagram whole.

#![no_main]

use std::path::Path;

use ctctl::linux::attribute::Messages;
use libfuzzer_sys::fuzz_target;

#[path = "../../decode/hold.rs"]
mod hold;
#[path = "../../decode/recorded.rs"]
mod recorded;
#[path = "../../decode/typed.rs"]
mod typed;

fuzz_target!(init: seed(), |bytes: &[u8]| {
    hold::hold(bytes);
    hold::walk(bytes, 0);
});

/// Writes the recorded into the corpus, before it is read.
fn seed() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/decode");
    std::fs::create_dir_all(&corpus).expect("the corpus");
    let datagrams = || [recorded::DUMP, recorded::EVENTS].into_iter().flat_map(recorded::datagrams);
    for (i, datagram) in datagrams().enumerate() {
        let mut at = 0;
        for (k, message) in Messages(datagram).flatten().enumerate() {
            let end = at + 16 + message.payload.len();
            let file = corpus.join(format!("recorded-{i}-{k}"));
            std::fs::write(file, &datagram[at..end]).expect("a seed");
            at = end.next_multiple_of(4);
        }
        std::fs::write(corpus.join(format!("recorded-{i}")), datagram).expect("a seed");
    }
}
