//! Real TCP and UDP through the gateway. Sockets keep the namespace of the thread that made them.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::harness::table::{self, Row};
use crate::harness::topology::{Family, Topology};
use crate::harness::wait;

/// How long a live flow may take to carry bytes: a few retransmissions.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection through the gateway, both ends in our hands.
#[derive(Debug)]
pub struct Tcp {
    pub client: TcpStream,
    pub server: TcpStream,
}

impl Tcp {
    /// Opens one to a server that listens.
    pub fn open(topology: &Topology, listener: &TcpListener) -> std::io::Result<Tcp> {
        let to = listener.local_addr()?;
        let client = topology.client.enter(|| TcpStream::connect_timeout(&to, PATIENCE))?;
        let (server, _) = listener.accept()?;
        let tcp = Tcp { client, server };
        tcp.patience(PATIENCE);
        Ok(tcp)
    }

    /// How long each end waits for bytes.
    pub fn patience(&self, patience: Duration) {
        for end in [&self.client, &self.server] {
            end.set_read_timeout(Some(patience)).expect("SO_RCVTIMEO");
            end.set_write_timeout(Some(patience)).expect("SO_SNDTIMEO");
        }
    }

    /// Opens one that has carried bytes both ways; panics where that fails.
    pub fn talking(topology: &Topology, family: Family) -> Tcp {
        Tcp::talking_to(topology, &listen(topology, family))
    }

    pub fn talking_to(topology: &Topology, listener: &TcpListener) -> Tcp {
        let mut tcp = Tcp::open(topology, listener).expect("a connection through the gateway");
        tcp.alive().expect("bytes through the gateway");
        tcp
    }

    pub fn port(&self) -> u16 {
        self.client.local_addr().expect("a bound socket").port()
    }

    /// The gateway's entry of this connection.
    pub fn entry(&self, topology: &Topology) -> Option<Row> {
        table::of_port(topology, 6, self.port())
    }

    /// Bytes in both directions, the server first: with tcp_loose=0 that needs the entry in the gateway.
    pub fn alive(&mut self) -> std::io::Result<()> {
        carry(&mut self.server, &mut self.client, b"server speaks first")?;
        carry(&mut self.client, &mut self.server, b"client answers")
    }

    /// Sends until the receiving server's window stays closed; gives the bytes that were taken.
    pub fn close_window(&mut self) -> u64 {
        let mut sent = 0;
        self.client.set_nonblocking(true).expect("O_NONBLOCK");
        let mut last = Instant::now();
        // Buffers on both sides grow while bytes flow; half a second without progress is a closed window.
        while last.elapsed() < Duration::from_millis(500) {
            match self.client.write(&[b'z'; 65_536]) {
                Ok(n) => (sent, last) = (sent + n as u64, Instant::now()),
                Err(e) if e.kind() == ErrorKind::WouldBlock => sleep(Duration::from_millis(10)),
                Err(e) => panic!("filling the window: {e}"),
            }
        }
        self.client.set_nonblocking(false).expect("O_NONBLOCK");
        sent
    }

    /// The server speaks while its window is closed, then reads the `sent` bytes, then both carry more.
    pub fn alive_after_closed_window(&mut self, sent: u64) -> std::io::Result<()> {
        carry(&mut self.server, &mut self.client, b"server speaks with its window closed")?;
        let mut pending = (&self.server).take(sent);
        std::io::copy(&mut pending, &mut std::io::sink())?;
        self.alive()
    }

    /// The client has ended its direction; the server still answers, and then ends too.
    pub fn alive_half_closed(&mut self) -> std::io::Result<()> {
        let mut end = Vec::new();
        self.server.read_to_end(&mut end)?;
        carry(&mut self.server, &mut self.client, b"a late answer")?;
        self.server.shutdown(Shutdown::Write)?;
        self.client.read_to_end(&mut end)?;
        if end.is_empty() { Ok(()) } else { Err(std::io::Error::other("bytes that nobody sent")) }
    }
}

/// A server's socket on a port of the kernel's choice.
pub fn listen(topology: &Topology, family: Family) -> TcpListener {
    topology.server.enter(|| TcpListener::bind((family.server(), 0))).expect("listen")
}

/// Writes `bytes` at one end and reads the same at the other.
fn carry(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    from.write_all(bytes)?;
    let mut read = vec![0; bytes.len()];
    to.read_exact(&mut read)?;
    if read == bytes { Ok(()) } else { Err(std::io::Error::other(format!("other bytes came: {read:?}"))) }
}

