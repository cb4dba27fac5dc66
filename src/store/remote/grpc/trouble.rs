//! `Trouble`: why a call came to nothing: what kind of failure that is, and whether the same may succeed a little later.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use tonic::{Code, Status};

use crate::store::remote::FailureKind;

/// How often something is tried.
const TRIES: u32 = 5;
/// The first pause between tries; each is twice the one before.
const PAUSE: Duration = Duration::from_millis(100);
/// Characters of a server's words that are told.
const MAX_WORDS: usize = 500;
/// How servers say that a message was larger than they take; the codes are `ResourceExhausted`, `OutOfRange`, `Internal`.
const TOO_LARGE: [&str; 5] =
    ["larger than max", "exceeds maximum", "too large", "exceeds the maximum", "exceeded the maximum"];
/// How servers say that they are full, by codes that mean something else.
const FULL: [&str; 4] = ["outofspace", "out of space", "no space left", "insufficient storage"];

/// Why a call came to nothing.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) kind: FailureKind,
    pub(super) why: String,
    /// May the same succeed a little later?
    pub(super) passing: bool,
    /// Was the message too large? Then smaller ones may do.
    pub(super) too_large: bool,
}

impl Trouble {
    /// What stays wrong.
    pub(super) fn lasting(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into(), passing: false, too_large: false }
    }

    /// What may pass.
    pub(super) fn passing(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { passing: true, ..Self::lasting(kind, why) }
    }

    /// This side could not read or write.
    pub(super) fn local(what: &str, error: &io::Error) -> Self {
        Self::lasting(FailureKind::Local, format!("{what}: {error}"))
    }

    /// Nothing came for so long.
    pub(super) fn silence(patience: Duration) -> Self {
        let seconds = patience.as_secs_f32();
        Self::lasting(FailureKind::Unavailable, format!("the server was silent for {seconds} s"))
    }

    /// What the server, or the transport, says.
    pub(super) fn of(status: &Status) -> Self {
        // A status that was made here has the cause with it; one that the server sent has none.
        match status.source() {
            Some(_) => Self::of_transport(status),
            None => Self::of_code(status.code(), status.message()),
        }
    }

    /// What the server says of one of several blobs.
    pub(super) fn of_part(code: i32, message: &str) -> Self {
        Self::of_code(Code::from_i32(code), message)
    }

    fn of_code(code: Code, message: &str) -> Self {
        let lower = message.to_ascii_lowercase();
        let too_large = matches!(code, Code::ResourceExhausted | Code::OutOfRange | Code::Internal)
            && TOO_LARGE.iter().any(|words| lower.contains(words));
        let is_full = matches!(code, Code::Internal | Code::Unknown | Code::FailedPrecondition)
            && FULL.iter().any(|words| lower.contains(words));
        let kind = match code {
            _ if too_large || is_full => FailureKind::Exhausted,
            Code::NotFound => FailureKind::Missing,
            Code::Unavailable | Code::Aborted | Code::DeadlineExceeded | Code::Cancelled => FailureKind::Unavailable,
            Code::Unauthenticated | Code::PermissionDenied => FailureKind::Denied,
            Code::Unimplemented => FailureKind::Unsupported,
            Code::ResourceExhausted => FailureKind::Exhausted,
            Code::DataLoss => FailureKind::Wrong,
            _ => FailureKind::Other,
        };
        let passing = !too_large && matches!(code, Code::Unavailable | Code::Aborted | Code::ResourceExhausted);
        let words = words(message);
        let why = if words.is_empty() { format!("{code:?}") } else { format!("{code:?}: {words}") };
        Self { kind, why, passing, too_large }
    }

    /// The connection could not be made or broke. Certificates do not get better by trying again, and a host that did not
    /// answer in time has had its time.
    fn of_transport(status: &Status) -> Self {
        let (mut last, mut is_tls, mut was_slow) = (status.message().to_owned(), false, false);
        let mut cause = status.source();
        while let Some(why) = cause {
            let io = why.downcast_ref::<io::Error>();
            was_slow |= io.is_some_and(|e| e.kind() == io::ErrorKind::TimedOut);
            let inner = io.and_then(io::Error::get_ref);
            let tls = why.downcast_ref::<rustls::Error>().or_else(|| inner?.downcast_ref::<rustls::Error>());
            is_tls |= tls.is_some();
            last = tls.map_or_else(|| why.to_string(), ToString::to_string);
            cause = why.source();
        }
        match (is_tls, was_slow) {
            (true, _) => Self::lasting(FailureKind::Denied, format!("TLS: {}", words(&last))),
            (_, true) => Self::lasting(FailureKind::Unavailable, words(&last)),
            _ => Self::passing(FailureKind::Unavailable, words(&last)),
        }
    }
}

