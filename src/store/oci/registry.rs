//! `Registry`: what is asked of one registry: is a blob there, take it, give it; the same of manifests.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, LOCATION, RANGE, WWW_AUTHENTICATE,
};
use reqwest::{Body, Method, Response, StatusCode, Url};

use super::access::Access;
use super::challenge::Challenge;
use super::content::{Content, Pieces};
use super::http::{Http, Retry, Trouble};
use super::parts::Part;
use super::{Connection, MAX_ANSWER};
use crate::base::{Error, Result, Sha256};

/// The types of manifests that are taken.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
/// So many new bytes are progress.
const PROGRESS: u64 = 64 << 10;

/// How a blob came to be in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was sent.
    Sent,
    /// The registry took it from another of its repositories.
    Mounted,
}

/// A manifest as a registry gave it.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Their hash.
    pub sha256: Sha256,
}

/// One registry.
pub struct Registry {
    http: Http,
    base: Url,
    access: Access,
    host: String,
    push: bool,
}

/// A request that can be sent again.
struct Ask<'a> {
    method: Method,
    url: Url,
    headers: Vec<(reqwest::header::HeaderName, String)>,
    body: Option<(&'a Content, u64)>,
    scope: String,
}

impl<'a> Ask<'a> {
    fn new(method: Method, url: Url, scope: &str) -> Self {
        Self { method, url, headers: Vec::new(), body: None, scope: scope.to_owned() }
    }

    fn with(mut self, name: reqwest::header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn sending(mut self, content: &'a Content, size: u64) -> Self {
        self.body = Some((content, size));
        self
    }
}

impl Registry {
    /// Prepares to speak to it; nothing is sent yet.
    pub fn new(connection: &Connection) -> Result<Self> {
        let scheme = if connection.plain_http { "http" } else { "https" };
        // Docker's own registry has another name on the wire.
        let host = if connection.host == "docker.io" { "registry-1.docker.io" } else { &*connection.host };
        let base = Url::parse(&format!("{scheme}://{host}/v2/"))
            .map_err(|_| Error::usage(format!("`{}` is no host of a registry", connection.host)))?;
        let http = Http::new(connection.ca_file.as_deref(), is_this_machine(&base))?;
        Ok(Self { http, base, access: Access::new(connection), host: connection.host.clone(), push: connection.push })
    }

    /// Has this repository the blob?
    pub fn has(&mut self, repository: &str, digest: Sha256) -> Result<bool> {
        let ask = Ask::new(Method::HEAD, self.url(repository, "blobs", &named(digest))?, &self.scope(repository));
        self.again(&format!("cannot ask `{}/{repository}` for a blob", self.host), |it| {
            let response = it.ask(&ask, &mut |_| {})?;
            match response.status() {
                StatusCode::OK => Ok(true),
                StatusCode::NOT_FOUND => Ok(false),
                _ => Err(it.http.refusal(response)),
            }
        })
    }

    /// Puts a blob into a repository: taken `from` another one where that works, else sent.
    pub fn put(
        &mut self,
        repository: &str,
        (digest, size): (Sha256, u64),
        content: &Content,
        from: Option<&str>,
        watch: &mut dyn FnMut(u64),
    ) -> Result<Arrival> {
        let begin = self.url(repository, "blobs", "uploads/")?;
        let scope = self.scope(repository);
        let mut from = from;
        self.again(&format!("cannot push to `{}/{repository}`", self.host), |it| {
            let mut begun = None;
            if let Some(other) = from.take() {
                let mut mount = begin.clone();
                mount.query_pairs_mut().append_pair("mount", &named(digest)).append_pair("from", other);
                let scope = format!("{scope} repository:{other}:pull");
                let mount = Ask::new(Method::POST, mount, &scope).with(CONTENT_LENGTH, "0");
                // It may not be allowed, or not be known: then the blob is sent as if it were nowhere.
                match it.ask(&mount, &mut |_| {}) {
                    Ok(response) if response.status() == StatusCode::CREATED => return Ok(Arrival::Mounted),
                    Ok(response) if response.status() == StatusCode::ACCEPTED => begun = Some(response),
                    Err(Trouble::Fault(error)) => return Err(Trouble::Fault(error)),
                    _ => {}
                }
            }
            let response = match begun {
                Some(response) => response,
                None => {
                    let begin = Ask::new(Method::POST, begin.clone(), &scope).with(CONTENT_LENGTH, "0");
                    it.ask(&begin, &mut |_| {})?
                }
            };
            if response.status() != StatusCode::ACCEPTED {
                return Err(it.http.refusal(response));
            }
            let mut to = it.location(response.headers())?;
            to.query_pairs_mut().append_pair("digest", &named(digest));
            let send = Ask::new(Method::PUT, to, &scope)
                .with(CONTENT_TYPE, "application/octet-stream")
                .with(CONTENT_LENGTH, size.to_string())
                .sending(content, size);
            let response = it.ask(&send, watch)?;
            if response.status().is_success() { Ok(Arrival::Sent) } else { Err(it.http.refusal(response)) }
        })
    }

