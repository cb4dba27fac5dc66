//! `Http`: requests that end: each answer is bounded, each silence too, and what may pass is told from what stays wrong.

use std::error::Error as _;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::base::{Error, Result};
use crate::store::fs;

/// For how long nothing may happen.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that a registry hashes and stores in a second, at least.
const HASHED: u64 = 16 << 20;
/// For how long a connection may be tried.
const CONNECT: Duration = Duration::from_secs(20);
/// How often whoever watches an upload is told.
const TICK: Duration = Duration::from_millis(100);
/// How often something is tried.
const TRIES: u32 = 6;
/// The first pause between tries; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest pause that a registry may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// Bytes of an error that are read.
const MAX_ERROR: u64 = 64 << 10;
/// Redirects of one request.
const REDIRECTS: usize = 10;
/// Bytes of a file of certificates.
const MAX_CA: u64 = 8 << 20;

/// Why a request came to nothing.
pub(super) enum Trouble {
    /// It may pass.
    Passing { why: String, pause: Option<Duration> },
    /// It stays as it is.
    Lasting(String),
    /// An error that is told as it is.
    Fault(Error),
}

impl Trouble {
    pub(super) fn passing(why: impl Into<String>) -> Self {
        Self::Passing { why: why.into(), pause: None }
    }

    /// What `reqwest` says, without addresses: those may hold what signs a request.
    fn of(error: reqwest::Error) -> Self {
        let lasting = error.is_builder() || error.is_redirect();
        let error = error.without_url();
        let (mut last, mut is_tls) = (error.to_string(), false);
        let mut cause = error.source();
        while let Some(why) = cause {
            is_tls |= why.is::<rustls::Error>()
                || why
                    .downcast_ref::<io::Error>()
                    .and_then(io::Error::get_ref)
                    .is_some_and(|e| e.is::<rustls::Error>());
            last = why.to_string();
            cause = why.source();
        }
        if lasting || is_tls { Self::Lasting(last) } else { Self::passing(last) }
    }
}

/// The means to send requests.
pub(super) struct Http {
    runtime: Runtime,
    client: Client,
    silence: Duration,
}