/// Foreign words as they may be shown: short, and without what would move a terminal's cursor.
fn words(text: &str) -> String {
    let short: String = text.trim().chars().take(MAX_WORDS).collect();
    short.escape_debug().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

/// Counts how often something was tried, and pauses in between.
#[derive(Default)]
pub(super) struct Retry {
    failed: u32,
}

impl Retry {
    /// Pauses after this trouble, or gives up.
    pub(super) async fn after(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        self.failed += 1;
        if !trouble.passing || self.failed >= TRIES {
            return Err(trouble);
        }
        tokio::time::sleep(pause(self.failed, random())).await;
        Ok(())
    }
}

/// How long to wait after so many failures: many who failed together shall not come again together.
fn pause(failed: u32, random: u8) -> Duration {
    let whole = PAUSE * 2u32.pow(failed - 1);
    whole / 2 + whole / 2 * u32::from(random) / u32::from(u8::MAX)
}

fn random() -> u8 {
    let mut byte = [0];
    // Without chance the pauses are equal, which still does.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}

#[cfg(test)]
mod tests {
    use super::{Trouble, pause};
    use crate::store::remote::FailureKind;
    use tonic::{Code, Status};

    #[test]
    fn kinds_tell_what_can_be_done() {
        let of = |code, words: &str| {
            let trouble = Trouble::of(&Status::new(code, words));
            (trouble.kind, trouble.passing, trouble.too_large)
        };
        assert_eq!(of(Code::NotFound, ""), (FailureKind::Missing, false, false));
        assert_eq!(of(Code::Unavailable, ""), (FailureKind::Unavailable, true, false));
        assert_eq!(of(Code::Aborted, ""), (FailureKind::Unavailable, true, false));
        assert_eq!(of(Code::DeadlineExceeded, ""), (FailureKind::Unavailable, false, false));
        assert_eq!(of(Code::Unauthenticated, ""), (FailureKind::Denied, false, false));
        assert_eq!(of(Code::Unimplemented, ""), (FailureKind::Unsupported, false, false));
        assert_eq!(of(Code::ResourceExhausted, "quota"), (FailureKind::Exhausted, true, false));
        assert_eq!(of(Code::Internal, "bug"), (FailureKind::Other, false, false));
        let large = (FailureKind::Exhausted, false, true);
        assert_eq!(of(Code::ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), large);
        assert_eq!(of(Code::ResourceExhausted, "gRPC message exceeds maximum size 4194304: 5"), large);
        assert_eq!(of(Code::OutOfRange, "Error, decoded message length too large: found 5 bytes"), large);
        assert_eq!(of(Code::Internal, "OutOfSpaceException thrown"), (FailureKind::Exhausted, false, false));
        assert_eq!(of(Code::Internal, "SERVER: Received message larger than max (5 vs. 4)"), large);
    }

    #[test]
    fn words_of_others_are_short_and_harmless() {
        let trouble = Trouble::of(&Status::new(Code::Internal, format!("\u{1b}[2J{}", "x".repeat(9999))));
        assert!(trouble.why.len() < 600 && trouble.why.starts_with(r"Internal: \u{1b}[2J"), "{}", trouble.why);
    }

    #[test]
    fn pauses_double_and_differ() {
        let millis = |failed, random| pause(failed, random).as_millis();
        assert_eq!([1, 2, 3, 4].map(|failed| millis(failed, 255)), [100, 200, 400, 800]);
        assert_eq!([1, 2, 3, 4].map(|failed| millis(failed, 0)), [50, 100, 200, 400]);
    }
}
