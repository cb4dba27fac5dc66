//! Streams that break, end early, stall, or are cut off with their connection.

use std::io::{self, Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use expert_build::store::Remote;
use expert_build::store::remote::{CasDigest, Connection, FailureKind, Patience, Upload};
use tonic::Code;

use crate::fake::{Behaviour, Committed, Fake, Manner, Twist};
use crate::ground::{client, connection, fetch, noise, stream, upload};
use crate::servers::Server;

const MIB: usize = 1 << 20;

#[test]
fn downloads_go_on_where_they_broke() {
    let blob = noise(7 * MIB, 1);
    // Code::Ok is an end that looks like any other, only too early.
    for code in [Code::Unavailable, Code::Ok] {
        for resumes in [true, false] {
            let fake = Fake::start(Behaviour { twist: Twist::Cut(3 * MIB, code), resumes, ..Behaviour::default() });
            let remote = client(&connection(fake.port));
            let digest = fake.put(&blob);
            let streamed = stream(&remote, digest);
            match resumes {
                true => {
                    assert!(streamed.unwrap() == **blob);
                    assert_eq!((fake.calls("Read"), remote.traffic().received), (3, 7 * MIB as u64));
                }
                // From the start again and again, and never further than 3 MiB.
                false => assert!(streamed.is_err()),
            }
        }
    }
    // Once is enough for a server that cannot begin in the middle.
    let fake = Fake::start(Behaviour { resumes: false, ..Behaviour::default() });
    let digest = fake.put(&blob);
    let proxy = Proxy::start(fake.port, Some(Cut::Down(3 * MIB)), None);
    let remote = client(&connection(proxy));
    assert!(stream(&remote, digest).unwrap() == **blob);
    assert_eq!(fake.calls("Read"), 3, "cut, refused, from the start");
}

#[test]
fn uploads_go_on_where_they_broke() {
    let blob = noise(7 * MIB, 1);
    for (code, resumes) in [(Code::Unavailable, true), (Code::Unavailable, false), (Code::Aborted, true)] {
        let fake = Fake::start(Behaviour { manner: Manner::Cut(3 * MIB, code), resumes, ..Behaviour::default() });
        let remote = client(&connection(fake.port));
        assert_eq!(remote.upload(&[upload(&blob)]), Ok(7 * MIB as u64));
        assert!(fake.has(&blob));
        assert_eq!((fake.calls("Write"), fake.calls("QueryWriteStatus")), (2, 1));
        let sent = remote.traffic().sent;
        assert_eq!(sent >= 11 * MIB as u64, !resumes, "{sent} bytes were sent");
    }
}

#[test]
fn a_server_that_has_enough_may_say_so_early() {
    let blob = noise(7 * MIB, 1);
    for committed in [Committed::Whole, Committed::MinusOne] {
        let fake = Fake::start(Behaviour { manner: Manner::Early(committed), ..Behaviour::default() });
        let remote = client(&connection(fake.port));
        assert_eq!(remote.upload(&[upload(&blob)]), Ok(7 * MIB as u64));
        assert_eq!((fake.calls("Write"), remote.traffic().failures), (1, 0));
        assert!(remote.traffic().sent < 7 * MIB as u64, "it is not told what it did not want to hear");
    }
    // One that kept less did not keep it.
    for manner in [Manner::Early(Committed::Nothing), Manner::Less] {
        let fake = Fake::start(Behaviour { manner, ..Behaviour::default() });
        let remote = client(&connection(fake.port));
        let failure = remote.upload(&[upload(&blob)]).unwrap_err();
        assert!(failure.kind == FailureKind::Wrong && failure.message.contains("kept"), "{failure}");
        assert_eq!(fake.calls("Write"), 5);
    }
}

#[test]
fn what_cannot_be_read_here_is_not_the_end_there() {
    struct Failing(usize);
    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("the disk is gone"));
            }
            let len = into.len().min(self.0);
            self.0 -= len;
            into[..len].fill(7);
            Ok(len)
        }
    }
    let fake = Fake::start(Behaviour::default());
    let remote = client(&connection(fake.port));
    let digest = CasDigest::of(&vec![7; 7 * MIB]);
    let failing = Upload { digest, open: Box::new(|| Ok(Box::new(Failing(5 * MIB + 7)))) };
    let failure = remote.upload(&[failing]).unwrap_err();
    assert!(failure.kind == FailureKind::Local && failure.message.contains("the disk is gone"), "{failure}");
    assert_eq!(fake.calls("Write"), 1);
    let began = Instant::now();
    while fake.kept.lock().unwrap().unfinished.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "the server was not told");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fake.kept.lock().unwrap().unfinished, ["broken"], "it must not look like the end of the blob");
}