    /// Receives a blob, going on where the part ends. A whole part that has another hash is begun again once, as it may
    /// have been an old one that was wrong.
    pub fn receive(
        &mut self,
        repository: &str,
        (digest, size): (Sha256, u64),
        part: &mut Part,
        watch: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let message = format!("cannot pull from `{}/{repository}`", self.host);
        let mut is_old = !part.is_empty();
        if part.len() > size {
            part.restart()?;
        }
        loop {
            let mut retry = Retry::default();
            while part.len() < size {
                let before = part.len();
                let done = self.receive_some(repository, (digest, size), part, watch);
                let done = done.and_then(|()| match part.len() < size {
                    true => Err(Trouble::passing(format!("the blob ended after {} of {size} bytes", part.len()))),
                    false => Ok(()),
                });
                let Err(trouble) = done else { break };
                if part.len() > before.saturating_add(PROGRESS) {
                    retry = Retry::default();
                }
                retry.after(&self.http, &message, trouble)?;
            }
            if part.sha256() == digest {
                return Ok(());
            }
            let actual = part.sha256();
            part.restart()?;
            if !is_old {
                return Err(self.other_bytes(repository, digest, actual));
            }
            is_old = false;
        }
    }

    fn receive_some(
        &mut self,
        repository: &str,
        (digest, size): (Sha256, u64),
        part: &mut Part,
        watch: &mut dyn FnMut(u64),
    ) -> Result<(), Trouble> {
        let url = self.url(repository, "blobs", &named(digest)).map_err(Trouble::Fault)?;
        let mut ask = Ask::new(Method::GET, url, &self.scope(repository));
        if !part.is_empty() {
            ask = ask.with(RANGE, format!("bytes={}-", part.len()));
        }
        let response = self.ask(&ask, &mut |_| {})?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if begins_at(response.headers()) == Some(part.len()) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                part.restart().map_err(Trouble::Fault)?;
                return Err(Trouble::passing("the registry sends another range than it was asked for"));
            }
            StatusCode::OK => {
                if !part.is_empty() {
                    part.restart().map_err(Trouble::Fault)?;
                }
            }
            _ => return Err(self.http.refusal(response)),
        }
        self.http.pieces(response, &mut |piece| {
            if part.len() + piece.len() as u64 > size {
                let what = format!("the registry sends more than the {size} bytes that the manifest names");
                return Err(Trouble::Fault(Error::integrity(what)));
            }
            part.push(piece).map_err(Trouble::Fault)?;
            watch(part.len());
            Ok(())
        })
    }

    /// A small blob, whole.
    pub fn read(&mut self, repository: &str, (digest, size): (Sha256, u64), most: u64) -> Result<Vec<u8>> {
        let message = format!("cannot pull from `{}/{repository}`", self.host);
        if size > most {
            return Err(Error::integrity(format!("{message}: a blob has {size} bytes, and {most} are read at most")));
        }
        let ask = Ask::new(Method::GET, self.url(repository, "blobs", &named(digest))?, &self.scope(repository));
        let bytes = self.again(&message, |it| {
            let response = it.ask(&ask, &mut |_| {})?;
            match response.status() {
                StatusCode::OK => it.http.body(response, size),
                _ => Err(it.http.refusal(response)),
            }
        })?;
        let actual = Sha256::of(&bytes);
        if actual == digest { Ok(bytes) } else { Err(self.other_bytes(repository, digest, actual)) }
    }

    /// The manifest of this tag or digest; `None` where there is none.
    pub fn manifest(&mut self, repository: &str, wanted: &str) -> Result<Option<Fetched>> {
        let ask = Ask::new(Method::GET, self.url(repository, "manifests", wanted)?, &self.scope(repository));
        let ask = ask.with(ACCEPT, MANIFESTS);
        let found = self.again(&format!("cannot read `{}/{repository}`", self.host), |it| {
            let response = it.ask(&ask, &mut |_| {})?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                _ => return Err(it.http.refusal(response)),
            }
            let told = digest_told(response.headers());
            let bytes = it.http.body(response, MAX_ANSWER)?;
            Ok(Some((bytes, told)))
        })?;
        let Some((bytes, told)) = found else { return Ok(None) };
        let sha256 = Sha256::of(&bytes);
        let asked = wanted.strip_prefix("sha256:").and_then(|hex| hex.parse().ok());
        if let Some(other) = [asked, told].into_iter().flatten().find(|other| *other != sha256) {
            return Err(Error::integrity(format!(
                "`{}/{repository}`: the registry sends another manifest than it names: sha256:{sha256}, not sha256:{other}",
                self.host
            )));
        }
        Ok(Some(Fetched { bytes, sha256 }))
    }

    /// Puts a manifest under a tag or its digest. Says whether the registry took note of the subject that it refers to.
    pub fn put_manifest(&mut self, repository: &str, wanted: &str, media_type: &str, bytes: &[u8]) -> Result<bool> {
        let url = self.url(repository, "manifests", wanted)?;
        let content = Content::Memory(bytes.into());
        let ask = Ask::new(Method::PUT, url, &self.scope(repository))
            .with(CONTENT_TYPE, media_type)
            .with(CONTENT_LENGTH, bytes.len().to_string())
            .sending(&content, bytes.len() as u64);
        let headers = self.again(&format!("cannot push to `{}/{repository}`", self.host), |it| {
            let response = it.ask(&ask, &mut |_| {})?;
            match response.status().is_success() {
                true => Ok(response.headers().clone()),
                false => Err(it.http.refusal(response)),
            }
        })?;
        let (sha256, told) = (Sha256::of(bytes), digest_told(&headers));
        match told.filter(|told| *told != sha256) {
            None => Ok(headers.contains_key("oci-subject")),
            Some(told) => Err(Error::integrity(format!(
                "`{}/{repository}`: the registry stored another manifest than it was sent: sha256:{told}, not sha256:{sha256}",
                self.host
            ))),
        }
    }

    fn again<T>(&mut self, message: &str, mut act: impl FnMut(&mut Self) -> Result<T, Trouble>) -> Result<T> {
        let mut retry = Retry::default();
        loop {
            match act(self) {
                Ok(done) => return Ok(done),
                Err(trouble) => retry.after(&self.http, message, trouble)?,
            }
        }
    }

    /// Sends a request. Where the registry wants to know who asks, it is told and asked once more.
    fn ask(&mut self, ask: &Ask<'_>, watch: &mut dyn FnMut(u64)) -> Result<Response, Trouble> {
        let ours = |url: &Url| url.origin() == self.base.origin();
        let to_us = ours(&ask.url);
        let mut tried = false;
        loop {
            let mut request = self.http.client().request(ask.method.clone(), ask.url.clone());
            for (name, value) in &ask.headers {
                request = request.header(name, value);
            }
            if let Some(header) = self.access.header(&ask.scope).filter(|_| to_us) {
                request = request.header(reqwest::header::AUTHORIZATION, header);
            }
            let sent = Arc::new(AtomicU64::new(0));
            request = match ask.body {
                Some((Content::Memory(bytes), _)) => request.body(bytes.to_vec()),
                Some((content, size)) => {
                    let pieces = tokio_stream::iter(Pieces::new(content, size, sent.clone()));
                    request.body(Body::wrap_stream(pieces))
                }
                None => request,
            };
            let response = self.http.send(request, ask.body.map_or(0, |(_, size)| size), &sent, watch)?;
            if response.status() != StatusCode::UNAUTHORIZED || !to_us || !ours(response.url()) {
                return Ok(response);
            }
            let challenges: Vec<Challenge> = response
                .headers()
                .get_all(WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(Challenge::read)
                .collect();
            if std::mem::replace(&mut tried, true) {
                return Err(self.access.refused());
            }
            self.access.gain(&self.http, &challenges, &ask.scope)?;
        }
    }

    fn url(&self, repository: &str, what: &str, last: &str) -> Result<Url> {
        let url = self.base.join(&format!("{repository}/{what}/{last}"));
        url.map_err(|_| Error::usage(format!("`{repository}` is no repository")))
    }

    fn other_bytes(&self, repository: &str, named: Sha256, actual: Sha256) -> Error {
        Error::integrity(format!(
            "`{}/{repository}`: the registry sends other bytes than the manifest names: sha256:{actual}, not \
             sha256:{named}",
            self.host
        ))
    }

    /// What is asked for the right to do.
    fn scope(&self, repository: &str) -> String {
        format!("repository:{repository}:{}", if self.push { "pull,push" } else { "pull" })
    }

    /// Where an upload goes on.
    fn location(&self, headers: &HeaderMap) -> Result<Url, Trouble> {
        let told = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let url = told.and_then(|told| self.base.join(told).ok());
        let url = url.ok_or_else(|| Trouble::Lasting("the registry does not say where to send a blob".into()))?;
        match url.scheme() {
            "https" => Ok(url),
            "http" if self.base.scheme() == "http" => Ok(url),
            _ => Err(Trouble::Lasting("the registry wants a blob to be sent without HTTPS".into())),
        }
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn named(digest: Sha256) -> String {
    format!("sha256:{digest}")
}

/// `bytes 7-9/10`
fn begins_at(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

fn digest_told(headers: &HeaderMap) -> Option<Sha256> {
    headers.get("docker-content-digest")?.to_str().ok()?.strip_prefix("sha256:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, LOCATION};

    use super::{Connection, Registry, begins_at, is_this_machine};

    fn registry(host: &str, plain_http: bool) -> Registry {
        Registry::new(&Connection { host: host.into(), plain_http, ..Connection::default() }).unwrap()
    }

    #[test]
    fn registries_are_where_they_are_said_to_be() {
        for (host, base, here) in [
            ("docker.io", "https://registry-1.docker.io/v2/", false),
            ("oci.lan", "https://oci.lan/v2/", false),
            ("[::1]:5000", "https://[::1]:5000/v2/", true),
            ("localhost:5000", "https://localhost:5000/v2/", true),
        ] {
            let registry = registry(host, false);
            assert_eq!((registry.base.as_str(), is_this_machine(&registry.base)), (base, here));
        }
    }

    #[test]
    fn an_upload_goes_on_where_it_is_as_safe() {
        let location = |registry: &Registry, to: &str| {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_str(to).unwrap())]);
            registry.location(&headers).ok().map(String::from)
        };
        let (safe, plain) = (registry("host", false), registry("host", true));
        assert_eq!(
            location(&safe, "/v2/a/blobs/uploads/1?s=2").as_deref(),
            Some("https://host/v2/a/blobs/uploads/1?s=2")
        );
        assert_eq!(location(&safe, "https://store.example/x").as_deref(), Some("https://store.example/x"));
        assert_eq!(location(&safe, "http://host/x"), None);
        assert_eq!(location(&plain, "http://host/x").as_deref(), Some("http://host/x"));
        assert_eq!(
            (location(&plain, "file:///etc/passwd"), location(&plain, "")),
            (None, Some("http://host/v2/".into()))
        );
        assert!(plain.location(&HeaderMap::new()).is_err());
    }

    #[test]
    fn ranges_are_read() {
        let begins =
            |range: &'static str| begins_at(&HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(range))]));
        assert_eq!(
            (begins("bytes 7-9/10"), begins("bytes */10"), begins("7-9"), begins("bytes -1")),
            (Some(7), None, None, None)
        );
    }
}