impl Http {
    /// With the certificates of the system and those of this file. The proxies that the environment names are for other
    /// machines than this one.
    pub(super) fn new(ca_file: Option<&Path>, is_this_machine: bool) -> Result<Self> {
        // Another part of the program may have named the same one before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let runtime = runtime.map_err(|e| network("cannot prepare for the network", e))?;
        let redirects = Policy::custom(|attempt| {
            let from_tls = attempt.previous().last().is_some_and(|url| url.scheme() == "https");
            if from_tls && attempt.url().scheme() != "https" {
                return attempt.error("it redirects from HTTPS to HTTP");
            }
            if attempt.previous().len() > REDIRECTS {
                return attempt.error("it redirects without end");
            }
            attempt.follow()
        });
        let mut builder = Client::builder()
            .user_agent(concat!("expert-build/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .referer(false)
            .redirect(redirects);
        if is_this_machine {
            builder = builder.no_proxy();
        }
        if let Some(path) = ca_file {
            let (pem, _) = fs::read(path, MAX_CA)?
                .ok_or_else(|| Error::io("read the certificates in", path, io::Error::from(io::ErrorKind::NotFound)))?;
            let wrong = |e: String| Error::io("use the certificates in", path, io::Error::other(e));
            let read = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
            if read.is_empty() {
                return Err(wrong("there is none in PEM form".into()));
            }
            builder = builder.tls_certs_merge(read);
        }
        let client = builder.build().map_err(|e| network("cannot prepare for the network", e.without_url()))?;
        Ok(Self { runtime, client, silence: SILENCE })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and waits for the head of its answer, as long as something moves. `size` is that of the body, which
    /// a registry may hash once more before it answers; `sent` is how far it is.
    pub(super) fn send(
        &self,
        request: RequestBuilder,
        size: u64,
        sent: &AtomicU64,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Response, Trouble> {
        let patience = self.silence + Duration::from_secs(size / HASHED);
        self.runtime.block_on(async {
            let mut sending = std::pin::pin!(request.send());
            let (mut before, mut silent) = (0, Duration::ZERO);
            loop {
                match tokio::time::timeout(TICK, &mut sending).await {
                    Ok(answer) => return answer.map_err(Trouble::of),
                    Err(_) => {
                        let now = sent.load(Ordering::Relaxed);
                        silent = if now == before { silent + TICK } else { Duration::ZERO };
                        if now != before {
                            watch(now);
                        }
                        before = now;
                        if silent >= patience {
                            return Err(silence(patience));
                        }
                    }
                }
            }
        })
    }

    /// Hands on each piece of the body.
    pub(super) fn pieces(
        &self,
        mut response: Response,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        self.runtime.block_on(async {
            loop {
                match tokio::time::timeout(self.silence, response.chunk()).await {
                    Err(_) => return Err(silence(self.silence)),
                    Ok(Err(e)) => return Err(Trouble::of(e)),
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Ok(Some(piece))) => each(&piece)?,
                }
            }
        })
    }

    /// The body, of at most so many bytes.
    pub(super) fn body(&self, response: Response, most: u64) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        self.pieces(response, &mut |piece| {
            if (body.len() + piece.len()) as u64 > most {
                let what = format!("the registry's answer has more than {most} bytes");
                return Err(Trouble::Fault(Error::integrity(what)));
            }
            body.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(body)
    }

    /// Why this answer is none: its status, and what the registry says to it.
    pub(super) fn refusal(&self, response: Response) -> Trouble {
        let status = response.status();
        let pause = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        // What cannot be read any more is left out: the status says enough.
        let _ = self.pieces(response, &mut |piece| {
            body.extend_from_slice(piece);
            let enough = body.len() as u64 > MAX_ERROR;
            if enough { Err(Trouble::Lasting(String::new())) } else { Ok(()) }
        });
        let why = format!("the registry answers {status}{}", told(&body));
        match status {
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Trouble::Passing { why, pause: seconds(pause) }
            }
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                Trouble::Passing { why, pause: seconds(pause) }
            }
            _ => Trouble::Lasting(why),
        }
    }
}

/// Counts how often something was tried, and pauses in between.
#[derive(Default)]
pub(super) struct Retry {
    failed: u32,
}

impl Retry {
    /// Pauses after this trouble, or gives up. `message` says what could not be done.
    pub(super) fn after(&mut self, http: &Http, message: &str, trouble: Trouble) -> Result<()> {
        let (why, asked) = match trouble {
            Trouble::Fault(error) => return Err(error),
            Trouble::Lasting(why) => return Err(network(message, why)),
            Trouble::Passing { why, pause } => (why, pause),
        };
        self.failed += 1;
        if self.failed == TRIES {
            return Err(network(message, format!("{why} (tried {TRIES} times)")));
        }
        let pause = asked.unwrap_or(PAUSE * (1 << (self.failed - 1))).min(MAX_PAUSE);
        // Many machines that failed together shall not come back together.
        let mut random = [0; 1];
        let _ = getrandom::fill(&mut random);
        let pause = pause + pause.mul_f64(f64::from(random[0]) / 1024.0);
        http.runtime.block_on(async { tokio::time::sleep(pause).await });
        Ok(())
    }
}

/// Work that could not be done for want of an answer.
pub(super) fn network(message: &str, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Network { message: message.into(), source: Some(why.into()) }
}

fn silence(how_long: Duration) -> Trouble {
    Trouble::passing(format!("nothing came for {} seconds", how_long.as_secs()))
}

fn seconds(asked: Option<u64>) -> Option<Duration> {
    asked.map(|seconds| Duration::from_secs(seconds).min(MAX_PAUSE))
}

/// What a registry says of an error, short and without what a terminal would obey.
fn told(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    struct One {
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    let Ok(Envelope { errors }) = serde_json::from_slice(body) else { return String::new() };
    let Some(first) = errors.into_iter().next() else { return String::new() };
    let text = [first.code, first.message.unwrap_or_default()].join(" ");
    let text: String = text.trim().chars().take(200).collect();
    format!(" ({})", text.escape_debug())
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;
    use std::time::Duration;

    use super::{Http, Trouble, told};
    use crate::store::oci::content::{Content, Pieces};

    /// A server that says no more than this, and hangs up on nobody.
    fn mute(says: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut client in listener.incoming().flatten() {
                // An answer that comes before its question is an error of its own.
                if !says.is_empty() {
                    let _ = client.read(&mut [0]);
                    let _ = client.write_all(says);
                }
                open.push(client);
            }
        });
        address
    }

    #[test]
    fn silence_ends() {
        let mut http = Http::new(None, true).unwrap();
        http.silence = Duration::from_millis(500);
        let is_silence =
            |trouble: &Trouble| matches!(trouble, Trouble::Passing { why, .. } if why.contains("nothing came"));
        let get = http.client().get(mute(b""));
        assert!(is_silence(&http.send(get, 0, &AtomicU64::new(0), &mut |_| {}).err().unwrap()));
        // An upload that nobody takes any more.
        let sent = Arc::new(AtomicU64::new(0));
        let content = Content::Memory(vec![0; 64 << 20].into());
        let body = reqwest::Body::wrap_stream(tokio_stream::iter(Pieces::new(&content, 64 << 20, sent.clone())));
        let put = http.client().put(mute(b"")).body(body);
        let mut told = 0;
        let stopped = http.send(put, 0, &sent, &mut |bytes| told = bytes);
        assert!(is_silence(&stopped.err().unwrap()) && (1..64 << 20).contains(&told), "{told} bytes were taken");
        // An answer that stops in the middle.
        let get = http.client().get(mute(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"));
        let response = http.send(get, 0, &AtomicU64::new(0), &mut |_| {}).ok().unwrap();
        let mut half = Vec::new();
        let stopped = http.pieces(response, &mut |piece| {
            half.extend_from_slice(piece);
            Ok(())
        });
        assert!(is_silence(&stopped.err().unwrap()) && half == b"half");
    }

    #[test]
    fn what_a_registry_says_is_cut_and_escaped() {
        assert_eq!(told(br#"{"errors":[{"code":"DENIED","message":"no\u001b[31m"}]}"#), r" (DENIED no\u{1b}[31m)");
        assert_eq!(told(br#"{"errors":[{"code":"X"}]}"#), " (X)");
        assert_eq!((told(b"<html>"), told(br#"{"errors":[]}"#)), (String::new(), String::new()));
        let long = format!(r#"{{"errors":[{{"code":"{}"}}]}}"#, "x".repeat(9999));
        assert_eq!(told(long.as_bytes()).len(), 203);
    }
}
