//! `Proxy`: stands between a client and a server, and is slow, hangs up after so many bytes, or changes some of them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What stands between.
pub struct Proxy {
    pub port: u16,
    /// What goes to the server, and what comes from it.
    up: Arc<Way>,
    down: Arc<Way>,
}

/// One direction, over all connections.
struct Way {
    /// Bytes that may still pass.
    left: AtomicI64,
    /// A bit is turned in every byte of this number; none where it is 0.
    turned: AtomicU64,
    passed: AtomicU64,
}

impl Way {
    fn free() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(i64::MAX), turned: AtomicU64::new(0), passed: AtomicU64::new(0) })
    }

    /// Turns bits of bytes that pass now.
    fn turn(&self, bytes: &mut [u8]) {
        let (turned, count) = (self.turned.load(Ordering::SeqCst), bytes.len() as u64);
        let from = self.passed.fetch_add(count, Ordering::SeqCst);
        let before = from.checked_div(turned);
        let numbers = before.into_iter().flat_map(|before| before + 1..).map(|n| n * turned);
        for number in numbers.take_while(|number| *number <= from + count) {
            bytes[(number - from - 1) as usize] ^= 0x04;
        }
    }
}

impl Proxy {
    /// Before the server at this port. Each piece of data waits so long.
    pub fn before(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), up: Way::free(), down: Way::free() };
        let (up, down) = (proxy.up.clone(), proxy.down.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let pairs = [(&client, &server, &up), (&server, &client, &down)];
                for (from, to, way) in pairs {
                    let (from, to, way) = (from.try_clone().unwrap(), to.try_clone().unwrap(), way.clone());
                    std::thread::spawn(move || carry(from, to, &way, delay));
                }
            }
        });
        proxy
    }

    /// From now on it hangs up for good after so many bytes to the server.
    pub fn cut_up(&self, bytes: i64) {
        self.up.left.store(bytes, Ordering::SeqCst);
    }

    /// From now on it hangs up for good after so many bytes from the server.
    pub fn cut_down(&self, bytes: i64) {
        self.down.left.store(bytes, Ordering::SeqCst);
    }

    /// From now on a bit is turned in one of so many bytes to the server; with 0, in none.
    pub fn turn_up(&self, every: u64) {
        self.up.turned.store(every, Ordering::SeqCst);
    }

    /// From now on a bit is turned in one of so many bytes from the server; with 0, in none.
    pub fn turn_down(&self, every: u64) {
        self.down.turned.store(every, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: &Way, delay: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        std::thread::sleep(delay);
        let before = way.left.fetch_sub(count as i64, Ordering::SeqCst);
        way.turn(&mut buffer[..count]);
        if count == 0 || before < count as i64 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
