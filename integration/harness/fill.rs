//! Writes entries into a table as fast as the kernel takes them, or at a pace.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use netlink_sys::Socket;

use crate::harness::flow::Flow;
use crate::harness::namespace::Namespace;
use crate::harness::netlink::{
    self, Batch, CT_DELETE, CT_NEW, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ERROR,
};
use crate::harness::netlink::{attribute, messages};

/// Requests in one send: below the default send buffer with the largest of them.
const BATCH: usize = 256;
/// How often a paced writer writes.
const TICK: Duration = Duration::from_millis(5);

const MSG_DONTWAIT: i32 = 0x40;

/// Writes into one namespace's table. The kernel has done what a `send` holds when it returns.
pub struct Writer {
    socket: Socket,
    batch: Batch,
    answer: Vec<u8>,
    /// Refusals by errno; unasked acknowledgements are not sent.
    pub refused: BTreeMap<i32, u64>,
}

impl Writer {
    pub fn new(namespace: &Namespace) -> Self {
        let socket = netlink::socket(namespace);
        Writer {
            socket,
            batch: Batch::default(),
            answer: Vec::with_capacity(1 << 16),
            refused: BTreeMap::new(),
        }
    }

    pub fn create(&mut self, flow: &Flow) {
        let flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL;
        self.batch.message(CT_NEW, flags, flow.family(), |bytes| flow.attributes(bytes));
        self.full();
    }

    /// Deletes by the whole original tuple and zone.
    pub fn delete(&mut self, flow: &Flow) {
        self.batch.message(CT_DELETE, NLM_F_REQUEST, flow.family(), |bytes| {
            flow.tuple(bytes, 1);
            flow.zone(bytes);
        });
        self.full();
    }

    /// Sets the time left of an entry that is there.
    pub fn set_left(&mut self, flow: &Flow, left_seconds: u32) {
        self.batch.message(CT_NEW, NLM_F_REQUEST, flow.family(), |bytes| {
            flow.tuple(bytes, 1);
            attribute(bytes, 7, &left_seconds.to_be_bytes());
            flow.zone(bytes);
        });
        self.full();
    }

    fn full(&mut self) {
        if self.batch.messages >= BATCH {
            self.flush();
        }
    }

    /// Sends what is pending and counts what was refused.
    pub fn flush(&mut self) {
        if self.batch.messages == 0 {
            return;
        }
        self.socket.send(&self.batch.bytes, 0).expect("ctnetlink request");
        self.batch.bytes.clear();
        self.batch.messages = 0;
        loop {
            self.answer.clear();
            match self.socket.recv(&mut self.answer, MSG_DONTWAIT) {
                Ok(_) => self.refusals(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("ctnetlink answer: {error}"),
            }
        }
    }

    fn refusals(&mut self) {
        for (kind, body) in messages(&self.answer) {
            if let (NLMSG_ERROR, Some(Ok(code))) = (kind, body.get(..4).map(<[u8; 4]>::try_from)) {
                *self.refused.entry(-i32::from_ne_bytes(code)).or_default() += 1;
            }
        }
    }

    /// Writes all of them; panics if the kernel refuses one.
    pub fn fill(&mut self, flows: impl IntoIterator<Item = Flow>) {
        flows.into_iter().for_each(|flow| self.create(&flow));
        self.flush();
        assert!(self.refused.is_empty(), "the kernel refused entries, by errno: {:?}", self.refused);
    }
}

/// Fills a table at once.
pub fn fill(namespace: &Namespace, flows: impl IntoIterator<Item = Flow>) {
    Writer::new(namespace).fill(flows);
}

/// Calls `each` with 0, 1, 2 … `per_second` times a second until it has been called `total` times, flushing and then
/// calling `tick` every few milliseconds. Falls behind rather than running ahead; gives the pace that was reached.
pub fn paced(
    writer: &mut Writer,
    per_second: u32,
    total: u32,
    mut each: impl FnMut(&mut Writer, u32),
    mut tick: impl FnMut(&mut Writer),
) -> f64 {
    let start = Instant::now();
    let mut done = 0;
    while done < total {
        let due = (start.elapsed().as_secs_f64() * f64::from(per_second)) as u32 + 1;
        for n in done..due.min(total) {
            each(writer, n);
        }
        done = due.min(total);
        writer.flush();
        tick(writer);
        sleep(TICK);
    }
    f64::from(total) / start.elapsed().as_secs_f64()
}

/// Creates `per_second` flows a second for `total` flows in all, and deletes each once `keep` newer ones are there:
/// what is left are the `keep` newest. Gives the pace that was reached.
pub fn churn(writer: &mut Writer, per_second: u32, total: u32, keep: u32, flow: impl Fn(u32) -> Flow) -> f64 {
    let each = |writer: &mut Writer, n: u32| {
        writer.create(&flow(n));
        if let Some(old) = n.checked_sub(keep) {
            writer.delete(&flow(old));
        }
    };
    paced(writer, per_second, total, each, |_| ())
}