#[test]
fn streams_last_as_long_as_they_move() {
    let patience = Patience {
        lookup: Duration::from_millis(1500),
        idle: Duration::from_millis(1500),
        connect: Duration::from_secs(10),
    };
    let blob = noise(6 * MIB, 1);
    let slow = Fake::start(Behaviour { slow: Duration::from_millis(400), ..Behaviour::default() });
    let remote = client(&Connection { patience, ..connection(slow.port) });
    let began = Instant::now();
    remote.upload(&[upload(&blob)]).unwrap();
    assert!(stream(&remote, CasDigest::of(&blob)).unwrap() == **blob);
    assert!(began.elapsed() > Duration::from_secs(4));
    let stalling = Fake::start(Behaviour { twist: Twist::Stall(3 * MIB), ..Behaviour::default() });
    let digest = stalling.put(&blob);
    let remote = client(&Connection { patience, ..connection(stalling.port) });
    let failure = stream(&remote, digest).unwrap_err();
    assert!(failure.kind == FailureKind::Unavailable && failure.message.contains("silent"), "{failure}");
    assert_eq!(stalling.calls("Read"), 1);
}

#[test]
fn a_slow_reader_is_not_a_slow_server() {
    let fake = Fake::start(Behaviour { piece: MIB, ..Behaviour::default() });
    let digest = fake.put(&noise(4 * MIB, 1));
    let patience = Patience { idle: Duration::from_secs(1), ..Patience::default() };
    let remote = client(&Connection { patience, ..connection(fake.port) });
    let mut pieces = 0;
    let slowly = remote.stream(digest, &mut |_| {
        pieces += 1;
        if pieces == 1 {
            std::thread::sleep(Duration::from_secs(2));
        }
        Ok(())
    });
    slowly.unwrap();
}

#[test]
fn a_connection_that_is_cut_is_made_again() {
    let blob = noise(7 * MIB, 1);
    let Some(server) = Server::casd(&[]) else { return };
    let remote = client(&connection(Proxy::start(server.port, Some(Cut::Up(3 * MIB)), None)));
    assert_eq!(remote.upload(&[upload(&blob)]), Ok(7 * MIB as u64));
    let remote = client(&connection(Proxy::start(server.port, Some(Cut::Down(3 * MIB)), None)));
    assert!(stream(&remote, CasDigest::of(&blob)).unwrap() == **blob);
    let again = remote.traffic();
    assert_eq!((again.calls, again.failures), (3, 0));
    // The same while batches are under way.
    let small: Vec<Arc<Vec<u8>>> = (0..20).map(|seed| noise(300_000, seed)).collect();
    let remote = client(&connection(Proxy::start(server.port, Some(Cut::Up(MIB)), None)));
    remote.upload(&small.iter().map(upload).collect::<Vec<_>>()).unwrap();
    let digests: Vec<CasDigest> = small.iter().map(|blob| CasDigest::of(blob)).collect();
    let remote = client(&connection(Proxy::start(server.port, Some(Cut::Down(MIB)), None)));
    let mut wrong = 0;
    remote.fetch(&digests, u64::MAX, &mut |_, blob| wrong += usize::from(blob.is_err())).unwrap();
    assert_eq!(wrong, 0);
}

