//! `Proxy`: stands before a registry, keeps a list of what is asked, and does what a test tells it to some of it.

use std::io::{self, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(is, _)| is == name).map(|(_, value)| value.as_str())
    }

    pub fn is(&self, method: &str, part: &str) -> bool {
        self.method == method && self.path.contains(part)
    }
}

/// What is done to a request.
pub enum Action {
    /// Nothing.
    Pass,
    /// This answer, from here.
    Reply(Vec<u8>),
    /// This answer, and then these bytes for ever.
    Endless(Vec<u8>),
    /// The connection ends after so many bytes of the request's body; then this is called.
    CutUpload(u64, Box<dyn FnOnce() + Send>),
    /// The connection ends after so many bytes of the answer's body; then this is called.
    CutDownload(u64, Box<dyn FnOnce() + Send>),
    /// One byte of the answer's body is another.
    Flip(u64),
    /// The answer has one more header.
    Header(&'static str),
}

type Rule = Box<dyn FnMut(&Request) -> Action + Send>;

/// A proxy; it ends with the process.
pub struct Proxy {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// Before the registry at this port (0: there is none, and every request must get a reply).
    pub fn start(to: u16, rule: impl FnMut(&Request) -> Action + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(rule)));
        let list = seen.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rule, seen) = (rule.clone(), list.clone());
                // Whoever was cut off sees it; the proxy goes on.
                std::thread::spawn(move || serve(client, to, &rule, &seen).is_ok());
            }
        });
        Self { port, seen }
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What was asked since the last time.
    pub fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// How often, since the last time, this method.
    pub fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|request| request.method == method).count()
    }
}

/// An answer.
pub fn reply(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
    headers.iter().for_each(|header| text.push_str(&format!("{header}\r\n")));
    [text.as_bytes(), b"\r\n", body].concat()
}

fn head(from: &mut impl io::BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end() {
            "" => return Ok(lines),
            line => lines.push(line.to_owned()),
        }
    }
}

fn request(lines: &[String]) -> Request {
    let mut first = lines[0].split(' ').map(str::to_owned);
    let pairs = lines[1..].iter().filter_map(|line| line.split_once(": "));
    let headers = pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Request { method: first.next().unwrap(), path: first.next().unwrap(), headers }
}

fn serve(client: TcpStream, to: u16, rule: &Mutex<Rule>, seen: &Mutex<Vec<Request>>) -> io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let lines = head(&mut from_client)?;
    let asked = request(&lines);
    seen.lock().unwrap().push(asked.clone());
    let mut action = (rule.lock().unwrap())(&asked);
    let mut client = client;
    let length: u64 = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    if let Action::Reply(bytes) | Action::Endless(bytes) = &action {
        io::copy(&mut from_client.take(length), &mut io::sink())?;
        client.write_all(bytes)?;
        if matches!(action, Action::Endless(_)) {
            loop {
                client.write_all(&[b' '; 65536])?;
            }
        }
        return client.shutdown(Shutdown::Both);
    }
    let mut server = TcpStream::connect(("127.0.0.1", to))?;
    let kept = lines.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let text: String = kept.map(|line| format!("{line}\r\n")).collect();
    server.write_all(format!("{text}Connection: close\r\n\r\n").as_bytes())?;
    let mut body = from_client.take(length);
    if let Action::CutUpload(after, then) = action {
        io::copy(&mut body.take(after), &mut server)?;
        then();
        return client.shutdown(Shutdown::Both);
    }
    io::copy(&mut body, &mut server)?;
    let mut from_server = BufReader::new(server);
    let mut lines = head(&mut from_server)?;
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    lines.push("Connection: close".into());
    if let Action::Header(header) = &action {
        lines.push((*header).to_owned());
    }
    let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    client.write_all(format!("{text}\r\n").as_bytes())?;
    let (mut at, mut piece) = (0, vec![0; 16384]);
    loop {
        let count = from_server.read(&mut piece)? as u64;
        if count == 0 {
            return client.shutdown(Shutdown::Both);
        }
        match &action {
            Action::Flip(byte) if (at..at + count).contains(byte) => piece[(byte - at) as usize] ^= 1,
            Action::CutDownload(after, _) if at + count >= *after => {
                client.write_all(&piece[..(after - at) as usize])?;
                client.flush()?;
                let Action::CutDownload(_, then) = std::mem::replace(&mut action, Action::Pass) else { unreachable!() };
                then();
                return client.shutdown(Shutdown::Both);
            }
            _ => {}
        }
        client.write_all(&piece[..count as usize])?;
        at += count;
    }
}
