//! `Proxy`: stands between a client and a server, and is slow or hangs up after so many bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// What stands between.
pub struct Proxy {
    pub port: u16,
    /// Bytes that may still go to the server, and come from it.
    up: Arc<AtomicI64>,
    down: Arc<AtomicI64>,
}

impl Proxy {
    /// Before the server at this port. Each piece of data waits so long.
    pub fn before(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            up: Arc::new(AtomicI64::new(i64::MAX)),
            down: Arc::new(AtomicI64::new(i64::MAX)),
        };
        let (up, down) = (proxy.up.clone(), proxy.down.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let pairs = [(&client, &server, &up), (&server, &client, &down)];
                for (from, to, left) in pairs {
                    let (from, to, left) = (from.try_clone().unwrap(), to.try_clone().unwrap(), left.clone());
                    std::thread::spawn(move || carry(from, to, &left, delay));
                }
            }
        });
        proxy
    }

    /// From now on it hangs up for good after so many bytes to the server.
    pub fn cut_up(&self, bytes: i64) {
        self.up.store(bytes, Ordering::SeqCst);
    }

    /// From now on it hangs up for good after so many bytes from the server.
    pub fn cut_down(&self, bytes: i64) {
        self.down.store(bytes, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, left: &AtomicI64, delay: Duration) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut buffer) {
        std::thread::sleep(delay);
        let before = left.fetch_sub(count as i64, Ordering::SeqCst);
        if count == 0 || before < count as i64 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