#[test]
fn bytes_that_change_on_their_way_are_seen() {
    let Some(server) = Server::casd(&[]) else { return };
    let blob = noise(4 * MIB + 5, 1);
    client(&connection(server.port)).upload(&[upload(&blob)]).unwrap();
    let remote = client(&connection(Proxy::start(server.port, None, Some(2 * MIB + 77))));
    let streamed = stream(&remote, CasDigest::of(&blob));
    let fetched = fetch(&client(&connection(Proxy::start(server.port, None, Some(MIB + 77)))), CasDigest::of(&blob));
    for failure in [streamed.unwrap_err(), fetched.unwrap_err()] {
        assert_eq!(failure.kind, FailureKind::Wrong, "{failure}");
    }
}

#[test]
fn a_server_that_is_killed_may_come_back() {
    let Some(mut server) = Server::casd(&[]) else { return };
    let remote = client(&connection(server.port));
    let blob = noise(7 * MIB, 1);
    remote.upload(&[upload(&blob)]).unwrap();
    let mut pieces = 0;
    let mut got = 0;
    let streamed = remote.stream(CasDigest::of(&blob), &mut |piece| {
        pieces += 1;
        got += piece.len();
        if pieces == 2 {
            server.kill();
            server.restart();
        }
        Ok(())
    });
    streamed.unwrap();
    assert_eq!(got, 7 * MIB);
    let opened = AtomicUsize::new(0);
    let other = noise(9 * MIB, 2);
    let killer = std::sync::Mutex::new(&mut server);
    let killing = Upload {
        digest: CasDigest::of(&other),
        open: Box::new(|| {
            if opened.fetch_add(1, Ordering::Relaxed) == 0 {
                let mut server = killer.lock().unwrap();
                server.kill();
                server.restart();
            }
            (upload(&other).open)()
        }),
    };
    assert_eq!(remote.upload(&[killing]), Ok(9 * MIB as u64));
    server.kill();
    assert_eq!(fetch(&remote, CasDigest::of(&other)).unwrap_err().kind, FailureKind::Unavailable);
}

#[test]
fn a_full_server_says_so() {
    let Some(server) = Server::casd(&["--quota-high=3M", "--quota-low=1M", "--reserved=0"]) else { return };
    let remote = client(&connection(server.port));
    let failure = remote.upload(&[upload(&noise(9 * MIB, 1))]).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Exhausted, "{failure}");
}

/// After so many bytes of the first connection it is cut.
#[derive(Clone, Copy)]
enum Cut {
    Up(usize),
    Down(usize),
}

/// Stands before a server, cuts one connection off or changes one byte of each download.
struct Proxy;

impl Proxy {
    /// It ends with the process; returns its port.
    fn start(to: u16, mut cut: Option<Cut>, flip: Option<usize>) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", to)).unwrap());
                let (up, down) = match cut.take() {
                    Some(Cut::Up(after)) => (after, usize::MAX),
                    Some(Cut::Down(after)) => (usize::MAX, after),
                    None => (usize::MAX, usize::MAX),
                };
                let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || carry(from, into, up, None));
                std::thread::spawn(move || carry(server, client, down, flip));
            }
        });
        port
    }
}

fn carry(mut from: TcpStream, mut into: TcpStream, cut: usize, flip: Option<usize>) {
    let (mut carried, mut chunk) = (0, vec![0; 1 << 16]);
    while let Ok(len @ 1..) = from.read(&mut chunk) {
        if let Some(at) = flip.and_then(|at| at.checked_sub(carried)).filter(|at| *at < len) {
            chunk[at] ^= 1;
        }
        carried += len;
        if carried > cut || into.write_all(&chunk[..len]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), into.shutdown(Shutdown::Both));
}