/// An echo server inside the server's namespace, for connections that come and go.
#[derive(Debug)]
pub struct Echo<'a> {
    topology: &'a Topology,
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<'a> Echo<'a> {
    pub fn new(topology: &'a Topology, family: Family) -> Self {
        let listener = listen(topology, family);
        let address = listener.local_addr().expect("a bound socket");
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::spawn(move || echo(stream));
            }
        });
        Echo { topology, address, stop, thread: Some(thread) }
    }

    /// One connection from the client: connect, four bytes there and back, close.
    pub fn ask(&self, patience: Duration) -> std::io::Result<()> {
        let connect = || TcpStream::connect_timeout(&self.address, patience);
        let mut stream = self.topology.client.enter(connect)?;
        stream.set_read_timeout(Some(patience))?;
        let mut bytes = [0; 4];
        stream.write_all(b"ping")?;
        stream.read_exact(&mut bytes)
    }

    /// Tries a fresh socket every 20 ms until one is answered.
    pub fn first_answer(&self, deadline: Duration) {
        wait::until("a new connection through the gateway", deadline, || self.ask(Duration::from_millis(20)));
    }

    /// How many of `count` connections, one after the other, are answered.
    pub fn answered(&self, count: usize) -> usize {
        (0..count).filter(|_| self.ask(Duration::from_millis(500)).is_ok()).count()
    }
}

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 4];
    // A client that gave up is no failure of the server's.
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.read_exact(&mut bytes).and_then(|()| stream.write_all(&bytes));
}

impl Drop for Echo<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // From inside the server's own namespace: the gateway may be in any state.
        let woken = self.topology.server.enter(|| TcpStream::connect(self.address));
        drop((woken, self.thread.take().map(JoinHandle::join)));
    }
}

/// UDP in one direction only: a datagram now and then, never an answer.
#[derive(Debug)]
pub struct OneWay {
    pub port: u16,
    stop: Arc<AtomicBool>,
    received: Arc<AtomicU64>,
    senders: Arc<std::sync::Mutex<Vec<SocketAddr>>>,
    threads: Vec<JoinHandle<()>>,
}

impl OneWay {
    /// Starts to send every `pause`.
    pub fn new(topology: &Topology, pause: Duration) -> Self {
        let bind = |ip: IpAddr| move || UdpSocket::bind((ip, 0)).expect("a UDP socket");
        let server = topology.server.enter(bind(Family::V4.server()));
        let client = topology.client.enter(bind(Family::V4.client()));
        client.connect(server.local_addr().expect("a bound socket")).expect("connect");
        let port = client.local_addr().expect("a bound socket").port();
        let (stop, received) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let senders = Arc::new(std::sync::Mutex::new(Vec::new()));
        let ended = Arc::clone(&stop);
        let sending = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !ended.load(Ordering::Relaxed) {
                if Instant::now() >= next {
                    let _ = client.send(b"one way");
                    next += pause;
                }
                sleep(Duration::from_millis(20));
            }
        });
        server.set_read_timeout(Some(Duration::from_millis(100))).expect("SO_RCVTIMEO");
        let (ended, count, from) = (Arc::clone(&stop), Arc::clone(&received), Arc::clone(&senders));
        let receiving = std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while !ended.load(Ordering::Relaxed) {
                let Ok((_, sender)) = server.recv_from(&mut bytes) else { continue };
                count.fetch_add(1, Ordering::Relaxed);
                let mut from = from.lock().expect("senders");
                if !from.contains(&sender) {
                    from.push(sender);
                }
            }
        });
        OneWay { port, stop, received, senders, threads: vec![sending, receiving] }
    }

    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// How many addresses the server saw; more than one says that the translation was lost in between.
    pub fn senders(&self) -> usize {
        self.senders.lock().expect("senders").len()
    }

    pub fn entry(&self, topology: &Topology) -> Option<Row> {
        table::of_port(topology, 17, self.port)
    }
}

impl Drop for OneWay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// Drops what the server sends from `port` before it reaches the gateway, until dropped itself.
#[derive(Debug)]
pub struct SilentServer<'a>(&'a Topology);

impl<'a> SilentServer<'a> {
    pub fn new(topology: &'a Topology, port: u16) -> Self {
        let rules = format!(
            "table inet silent {{ chain out {{ type filter hook output priority 0; tcp sport {port} drop; }}\n}}"
        );
        topology.server.must("nft", &["-f", "-"], &rules);
        SilentServer(topology)
    }
}

impl Drop for SilentServer<'_> {
    fn drop(&mut self) {
        self.0.server.must("nft", &["delete", "table", "inet", "silent"], "");
    }
}
